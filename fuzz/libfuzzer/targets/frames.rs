//! The target `frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hashvfl_fuzz::frames::target(bytes));
