//! The parties of a run across the network, driven step by step: the networked backend of the training loop.

mod backend;
mod error;
mod peer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use hashvfl_audit::ReleaseTotals;
use hashvfl_cli::at_step;
use hashvfl_core::p_value::PackedPValues;
use hashvfl_core::protocol::coordinator::{PeerAnswer, PeerSession};
use hashvfl_core::protocol::message::{AuditHead, CheckpointId, FromCoordinator, Request};
use hashvfl_core::{
    CodeForm, Digest, ExcludedRecords, GradientEncoding, PackedCodes, PartyName, Plan, RowSelection, RunId,
};
use hashvfl_ledger::{AnswerLog, LedgerError};
use hashvfl_monitor::{Board, RunTotals, now_s};
use hashvfl_traces::{EpochSpan, Phases, spans};
use hashvfl_transcript::TranscriptSpool;
use hashvfl_transport::driver::Driver;
use hashvfl_transport::stop::{GRACE, Stop, Stopped};
use tracing::debug;

use crate::config::CoordinatorConfig;
use crate::label_ledger::{LabelLedger, gradient_bits};
use crate::training::admission::Joined;
use crate::training::cancellation::{Cancellation, Cancelled};
use crate::training::checkpoints::{Checkpoints, SavedNetwork};
use crate::training::traffic::Traffic;
use peer::{Answered, Commitment, LineLimits, Peer};

pub use error::NetworkError;

/// Longest wait until a party has gone that was told that the run has ended, and for last words once this process is asked to end.
const GOING: Duration = Duration::from_secs(2);

/// What is written down of every step.
pub struct RunLog {
    /// Codes that came, where the config asks for them.
    pub transcript: Option<TranscriptSpool>,
    /// What gradients let out about labels.
    pub label_ledger: LabelLedger,
    /// What was sent of each batch, once and for good.
    pub gradients: AnswerLog,
    /// Where the run goes on when this process has died.
    pub checkpoints: Checkpoints,
    /// How the process is, for whoever asks.
    pub board: Arc<Board>,
}

/// What came of telling all parties that the run has finished.
pub struct Parted {
    /// The heads of the audit logs.
    pub heads: Vec<AuditHead>,
    /// The parties that have said that their models count.
    pub heard: Vec<PartyName>,
    /// Whether a party was started again meanwhile, and asks.
    pub is_asked: bool,
    /// Whether this process was asked to end before all had said so.
    pub is_stopped: bool,
}

/// What ends a run from outside.
struct StopSignals {
    /// That of this process.
    stop: Stop,
    /// That of this run.
    cancellation: Cancellation,
}

/// What `future` gives, unless the run is cancelled, or this process was asked to end a while ago and no checkpoint has come
/// since.
async fn unless_ended<T>(
    ends: &mut StopSignals,
    step: u64,
    future: impl Future<Output = Result<T, NetworkError>>,
) -> Result<T, NetworkError> {
    tokio::select! {
        biased;
        () = ends.stop.overdue(GRACE) => Err(NetworkError::Stopped { step, source: Stopped }),
        () = ends.cancellation.asked() => Err(NetworkError::Cancelled { step, why: Cancelled }),
        output = future => output,
    }
}

/// What `future` gives, unless this process was asked to end so long ago.
async fn unless_overdue<T>(mut stop: Stop, grace: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = stop.overdue(grace) => None,
    }
}

/// All parties of a run.
pub struct NetworkedParties<'a> {
    run: RunId,
    driver: &'a Driver,
    ends: StopSignals,
    peers: Vec<Peer>,
    step: u64,
    limits: LineLimits,
    parties: Vec<PartyName>,
    /// What each party's codes are made of, and how gradients of them travel.
    forms: Vec<CodeForm>,
    gradient: GradientEncoding,
    plan: Plan,
    log: RunLog,
    /// Rows of the last batch.
    batch: Vec<u32>,
    /// Bytes so far.
    pub traffic: Traffic,
    /// Heads of the parties' audit logs at the handshake, of those that have one.
    heads: Vec<AuditHead>,
    /// Records whose codes each party has sent, each as often as it did.
    encoded: u64,
    /// Records whose gradients were sent to each party, likewise.
    taught: u64,
    /// Batches whose gradients were sent.
    batches: u64,
    /// When the first step of this attempt began.
    began: Instant,
    /// Seconds of the attempts before it, up to the checkpoint from which this one goes on.
    earlier_s: f64,
    /// Seconds of this process's attempts before it, as the board has them.
    earlier_step_seconds: f64,
    /// The step, for whoever collects spans, and its epoch.
    spans: Phases,
    epoch: EpochSpan,
}

