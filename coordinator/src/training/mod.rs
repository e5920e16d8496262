//! A run from its first stream to its summary.

pub(crate) mod admission;
pub(crate) mod again;
pub(crate) mod arrivals;
mod asides;
pub(crate) mod awaited;
mod beginning;
pub(crate) mod cancellation;
pub(crate) mod checkpoints;
pub(crate) mod commit;
mod deadline;
mod line;
pub(crate) mod network;
mod opening;
mod outcome;
mod own_files;
mod returns;
pub(crate) mod screening;
pub(crate) mod shared_port;
pub mod simulated;
mod traffic;
mod vain;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use hashvfl_audit::{AuditEvent, AuditTrail, HeadMoment};
use hashvfl_cli::{OnInterruption, Unfinished, at_run};
use hashvfl_core::protocol::coordinator::PeerError;
use hashvfl_core::protocol::message::CheckpointId;
use hashvfl_core::protocol::timeout_counter::TimeoutCounter;
use hashvfl_core::records::run_records::digest_of_run;
use hashvfl_core::text::{PublicReason, counted};
use hashvfl_core::{Digest, ExcludedRecords, PackedCodes, PartyName, Plan, RunRecords};
use hashvfl_learning::Classifier;
use hashvfl_learning::device::Opened;
use hashvfl_learning::training::saved::SavedTraining;
use hashvfl_learning::training::{
    self, ScreeningHook, ScreeningPoint, TrainingError, TrainingOptions, TrainingOutcome,
};
use hashvfl_ledger::LedgerError;
use hashvfl_traces::spans;
use hashvfl_transcript::{SentValues, TranscriptError, TranscriptHeader, TranscriptMark, TranscriptSpool};
use hashvfl_transport::driver::Driver;
use hashvfl_transport::stop::{Stop, Stopped};
use tracing::{info, warn};

use crate::config::CoordinatorConfig;
use crate::finished::keep_among_runs;
use crate::labels::LabelledRecords;
use crate::progress::ProgressReporter;
use crate::state::StateFolder;
use crate::summary::{Seconds, Summary};
use crate::training::admission::{AdmissionService, Joined};
use crate::training::cancellation::{Cancellation, Cancelled};
use crate::training::checkpoints::{Resumed, SavedNetwork};
use crate::training::network::{NetworkError, NetworkedParties, Parted};
use crate::training::opening::{OpenedRun, Opening};
use crate::training::outcome::TrainedRun;
use crate::training::screening::Screener;
use crate::training::shared_port::SharedPort;
use crate::training::vain::unless_in_vain;
use crate::{detectors, top_file};

/// A run that this process holds.
pub(crate) struct HeldRun<'a> {
    pub config: &'a CoordinatorConfig,
    pub reporter: &'a ProgressReporter,
    /// Where its parties come in, unless it has a port of its own.
    pub shared: Option<&'a SharedPort>,
}

/// A run whose parties are all there.
struct Run<'a> {
    config: &'a CoordinatorConfig,
    /// Names the run, as [`checkpoints::run_name`].
    name: Digest,
    reporter: &'a ProgressReporter,
    state: &'a StateFolder,
    opened: Opened,
    /// Records that each party's policy refuses.
    excluded: BTreeMap<PartyName, ExcludedRecords>,
    /// Seconds until all parties had joined.
    waiting: f64,
    audit: &'a AuditTrail,
}

/// Runs the run of `config`: waits for its parties, trains, tests, and keeps what came of it. Where it has finished already,
/// parties that do not know it are told, and nothing else is done. Where `fresh`, an unfinished run in the state folder is
/// discarded first.
///
/// # Errors
/// If labels, parties, models or files fail, or another run has finished in the state folder. Parties that are still there
/// are told.
pub fn run(config: &CoordinatorConfig, json: bool, fresh: bool) -> anyhow::Result<()> {
    run_among_others(config, None, json, fresh)
}

