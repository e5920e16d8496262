//! The target `handshake`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hashvfl_fuzz::handshake::target(bytes));
