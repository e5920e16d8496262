//! The target `alignment`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hashvfl_fuzz::alignment::target(bytes));
