//! How an error of a stream reads to a person: in one line, without the transport's details.

use hashvfl_core::limits::MAX_TEXT_BYTES;
use hashvfl_core::text::one_line;
use tonic::{Code, Status};

/// A peer's status as one line.
pub fn describe(status: &Status) -> String {
    let text = one_line(status.message().trim(), MAX_TEXT_BYTES);
    match status.code() {
        Code::Unavailable => format!("the connection was lost ({text})"),
        Code::Unknown | Code::Cancelled => format!("the connection broke ({text})"),
        Code::OutOfRange | Code::ResourceExhausted => format!("a message was over its limit ({text})"),
        Code::Unimplemented => {
            "the other side is no HashVFL coordinator, or one of another version".to_string()
        }
        _ => text,
    }
}
