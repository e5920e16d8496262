//! The party's work: what the protocol's state machine lets through, done with the encoder.

mod codes;
mod resume;

use anyhow::Context;
use hashvfl_audit::{AuditEvent, AuditTrail, HeadMoment, ReleaseTotals, Service};
use hashvfl_cli::{Unfinished, at_step};
use hashvfl_core::protocol::message::{
    Answer, AuditHead, Command, Confirmation, EncodedPValues, FromCoordinator, FromParty,
};
use hashvfl_core::protocol::party::{PartyError, PartySession, TrainingWork};
use hashvfl_core::records::{RecordsDigest, SALT_BYTES};
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::text::counted;
use hashvfl_core::{Digest, Gradient, Part, PartyName, RunId, RunRecords, RunSettings};
use hashvfl_detectors::calibration::split::shared_calibration;
use hashvfl_ledger::LedgerError;
use hashvfl_monitor::{Board, ProcessPhase};
use hashvfl_traces::{EpochSpan, Phases, spans};
use hashvfl_transport::stop::Stopped;
use tracing::{debug, info, warn};

use crate::alarm::{self, KeptAlarm, STANDS, UnkeptAlarm};
use crate::config::PartyConfig;
use crate::detectors::AnomalyScorer;
use crate::detectors::config::DetectorsConfig;
use crate::leakage::{FrozenModel, LeakageCheck};
use crate::prepare::Prepared;
use crate::progress::{LedgerLook, ProgressThrottle};
use crate::releases::ReleaseLedger;
use crate::state::StateFolder;
use crate::training::CoordinatorLine;
use crate::training::answers::{RunAnswers, asked};
use crate::training::backlog::Backlog;
use crate::training::checkpoint::{self, UsableCheckpoint};
use crate::training::excluded;
use crate::training::gradient_monitor::GradientGuard;
use crate::training::recorder::Recorder;
use crate::{detectors, finished, leakage};

/// A party at work.
pub struct Worker<'a> {
    name: &'a PartyName,
    audit: &'a AuditTrail,
    board: &'a Board,
    /// Whether the coordinator tells heads of audit logs.
    tells_heads: bool,
    /// Whether the run has begun.
    begun: bool,
    run: &'a RunId,
    settings: &'a RunSettings,
    session: PartySession,
    prepared: Prepared,
    state: &'a StateFolder,
    releases: ReleaseLedger,
    config: &'a PartyConfig,
    recorder: Option<Recorder>,
    answers: RunAnswers,
    /// Checkpoints that the coordinator was told of, until the run begins.
    offered: Vec<UsableCheckpoint>,
    guard: GradientGuard,
    /// From when the run begins, where the policy limits what codes tell.
    leakage: Option<LeakageCheck>,
    detectors: Option<DetectorsConfig>,
    detectors_fitted: bool,
    backlog: Backlog,
    passes_ahead: u32,
    released_bits: u64,
    progress: ProgressThrottle,
    look: LedgerLook,
    /// What this party does at a step, for whoever collects spans.
    pub spans: Phases,
    /// Its epoch.
    epoch: EpochSpan,
}

/// What a message led to.
pub struct Done {
    /// The answer, where there is one.
    pub answer: Option<FromParty>,
    /// Whether this was the last message.
    pub finished: bool,
}

impl Done {
    fn answer(message: FromParty) -> Self {
        Self { answer: Some(message), finished: false }
    }

    fn nothing() -> Self {
        Self { answer: None, finished: false }
    }
}

