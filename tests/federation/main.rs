//! Federations of real processes over loopback: honest ones, misconfigured ones, hostile ones, broken ones.
//! All of them in one binary, since linking takes longer than running.

mod aligned;
mod attacked;
mod audited;
mod broken;
mod cached;
mod changed_tables;
mod checked;
mod client;
mod damaged;
mod documented;
mod erased;
mod first_run;
mod fixture;
mod flipped;
mod flooded;
mod hijacked;
mod honest;
mod ledger;
mod logs;
mod lossless;
mod migrated;
mod misconfigured;
mod own_detectors;
mod predict;
mod proxy;
mod reconnected;
mod recorder;
mod reference;
mod rogue;
mod rogue_server;
mod screened;
mod secured;
mod tutorial;
mod unbalanced;
mod undefined;
