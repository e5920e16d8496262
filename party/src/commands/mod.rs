//! What a party's binary does besides training and serving, a file for each subcommand.

pub(crate) mod alarm;
pub(crate) mod align;
pub(crate) mod approve;
pub(crate) mod check;
pub(crate) mod chosen;
pub(crate) mod doctor;
pub(crate) mod encode;
pub(crate) mod erase;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod ledger;
pub(crate) mod train;
