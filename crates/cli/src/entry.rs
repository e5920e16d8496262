//! From a program's arguments to its exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::log::complain_of_end;

/// The exit code of a process whose work failed.
const FAILED: u8 = 1;

/// The exit code of a process that does not know whether its run has finished: `EX_TEMPFAIL`, try again.
const IN_DOUBT: u8 = 75;

/// The exit code of a process that goes on once a person has allowed it: `EX_NOPERM`.
const ALARMED: u8 = 77;

/// The exit code of a process that was asked to end before its work was done, as that of one which Ctrl+C ends.
const ASKED_TO_END: u8 = 130;

/// A process that ends before its work is done, although nothing of it has failed; one line says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// This side does not know whether its run has finished. Exit code 75.
    #[error("{0}")]
    InDoubt(String),
    /// An alarm has stopped this side, and nobody has dismissed it. Exit code 77.
    #[error("{0}")]
    Alarmed(&'static str),
    /// Somebody asked the process to end. Exit code 130.
    #[error("{0}")]
    AskedToEnd(&'static str),
}

/// Runs of this process that have ended before their work was done; of each that was said already. With the exit code.
#[derive(Debug, thiserror::Error)]
#[error("not all runs have finished")]
pub struct SomeUnfinished(u8);

/// How the runs of a process that holds several have ended, so far.
#[derive(Debug, Default)]
pub struct RunExits {
    /// The exit code of the worst.
    worst: u8,
}

impl RunExits {
    /// Notes how the run `run` has ended, and says why where it has not finished.
    pub fn note(&mut self, run: &str, ended: anyhow::Result<()>) {
        let Err(error) = ended else { return };
        let (begin, code) = begin_and_code(&error);
        complain_of_end(begin, Some(run), &with_causes(&error));
        // One that has failed is worse than one that was asked to end.
        if self.worst == 0 || code == FAILED {
            self.worst = code;
        }
    }

    /// Whether all have finished.
    ///
    /// # Errors
    /// If not, with the exit code of the worst.
    pub fn all(self) -> Result<(), SomeUnfinished> {
        if self.worst == 0 { Ok(()) } else { Err(SomeUnfinished(self.worst)) }
    }
}

/// What the line begins with that says why work is not done, and the exit code.
fn begin_and_code(error: &anyhow::Error) -> (&'static str, u8) {
    match error.downcast_ref() {
        Some(Unfinished::InDoubt(_)) => ("error: ", IN_DOUBT),
        Some(Unfinished::Alarmed(_)) => ("error: ", ALARMED),
        Some(Unfinished::AskedToEnd(_)) => ("", ASKED_TO_END),
        None => ("error: ", FAILED),
    }
}

/// An error in a line, with its causes. One that the error before it has told already is not told again.
fn with_causes(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
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
    let done = run(arguments);
    hashvfl_traces::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(SomeUnfinished(code)) = error.downcast_ref() {
                return ExitCode::from(*code);
            }
            let (begin, code) = begin_and_code(&error);
            complain_of_end(begin, None, &with_causes(&error));
            ExitCode::from(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read policy.toml: {source}")]
    struct Unread {
        source: io::Error,
    }

    #[test]
    fn each_cause_is_told_once() {
        let unread = Unread { source: io::Error::other("it is locked") };
        let error = anyhow::Error::from(unread).context("the run has not begun");
        assert_eq!(with_causes(&error), "the run has not begun: cannot read policy.toml: it is locked");
        assert_eq!(with_causes(&anyhow::anyhow!("no space left")), "no space left");
    }
}
