//! Limits on what any peer that reaches the port, trusted or not, can make this process hold.
//!
//! ```text
//!  port --> connections: seats in all and by address, a deadline for the handshake, silence is closed and gives way
//!             `--> gate: who was turned away by a certificate
//!             --> messages: how long one may be, one budget of bytes in flight, a deadline for each
//!                   --> clients: what requests of one client may hold until they are answered
//!                   --> `hashvfl-proto`: counts on raw bytes, before anything is allocated
//! ```
//!
//! All of it is the same whoever a peer is; [`clients`] alone keep accounts by name. What a peer is let to send grows once it was
//! accepted ([`messages::Allowance`]).

pub mod clients;
pub mod connections;
pub mod gate;
pub mod messages;
pub mod quiet;

mod seats;

use std::time::Duration;

/// Limits of a listening side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenLimits {
    /// Connections in all. No more are held than file handles allow, with some spare for state files.
    pub connections: usize,
    /// Connections of one address (of one /64 prefix with IPv6).
    pub connections_per_address: usize,
    /// Longest time of a connection without an open stream, its handshake included. Where no seat is free, one that has not
    /// proven itself gives way sooner.
    pub silence: Duration,
    /// Idle time after which a keep-alive is sent; after the same time without an answer the connection is closed. A
    /// connection whose peer accepts no data is closed after twice this time.
    pub keep_alive: Duration,
    /// Longest time from the first to the last byte of a message, and from the opening of a stream to its first message.
    pub message: Duration,
    /// Bytes of messages that are not complete yet, of all peers together that were not accepted and are no clients. What these
    /// may send is short, so more room would serve whoever floods the port.
    pub bytes_in_flight: usize,
    /// Bytes of requests of one client that are not answered yet and of the answers to them, over all of its connections. The
    /// longest request and its answer take 36 MiB; more room would only let a client wait for more at once.
    pub client_bytes: usize,
    /// Most bytes of a message of a peer that was not accepted.
    pub first_bytes: usize,
    /// The window of a stream and of a connection in HTTP/2: bytes that a peer may send before they are read.
    pub window: u32,
}

/// Bytes of a message of a peer that was not accepted.
pub const FIRST_BYTES: usize = 64 << 10;
/// Least and most bytes of a window. The most holds a whole message of usual size, so that no step waits for an update.
const WINDOW: [usize; 2] = [64 << 10, 4 << 20];

impl Default for ListenLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl ListenLimits {
    /// Those where a config names none.
    pub(crate) const DEFAULT: Self = Self {
        connections: 512,
        connections_per_address: 64,
        silence: Duration::from_secs(10),
        keep_alive: Duration::from_secs(20),
        message: Duration::from_secs(60),
        bytes_in_flight: 32 << 20,
        client_bytes: 64 << 20,
        first_bytes: FIRST_BYTES,
        window: 256 << 10,
    };

    /// Of each limit the larger one.
    #[must_use]
    pub fn or_larger(self, other: Self) -> Self {
        Self {
            connections: self.connections.max(other.connections),
            connections_per_address: self.connections_per_address.max(other.connections_per_address),
            silence: self.silence.max(other.silence),
            keep_alive: self.keep_alive.max(other.keep_alive),
            message: self.message.max(other.message),
            bytes_in_flight: self.bytes_in_flight.max(other.bytes_in_flight),
            client_bytes: self.client_bytes.max(other.client_bytes),
            first_bytes: self.first_bytes.max(other.first_bytes),
            window: self.window.max(other.window),
        }
    }

    /// The same with a window in which a message of so many bytes fits, within bounds.
    #[must_use]
    pub fn with_window_for(self, message_bytes: usize) -> Self {
        let [least, most] = WINDOW;
        let window = message_bytes.next_power_of_two().clamp(least, most);
        // Within 4 MiB.
        Self { window: window as u32, ..self }
    }
}
