//! The `attack` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    hashvfl_attack::entry(std::env::args_os())
}