/// The same in a process that holds other runs, whose parties come in at the port `shared`.
///
/// # Errors
/// As [`run`].
pub fn run_among_others(
    config: &CoordinatorConfig,
    shared: Option<&SharedPort>,
    json: bool,
    fresh: bool,
) -> anyhow::Result<()> {
    // Shown whatever is logged: lines of a process that holds several runs say which one they are about.
    let span = tracing::error_span!("coordinator", run = %config.run_id);
    let _entered = span.enter();
    at_run("coordinator", config.run_id.as_str());
    let _traced = spans::run(config.run_id.as_str(), None).entered();
    let board = match shared {
        None => config.board()?.with_progress_line(),
        // One line at the bottom of a terminal cannot tell of several.
        Some(_) => config.board()?,
    };
    let reporter = ProgressReporter::of_task(json, config.run.task, board);
    let held = HeldRun { config, reporter: &reporter, shared };
    let (mut fresh, mut state, mut vain) = (fresh, None, TimeoutCounter::default());
    loop {
        match run_once(&held, &mut state, &mut vain, fresh) {
            Err(error) if config.on_interruption == OnInterruption::Wait && is_interruption(&error) => {
                warn!("{error:#}; waiting for all sides to reconnect (on_interruption)");
                fresh = false;
            }
            Err(error) if error.chain().any(|cause| cause.is::<Stopped>()) => {
                let what = match state.as_ref().is_some_and(StateFolder::is_finished) {
                    true => "start the same command again to tell the parties that do not know it",
                    false => "start the same command again to continue the run",
                };
                return Err(error.context(Unfinished::AskedToEnd(what)));
            }
            Err(error) if is_cancelled(&error) => {
                state.iter().for_each(cancellation::obeyed);
                return Err(error.context(
                    "start the same command again to continue from the last checkpoint, if there is one",
                ));
            }
            ended => return ended,
        }
    }
}

/// A run until it ends or is interrupted. Its folder stays in `kept`, so that no other process works there meanwhile; `vain` has
/// the waits of earlier attempts.
fn run_once(
    held: &HeldRun<'_>,
    kept: &mut Option<StateFolder>,
    vain: &mut TimeoutCounter,
    fresh: bool,
) -> anyhow::Result<()> {
    let opened = match opening::open(held, kept, fresh)? {
        Opening::Finished(state) => return commit::announce(held, state),
        Opening::Run(opened) => opened,
    };
    let driver = Driver::start()?;
    let listened = Instant::now();
    let mut cancellation = Cancellation::of(&opened.state);
    let joining = spans::joining();
    let joined = driver.wait(gather(held, &opened, &mut cancellation));
    drop(joining);
    if joined.as_ref().is_err_and(is_cancelled) {
        let why = Some(Cancelled::WHY.to_string());
        opened.audit.note_or_complain(AuditEvent::RunEnded { finished: false, step: 0, why });
    }
    let state = opened.state.clone();
    let is_asked = opened.go_on(held, &driver, joined?, cancellation, listened, vain)?;
    if !is_asked {
        return Ok(());
    }
    // Whoever asks now comes in anew, at the same port.
    drop(driver);
    commit::tell_the_rest(held, state)
}

