//! The parties of a run across the network, driven step by step: the networked backend of the training loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use hashvfl_audit::Release;
use hashvfl_core::p_value::PackedPValues;
use hashvfl_core::protocol::coordinator::{PeerAnswer, PeerError, PeerSession};
use hashvfl_core::protocol::exchange::ResumeError;
use hashvfl_core::protocol::message::{AuditHead, Command, FromCoordinator, FromParty, Request};
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::{Digest, ExcludedRecords, Gradient, PackedCodes, Part, PartyName, Plan, RowSelection};
use hashvfl_learning::training::backend::PartyBackend;
use hashvfl_ledger::LedgerError;
use hashvfl_monitor::Board;
use hashvfl_proto::WireError;
use hashvfl_transcript::{RecordedKind, Transcript, TranscriptError};
use hashvfl_transport::driver::Driver;
use hashvfl_transport::stop::{Stop, Stopped};
use hashvfl_transport::{Received, StreamError};
use tracing::{debug, warn};

use crate::config::CoordinatorConfig;
use crate::label_ledger::LabelLedger;
use crate::training::admission::Joined;
use crate::training::line::{LineError, PartyLine};
use crate::training::traffic::Traffic;

/// Longest wait until a party has gone that was told that the run has ended.
const GOING: Duration = Duration::from_secs(2);

/// Longest wait until a party has heard what was said last, and until it comes back for that: its model is kept, so that
/// nothing hangs on it.
const PARTING: Duration = Duration::from_secs(10);

/// How a networked step fails. Each names the step and the party.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A party's message is not the answer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A party's message is not valid.
    #[error("step {step}: {party} sent an unusable message: {source}")]
    Wire {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// What is wrong with it.
        source: WireError,
    },
    /// A party came back on another connection and could not go on.
    #[error("step {step}: {party} came back on another connection and cannot go on: {source}")]
    OtherPast {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// Why not.
        source: ResumeError,
    },
    /// A party's stream ended.
    #[error("step {step}: lost {party}: {reason}: look at its log, then start all sides again")]
    Lost {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// How.
        reason: String,
    },
    /// A party did not answer in time.
    #[error("step {step}: waited {limit_s} s (timeouts.step_s) for {party}: is it still at work?")]
    Wait {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// The limit.
        limit_s: u64,
    },
    /// What is about to leave cannot be counted.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The transcript cannot be written.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    /// This process was asked to end.
    #[error("step {step}: the run ends for all")]
    Stopped {
        /// The step.
        step: u64,
        /// Why.
        source: Stopped,
    },
}

impl NetworkError {
    fn of_stream(step: u64, party: &PartyName, error: StreamError) -> Self {
        let party = party.clone();
        match error {
            StreamError::TimedOut(limit) => Self::Wait { step, party, limit_s: limit.as_secs() },
            StreamError::Closed => Self::Lost { step, party, reason: "it closed its stream".into() },
            StreamError::Broken(reason) | StreamError::Refused(reason) => Self::Lost { step, party, reason },
            StreamError::Unusable(source) => Self::Wire { step, party, source },
        }
    }

    fn of_line(step: u64, party: &PartyName, error: LineError) -> Self {
        let party = party.clone();
        match error {
            LineError::Stream(error) => Self::of_stream(step, &party, error),
            LineError::Lost { .. } => Self::Lost { step, party, reason: error.to_string() },
            LineError::OtherPast(source) => Self::OtherPast { step, party, source },
        }
    }
}

/// Longest waits for a party.
#[derive(Debug, Clone, Copy)]
struct LineLimits {
    /// For an answer, and until the network takes a message.
    answer: Duration,
    /// Until a party is back whose connection broke.
    reconnect: Duration,
}

struct Peer {
    session: PeerSession,
    line: PartyLine,
}

/// An answer to a request, with its length on the wire in bytes.
struct Answered {
    answer: PeerAnswer,
    bytes: usize,
    /// How long this side waited for it.
    took: Duration,
}

impl Peer {
    /// Sends a message; returns its length in bytes.
    async fn send(
        &mut self,
        step: u64,
        message: FromCoordinator,
        limits: LineLimits,
    ) -> Result<usize, NetworkError> {
        let sent = self.line.send(message, limits.answer).await;
        sent.map_err(|error| NetworkError::of_stream(step, self.session.party(), error))
    }

    async fn receive(&mut self, step: u64, limits: LineLimits) -> Result<Answered, NetworkError> {
        let began = Instant::now();
        let received = self.line.next_within(limits.answer, limits.reconnect).await;
        let Received { message, bytes } =
            received.map_err(|error| NetworkError::of_line(step, self.session.party(), error))?;
        Ok(Answered { answer: self.session.receive(message)?, bytes, took: began.elapsed() })
    }

