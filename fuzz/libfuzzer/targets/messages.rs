//! The target `messages`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| (hashvfl_fuzz::TARGETS[0].1)(bytes));
