//! Every role of a federation in one binary, for the tests in this package: `roles party ...`, `roles coordinator ...`.

use std::process::ExitCode;

use hashvfl_testbed::processes;

fn main() -> ExitCode {
    processes::play_role().unwrap_or_else(|| {
        eprintln!("error: the first argument is a role: party or coordinator");
        ExitCode::FAILURE
    })
}
