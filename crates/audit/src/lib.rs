//! The audit trail of one side: every decision that matters, in a log whose entries are chained by SHA-256, and the heads
//! of the logs of the others.
//!
//! ```text
//!  decision -> AuditTrail -> AuditLog (log.jsonl: an entry a line, synced) -> Head -> the peers, who keep it
//!                        `-> HeadBook (heads/SIDE.jsonl: heads that peers told)
//!  log.jsonl, or a copy of it -> LogChain -> compare with a file of heads -> "changed", "cut", or neither
//! ```
//!
//! The only guarantee: entries up to a head that a peer stored cannot change without being noticed when log and head are
//! compared. Not promised are truth, completeness, entries after that head, or time (`docs/how-to/audit.md`).
//!
//! No entry holds an id, a value, a code, a label or a key.

mod chain;
mod config;
mod error;
mod event;
mod head;
mod head_book;
mod ledger_totals;
mod log;
mod receipt;
mod tail;
mod tally;
mod time;
mod trail;

pub use chain::{LogChain, LogEntry};
pub use config::AuditConfig;
pub use error::AuditError;
pub use event::{AuditEvent, ReleaseTotals, Service};
pub use head::{Head, HeadMoment, KeptHead, Side};
pub use head_book::{Contradiction, HeadBook, OlderLog, read_heads};
pub use ledger_totals::LedgerTotals;
pub use log::AuditLog;
pub use receipt::{ErasureReceipt, Receipt, ReceiptError};
pub use tail::tail;
pub use tally::{JoinTally, PredictionTally, RefusalTally, Refusee};
pub use time::text as timestamp;
pub use trail::AuditTrail;
