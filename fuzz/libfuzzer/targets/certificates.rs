//! The target `certificates`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hashvfl_fuzz::certificates::target(bytes));
