//! The parties of a run across the network, driven step by step: the networked backend of the training loop.

use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::stream::FuturesUnordered;
use hashvfl_core::protocol::coordinator::{Answer, PeerError, PeerSession};
use hashvfl_core::protocol::message::{CheckpointLabel, FromCoordinator, FromParty};
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::{
    Digest, ExcludedRecords, Gradient, PackedCodes, Part, PartyName, Plan, RowSelection, RunSettings,
};
use hashvfl_learning::training::backend::PartyBackend;
use hashvfl_ledger::LedgerError;
use hashvfl_proto::WireError;
use hashvfl_proto::driver::Driver;
use hashvfl_proto::status::describe;
use hashvfl_proto::v1::{CoordinatorMessage, PartyMessage};
use hashvfl_transcript::{RecordedKind, Transcript, TranscriptError};
use tonic::Streaming;
use tracing::debug;

use crate::label_ledger::LabelLedger;
use crate::training::admission::Joined;
use crate::training::service::Outbound;
use crate::training::traffic::Traffic;

/// How a networked step fails. Each names the step and the party.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A party's message is not the answer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A party's message is none.
    #[error("step {step}: {party} sent an unusable message: {source}")]
    Wire {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// What is wrong with it.
        source: WireError,
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
}

struct Peer {
    session: PeerSession,
    inbound: Streaming<PartyMessage>,
    outbound: Outbound,
}

impl Peer {
    fn lost(&self, step: u64, reason: impl Into<String>) -> NetworkError {
        NetworkError::Lost { step, party: self.session.party().clone(), reason: reason.into() }
    }

    async fn receive(&mut self, step: u64, limit_s: u64) -> Result<(usize, Answer), NetworkError> {
        let party = || self.session.party().clone();
        let received = tokio::time::timeout(Duration::from_secs(limit_s), self.inbound.message()).await;
        let received = received.map_err(|_| NetworkError::Wait { step, party: party(), limit_s })?;
        let message = received
            .map_err(|status| self.lost(step, describe(&status)))?
            .ok_or_else(|| self.lost(step, "it closed its stream"))?;
        let bytes = prost::Message::encoded_len(&message);
        let message = FromParty::try_from(message).map_err(|source| NetworkError::Wire {
            step,
            party: party(),
            source,
        })?;
        Ok((bytes, self.session.receive(message)?))
    }
}

/// All parties of a run.
pub struct NetworkedParties<'a> {
    driver: &'a Driver,
    peers: Vec<Peer>,
    step: u64,
    limit_s: u64,
    parties: Vec<PartyName>,
    plan: Plan,
    transcript: Option<Transcript>,
    label_ledger: LabelLedger,
    /// Rows of the last batch.
    batch: Vec<u32>,
    /// Bytes so far.
    pub traffic: Traffic,
}

impl<'a> NetworkedParties<'a> {
    /// Parties that have joined, put into the order of the settings.
    pub fn new(
        driver: &'a Driver,
        settings: &RunSettings,
        mut joined: Vec<Joined>,
        (plan, transcript, label_ledger): (Plan, Option<Transcript>, LabelLedger),
        limit_s: u64,
    ) -> Self {
        joined.sort_by_key(|one| settings.parties.iter().position(|name| *name == one.party));
        let peer = |Joined { party, inbound, outbound, .. }| Peer {
            session: PeerSession::new(party, settings.bits),
            inbound,
            outbound,
        };
        let peers = joined.into_iter().map(peer).collect();
        let parties = settings.parties.clone();
        let (batch, traffic) = (Vec::new(), Traffic::default());
        Self { driver, peers, step: 0, limit_s, parties, plan, transcript, label_ledger, batch, traffic }
    }

    /// Asks every party the same and waits for all answers, in the settings' order.
    fn ask(
        &mut self,
        request: impl Fn(u64) -> FromCoordinator,
        (rows, count): (Option<RowSelection>, usize),
    ) -> Result<Vec<Answer>, NetworkError> {
        self.step += 1;
        let request = request(self.step);
        debug!(step = self.step, kind = request.kind(), "request");
        for index in 0..self.peers.len() {
            self.send(index, request.clone(), (rows, count))?;
        }
        let (step, limit_s) = (self.step, self.limit_s);
        // As they come, so that one that fails ends the step while another still works.
        let answering = self.peers.iter_mut().enumerate().map(|(index, peer)| async move {
            let (bytes, answer) = peer.receive(step, limit_s).await?;
            Ok::<_, NetworkError>((index, bytes, answer))
        });
        let answering: FuturesUnordered<_> = answering.collect();
        let mut answers: Vec<_> = self.driver.wait(answering.try_collect())?;
        answers.sort_unstable_by_key(|(index, ..)| *index);
        answers.iter().for_each(|(_, bytes, _)| self.traffic.up(*bytes, rows));
        Ok(answers.into_iter().map(|(.., answer)| answer).collect())
    }