impl<'a> Worker<'a> {
    /// A worker that has not joined yet.
    pub fn new(
        config: &'a PartyConfig,
        prepared: Prepared,
        state: &'a StateFolder,
        releases: ReleaseLedger,
        answers: RunAnswers,
        audit: &'a AuditTrail,
        board: &'a Board,
    ) -> Self {
        let settings = &config.run;
        let raised = alarm::path(state.folder()).exists();
        let (records, form) = (prepared.ids.len(), config.code_form());
        let guard = GradientGuard::new(config.on_alarm, settings, form, records, prepared.seed())
            .after_alarm(raised, alarm::dismissed_batches(state.folder()));
        let excluded = answers.excluded().clone();
        let session = PartySession::new(settings.clone(), form, prepared.plan.clone(), excluded);
        Self {
            name: &config.name,
            audit,
            board,
            tells_heads: false,
            begun: false,
            run: &config.run_id,
            settings,
            session,
            prepared,
            state,
            releases,
            config,
            recorder: None,
            answers,
            offered: Vec::new(),
            guard,
            leakage: None,
            detectors: config.detectors.clone(),
            detectors_fitted: false,
            backlog: Backlog::default(),
            passes_ahead: config.passes_ahead.get(),
            released_bits: 0,
            progress: ProgressThrottle::default(),
            look: LedgerLook::default(),
            spans: Phases::default(),
            epoch: EpochSpan::default(),
        }
    }

