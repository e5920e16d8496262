//! Why there is no way to the coordinator.

use hashvfl_core::Address;
use hashvfl_identity::ConnectError;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address cannot be dialled.
    #[error("{0} is not an address to connect to: expected http://HOST:PORT")]
    Address(Address),
    /// Nobody answered there for the whole time.
    #[error(
        "no coordinator at {address} within {limit_s} s ({cause}): is it running, and is the address correct?"
    )]
    Absent {
        /// The address.
        address: Address,
        /// The limit in seconds.
        limit_s: u64,
        /// What the last attempt failed with.
        cause: String,
    },
    /// A proxy or a web server answered, in place of the coordinator, for the whole time.
    #[error(
        "for {limit_s} s a proxy or web server answered at {address}, but no coordinator: is the coordinator behind \
         it running, and does the proxy pass gRPC through as HTTP/2 (docs/how-to/run-between-organisations.md)?"
    )]
    Between {
        /// The address.
        address: Address,
        /// The limit in seconds.
        limit_s: u64,
    },
    /// The other side took the connection and did not open the stream in time.
    #[error("waited {limit_s} s for the coordinator to answer (limits are in the config's [timeouts] table)")]
    Silent {
        /// The limit in seconds.
        limit_s: u64,
    },
    /// The other side is there and does not have this service, or has none while it does something else.
    #[error(
        "{address}: {reason}, or the coordinator is doing something else, such as aligning or training: is the right command running there?"
    )]
    NoSuchService {
        /// The address.
        address: Address,
        /// One line for a person.
        reason: String,
    },
    /// The other side is there, and this service is not for whoever this side is.
    #[error("{address}: {reason}")]
    NotPermitted {
        /// The address.
        address: Address,
        /// One line for a person.
        reason: String,
    },
    /// One side does not take the other's certificate, which trying again does not change, or does not speak TLS.
    #[error("{address}: {reason}")]
    Identity {
        /// The address.
        address: Address,
        /// One line for a person.
        reason: ConnectError,
    },
    /// The connection broke, or the other side did not want it.
    #[error("{address}: {reason}")]
    Broken {
        /// The address.
        address: Address,
        /// One line for a person.
        reason: String,
    },
}

impl DialError {
    /// Whether the same may work a little later: the coordinator is not there yet, or something else is in its place.
    pub fn is_for_now(&self) -> bool {
        match self {
            Self::Absent { .. }
            | Self::Between { .. }
            | Self::Silent { .. }
            | Self::NoSuchService { .. }
            | Self::Broken { .. } => true,
            // What answers in a coordinator's place until that is up, a web server or a proxy, has no certificate at all.
            Self::Identity { reason, .. } => {
                matches!(reason, ConnectError::NoTls | ConnectError::Handshake(_))
            }
            Self::Address(_) | Self::NotPermitted { .. } => false,
        }
    }

    /// Whether a side that was let in before tries again. Without the coordinator's certificate whatever answers may be anybody
    /// on the way: only what the coordinator itself has said is final.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Identity { reason, .. } => !matches!(reason, ConnectError::RefusedByPeer { .. }),
            other => other.is_for_now(),
        }
    }
}
