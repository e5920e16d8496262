//! The target `files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hashvfl_fuzz::files::target(bytes));
