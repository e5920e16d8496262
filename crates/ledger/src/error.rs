//! How the ledger says no.

use crate::policy::PolicyRefusal;
use crate::store::StoreError;

/// Why nothing may be sent.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The policy refuses it.
    #[error(transparent)]
    Refused(#[from] PolicyRefusal),
    /// The store cannot be read or written: what is not counted is not sent.
    #[error(transparent)]
    Store(#[from] StoreError),
}
