//! Private alignment (private set intersection): which records do all holders have?
//!
//! Elliptic-curve Diffie-Hellman private set intersection over ristretto255. Every holder has a secret scalar; each
//! holder's set of hashed ids passes through every holder's scalar, in a ring, sorted anew by each; one holder
//! compares the sets that all scalars have blinded, and its verdict goes back the way that each set came.
//! `docs/explanation/alignment.md` describes the protocol and what each side learns.
//!
//! ```text
//!  ids -> key (normalise) -> spool (digests, sorted) -> curve (hash, blind) --.
//!                                                                             v
//!  holder (what to do next) <-> peer (noise, messages, chunks) <-> a relay    sort -> compare -> order
//! ```
//!
//! Nothing here knows burn, tonic or a table: ids come in one by one, sealed frames go out through a [`Relay`].

pub mod curve;
mod error;
pub mod identity;
pub mod key;
mod local;
mod order;
mod progress_bar;
mod protocol;
mod route;
mod settings;
mod storage;

pub use error::{AlignmentError, PeerFault, RelayError};
pub use local::{AlignmentConfig, Owner, align};
pub use progress_bar::Bar;
pub use protocol::holder::{AlignmentProgress, Holder, HolderLimits};
pub use protocol::message::Message;
pub use protocol::peer::{Peer, ReceivedFrame};
pub use protocol::relay::{Relay, RelayEvent};
pub use route::{Load, Route};
pub use settings::{AlignmentSettings, Case, Unicode};
pub use storage::first_files::FirstAlignment;
pub use storage::folder::{AlignmentFolder, AlignmentResult};
pub use storage::pins::{PinnedKey, pin};
pub use storage::spool::Spool;