impl Run<'_> {
    /// Trains, tests, and keeps what came of it.
    fn train(
        &self,
        network: &mut NetworkedParties<'_>,
        labelled: LabelledRecords,
        plan: Plan,
        resumed: Option<Resumed>,
    ) -> anyhow::Result<Summary> {
        let config = self.config;
        // Here, where all parties hear of it if that cannot be.
        let mark = resumed.as_ref().and_then(|resumed| resumed.transcript);
        network.keep_transcript(self.open_transcript(&labelled, mark.as_ref()).map_err(NetworkError::from)?);
        let gone = excluded_by_any(&self.excluded);
        let records = labelled.keep(RunRecords::new(&config.run_id, &labelled.ids, gone.clone()));
        let (from, exchange) = match resumed {
            Some(Resumed { id, training, network, .. }) => (Some(training), Some((id, network))),
            None => (None, None),
        };
        let plan = self.begin(network, plan, &gone, exchange)?;
        let LabelledRecords { ids, labels, classes, .. } = labelled;
        let mut screener = config.screening.as_ref().map(|screening| {
            Screener::new(screening, labels.clone(), config.seed).keeping(self.state.screening())
        });
        if let (Some(screener), Some(from)) = (&mut screener, &from) {
            screener.go_on(from.place.epoch)?;
        }
        let mut classifier = top_file::new(config, labels, &plan, &self.opened.device)?;
        self.reporter.start(config.run.epochs, plan.batches());
        if let Some(from) = &from {
            self.reporter.went_on(&from.place.curve);
        }
        let outcome = self.learn(network, &plan, &mut classifier, screener.as_mut(), from)?;
        let seconds = Seconds {
            waiting: self.waiting,
            training: outcome.curve.iter().map(|epoch| epoch.train_seconds).sum(),
            run: network.seconds(),
        };
        TrainedRun { plan, ids, classes, records, classifier, screener, outcome, seconds }.keep(self, network)
    }

    /// Where codes that come are kept, if the config asks for it: a file that begins, or goes on from `mark`.
    fn open_transcript(
        &self,
        labelled: &LabelledRecords,
        mark: Option<&TranscriptMark>,
    ) -> Result<Option<TranscriptSpool>, TranscriptError> {
        if !self.config.transcript {
            return Ok(None);
        }
        let path = self.state.transcript();
        Ok(Some(match mark {
            None => TranscriptSpool::create(&path, &header(self.config, labelled))?,
            Some(mark) => TranscriptSpool::resume(&path, mark)?,
        }))
    }

    /// Writes down how the run ended, and tells all parties: that their models count, or why there are none. Whether a party asks
    /// that was started again meanwhile.
    fn end(
        &self,
        network: NetworkedParties<'_>,
        trained: anyhow::Result<Summary>,
        vain: &mut TimeoutCounter,
    ) -> anyhow::Result<bool> {
        let Self { config, audit, .. } = self;
        let trained = trained.map_err(|error| unless_in_vain(error, vain));
        for release in network.releases() {
            audit.note_or_complain(AuditEvent::Released(release));
        }
        for (party, count) in network.returns() {
            audit.note_or_complain(AuditEvent::Returned { party, count });
        }
        let why = trained.as_ref().err().map(|error| why_it_ended(error).to_string());
        let step = network.step();
        audit.note_or_complain(AuditEvent::RunEnded { finished: trained.is_ok(), step, why });
        match trained {
            Ok(summary) => {
                let Parted { heads, heard, is_asked, is_stopped } = network.commit(audit.head());
                let mut silent = config.run.parties.clone();
                silent.retain(|party| !heard.contains(party));
                // The run has finished, whatever cannot be written now: parties that know it are told once more.
                if let Err(error) = self.state.keep_unacknowledged(&silent) {
                    warn!("{error:#}");
                }
                audit.keep_heads_or_complain(&heads, &config.run.parties, HeadMoment::Finish);
                end_well(config, self.reporter, self.state, &summary);
                if is_stopped { Err(commit::asked_to_end(&silent)) } else { Ok(is_asked) }
            }
            Err(error) => {
                // Whether a party waits when the coordinator is asked to end, or has no room on its disk, is its own choice.
                let interrupted = match error.downcast_ref() {
                    Some(NetworkError::Stopped { .. }) => true,
                    _ if own_files::are_unusable(&error) => true,
                    _ => config.on_interruption == OnInterruption::Wait && is_interruption(&error),
                };
                network.give_up(&for_others(&error), interrupted);
                Err(error)
            }
        }
    }

    /// Begins the run without the records `excluded`; `plan` without them.
    fn begin(
        &self,
        network: &mut NetworkedParties<'_>,
        plan: Plan,
        excluded: &ExcludedRecords,
        resume: Option<(CheckpointId, SavedNetwork)>,
    ) -> anyhow::Result<Plan> {
        let without = "without the records that parties' policies refuse";
        let records = plan.records() as u64;
        // The parties hear what is missing: it is about numbers of records, which they have agreed on.
        let plan = plan.without(excluded).map_err(|error| PublicReason(format!("{without}: {error}")))?;
        check_plan(self.config, &plan).map_err(|error| PublicReason(format!("{without}: {error:#}")))?;
        let run = &self.config.run;
        self.audit.note(AuditEvent::RunBegun {
            parties: run.parties.clone(),
            settings_sha256: run.to_settings().digest().to_string(),
            records,
            excluded: excluded.count() as u64,
        })?;
        if let Some((_, SavedNetwork { step, .. })) = &resume {
            info!(step, "the run continues from a checkpoint");
            self.reporter.board().status().resumes += 1;
            self.audit.note(AuditEvent::Resumed { step: *step })?;
        }
        let heads = network.begin(excluded, plan.clone(), self.audit.head(), resume)?;
        self.audit.keep_heads(&heads, &run.parties, HeadMoment::Begin)?;
        Ok(plan)
    }

    /// The training loop, with screening of training records where the config has it.
    fn learn(
        &self,
        network: &mut NetworkedParties<'_>,
        plan: &Plan,
        classifier: &mut Classifier,
        screener: Option<&mut Screener<'_>>,
        from: Option<SavedTraining>,
    ) -> anyhow::Result<TrainingOutcome<PackedCodes>> {
        let mut judge;
        let screen = match (self.config.screening, screener) {
            (Some(screening), Some(screener)) => {
                judge =
                    |at: ScreeningPoint, rows: &[u32], parts: &[Vec<f32>]| screener.judge(at, rows, parts);
                Some(ScreeningHook { after_epochs: screening.after_epochs, judge: &mut judge })
            }
            _ => None,
        };
        let trained = training::train(
            network,
            &self.config.run,
            &mut plan.clone(),
            classifier,
            TrainingOptions { screen, from, ..TrainingOptions::of(&self.config.top) },
            &mut |progress| self.reporter.training_progress(progress),
        );
        trained.map_err(flatten)
    }
}

