//! The party's binary: everything is in the library.

fn main() -> std::process::ExitCode {
    hashvfl_party::entry(std::env::args_os())
}
