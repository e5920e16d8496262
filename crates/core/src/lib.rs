//! The core of HashVFL, without I/O: hash codes, the settings of a run, the plan of its records and batches, and the
//! protocol: which messages may come, and in which order.
//!
//! Nothing here knows tokio, tonic, burn or a file. Peers' messages are checked here, by two state machines
//! that tests drive without a network: [`protocol::party::PartySession`] and [`protocol::coordinator::PeerSession`].

pub mod address;
pub mod codes;
pub mod digest;
pub mod gradient;
pub mod gradient_monitor;
pub mod hex;
pub mod limits;
pub mod moments;
pub mod name;
pub mod normal;
pub mod p_value;
pub mod protocol;
pub mod random;
pub mod records;
pub mod settings;
pub mod text;

pub use address::Address;
pub use codes::form::CodeForm;
pub use codes::packed::PackedCodes;
pub use codes::stored::{CodeTable, StoredCodes};
pub use digest::Digest;
pub use gradient::{Gradient, GradientEncoding};
pub use name::{PartyName, RunId};
pub use records::canonical::{CanonicalId, TableIds};
pub use records::excluded::ExcludedRecords;
pub use records::plan::{Part, Plan, RowSelection};
pub use records::rows::{RunRow, ServedRow, TableRow};
pub use records::run_records::RunRecords;
pub use settings::{RunSettings, Settings, Task};
