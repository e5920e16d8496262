//! How an error of a stream reads to a person: in one line, without the transport's details.

use std::error::Error;
use std::io;

use hashvfl_core::limits::MAX_TEXT_BYTES;
use hashvfl_core::text::one_line;
use tonic::{Code, Status};

/// What HTTP/2 says of a stream that was cut, and not ended by its peer's program.
const CUT: [&str; 2] = ["h2 protocol error", "error reading a body"];

/// What lies below an error of this side's own connection, such as that its peer has been revoked; `None` where the other
/// side has sent the status.
fn cause(status: &Status) -> Option<String> {
    let mut cause = status.source()?;
    while let Some(below) = cause.source() {
        cause = below;
    }
    Some(one_line(&cause.to_string(), MAX_TEXT_BYTES))
}

/// Why another connection would change nothing, as one line: a peer does not count any more, or a message of one side is
/// none that the other takes. `None` where the connection broke.
pub fn refusal(status: &Status) -> Option<String> {
    match status.code() {
        Code::OutOfRange | Code::Unimplemented | Code::InvalidArgument => Some(describe(status)),
        Code::PermissionDenied => Some(one_line(status.message(), MAX_TEXT_BYTES)),
        _ => denied(status).map(|_| describe(status)),
    }
}

/// Why this side ended the connection itself: its peer has been revoked, say.
fn denied(status: &Status) -> Option<String> {
    let mut below = status.source();
    while let Some(error) = below {
        let own = error.downcast_ref::<io::Error>();
        let io = own.or_else(|| error.downcast_ref::<h2::Error>()?.get_io());
        if let Some(io) = io.filter(|io| io.kind() == io::ErrorKind::PermissionDenied) {
            return Some(one_line(&io.to_string(), MAX_TEXT_BYTES));
        }
        below = error.source();
    }
    None
}

/// A peer's status as one line.
pub fn describe(status: &Status) -> String {
    if let Some(denied) = denied(status) {
        return format!("the connection was ended ({denied})");
    }
    let text = one_line(status.message().trim(), MAX_TEXT_BYTES);
    if CUT.iter().any(|words| text.contains(words)) {
        return format!(
            "the connection broke in the middle of a stream ({text}): the other side's process has ended, or a proxy in \
             between limits the size or the duration of a stream (docs/how-to/run-between-organisations.md)"
        );
    }
    match status.code() {
        Code::Unavailable => format!("the connection was lost ({text})"),
        Code::Unknown | Code::Cancelled => {
            format!("the connection broke ({})", cause(status).unwrap_or(text))
        }
        Code::OutOfRange | Code::ResourceExhausted => format!("a message was over its limit ({text})"),
        Code::Unimplemented => {
            "the other side is not a HashVFL coordinator, or is one of another version".to_string()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_was_cut_says_what_may_have_cut_it() {
        let cut = describe(&Status::unknown("h2 protocol error: error reading a body from connection"));
        assert!(cut.contains("has ended, or a proxy in between limits") && !cut.contains('\n'), "{cut}");
        assert_eq!(describe(&Status::unavailable("broken pipe")), "the connection was lost (broken pipe)");
    }

    #[test]
    fn what_another_connection_would_not_change_is_told_from_what_it_would() {
        for broken in [Status::unavailable("x"), Status::unknown("x"), Status::internal("x")] {
            assert_eq!(refusal(&broken), None, "{broken}");
        }
        assert!(refusal(&Status::out_of_range("9 bytes")).unwrap().contains("9 bytes"));
        assert_eq!(refusal(&Status::permission_denied("not you")).unwrap(), "not you");
    }
}
