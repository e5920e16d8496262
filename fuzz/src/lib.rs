//! Everything that a peer can send and another organisation can hand over, as functions of bytes. None may panic, and
//! none may take more memory than its limit, whatever the bytes are.
//!
//! `fuzz/libfuzzer` feeds them with what a fuzzer draws, by coverage; `tests/corpus.rs` with what it has found, on every
//! run of the tests.

mod files;
mod handshake;
mod messages;

/// A target: its name, which is that of its corpus' folder, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 3] =
    [("messages", messages::target), ("files", files::target), ("handshake", handshake::target)];
