//! What a run needs before its parties are let in, and how it goes on once they are.

use std::sync::Arc;
use std::time::Instant;

use hashvfl_audit::AuditTrail;
use hashvfl_cli::OnInterruption;
use hashvfl_core::protocol::timeout_counter::TimeoutCounter;
use hashvfl_core::text::counted;
use hashvfl_core::{Digest, Plan};
use hashvfl_learning::device::{self, Opened};
use hashvfl_ledger::AnswerLog;
use hashvfl_transport::driver::Driver;
use tracing::{info, warn};

use super::admission::Joined;
use super::cancellation::Cancellation;
use super::checkpoints::{self, Checkpoints};
use super::network::{NetworkedParties, RunLog};
use super::{HeldRun, Run, check_plan};
use crate::config::CoordinatorConfig;
use crate::label_ledger::LabelLedger;
use crate::labels::{self, LabelledRecords};
use crate::permissions::{self, PartyAction};
use crate::state::StateFolder;
use crate::{coverage, detectors, finished};

/// A run that is asked for.
pub enum Opening {
    /// It has finished in this folder.
    Finished(StateFolder),
    /// It begins, or goes on, when its parties are there.
    Run(Box<OpenedRun>),
}

/// A run that waits for its parties.
pub struct OpenedRun {
    name: Digest,
    pub(super) state: StateFolder,
    pub(super) labelled: LabelledRecords,
    plan: Plan,
    opened: Opened,
    gradients: AnswerLog,
    checkpoints: Checkpoints,
    label_ledger: LabelLedger,
    pub(super) audit: Arc<AuditTrail>,
}

/// Opens labels, state folder, ledger and audit trail of a run. Its folder stays in `kept`.
///
/// # Errors
/// If one of them cannot be opened, or another run has finished in the folder.
pub fn open(held: &HeldRun<'_>, kept: &mut Option<StateFolder>, fresh: bool) -> anyhow::Result<Opening> {
    let config = held.config;
    let labelled = labels::load(config)?;
    let plan = Plan::new(&config.run, labelled.ids.len())?;
    check_plan(config, &plan)?;
    let name = checkpoints::run_name(config, &labelled.ids, labelled.digest())?;
    let state = match kept {
        Some(state) => state.clone(),
        None => kept.insert(StateFolder::create(&config.state)?).clone(),
    };
    if fresh {
        let files = state.throw_away()?;
        let (count, names) = (counted(files.len(), "file"), files.join(", "));
        info!("discarded {count} of an unfinished run; the ledgers still count what it released: {names}");
    } else if let Some(where_it_is) = finished::top_of(&state, &name)? {
        info!("{where_it_is}");
        return Ok(Opening::Finished(state));
    }
    let opened = device::open(config.device)?;
    let gradients = AnswerLog::open(&state.answers(), &name)?;
    let checkpoints = Checkpoints::new(config, &state, name);
    let label_ledger = LabelLedger::open(config, &labelled.ids)?;
    // After the ledger, beside which it lies.
    let audit = Arc::new(config.audit_trail()?);
    info!("labels of {}, top model on {}", counted(labelled.ids.len(), "record"), opened.name);
    info!("read: {}", labelled.reading);
    for gap in coverage::gaps(&labelled.labels, &plan, &config.run) {
        warn!("{gap}");
    }
    if let Some(respelt) = coverage::respelt(&labelled.classes) {
        warn!("{respelt}");
    }
    let unable = detectors::resolution(&config.detectors, &plan);
    let silent = detectors::silent_classes(&config.detectors, &plan, &labelled.labels);
    unable.into_iter().chain(silent).for_each(|gap| warn!("{gap}"));
    let run = OpenedRun { name, state, labelled, plan, opened, gradients, checkpoints, label_ledger, audit };
    Ok(Opening::Run(Box::new(run)))
}

