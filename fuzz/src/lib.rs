//! Everything that a peer can send and another organisation can hand over, as functions of bytes. None may panic, and
//! none may take more memory than its limit, whatever the bytes are.
//!
//! `fuzz/libfuzzer` feeds them with what a fuzzer draws, by coverage; `tests/corpus.rs` with what it has found, on every
//! run of the tests. A fuzzer begins with the seeds of a target: valid inputs, which the program `seeds` writes into its
//! corpus.

pub mod alignment;
pub mod certificates;
pub mod files;
pub mod frames;
pub mod handshake;
pub mod messages;

mod der;
mod http2;
mod pieces;

use std::path::{Path, PathBuf};

use hashvfl_core::Digest;

/// What is fed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its corpus' folder.
    pub name: &'static str,
    /// What it does with bytes.
    pub run: fn(&[u8]),
    /// Inputs with which a fuzzer begins: the same on every machine.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 6] = [
    Target { name: "messages", run: messages::target, seeds: messages::seeds },
    Target { name: "frames", run: frames::target, seeds: frames::seeds },
    Target { name: "handshake", run: handshake::target, seeds: handshake::seeds },
    Target { name: "certificates", run: certificates::target, seeds: certificates::seeds },
    Target { name: "files", run: files::target, seeds: files::seeds },
    Target { name: "alignment", run: alignment::target, seeds: alignment::seeds },
];

/// The folder of a target's corpus.
pub fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The name of a seed's file in a corpus.
pub fn seed_name(seed: &[u8]) -> String {
    let digest = Digest::of(seed).to_string();
    format!("seed-{}", &digest[..32])
}