    fn send(
        &mut self,
        index: usize,
        message: FromCoordinator,
        (rows, count): (Option<RowSelection>, usize),
    ) -> Result<(), NetworkError> {
        let peer = &mut self.peers[index];
        peer.session.requested(&message, count);
        let training = matches!(rows, Some(RowSelection::Batch { .. }));
        let message: CoordinatorMessage = message.into();
        self.traffic.down(prost::Message::encoded_len(&message), training);
        // The queue is full only while the network takes nothing.
        let sending = peer.outbound.send(Ok(message));
        let limit = Duration::from_secs(self.limit_s);
        let sent = self.driver.wait(async { tokio::time::timeout(limit, sending).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(peer.lost(self.step, "its stream broke")),
            Err(_) => {
                let party = peer.session.party().clone();
                Err(NetworkError::Wait { step: self.step, party, limit_s: self.limit_s })
            }
        }
    }

    /// Begins the run at every party, without the records `excluded`; `plan` is without them already.
    pub fn begin(&mut self, excluded: &ExcludedRecords, plan: Plan) -> Result<(), NetworkError> {
        self.plan = plan;
        for index in 0..self.peers.len() {
            self.send(index, FromCoordinator::Begin { excluded: excluded.clone() }, (None, 0))?;
        }
        Ok(())
    }

    /// The head of the transcript's chain so far, where there is one.
    pub fn transcript_head(&self) -> Option<Digest> {
        self.transcript.as_ref().map(Transcript::head)
    }

    /// Ends the run at every party with its model kept.
    pub fn finish(&mut self) -> Result<(), NetworkError> {
        self.ask(|step| FromCoordinator::Finish { step }, (None, 0))?;
        self.transcript.take().map_or(Ok(()), Transcript::finish)?;
        self.label_ledger.settle().map_err(LedgerError::from)?;
        Ok(())
    }

    /// Tells every party that is still there why the run ends, so that nobody waits.
    pub fn give_up(mut self, why: &str) {
        // What is not given back counts.
        let _ = self.label_ledger.settle();
        let text = format!("the run has ended: {why}");
        let telling = async {
            for Peer { outbound, mut inbound, .. } in self.peers {
                let told = outbound.send(Ok(FromCoordinator::Refused { text: text.clone() }.into()));
                let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
                drop(outbound);
                // Until the party has gone, or for a moment: the message must leave before the process does.
                let going = async { while let Ok(Some(_)) = inbound.message().await {} };
                let _ = tokio::time::timeout(Duration::from_secs(2), going).await;
            }
        };
        self.driver.wait(telling);
    }
}

/// The codes of answers to a request for codes: the sessions let nothing else through.
fn codes(answers: Vec<Answer>) -> Vec<PackedCodes> {
    let codes = |answer| match answer {
        Answer::Codes(codes) => Some(codes),
        Answer::Done | Answer::Frozen(_) => None,
    };
    answers.into_iter().filter_map(codes).collect()
}

impl PartyBackend for NetworkedParties<'_> {
    type Embedding = PackedCodes;
    type Error = NetworkError;

    fn encode(&mut self, rows: RowSelection, count: usize) -> Result<Vec<PackedCodes>, NetworkError> {
        let answers = self.ask(|step| FromCoordinator::Encode { step, rows }, (Some(rows), count))?;
        let codes = codes(answers);
        // Unwrap safety: the training loop asks for rows of the same plan.
        let numbers = self.plan.rows(rows).expect("rows of the plan");
        if let Some(transcript) = &mut self.transcript {
            transcript.codes((self.step, RecordedKind::of(rows)), &numbers, &self.parties, &codes)?;
        }
        if matches!(rows, RowSelection::Batch { .. }) {
            self.traffic.training_records += (count * codes.len()) as u64;
            self.batch = numbers;
        }
        Ok(codes)
    }

    fn encode_synthetic(&mut self, chunk: u32) -> Result<Vec<PackedCodes>, NetworkError> {
        let answers =
            self.ask(|step| FromCoordinator::EncodeSynthetic { step, chunk }, (None, CHUNK_ROWS))?;
        Ok(codes(answers))
    }

    fn learn(&mut self, gradients: Vec<Gradient>) -> Result<(), NetworkError> {
        let step = self.step;
        self.label_ledger.count(&self.batch, self.plan.part(Part::CohortTrain))?;
        let batch = RowSelection::Batch { epoch: 0, batch: 0 };
        for (index, gradient) in gradients.into_iter().enumerate() {
            self.send(index, FromCoordinator::Gradient { step, gradient }, (Some(batch), 0))?;
            self.driver.flush();
        }
        Ok(())
    }

    fn checkpoint(&mut self, label: CheckpointLabel) -> Result<(), NetworkError> {
        self.ask(|step| FromCoordinator::Checkpoint { step, label }, (None, 0)).map(drop)
    }

    fn restore(&mut self, label: CheckpointLabel) -> Result<(), NetworkError> {
        self.ask(|step| FromCoordinator::Restore { step, label }, (None, 0)).map(drop)
    }

    fn freeze(&mut self) -> Result<Vec<Digest>, NetworkError> {
        let answers = self.ask(|step| FromCoordinator::Freeze { step }, (None, 0))?;
        let digest = |answer| match answer {
            Answer::Frozen(digest) => Some(digest),
            Answer::Done | Answer::Codes(_) => None,
        };
        Ok(answers.into_iter().filter_map(digest).collect())
    }
}