/// How much a step counts in a party's lag.
const LAG_WEIGHT: f64 = 0.1;

/// Shows that `bytes` more went to `party`.
fn note_sent(board: &Board, party: &PartyName, bytes: u64) {
    let mut status = board.status();
    status.party(party).sent_bytes += bytes;
    status.traffic.sent_bytes += bytes;
    status.run.sent_bytes += bytes;
}

impl<'a> NetworkedParties<'a> {
    /// Parties that have joined the run of `config`, put into the order of its settings, until it is cancelled.
    pub fn new(
        driver: &'a Driver,
        config: &CoordinatorConfig,
        mut joined: Vec<Joined>,
        plan: Plan,
        log: RunLog,
        cancellation: Cancellation,
    ) -> Self {
        let run = &config.run;
        joined.sort_by_key(|one| run.parties.iter().position(|name| *name == one.party));
        let mut peers = Vec::with_capacity(joined.len());
        let mut heads = Vec::new();
        for Joined { party, line, head, .. } in joined {
            // A party speaks only for its own log.
            heads.extend(head.map(|head| AuditHead { party: Some(party.clone()), ..head }));
            let bits = run.code_of(&party).bits();
            peers.push(Peer { session: PeerSession::new(party, bits), line });
        }
        Self {
            run: config.run_id.clone(),
            driver,
            ends: StopSignals { stop: Stop::listen(), cancellation },
            peers,
            step: 0,
            limits: LineLimits {
                answer: Duration::from_secs(config.timeouts.step_s),
                reconnect: Duration::from_secs(config.timeouts.reconnect_s),
            },
            parties: run.parties.clone(),
            forms: run.code_forms().collect(),
            gradient: run.gradient,
            plan,
            log,
            batch: Vec::new(),
            traffic: Traffic::default(),
            heads,
            encoded: 0,
            taught: 0,
            batches: 0,
            began: Instant::now(),
            earlier_s: 0.0,
            earlier_step_seconds: 0.0,
            spans: Phases::default(),
            epoch: EpochSpan::default(),
        }
    }

    /// Keeps codes that come from now on in `transcript`, where there is one.
    pub fn keep_transcript(&mut self, transcript: Option<TranscriptSpool>) {
        self.log.transcript = transcript;
    }

    /// Why the run ends at its next checkpoint: this process, or that of a party, is asked to end.
    fn ending(&self) -> Option<NetworkError> {
        let step = self.step;
        if self.ends.stop.is_asked() {
            return Some(NetworkError::Stopped { step, source: Stopped });
        }
        let leaving = self.peers.iter().find(|peer| peer.line.is_leaving())?;
        Some(NetworkError::Left { step, party: leaving.session.party().clone() })
    }

    /// Asks every party the same and waits for all answers, in the settings' order. `count` is the number of codes or
    /// p-values that each is asked for.
    fn ask(&mut self, request: Request, count: usize) -> Result<Vec<PeerAnswer>, NetworkError> {
        self.step += 1;
        let (step, limits) = (self.step, self.limits);
        debug!(step, kind = request.kind(), "request");
        let selection = match request {
            Request::Encode(selection) => Some(selection),
            _ => None,
        };
        at_step(self.run.as_str(), step);
        self.begin_span(&request);
        for peer in &mut self.peers {
            peer.session.requested(step, &request, count);
            let sent = self.driver.wait(peer.send(step, FromCoordinator::Request(step, request), limits))?;
            note_sent(&self.log.board, peer.session.party(), self.traffic.down(sent, selection));
        }
        // As they come, so that one that fails ends the step while another still works.
        let asked = self.spans.current();
        let answering = self.peers.iter_mut().enumerate().map(|(index, peer)| {
            let waiting = spans::waiting(&asked, peer.session.party().as_str());
            async move {
                let received = peer.receive(step, limits).await;
                drop(waiting);
                Ok::<_, NetworkError>((index, received?))
            }
        });
        let answering: FuturesUnordered<_> = answering.collect();
        let ends = &mut self.ends;
        let answered = self.driver.wait(unless_ended(ends, step, answering.try_collect()));
        let mut answered: Vec<(usize, Answered)> = answered?;
        drop(asked);
        answered.sort_unstable_by_key(|(index, _)| *index);
        let mut answers = Vec::with_capacity(answered.len());
        let fastest = answered.iter().map(|(_, one)| one.took).min().unwrap_or_default();
        let (mut status, heard_s) = (self.log.board.status(), now_s());
        for (index, Answered { answer, bytes, took }) in answered {
            let bytes = self.traffic.up(bytes, selection);
            status.traffic.received_bytes += bytes;
            status.run.received_bytes += bytes;
            let entry = status.party(&self.parties[index]);
            entry.received_bytes += bytes;
            entry.answer_seconds += took.as_secs_f64();
            entry.lag_seconds += LAG_WEIGHT * ((took - fastest).as_secs_f64() - entry.lag_seconds);
            entry.heard_s = Some(heard_s);
            answers.push(answer);
        }
        status.steps += 1;
        status.run.steps = step;
        status.step_seconds = self.earlier_step_seconds + self.began.elapsed().as_secs_f64();
        drop(status);
        match selection {
            // The step goes on until its gradient has left.
            Some(RowSelection::Batch { .. }) => self.spans.phase("top model"),
            _ => self.spans.end(),
        }
        Ok(answers)
    }

