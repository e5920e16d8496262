//! How messages travel between a party and the coordinator, for training, serving and alignment alike.
//!
//! ```text
//!  party                                                     coordinator
//!  dial::Dialer --- connects, tries again, opens --------->  listen::Listener, listen::Arrivals
//!      |                                                          |
//!  Duplex<FromParty, FromCoordinator>  <== messages ==>  Duplex<FromCoordinator, FromParty>
//!                                                                 |
//!                                                        handshake: who is it, and are its records ours?
//! ```
//!
//! A [`Duplex`] sends and receives messages of `core`; bytes, limits and time limits stay inside. A [`ResumableStream`] is one that goes
//! on over another connection where the first breaks. This crate and
//! `hashvfl-proto` alone name tonic: what a connection is made of (TCP, or TLS to a peer whose identity is known) is decided in
//! [`dial`] and [`listen`], and what a stream does when a connection breaks is decided in [`duplex`]. Training, serving and alignment know of neither.

pub mod backoff;
pub mod dial;
pub mod driver;
pub mod duplex;
pub mod handshake;
pub mod limits;
pub mod listen;
pub mod monitor;
pub mod runtime;
pub mod stop;

mod clock;
mod resumable;
mod socket;
mod status;
mod turns;

pub use duplex::{Aside, Duplex, Incoming, OtherName, Outgoing, Polled, Received, StreamError};
pub use resumable::ResumableStream;
