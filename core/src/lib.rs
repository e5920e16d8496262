//! The heart of HashVFL, free of input and output: what a hash code is, what a run's parties agree on,
//! which records a batch holds, what may be said on the wire and in which order.
//!
//! Nothing here knows tokio, tonic, burn or a file. Peers' messages are checked here, by two state machines
//! that tests drive without a network: [`party::PartySession`] and [`coordinator::PeerSession`].

pub mod address;
pub mod canonical;
pub mod code;
pub mod coordinator;
pub mod digest;
pub mod gradient;
pub mod hijack;
pub mod inference;
pub mod key;
pub mod left_out;
pub mod limits;
pub mod link;
pub mod message;
pub mod name;
pub mod normal;
pub mod order;
pub mod p_value;
pub mod party;
pub mod plan;
pub mod random;
pub mod record_keys;
pub mod records;
pub mod response;
pub mod rows;
pub mod run_records;
pub mod settings;
pub mod table;
pub mod target;

pub use address::CoordinatorAddress;
pub use canonical::{CanonicalId, TableIds};
pub use code::PackedCodes;
pub use digest::Digest;
pub use gradient::{Gradient, GradientEncoding};
pub use left_out::LeftOut;
pub use name::{PartyName, RunId};
pub use plan::{Part, Plan, Rows};
pub use rows::{RunRow, ServedRow, TableRow};
pub use run_records::RunRecords;
pub use settings::{RunSettings, Settings, Task};
pub use table::{CodeTable, StoredCodes};