    /// Begins the step's span, and that of its epoch.
    fn begin_span(&mut self, request: &Request) {
        let batch = match request {
            Request::Encode(RowSelection::Batch { epoch, batch }) => Some((epoch + 1, *batch)),
            _ => None,
        };
        if let Some((epoch, _)) = batch {
            self.epoch.at(epoch);
        }
        self.spans.begin(spans::step(self.run.as_str(), self.step, request.kind(), batch));
    }

    /// Asks every party for codes: of `count` records, or of as many inputs that are none.
    fn ask_for_codes(&mut self, request: Request, count: usize) -> Result<Vec<PackedCodes>, NetworkError> {
        let mut all = Vec::with_capacity(self.peers.len());
        for answer in self.ask(request, count)? {
            // The sessions let nothing else through.
            if let PeerAnswer::Codes(codes) = answer {
                all.push(codes);
            }
        }
        Ok(all)
    }

    /// Begins the run at every party, without the records `excluded`; `plan` is without them already. With `resume` it goes on
    /// from that checkpoint. `own` is the head of the coordinator's audit log; everybody gets everybody's, and so does the
    /// caller.
    ///
    /// # Errors
    /// If a party is lost.
    pub fn begin(
        &mut self,
        excluded: &ExcludedRecords,
        plan: Plan,
        own: Option<AuditHead>,
        resume: Option<(CheckpointId, SavedNetwork)>,
    ) -> Result<Vec<AuditHead>, NetworkError> {
        self.plan = plan;
        let mut status = self.log.board.status();
        status.run = RunTotals::default();
        self.earlier_step_seconds = status.step_seconds;
        drop(status);
        let heads: Vec<AuditHead> = own.into_iter().chain(self.heads.iter().cloned()).collect();
        for peer in &mut self.peers {
            let (heads, resume) = (heads.clone(), resume.as_ref().map(|(id, _)| *id));
            let begin = FromCoordinator::Begin { excluded: excluded.clone(), heads, resume };
            let sent = self.driver.wait(peer.send(self.step, begin, self.limits))?;
            note_sent(&self.log.board, peer.session.party(), self.traffic.down(sent, None));
        }
        self.began = Instant::now();
        self.log.checkpoints.begin();
        if let Some((_, SavedNetwork { step, traffic, encoded, taught, batches, seconds })) = resume {
            (self.step, self.traffic, self.encoded) = (step, traffic, encoded);
            (self.taught, self.batches, self.earlier_s) = (taught, batches, seconds);
            let (received_bytes, sent_bytes) = (traffic.up_bytes, traffic.down_bytes);
            self.log.board.status().run =
                RunTotals { steps: step, received_bytes, sent_bytes, ..RunTotals::default() };
        }
        self.show_released();
        Ok(heads)
    }

    /// Seconds of the run from its first step until now, over all attempts.
    pub fn seconds(&self) -> f64 {
        self.earlier_s + self.began.elapsed().as_secs_f64()
    }

