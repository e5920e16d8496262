//! Work of a step that can wait: it is done once the codes are on their way.

use hashvfl_core::codes::randomised_response::DrawName;
use hashvfl_core::{Gradient, PackedCodes};

use crate::releases::ReleaseLedger;
use crate::training::gradient_monitor::{GradientGuard, SentBatch};

/// What the gradient monitor is to see of a training batch beside its codes.
pub struct Expected {
    /// Whether a cycle of the learning rate begins with it.
    pub begins_cycle: bool,
    /// What the codes' values were expected to be, [rows, latents].
    pub values: Vec<f32>,
}

/// Work that waits.
#[derive(Default)]
pub struct Backlog {
    /// A gradient that the encoder has learned from.
    gradient: Option<Gradient>,
    /// Codes that were made after that.
    codes: Option<OutgoingCodes>,
    /// Both, once counted.
    counted: (Option<Gradient>, Option<SentBatch>),
}

/// Codes on their way.
pub struct OutgoingCodes {
    /// Of these rows.
    pub rows: Vec<u32>,
    /// As they are sent.
    pub codes: PackedCodes,
    /// Names of their flips, where there are any.
    pub draws: Option<Vec<DrawName>>,
    /// What the gradient monitor is to see: of a training batch, where gradients are monitored.
    pub expected: Option<Expected>,
    /// Whether they were charged when they left for the first time, before the run went back to a checkpoint.
    pub charged: bool,
}

impl Backlog {
    /// The encoder has learned from `gradient`.
    pub fn learned(&mut self, gradient: Gradient) {
        self.gradient = Some(gradient);
    }

    /// Codes are about to leave. Those of a training batch will be answered by a gradient.
    pub fn sending(&mut self, made: OutgoingCodes) {
        self.codes = Some(made);
    }

    /// Counts what was sent in the ledger. Call it before codes leave whose rows are not all reserved, before the encoder
    /// changes in another way than by a gradient, and before the end, however it came about: a reservation that is not
    /// counted would be given back.
    pub fn count(&mut self, releases: &mut ReleaseLedger) -> anyhow::Result<()> {
        if let Some(gradient) = self.gradient.take() {
            releases.learned(&gradient);
            self.counted.0 = Some(gradient);
        }
        if let Some(OutgoingCodes { rows, codes, draws, expected, charged }) = self.codes.take() {
            if !charged {
                releases.release(&rows, &codes, draws.as_deref())?;
            }
            let sent =
                |Expected { begins_cycle, values }| SentBatch { begins_cycle, rows, codes, expected: values };
            self.counted.1 = expected.map(sent);
        }
        Ok(())
    }

    /// Shows the gradient monitor what was counted.
    ///
    /// # Errors
    /// If it raises an alarm that is to stop the party.
    pub fn monitor(&mut self, guard: &mut GradientGuard, released_bits: u64) -> anyhow::Result<()> {
        if let Some(gradient) = self.counted.0.take() {
            guard.answered(&gradient, released_bits)?;
        }
        if let Some(sent) = self.counted.1.take() {
            guard.sent(sent);
        }
        Ok(())
    }
}
