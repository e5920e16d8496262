//! A run that the coordinator's operator cancels: `coordinator cancel` leaves a file in the state folder, and the process that
//! works there looks for it wherever it waits.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tracing::warn;

use crate::state::StateFolder;

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(250);

/// That the operator has cancelled the run. Parties are told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator's operator has cancelled the run")]
pub struct Cancelled;

impl Cancelled {
    /// Why a run ended so, as a word in the audit trail.
    pub const WHY: &str = "cancelled";
}

/// Waits for the run of a state folder to be cancelled.
pub struct Cancellation {
    state: StateFolder,
    next: Instant,
}

impl Cancellation {
    /// Of the run that works in `state`.
    pub fn of(state: &StateFolder) -> Self {
        Self { state: state.clone(), next: Instant::now() }
    }

    /// Waits until the operator asks for it.
    pub async fn asked(&mut self) {
        loop {
            sleep_until(self.next.into()).await;
            self.next = Instant::now() + LOOK;
            if self.state.cancel_request().exists() {
                return;
            }
        }
    }
}

/// The run has ended, its parties have been told, and all is written down: whoever has asked for that may go on.
pub fn obeyed(state: &StateFolder) {
    if let Err(error) = state.forget_cancel_request() {
        warn!("{error:#}");
    }
}
