//! The target `handshake`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| (hashvfl_fuzz::TARGETS[2].1)(bytes));
