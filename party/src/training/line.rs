//! What a run needs of the way to its coordinator: the network gives it, or whoever simulates one.

use hashvfl_core::protocol::message::{FromCoordinator, FromParty};

use crate::training::connection::TrainingConnection;

/// The way to the coordinator of a run. It outlives its connections: a message is said once, and comes once.
pub trait CoordinatorLine {
    /// Says something.
    ///
    /// # Errors
    /// If it cannot be said, also not later.
    fn send(&mut self, message: FromParty) -> anyhow::Result<()>;

    /// The next message after `step`, which is 0 until the run has started.
    ///
    /// # Errors
    /// If none comes, or the coordinator is gone.
    fn receive(&mut self, step: u64) -> anyhow::Result<FromCoordinator>;

    /// What the coordinator says once this party has finished; `None` where that is nothing.
    ///
    /// # Errors
    /// As [`Self::receive`].
    fn receive_last(&mut self, step: u64) -> anyhow::Result<Option<FromCoordinator>>;

    /// Lets messages that were sent leave before this thread computes.
    fn flush(&mut self);

    /// Whether this process is asked to end, and the coordinator knows it.
    fn is_leaving(&self) -> bool;

    /// How often this party has come back on another connection.
    fn returned(&self) -> u64;
}

impl CoordinatorLine for TrainingConnection<'_> {
    fn send(&mut self, message: FromParty) -> anyhow::Result<()> {
        TrainingConnection::send(self, message)
    }

    fn receive(&mut self, step: u64) -> anyhow::Result<FromCoordinator> {
        TrainingConnection::receive(self, step)
    }

    fn receive_last(&mut self, step: u64) -> anyhow::Result<Option<FromCoordinator>> {
        TrainingConnection::receive_last(self, step)
    }

    fn flush(&mut self) {
        TrainingConnection::flush(self);
    }

    fn is_leaving(&self) -> bool {
        TrainingConnection::is_leaving(self)
    }

    fn returned(&self) -> u64 {
        TrainingConnection::returned(self)
    }
}
