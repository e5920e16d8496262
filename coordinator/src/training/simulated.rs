//! The coordinator of a run whose parties are simulated in this process. Who may join is decided by whoever simulates; all that
//! follows is done as over a network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashvfl_core::protocol::message::{AuditHead, CheckpointId};
use hashvfl_core::protocol::timeout_counter::TimeoutCounter;
use hashvfl_core::{ExcludedRecords, PartyName};
use hashvfl_transport::driver::Driver;
use hashvfl_transport::listen::TrainingStream;
use tokio::sync::mpsc;

use super::HeldRun;
use super::admission::Joined;
use super::cancellation::Cancellation;
use super::line::PartyLine;
use super::opening::{self, Opening};
pub use super::returns::Returned;
use super::returns::Returns;
use crate::config::CoordinatorConfig;
use crate::progress::ProgressReporter;

/// A party that is there.
pub struct PresentParty {
    /// Its name.
    pub party: PartyName,
    /// Records that its policy does not allow the run for.
    pub excluded: ExcludedRecords,
    /// The head of its audit log, where it has one.
    pub head: Option<AuditHead>,
    /// The checkpoints from which it can go on.
    pub checkpoints: Vec<CheckpointId>,
    /// The way to it.
    pub stream: TrainingStream,
    /// Other ways, on which it comes back; it never does where nobody sends here.
    pub returns: mpsc::Receiver<Returned>,
}

/// Whether a run has finished now or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// By this call.
    Now,
    /// It had.
    Before,
}

/// One attempt at the run of `config`, whose parties `gather` brings, unless the run has finished before.
///
/// # Errors
/// As of a run over a network.
pub fn run(
    config: &CoordinatorConfig,
    gather: impl FnOnce() -> anyhow::Result<Vec<PresentParty>>,
) -> anyhow::Result<Finished> {
    let reporter = ProgressReporter::of_task(false, config.run.task, config.board()?);
    let held = HeldRun { config, reporter: &reporter, shared: None };
    let opened = match opening::open(&held, &mut None, false)? {
        Opening::Finished(_) => return Ok(Finished::Before),
        Opening::Run(opened) => opened,
    };
    let driver = Driver::start()?;
    let listened = Instant::now();
    let repeating = Duration::from_secs(config.timeouts.step_s);
    let mut joined = Vec::new();
    for PresentParty { party, excluded, head, checkpoints, stream, returns } in gather()? {
        let board = Arc::clone(reporter.board());
        // Whoever is simulated takes no notices.
        let (returns, asides) = (Returns::of(returns), Arc::default());
        let line = PartyLine::new(party.clone(), stream, returns, board, asides, repeating);
        joined.push(Joined { party, excluded, head, checkpoints, line });
    }
    let cancellation = Cancellation::of(&opened.state);
    opened.go_on(&held, &driver, joined, cancellation, listened, &mut TimeoutCounter::default())?;
    Ok(Finished::Now)
}