/// Checks that the parties of the run of `config` may join it. One whose permission was withdrawn keeps no run that `has_begun` from
/// waiting, where the config says to wait: it is refused until it has its permission back.
///
/// # Errors
/// If one may not, and the run is not to wait, or the permissions cannot be read.
pub fn check_permissions(config: &CoordinatorConfig, has_begun: bool) -> anyhow::Result<()> {
    let checked = permissions::check_parties(config, &config.run.parties, PartyAction::Join);
    let Err(error) = checked else { return Ok(()) };
    if !has_begun || config.on_interruption == OnInterruption::Stop {
        return Err(error);
    }
    // Whoever lets parties in reads the file once more, and again when it has changed.
    let limit_s = config.timeouts.join_s;
    warn!("{error:#}; the run has begun, and waits for it for {limit_s} s (timeouts.join_s)");
    Ok(())
}

impl OpenedRun {
    /// Whether its parties were all there once, and were asked for something.
    pub fn has_begun(&self) -> bool {
        self.gradients.has(1)
    }

    /// Goes on with the parties that have `joined` since `listened`, until the run ends; `vain` has this process's waits that were.
    /// Whether a party asks how it ended: one that was started again behind the decision.
    ///
    /// # Errors
    /// If it fails, or is interrupted. Parties that are still there are told.
    pub fn go_on(
        self,
        held: &HeldRun<'_>,
        driver: &Driver,
        joined: Vec<Joined>,
        cancellation: Cancellation,
        listened: Instant,
        vain: &mut TimeoutCounter,
    ) -> anyhow::Result<bool> {
        let Self { name, state, labelled, plan, opened, gradients, checkpoints, label_ledger, audit } = self;
        let HeldRun { config, reporter, .. } = *held;
        let waiting = listened.elapsed().as_secs_f64();
        let resumed = checkpoints.common(&joined);
        if resumed.is_none() && gradients.has(1) {
            warn!("no checkpoint is held by all sides: the run starts again from the beginning");
        }
        let excluded = joined.iter().map(|one| (one.party.clone(), one.excluded.clone())).collect();
        let board = Arc::clone(reporter.board());
        let log = RunLog { transcript: None, label_ledger, gradients, checkpoints, board };
        let mut network = NetworkedParties::new(driver, config, joined, plan.clone(), log, cancellation);
        let run = Run { config, name, reporter, state: &state, opened, excluded, waiting, audit: &audit };
        let trained = run.train(&mut network, labelled, plan, resumed);
        run.end(network, trained, vain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_that_was_withdrawn_ends_a_run_that_has_not_begun_and_is_waited_for_in_one_that_has() {
        let place = tempfile::tempdir().unwrap();
        let config = |on_interruption: &str| {
            let text = format!(
                "run_id = \"r\"\nlisten = \"127.0.0.1:0\"\nstate = \"state\"\nidentity = {{ folder = \"identity\" }}\n\
                 permissions = \"permissions.toml\"\non_interruption = \"{on_interruption}\"\n\
                 labels = {{ format = \"csv\", paths = [\"labels.csv\"], id = \"id\", column = \"y\" }}\n\
                 run = {{ parties = [\"bank\", \"telecom\"], task = \"binary\", bits = 16, epochs = 3 }}\n"
            );
            CoordinatorConfig::parse(&text, place.path()).unwrap()
        };
        let (waits, stops) = (config("wait"), config("stop"));
        std::fs::write(place.path().join("permissions.toml"), "[parties.telecom]\n").unwrap();
        for (config, has_begun) in [(&waits, false), (&stops, false), (&stops, true)] {
            let line = format!("{:#}", check_permissions(config, has_begun).unwrap_err());
            assert!(line.contains("does not let bank join in run r: add it to [parties.bank]"), "{line}");
        }
        check_permissions(&waits, true).unwrap();
        std::fs::write(place.path().join("permissions.toml"), "[parties.bank]\n[parties.telecom]\n").unwrap();
        check_permissions(&stops, false).unwrap();
    }
}
