//! How an error of a stream reads to a person: in one line, without the transport's details.

use std::error::Error;

use tonic::{Code, Status};

/// What lies below an error of this side's own connection, such as that its peer has been revoked; `None` where the other
/// side has sent the status.
fn cause(status: &Status) -> Option<String> {
    let mut cause = status.source()?;
    while let Some(below) = cause.source() {
        cause = below;
    }
    Some(cause.to_string().replace(['\n', '\r'], " "))
}

/// A peer's status as one line.
pub fn describe(status: &Status) -> String {
    let text = status.message().trim().replace(['\n', '\r'], " ");
    match status.code() {
        Code::Unavailable => format!("the connection was lost ({text})"),
        Code::Unknown | Code::Cancelled => {
            format!("the connection broke ({})", cause(status).unwrap_or(text))
        }
        Code::OutOfRange | Code::ResourceExhausted => format!("a message was over its limit ({text})"),
        Code::Unimplemented => {
            "the other side is no HashVFL coordinator, or one of another version".to_string()
        }
        _ => text,
    }
}
