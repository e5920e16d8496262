//! Every role of a federation in one binary, for the tests in this package: `roles party ...`, `roles coordinator ...`,
//! `roles attack ...`.

use std::ffi::OsString;
use std::process::ExitCode;

use hashvfl_testbed::processes;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|role| role == "attack") {
        return hashvfl_attack::entry(arguments);
    }
    processes::play_role().unwrap_or_else(|| {
        eprintln!("error: the first argument is a role: party, coordinator or attack");
        ExitCode::FAILURE
    })
}
