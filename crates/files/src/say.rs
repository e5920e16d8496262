//! What a person is told on standard output and standard error. If the reader of a pipe has exited, as `head` does, output is
//! silently dropped and the work continues.

use std::fmt;
use std::io::{self, ErrorKind, Write};

/// Prints a line on standard output, as `println!` does; a closed pipe is passed over.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::say_line(::std::format_args!($($text)*)) };
}

/// Prints a line on standard error, as `eprintln!` does, unless nobody can read it.
#[macro_export]
macro_rules! complain {
    ($($text:tt)*) => { $crate::complain_line(::std::format_args!($($text)*)) };
}

/// What [`say!`] calls. Where standard output fails otherwise, as on a full disk, the process ends with exit code 1.
pub fn say_line(line: fmt::Arguments) {
    if let Err(error) = write_line(&mut io::stdout().lock(), line) {
        complain_line(format_args!("error: cannot write to standard output: {error}"));
        std::process::exit(1);
    }
}

/// What [`complain!`] calls.
pub fn complain_line(line: fmt::Arguments) {
    // Where nobody reads errors, there is nobody to tell.
    let _ = write_line(&mut io::stderr().lock(), line);
}

/// An error about a text as one line: the place, which is the first line of `shown`, and the `message`. What stands below the
/// place, the text itself, is left out.
pub fn one_line(shown: &str, message: &str) -> String {
    let place = shown.lines().next().unwrap_or_default().trim().trim_end_matches(':');
    format!("{place}: {message}")
}

fn write_line(out: &mut impl Write, line: fmt::Arguments) -> io::Result<()> {
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_place_and_not_the_text() {
        let shown = "TOML parse error at line 1, column 5\n  |\n1 | a = secret\n  |     ^\nno value\n";
        assert_eq!(one_line(shown, "no value"), "TOML parse error at line 1, column 5: no value");
    }

    /// A reader that fails in one way.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_has_left_is_no_failure_and_a_full_disk_is_one() {
        let written = |kind| write_line(&mut Failing(kind), format_args!("line"));
        assert!(written(ErrorKind::BrokenPipe).is_ok());
        assert_eq!(written(ErrorKind::StorageFull).unwrap_err().kind(), ErrorKind::StorageFull);
        let mut text = Vec::new();
        write_line(&mut text, format_args!("{} of {}", 1, 2)).unwrap();
        assert_eq!(text, b"1 of 2\n");
    }
}
