//! The ledger of what left this side about every record, and the policy that limits it.
//!
//! ```text
//!             before anything is computed                  before anything is sent
//!  request -> reserve: policy, charge a whole block -> compute -> release: free, reserved, or charged -> send
//!                      `-- durable write                                                `-- durable write
//! ```
//!
//! What is charged is durable before a byte of it is sent, so a crash may over-count and never under-count. With randomised
//! response, what a frozen encoder answered is kept beside its charge and sent again as it was.
//! Nothing here knows a network or a model; the store is an argument.

mod account;
mod alignments;
mod answer;
mod answer_log;
mod approvals;
mod content;
mod epsilon;
mod error;
mod flow;
mod key;
mod leakage_limits;
mod ledger;
mod policy;
mod redb_store;
mod report;
mod row_block;
mod store;

pub use account::{Account, Cost, EncoderIdentity, MostReleased, ReleaseDigest};
pub use alignments::count_alignment;
pub use answer::{AnswerKey, AnswerName, KeptAnswer, forget_answers};
pub use answer_log::{AnswerLog, AnswerLogError, AnswerStatus};
pub use approvals::{approvals_path, approve, is_approved};
pub use content::{ContentKey, known_under_other_ids};
pub use epsilon::Epsilon;
pub use error::LedgerError;
pub use flow::{Flow, FlowKind, Volume};
pub use key::{RecordKey, Salt};
pub use leakage_limits::LeakageFound;
pub use ledger::{Ledger, LedgerOptions, Refused};
pub use policy::{AlignmentPolicy, Policy, PolicyError, PolicyRefusal, Rule};
pub use redb_store::{LedgerView, RedbStore};
pub use report::{LedgerReport, MEANING, explain_account, export};
pub use row_block::RowBlock;
pub use store::{Accounts, LedgerWrite, MemoryStore, Store, StoreError, find};