/// Tells that the run has finished, and lists it.
fn end_well(config: &CoordinatorConfig, reporter: &ProgressReporter, state: &StateFolder, summary: &Summary) {
    if let Some(test) = summary.test {
        info!("test {}", test.describe(config.run.task));
    }
    reporter.finished(&state.summary());
    keep_among_runs(config, summary);
}

/// Whether all that is to be done with the records of `plan` has enough of them.
pub fn check_plan(config: &CoordinatorConfig, plan: &Plan) -> anyhow::Result<()> {
    detectors::check(&config.detectors, plan)?;
    config.screening.map_or(Ok(()), |screening| screening.check_records(plan))
}

/// Records that at least one party's policy refuses.
fn excluded_by_any(by_party: &BTreeMap<PartyName, ExcludedRecords>) -> ExcludedRecords {
    let mut excluded = ExcludedRecords::default();
    for (party, own) in by_party.iter().filter(|(_, own)| !own.is_empty()) {
        let records = counted(own.count(), "record");
        info!("{party} excludes {records}, for which its policy does not allow the run");
        excluded.add(own);
    }
    excluded
}

/// What the transcript says of itself.
fn header(config: &CoordinatorConfig, labelled: &LabelledRecords) -> TranscriptHeader {
    let records = digest_of_run(&config.run_id, labelled.ids.iter().map(String::as_str));
    let header =
        TranscriptHeader::new(config.run_id.clone(), "coordinator", &config.run, SentValues::Codes, records);
    TranscriptHeader { classes: labelled.classes.clone(), ..header }
}

/// Listens, and waits for all parties.
async fn gather(
    held: &HeldRun<'_>,
    opened: &OpenedRun,
    cancellation: &mut Cancellation,
) -> anyhow::Result<Vec<Joined>> {
    let (config, reporter, mut stop) = (held.config, held.reporter, Stop::listen());
    opening::check_permissions(config, opened.has_begun())?;
    let (ids, log) = (opened.labelled.ids.clone(), arrivals::admission_log(held, Arc::clone(&opened.audit)));
    let (streams, server) = arrivals::let_in(held, Arc::clone(&log)).await?;
    // A run that has begun goes on when all are back, and one of several cannot be started again by itself.
    let outlasts = opened.has_begun() || held.shared.is_some();
    let admission = AdmissionService::open(config, ids, streams, log, reporter.board())?;
    let admission = admission.outlasting_failures(outlasts);
    let mut tell = |party: &_| reporter.joined(party);
    tokio::select! {
        joined = admission.gather(&mut tell, &mut stop, cancellation) => joined,
        ended = server => match ended.context("the server")? {
            Ok(()) => bail!("the server ended before all parties had joined"),
            Err(error) => Err(error).context("the server"),
        },
    }
}

