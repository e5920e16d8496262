//! The coordinator's binary: everything is in the library.

fn main() -> std::process::ExitCode {
    hashvfl_coordinator::entry(std::env::args_os())
}
