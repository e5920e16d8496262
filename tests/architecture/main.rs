//! What ARCHITECTURE.md promises, read from the sources.

mod dependencies;
mod sizes;
mod sources;
mod words;
