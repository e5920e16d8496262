//! What ARCHITECTURE.md promises, read from the sources.

mod dependencies;
mod pages;
mod presets;
mod sizes;
mod sources;
mod threat_model;
mod traits;
mod words;
