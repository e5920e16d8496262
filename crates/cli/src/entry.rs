//! From a program's arguments to its exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::log::complain_of_end;

/// The exit code of a process that does not know whether its run has finished: `EX_TEMPFAIL`, try again.
const IN_DOUBT: u8 = 75;

/// The exit code of a process that was asked to end before its work was done, as that of one which Ctrl+C ends.
const ASKED_TO_END: u8 = 130;

/// How a process ends whose work is not done, though nothing is wrong; one line says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// This side does not know whether its run has finished. Exit code 75.
    #[error("{0}")]
    InDoubt(String),
    /// Somebody asked the process to end. Exit code 130.
    #[error("{0}")]
    AskedToEnd(&'static str),
}

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
            let (begin, code) = match error.downcast_ref() {
                Some(Unfinished::InDoubt(_)) => ("error: ", IN_DOUBT),
                Some(Unfinished::AskedToEnd(_)) => ("", ASKED_TO_END),
                None => ("error: ", 1),
            };
            complain_of_end(begin, &format!("{error:#}"));
            ExitCode::from(code)
        }
    }
}
