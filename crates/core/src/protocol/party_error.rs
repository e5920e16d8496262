//! Why a party does not answer a message of the coordinator's.

use crate::gradient::GradientError;
use crate::records::excluded::ExcludedRecordsError;
use crate::records::plan::{Part, PlanError};

/// Why a coordinator's message is not one that this party answers.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PartyError {
    /// A message that has no place in the present state.
    #[error("the coordinator sent {found} while the party was {state}")]
    Unexpected {
        /// The message.
        found: &'static str,
        /// The state.
        state: &'static str,
    },
    /// A step that is not the next, or a gradient that is not for the last one.
    #[error("the coordinator sent {kind} for step {found}, expected step {expected}")]
    Step {
        /// The message.
        kind: &'static str,
        /// Its step.
        found: u64,
        /// The step that would be right.
        expected: u64,
    },
    /// A batch out of the agreed order: earlier ones were released already.
    #[error("the coordinator asked for batch {batch} of epoch {epoch} out of order")]
    Order {
        /// The epoch asked for.
        epoch: u32,
        /// The batch asked for.
        batch: u32,
    },
    /// A chunk out of order: earlier ones were released already.
    #[error("the coordinator asked for chunk {chunk} of {part:?} records again or out of order")]
    ChunkOrder {
        /// The part.
        part: Part,
        /// The chunk asked for.
        chunk: u32,
    },
    /// A request that the run's settings do not allow at this point.
    #[error("the coordinator asked to {what}, which this run allows only {when}")]
    Forbidden {
        /// The request.
        what: &'static str,
        /// When it would be allowed.
        when: &'static str,
    },
    /// Rows outside the plan.
    #[error("the coordinator asked for records outside the agreed plan: {0}")]
    Plan(#[from] PlanError),
    /// A gradient of another shape or with values that are not finite.
    #[error("step {step}: the coordinator's gradient is not usable: {source}")]
    Gradient {
        /// The step.
        step: u64,
        /// What is wrong with it.
        source: GradientError,
    },
    /// The records that the run goes on without are none of this table.
    #[error("the coordinator started the run with invalid exclusions: {0}")]
    ExcludedRecords(#[from] ExcludedRecordsError),
    /// Too few records are left.
    #[error("without the records that the parties' policies refuse, {0}")]
    TooFewLeft(PlanError),
    /// The checkpoint is of another run.
    #[error("the checkpoint belongs to another run or to other records: start with --fresh to discard it")]
    OtherPlace,
    /// The coordinator refused this party.
    #[error("the coordinator refused: {0}")]
    Refused(String),
    /// The run was interrupted at another side, and may go on when all are there again.
    #[error("the run was interrupted: {0}")]
    Interrupted(String),
    /// The coordinator refused this party for now.
    #[error("the coordinator refused for now: {0}")]
    TryAgain(String),
}
