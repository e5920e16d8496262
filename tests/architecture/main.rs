//! What ARCHITECTURE.md promises, read from the sources.

mod dependencies;
mod limits;
mod messages;
mod pages;
mod plain;
mod presets;
mod sizes;
mod sources;
mod targets;
mod threat_model;
mod traits;
mod words;