    /// After the run: tells everybody that its model counts, takes the heads of the audit logs of those parties that told one
    /// before, and tells everybody all of them, with the coordinator's `own`. Then the streams end, once each party has heard
    /// all. Where this process is asked to end, it waits for nobody much longer: who has not heard it asks when it is started again.
    pub fn commit(mut self, own: Option<AuditHead>) -> Parted {
        let (limits, stop, parties) = (self.limits, self.ends.stop.clone(), self.peers.len());
        // A run that was asked to end and has finished in that time has a little left for its parties, too.
        let grace = if stop.is_asked() { GRACE + GOING } else { GOING };
        for peer in &mut self.peers {
            // Who does not hear it now is told when it asks.
            let sending = peer.send(self.step, FromCoordinator::Commit, limits);
            let _ = self.driver.wait(unless_overdue(stop.clone(), grace, sending));
        }
        let hearing = self.peers.iter_mut().map(|peer| {
            let heard = unless_overdue(stop.clone(), grace, peer.committed(limits));
            async move { heard.await.unwrap_or(Commitment::Silent) }
        });
        let said = self.driver.wait(join_all(hearing));
        let is_asked = said.contains(&Commitment::Asks);
        let mut said = said.into_iter();
        self.peers.retain(|_| said.next() == Some(Commitment::Committed));
        let heard: Vec<PartyName> = self.peers.iter().map(|peer| peer.session.party().clone()).collect();
        let is_stopped = stop.is_asked() && heard.len() < parties;
        let audited: Vec<PartyName> = self.heads.iter().filter_map(|head| head.party.clone()).collect();
        let mut heads: Vec<AuditHead> = own.into_iter().collect();
        let tells_heads = !heads.is_empty() || !audited.is_empty();
        let tell_heads = self.peers.iter_mut().filter(|peer| audited.contains(peer.session.party()));
        let tell_heads = tell_heads.map(|peer| unless_overdue(stop.clone(), grace, peer.last_head(limits)));
        let told = self.driver.wait(join_all(tell_heads));
        heads.extend(told.into_iter().flatten().flatten());
        let last = tells_heads.then(|| FromCoordinator::Heads { heads: heads.clone() });
        let parting = self
            .peers
            .into_iter()
            .map(|peer| unless_overdue(stop.clone(), grace + GOING / 4, peer.part(last.clone(), limits)));
        self.driver.wait(join_all(parting));
        Parted { heads, heard, is_asked, is_stopped }
    }

    /// How often each party came back on another connection, of those that did.
    pub fn returns(&self) -> Vec<(PartyName, u64)> {
        let mut returns = Vec::new();
        for peer in self.peers.iter().filter(|peer| peer.line.returned() > 0) {
            returns.push((peer.session.party().clone(), peer.line.returned()));
        }
        returns
    }

    /// What parties released to the coordinator so far, and the coordinator to them.
    pub fn releases(&self) -> Vec<ReleaseTotals> {
        let mut releases = Vec::new();
        for (party, form) in self.parties.iter().zip(&self.forms) {
            let (party, coordinator) = (party.to_string(), "coordinator".to_string());
            releases.push(ReleaseTotals {
                from: party.clone(),
                to: coordinator.clone(),
                what: "codes".to_string(),
                records: self.encoded,
                bits: self.encoded * form.bits() as u64,
                withheld: 0,
            });
            releases.push(ReleaseTotals {
                from: coordinator,
                to: party,
                what: "gradients".to_string(),
                records: self.taught,
                bits: self.taught * u64::from(gradient_bits(self.gradient, *form)),
                withheld: 0,
            });
        }
        releases
    }

    /// The last step.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The head of the transcript's chain so far, where there is one.
    pub fn transcript_head(&self) -> Option<Digest> {
        self.log.transcript.as_ref().map(TranscriptSpool::head)
    }

    /// What each party's own detectors say of `count` records that calibrate, in the settings' order; `None` of a party that
    /// sends nothing.
    ///
    /// # Errors
    /// If a party is lost.
    pub fn calibration_p_values(&mut self, count: usize) -> Result<Vec<Option<PackedPValues>>, NetworkError> {
        let mut all = Vec::with_capacity(self.peers.len());
        for answer in self.ask(Request::Calibrate, count)? {
            // The sessions let nothing else through.
            if let PeerAnswer::CalibrationPValues(p_values) = answer {
                all.push(p_values);
            }
        }
        Ok(all)
    }

    /// Ends the run at every party with its model written; [`Self::commit`] says that it counts.
    ///
    /// # Errors
    /// If a party is lost, or transcript or ledger cannot be written.
    pub fn finish(&mut self) -> Result<(), NetworkError> {
        self.ask(Request::Finish, 0)?;
        self.log.transcript.take().map_or(Ok(()), TranscriptSpool::finish)?;
        self.log.label_ledger.settle().map_err(LedgerError::from)?;
        Ok(())
    }

    /// Tells every party that is still there why the run ends, so that nobody waits; or that it is only interrupted.
    pub fn give_up(mut self, why: &str, interrupted: bool) {
        // What is not given back counts.
        let _ = self.log.label_ledger.settle();
        let why = if interrupted { why.to_string() } else { format!("the run has ended: {why}") };
        let partings = self.peers.into_iter().map(|peer| peer.line.give_up(&why, interrupted, GOING));
        self.driver.wait(join_all(partings));
    }
}
