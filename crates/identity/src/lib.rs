//! Who a peer is: keys and certificates, a private authority that signs and revokes them, pins, and mutual TLS 1.3 over
//! sockets.
//!
//! ```text
//! holder (request, accept)  <-- files that people send each other -->  authority (init, sign, revoke, renew, list)
//!          '------------------.                                            |
//!            files: key, certificates, authority, revocation list, pins <--'   (list_numbers: no older list again)
//!              '-> trust (whom a certificate names, whether it counts) -> verifier -> Acceptor, Connector -> Connection
//! ```
//!
//! A certificate names one identity: a role and a name, such as `party/bank`. Whoever listens knows it before the first
//! message is decoded. Files are looked at before each handshake and once a second, and open connections are judged by
//! what they say now ([`Connection`]). Nothing here knows messages, runs or HTTP/2.

mod accept;
mod authority;
mod certificate;
mod chain;
mod commands;
mod config;
mod connect;
mod connection;
mod dates;
mod error;
mod expiry;
mod files;
mod fingerprint;
mod folder;
mod holder;
mod issue;
mod issued;
mod list_numbers;
mod names;
mod pem;
mod permitted;
mod pins;
mod provision;
mod refusal;
mod revocations;
mod role;
mod signature;
mod trust;
mod verifier;

pub use accept::{AcceptError, Acceptor};
pub use authority::{Authority, AuthorityError, SigningOptions};
pub use commands::{AuthorityCommand, HolderCommand, begin_authority};
pub use config::{IdentityConfig, identity_or_plaintext};
pub use connect::{ConnectError, Connector};
pub use connection::Connection;
pub use error::CommandError;
pub use expiry::ExpiryTimes;
pub use files::{IdentityFiles, LoadError};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use holder::{Accepted, HolderError, IdentityPaths, Requested, accept, request};
pub use issue::issue;
pub use issued::{Issued, IssuedFile, Revoked};
pub use names::{Nameless, Naming};
pub use pem::FileError;
pub use permitted::Permitted;
pub use pins::{Pin, PinError, Pins};
pub use refusal::PeerRefusal;
pub use revocations::Revocations;
pub use role::{Identity, IdentityError, PeerIdentity, Role};
pub use signature::{SignatureError, verify};
pub use trust::{Trust, Usage};
