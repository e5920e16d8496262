//! One line at the bottom of a terminal that changes in place, and lines of a log that scroll by above it.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The line that stands there; empty where there is none.
static SHOWN: Mutex<String> = Mutex::new(String::new());
/// Takes away the line on which the cursor is.
const CLEAR: &str = "\r\x1b[2K";
/// Characters of the line at most: one that is wrapped could not be taken away.
pub const PROGRESS_WIDTH: usize = 79;

/// Whether there is somebody to show progress to: standard error is a terminal.
pub fn can_show_progress() -> bool {
    io::stderr().is_terminal()
}

/// Shows `line` in place of the one that stands there; an empty line takes it away.
pub fn show_progress(line: &str) {
    let line: String = line.chars().take(PROGRESS_WIDTH).collect();
    let mut shown = shown();
    if *shown != line {
        let mut errors = io::stderr().lock();
        // Where nobody reads, nobody misses it.
        let _ = write!(errors, "{CLEAR}{line}").and_then(|()| errors.flush());
        *shown = line;
    }
}

/// Standard error, above the line that [`show_progress`] shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct AboveProgress;

impl Write for AboveProgress {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        write_above(&mut io::stderr().lock(), &shown(), lines)?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn shown() -> MutexGuard<'static, String> {
    // A panic while the lock was held leaves a line that the next one takes away.
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_above(errors: &mut impl Write, shown: &str, lines: &[u8]) -> io::Result<()> {
    if shown.is_empty() {
        return errors.write_all(lines);
    }
    errors.write_all(CLEAR.as_bytes())?;
    errors.write_all(lines)?;
    errors.write_all(shown.as_bytes())?;
    errors.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_scrolls_by_above_the_line() {
        let written = |shown: &str| {
            let mut errors = Vec::new();
            write_above(&mut errors, shown, b"a log line\n").unwrap();
            String::from_utf8(errors).unwrap()
        };
        assert_eq!(written(""), "a log line\n");
        assert_eq!(written("epoch 3 of 30"), "\r\x1b[2Ka log line\nepoch 3 of 30");
    }
}