/// Whether a run that has ended so may go on when all sides are there again: a party was lost, or is silent.
fn is_interruption(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(NetworkError::Lost { .. } | NetworkError::Left { .. } | NetworkError::Wait { .. })
    )
}

/// Whether the operator has cancelled the run.
pub(crate) fn is_cancelled(error: &anyhow::Error) -> bool {
    error.is::<Cancelled>() || matches!(error.downcast_ref(), Some(NetworkError::Cancelled { .. }))
}

/// Why a run did not finish, as a word; a party's own words stay out of the audit log.
fn why_it_ended(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref() {
        Some(NetworkError::Peer(PeerError::Failed { .. })) => "a-party-stopped",
        Some(NetworkError::Peer(_) | NetworkError::Wire { .. } | NetworkError::OtherPast { .. }) => {
            "a-party-broke-the-protocol"
        }
        Some(NetworkError::Lost { .. }) => "a-party-was-lost",
        Some(NetworkError::Left { .. }) => "a-party-was-asked-to-end",
        Some(NetworkError::Refused { .. }) => "a-party-does-not-count",
        Some(NetworkError::Wait { .. } | NetworkError::InVain { .. }) => "a-party-was-silent",
        Some(NetworkError::Ledger(_)) => "ledger",
        Some(NetworkError::Transcript(_)) => "transcript",
        Some(NetworkError::Answers(_)) => "another-answer-than-before",
        Some(NetworkError::Checkpoint(_)) => "checkpoint",
        Some(NetworkError::Stopped { .. }) => "asked-to-end",
        Some(NetworkError::Cancelled { .. }) => Cancelled::WHY,
        Some(NetworkError::Random) | None => "coordinator",
    }
}

fn flatten(error: TrainingError<NetworkError>) -> anyhow::Error {
    match error {
        TrainingError::Parties(error) => error.into(),
        TrainingError::Snapshot(_) | TrainingError::Screening(_) | TrainingError::Diverged { .. } => {
            error.into()
        }
    }
}

/// What the other parties hear: which party it was and in which step. A party's own words stay here, and so do the
/// coordinator's files and what is in them.
fn for_others(error: &anyhow::Error) -> String {
    if let Some(diverged @ TrainingError::Diverged { .. }) =
        error.downcast_ref::<TrainingError<NetworkError>>()
    {
        return diverged.to_string();
    }
    if let Some(PublicReason(text)) = error.downcast_ref() {
        return text.clone();
    }
    match error.downcast_ref() {
        Some(NetworkError::Peer(PeerError::Failed { step, party, .. })) => {
            format!("step {step}: {party} stopped; its own log says why")
        }
        Some(
            told @ (NetworkError::Peer(_)
            | NetworkError::Wire { .. }
            | NetworkError::OtherPast { .. }
            | NetworkError::Lost { .. }
            | NetworkError::Left { .. }
            | NetworkError::Stopped { .. }
            | NetworkError::Cancelled { .. }
            | NetworkError::Refused { .. }
            | NetworkError::Wait { .. }
            | NetworkError::InVain { .. }
            | NetworkError::Ledger(LedgerError::Refused(_))),
        ) => told.to_string(),
        Some(
            NetworkError::Ledger(LedgerError::Store(_))
            | NetworkError::Transcript(_)
            | NetworkError::Answers(_)
            | NetworkError::Checkpoint(_)
            | NetworkError::Random,
        )
        | None => "the coordinator stopped; see its log".to_string(),
    }
}