    /// The head of the party's audit log after the run; a party that tells none any more ends nothing, and is warned of.
    async fn last_head(&mut self, limits: LineLimits) -> Option<AuditHead> {
        let party = self.session.party().clone();
        match self.line.next_within(limits.reconnect, limits.reconnect).await {
            Ok(Received { message: FromParty::Head(head), .. }) => {
                Some(AuditHead { party: Some(party), ..head })
            }
            _ => {
                warn!("{party} told no head of its audit log after the run");
                None
            }
        }
    }

    /// Says `last`, where there is something to say, and waits until the party has heard all.
    async fn part(mut self, last: Option<FromCoordinator>, limits: LineLimits) {
        let sent = match last {
            Some(last) => self.line.send(last, limits.answer).await.map(drop),
            None => Ok(()),
        };
        let parted = match sent {
            Ok(()) => self.line.close(PARTING, PARTING.min(limits.reconnect)).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = parted {
            warn!(
                "{} has kept its model and may not have heard that all others have: {error}",
                self.session.party()
            );
        }
    }
}

/// What is written down of every step.
pub struct RunLog {
    /// Codes that came, where the config asks for them.
    pub transcript: Option<Transcript>,
    /// What gradients let out about labels.
    pub label_ledger: LabelLedger,
    /// How the process is, for whoever asks.
    pub board: Arc<Board>,
}

/// All parties of a run.
pub struct NetworkedParties<'a> {
    driver: &'a Driver,
    stop: Stop,
    peers: Vec<Peer>,
    step: u64,
    limits: LineLimits,
    parties: Vec<PartyName>,
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
}

