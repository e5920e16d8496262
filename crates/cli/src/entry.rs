//! From a program's arguments to its exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::log::complain_of_end;

/// The exit code of a process that does not know whether its run has finished: `EX_TEMPFAIL`, try again.
const IN_DOUBT: u8 = 75;

/// That this side does not know whether its run has finished, and what to do. The process ends with exit code 75.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InDoubt(pub &'static str);

/// Parses `arguments`, which start with the program's name, and runs them. An error becomes one line on standard error
/// and a non-zero exit code.
pub fn entry<A, I, T>(arguments: I, run: fn(A) -> anyhow::Result<()>) -> ExitCode
where
    A: Parser,
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let arguments = match A::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, with exit code 0; a closed pipe is nobody's error.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain_of_end(&format!("{error:#}"));
            match error.downcast_ref() {
                Some(InDoubt(_)) => ExitCode::from(IN_DOUBT),
                None => ExitCode::FAILURE,
            }
        }
    }
}