    /// Ends the run, whether it went well or not: gives back what was reserved and not sent, and writes down what the ledger
    /// counts, once that is on disk.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        self.backlog.count(&mut self.releases)?;
        self.releases.settle()?;
        self.look.show(&self.releases, self.board, true);
        self.audit.note_counted(self.releases.counted());
        Ok(())
    }

    /// Back before its `Hello`, where the run has not begun.
    pub fn start_anew(&mut self) {
        self.session = self.session.anew();
    }

    /// Whether the coordinator has let this party in.
    pub fn is_accepted(&self) -> bool {
        self.session.is_accepted()
    }

    /// The last step requested.
    pub fn step(&self) -> u64 {
        self.session.step()
    }

    /// Does what the last step has left to do. Call it when the step's answer is on its way.
    ///
    /// # Errors
    /// If the ledger cannot be written, or the gradients look like those of a hijacker and the party is to stop then.
    pub fn work_off(&mut self) -> anyhow::Result<()> {
        self.spans.phase("backlog");
        self.backlog.count(&mut self.releases)?;
        self.monitor_gradients()
    }

    /// Shows the gradient monitor what was counted, and whoever asks what has come of it. An alarm that stops this party is kept.
    fn monitor_gradients(&mut self) -> anyhow::Result<()> {
        let monitored = self.backlog.monitor(&mut self.guard, self.released_bits);
        let seen = self.guard.status();
        self.board.status().gradient_monitor = seen;
        self.look.show(&self.releases, self.board, false);
        let Err(raised) = monitored else { return Ok(()) };
        let (step, what, seen) = (self.session.step(), raised.to_string(), seen.unwrap_or_default());
        let alarm = KeptAlarm { run_id: self.run.clone(), step, what, seen, dismissed: false };
        let mut raised = raised.context(format!("step {step}"));
        if let Err(failed) = alarm.keep(self.state.folder()) {
            raised = raised.context(UnkeptAlarm { alarm, why: format!("{failed:#}") });
        }
        Err(raised.context(Unfinished::Alarmed(STANDS)))
    }

    /// Carries out one message.
    ///
    /// # Errors
    /// If the protocol does not allow it, the policy refuses it, or something fails on the way.
    pub fn receive(&mut self, message: FromCoordinator) -> anyhow::Result<Done> {
        let (kind, before) = (message.kind(), self.session.step());
        let work = self.session.receive(message)?;
        let step = self.session.step();
        at_step(self.run.as_str(), step);
        let mut status = self.board.status();
        status.count_request(kind);
        status.steps += u64::from(step > before);
        status.run.steps = step;
        drop(status);
        debug!(step, kind, "request");
        self.begin_span(kind);
        if !matches!(work, TrainingWork::Encode(_)) {
            self.backlog.count(&mut self.releases)?;
            self.monitor_gradients()?;
        }
        let asked = asked(&work);
        let (step, answer) = match work {
            TrainingWork::SendRecords(salt) => return Ok(Done::answer(self.records(&salt))),
            TrainingWork::Joined => {
                info!("accepted; waiting for the other parties");
                let (party, service) = (self.name.clone(), Service::Training);
                self.audit.note(AuditEvent::Joined { party, service })?;
                return Ok(Done::nothing());
            }
            TrainingWork::Begin { excluded, heads, resume } => {
                self.begin(excluded)?;
                self.go_on_from(resume)?;
                self.note_begin(excluded, &heads)?;
                return Ok(Done::nothing());
            }
            TrainingWork::Save(id) => {
                self.save(id)?;
                return Ok(Done::answer(FromParty::Saved(id)));
            }
            TrainingWork::Commit => {
                self.commit()?;
                return Ok(Done { answer: Some(FromParty::Committed), finished: true });
            }
            TrainingWork::KeepHeads { heads } => {
                self.audit.keep_heads(&heads, &self.settings.parties, HeadMoment::Finish)?;
                return Ok(Done { answer: None, finished: true });
            }
            TrainingWork::Learn { gradient } => {
                self.learn(gradient)?;
                return Ok(Done::nothing());
            }
            TrainingWork::Encode(work) => (work.step, self.encode(&work)),
            TrainingWork::EncodeSynthetic { step, chunk } => (step, self.encode_synthetic(chunk)),
            TrainingWork::Calibrate { step } => {
                (step, self.calibration_p_values(step).map(Answer::CalibrationPValues))
            }
            TrainingWork::Command { step, command } => (step, self.carry_out(command).map(Answer::from)),
            TrainingWork::Freeze { step } => (step, self.freeze(step).map(Answer::Frozen)),
            TrainingWork::Finish { step } => {
                (step, self.finish(step).map(|()| Confirmation::Finished.into()))
            }
        };
        let answer = answer.with_context(|| format!("step {step}"))?;
        self.answers.say(step, &asked, &answer)?;
        Ok(Done::answer(FromParty::Answer(step, answer)))
    }

    /// Begins the span of what `kind` asks for, once there are steps.
    fn begin_span(&mut self, kind: &str) {
        let step = self.session.step();
        if step > 0 {
            self.spans.begin(spans::answer(self.run.as_str(), step, self.name.as_str(), kind));
        }
    }

    /// Which records this party holds, and for which of them its policy does not allow the run.
    fn records(&mut self, salt: &[u8; SALT_BYTES]) -> FromParty {
        let ids = self.prepared.ids.iter().map(String::as_str);
        let excluded = self.session.excluded().clone();
        if !excluded.is_empty() {
            let records = counted(excluded.count(), "record");
            warn!("excluding {records}, for which the policy does not allow the run");
        }
        let head = self.audit.head();
        let digest = RecordsDigest::of(salt, ids);
        self.offered = checkpoint::usable(self.state, self.answers.run());
        let checkpoints = self.offered.iter().map(|offered| offered.id).collect();
        FromParty::Records { digest, excluded, head, checkpoints }
    }

    fn learn(&mut self, gradient: Gradient) -> anyhow::Result<()> {
        let values = gradient.decode();
        if let Some(recorder) = &mut self.recorder {
            recorder.gradient(self.session.step(), &values)?;
        }
        self.prepared.encoder.learn(values);
        self.answers.learned(&gradient);
        self.backlog.learned(gradient);
        Ok(())
    }

    fn carry_out(&mut self, command: Command) -> anyhow::Result<Confirmation> {
        match command {
            Command::Checkpoint(label) => {
                self.state.write_checkpoint(label, &self.prepared.encoder.snapshot())?;
                self.releases.learns(&self.prepared);
                Ok(Confirmation::Checkpointed)
            }
            Command::Restore(label) => {
                self.prepared.encoder.load(&self.state.read_checkpoint(label)?)?;
                self.releases.learns(&self.prepared);
                Ok(Confirmation::Restored)
            }
        }
    }

    fn freeze(&mut self, step: u64) -> anyhow::Result<Digest> {
        self.epoch.end();
        self.prepared.measure(|encoder, plan, gather| {
            encoder.freeze(plan.part(Part::CohortTrain), gather);
        })?;
        self.board.status().phase = ProcessPhase::Encoding;
        let (prepared, releases) = (&self.prepared, &mut self.releases);
        FrozenModel { trained: prepared, scorer: None }
            .check("codes of the frozen bottom model", releases)?;
        if let Some(leakage) = self.leakage.as_mut().filter(|_| self.settings.refits()) {
            leakage.before_refit(prepared, releases)?;
        }
        let encoder = self.prepared.digest();
        self.releases.freeze(&self.prepared, encoder);
        info!(step, encoder = encoder.short(), "bottom model frozen");
        Ok(encoder)
    }

    /// Fits and keeps this party's detectors, where the config has them, and gives what they say of the records that calibrate,
    /// charged, where it is to be sent and the policy allows it.
    fn calibration_p_values(&mut self, step: u64) -> anyhow::Result<Option<EncodedPValues>> {
        let Some(config) = &self.detectors else { return Ok(None) };
        let fitted = detectors::fit(config, &self.prepared)?;
        self.state.keep_detectors(&fitted)?;
        self.detectors_fitted = true;
        info!("detectors of abnormal inputs fitted");
        let Some(grid) = config.grid() else { return Ok(None) };
        if self.releases.policy().limits_leakage() {
            let scorer = AnomalyScorer::load(Some(config), &self.config.detectors_path(), &self.prepared)?;
            let frozen = FrozenModel { trained: &self.prepared, scorer: scorer.as_ref() };
            frozen.check("codes and p-values of the frozen bottom model", &mut self.releases)?;
        }
        let rows = shared_calibration(self.prepared.plan.part(Part::Calibration));
        if self.answers.has(step) {
            // What is charged is sent again, and what the policy refused then stays here now.
            if self.answers.withheld_p_values(step) {
                return Ok(None);
            }
        } else if let Some(refusal) = self.releases.spend_p_values(rows, grid)? {
            warn!("{refusal}: the coordinator will not use this party's detectors");
            return Ok(None);
        }
        let p_values = detectors::calibration_p_values(&fitted, grid, &self.prepared)?;
        self.count_left(0, rows.len() * grid.bits());
        Ok(Some(EncodedPValues { grid, bytes: p_values.packed.into_bytes() }))
    }

    /// Counts and shows codes that are about to leave, and so many bits with them.
    fn count_left(&mut self, codes: usize, bits: usize) {
        self.released_bits += bits as u64;
        let mut status = self.board.status();
        status.released.codes += codes as u64;
        status.released.bits += bits as u64;
        status.run.released_bits = self.released_bits;
    }

    /// Writes the model, with detectors where the config has them. It counts by [`Self::commit`].
    fn finish(&mut self, step: u64) -> anyhow::Result<()> {
        if let Some(config) = self.detectors.as_ref().filter(|_| !self.detectors_fitted) {
            self.state.keep_detectors(&detectors::fit(config, &self.prepared)?)?;
            info!(step, "detectors of abnormal inputs fitted");
        }
        let excluded = self.session.excluded().clone();
        let records = RunRecords::new(self.run, &self.prepared.ids, excluded);
        let mut model = self.prepared.model(self.settings, records.digest());
        model.text.insert(finished::RUN.into(), self.answers.run().to_string());
        self.recorder.take().map_or(Ok(()), Recorder::finish)?;
        let released = self.leakage.as_ref().map(|leakage| leakage.kept(self.answers.run().to_string()));
        if released.is_some() {
            model.text.insert(leakage::IS_KEPT.into(), true.to_string());
        }
        self.state.prepare(&model, &records, released.as_ref())?;
        info!(step, released_bits = self.released_bits, "the model is written, and waits for all others");
        Ok(())
    }

    /// Takes the plan without records that this party or another leaves out.
    fn begin(&mut self, excluded: usize) -> anyhow::Result<()> {
        if self.settings.on_refusal == OnRefusal::LeaveOut {
            excluded::keep(self.state, self.answers.run(), self.answers.excluded())?;
        }
        if excluded > 0 {
            info!("the run starts without {} that policies exclude", counted(excluded, "record"));
            let plan = self.session.plan();
            self.releases.check_answers(plan)?;
            self.prepared.follow(plan.clone());
        }
        self.leakage = LeakageCheck::of_run(self.releases.policy(), &self.prepared)?;
        Ok(())
    }

    fn note_begin(&mut self, excluded: usize, heads: &[AuditHead]) -> anyhow::Result<()> {
        (self.begun, self.tells_heads) = (true, !heads.is_empty());
        // What the first step charges is looked at when it has been.
        self.look = LedgerLook::default();
        self.audit.note(AuditEvent::RunBegun {
            parties: self.settings.parties.clone(),
            settings_sha256: self.settings.to_settings().digest().to_string(),
            records: self.prepared.ids.len() as u64,
            excluded: excluded as u64,
        })?;
        Ok(self.audit.keep_heads(heads, &self.settings.parties, HeadMoment::Begin)?)
    }

    /// Writes down how the run ended, what this party released in it, and how often it came back on another connection.
    pub fn note_end(&self, error: Option<&anyhow::Error>, returned: u64) {
        let why = error.map(why_it_ended);
        if !self.begun {
            if let Some(why) = why {
                let (party, service) = (Some(self.name.clone()), Service::Training);
                self.audit.note_or_complain(AuditEvent::Refused { party, who: None, service, why, count: 1 });
            }
            return;
        }
        self.audit.note_or_complain(AuditEvent::Released(ReleaseTotals {
            from: self.name.to_string(),
            to: "coordinator".to_string(),
            what: "codes".to_string(),
            records: self.released_bits / self.config.code_form().bits() as u64,
            bits: self.released_bits,
            withheld: 0,
        }));
        if returned > 0 {
            let party = self.name.clone();
            self.audit.note_or_complain(AuditEvent::Returned { party, count: returned });
        }
        let step = self.session.step();
        self.audit.note_or_complain(AuditEvent::RunEnded { finished: why.is_none(), step, why });
    }

    /// After the run: tells the head of this party's audit log, and keeps those of the others, where the coordinator tells
    /// them; waits until the coordinator has heard that this party has finished. The model is kept already, so nothing of this
    /// ends the run.
    pub fn exchange_heads(&mut self, line: &mut impl CoordinatorLine) {
        let own = self.audit.head();
        // A party that has asked how its run ended tells none, and hears the coordinator's.
        let (keeps_heads, tells_heads) = (own.is_some(), own.is_some() && self.tells_heads);
        let head = own.filter(|_| tells_heads);
        let told = head.map_or(Ok(()), |head| line.send(FromParty::Head(head)));
        match told.and_then(|()| line.receive_last(self.step())) {
            Ok(Some(message @ FromCoordinator::Heads { .. })) if keeps_heads => {
                if let Err(error) = self.receive(message) {
                    warn!(
                        "the model is final, but the other sides' audit heads of the run's end are not kept: {error:#}. \
                         Those of the next run vouch for these entries, too"
                    );
                }
            }
            Ok(Some(FromCoordinator::Refused { text, .. })) => {
                warn!("the model is final, but the coordinator says: {text}")
            }
            Ok(_) if tells_heads => warn!("the coordinator sent no audit heads after the run"),
            Ok(_) => {}
            Err(error) => warn!("the model is final, but the coordinator may not know that: {error:#}"),
        }
    }
}

/// Why a run did not finish, as a word; a peer's own words stay out of the audit log.
fn why_it_ended(error: &anyhow::Error) -> String {
    if let Some(LedgerError::Refused(refusal)) = error.downcast_ref() {
        return format!("policy:{}", refusal.rule.key());
    }
    if error.is::<Stopped>() {
        return "asked-to-end".to_string();
    }
    if alarm::is_alarm(error) {
        return "gradient-alarm".to_string();
    }
    let why = match error.downcast_ref() {
        Some(PartyError::Refused(_)) => "the-coordinator-refused",
        Some(_) => "the-coordinator-broke-the-protocol",
        None => "this-party-stopped",
    };
    why.to_string()
}