impl<'a> NetworkedParties<'a> {
    /// Parties that have joined the run of `config`, put into the order of its settings.
    pub fn new(
        driver: &'a Driver,
        config: &CoordinatorConfig,
        mut joined: Vec<Joined>,
        plan: Plan,
        log: RunLog,
    ) -> Self {
        let run = &config.run;
        joined.sort_by_key(|one| run.parties.iter().position(|name| *name == one.party));
        let mut peers = Vec::with_capacity(joined.len());
        let mut heads = Vec::new();
        for Joined { party, line, head, .. } in joined {
            // A party speaks for its own log alone.
            heads.extend(head.map(|head| AuditHead { party: Some(party.clone()), ..head }));
            peers.push(Peer { session: PeerSession::new(party, run.bits), line });
        }
        Self {
            driver,
            stop: Stop::listen(),
            peers,
            step: 0,
            limits: LineLimits {
                answer: Duration::from_secs(config.timeouts.step_s),
                reconnect: Duration::from_secs(config.timeouts.reconnect_s),
            },
            parties: run.parties.clone(),
            plan,
            log,
            batch: Vec::new(),
            traffic: Traffic::default(),
            heads,
            encoded: 0,
            taught: 0,
        }
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
        for peer in &mut self.peers {
            peer.session.requested(step, &request, count);
            let sent = self.driver.wait(peer.send(step, FromCoordinator::Request(step, request), limits))?;
            self.traffic.down(sent, selection);
        }
        // As they come, so that one that fails ends the step while another still works.
        let answering = self.peers.iter_mut().enumerate().map(|(index, peer)| async move {
            Ok::<_, NetworkError>((index, peer.receive(step, limits).await?))
        });
        let answering: FuturesUnordered<_> = answering.collect();
        let stop = &mut self.stop;
        let mut answered: Vec<(usize, Answered)> = self.driver.wait(async {
            tokio::select! {
                biased;
                () = stop.stopped() => Err(NetworkError::Stopped { step, source: Stopped }),
                answered = answering.try_collect() => answered,
            }
        })?;
        answered.sort_unstable_by_key(|(index, _)| *index);
        let mut answers = Vec::with_capacity(answered.len());
        let mut status = self.log.board.status();
        for (index, Answered { answer, bytes, took }) in answered {
            self.traffic.up(bytes, selection);
            status.party(&self.parties[index]).answer_seconds += took.as_secs_f64();
            answers.push(answer);
        }
        status.steps = step;
        status.traffic.received_bytes = self.traffic.up_bytes;
        status.traffic.sent_bytes = self.traffic.down_bytes;
        drop(status);
        Ok(answers)
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

    /// Begins the run at every party, without the records `excluded`; `plan` is without them already. `own` is the head of
    /// the coordinator's audit log; everybody gets everybody's, and so does the caller.
    ///
    /// # Errors
    /// If a party is lost.
    pub fn begin(
        &mut self,
        excluded: &ExcludedRecords,
        plan: Plan,
        own: Option<AuditHead>,
    ) -> Result<Vec<AuditHead>, NetworkError> {
        self.plan = plan;
        let heads: Vec<AuditHead> = own.into_iter().chain(self.heads.iter().cloned()).collect();
        for peer in &mut self.peers {
            let begin = FromCoordinator::Begin { excluded: excluded.clone(), heads: heads.clone() };
            let sent = self.driver.wait(peer.send(self.step, begin, self.limits))?;
            self.traffic.down(sent, None);
        }
        Ok(heads)
    }

    /// After the run: takes the heads of the audit logs of those parties that told one before, and tells everybody all of
    /// them, with the coordinator's `own`. Then the streams end, once each party has heard all.
    pub fn exchange_heads(mut self, own: Option<AuditHead>) -> Vec<AuditHead> {
        let limits = self.limits;
        let telling: Vec<PartyName> = self.heads.iter().filter_map(|head| head.party.clone()).collect();
        let mut heads: Vec<AuditHead> = own.into_iter().collect();
        let tells_heads = !heads.is_empty() || !telling.is_empty();
        let telling = self.peers.iter_mut().filter(|peer| telling.contains(peer.session.party()));
        let told = self.driver.wait(join_all(telling.map(|peer| peer.last_head(limits))));
        heads.extend(told.into_iter().flatten());
        let last = tells_heads.then(|| FromCoordinator::Heads { heads: heads.clone() });
        let parting = self.peers.into_iter().map(|peer| peer.part(last.clone(), limits));
        self.driver.wait(join_all(parting));
        heads
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
    pub fn releases(&self) -> Vec<Release> {
        let code_bits = self.peers.first().map_or(0, |peer| peer.session.bits()) as u64;
        let gradient_bits = u64::from(self.log.label_ledger.bits_per_record());
        let mut releases = Vec::new();
        for party in &self.parties {
            let (party, coordinator) = (party.to_string(), "coordinator".to_string());
            releases.push(Release {
                from: party.clone(),
                to: coordinator.clone(),
                what: "codes".to_string(),
                records: self.encoded,
                bits: self.encoded * code_bits,
                withheld: 0,
            });
            releases.push(Release {
                from: coordinator,
                to: party,
                what: "gradients".to_string(),
                records: self.taught,
                bits: self.taught * gradient_bits,
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
        self.log.transcript.as_ref().map(Transcript::head)
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

    /// Ends the run at every party with its model kept.
    ///
    /// # Errors
    /// If a party is lost, or transcript or ledger cannot be written.
    pub fn finish(&mut self) -> Result<(), NetworkError> {
        self.ask(Request::Finish, 0)?;
        self.log.transcript.take().map_or(Ok(()), Transcript::finish)?;
        self.log.label_ledger.settle().map_err(LedgerError::from)?;
        Ok(())
    }

    /// Tells every party that is still there why the run ends, so that nobody waits.
    pub fn give_up(mut self, why: &str) {
        // What is not given back counts.
        let _ = self.log.label_ledger.settle();
        let why = format!("the run has ended: {why}");
        let telling = self.peers.into_iter().map(|peer| peer.line.give_up(&why, GOING));
        self.driver.wait(join_all(telling));
    }
}

impl PartyBackend for NetworkedParties<'_> {
    type Embedding = PackedCodes;
    type Error = NetworkError;

    fn encode(&mut self, rows: RowSelection, count: usize) -> Result<Vec<PackedCodes>, NetworkError> {
        let codes = self.ask_for_codes(Request::Encode(rows), count)?;
        self.encoded += count as u64;
        // Unwrap safety: the training loop asks for rows of the same plan.
        let numbers = self.plan.rows(rows).expect("rows of the plan");
        if let Some(transcript) = &mut self.log.transcript {
            transcript.codes((self.step, RecordedKind::of(rows)), &numbers, &self.parties, &codes)?;
        }
        if matches!(rows, RowSelection::Batch { .. }) {
            self.traffic.training_records += (count * codes.len()) as u64;
            self.batch = numbers;
        }
        Ok(codes)
    }

    fn encode_synthetic(&mut self, chunk: u32) -> Result<Vec<PackedCodes>, NetworkError> {
        self.ask_for_codes(Request::EncodeSynthetic { chunk }, CHUNK_ROWS)
    }

    fn learn(&mut self, gradients: Vec<Gradient>) -> Result<(), NetworkError> {
        let step = self.step;
        self.log.label_ledger.count(&self.batch, self.plan.part(Part::CohortTrain))?;
        self.taught += self.batch.len() as u64;
        let batch = RowSelection::Batch { epoch: 0, batch: 0 };
        for (peer, gradient) in self.peers.iter_mut().zip(gradients) {
            let gradient = FromCoordinator::Gradient { step, gradient };
            let sent = self.driver.wait(peer.send(step, gradient, self.limits))?;
            self.traffic.down(sent, Some(batch));
            self.driver.flush();
        }
        Ok(())
    }

    fn carry_out(&mut self, command: Command) -> Result<(), NetworkError> {
        self.ask(command.into(), 0).map(drop)
    }

    fn freeze(&mut self) -> Result<Vec<Digest>, NetworkError> {
        let mut digests = Vec::with_capacity(self.peers.len());
        for answer in self.ask(Request::Freeze, 0)? {
            // The sessions let nothing else through.
            if let PeerAnswer::Frozen(digest) = answer {
                digests.push(digest);
            }
        }
        Ok(digests)
    }
}
