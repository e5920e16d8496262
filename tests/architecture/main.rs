//! What ARCHITECTURE.md promises, read from the sources.

mod dependencies;
