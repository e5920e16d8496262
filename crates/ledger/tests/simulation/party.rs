//! A party: the state machine, the ledger and the log of answers are the real ones; its bottom model is a digest, and what it
//! does with them in which order is that of `party::training`.

use std::path::PathBuf;

use hashvfl_core::protocol::exchange::Exchange;
use hashvfl_core::protocol::message::{
    Answer, CheckpointId, Command, Confirmation, FromCoordinator, FromParty,
};
use hashvfl_core::protocol::party::{EncodeWork, PartySession, SavedPlace, TrainingWork};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::{Digest, ExcludedRecords, PackedCodes, Part, Plan, RunSettings, TableIds};
use hashvfl_ledger::{
    AnswerLog, Cost, EncoderIdentity, Flow, FlowKind, Ledger, LedgerOptions, Policy, RedbStore,
    ReleaseDigest, RowBlock,
};

use crate::Fault;
use crate::disk::Disk;
use crate::observer::Observer;

pub const BITS: usize = 4;
/// Passes that are reserved at once.
pub const PASSES_AHEAD: u32 = 2;

/// A checkpoint on disk.
#[derive(Clone)]
struct Saved {
    id: CheckpointId,
    step: u64,
    place: SavedPlace,
    weights: Digest,
}

/// What outlives a party's processes.
pub struct PartyDisk {
    pub ledger: Disk,
    answers: PathBuf,
    /// Bytes of the log of answers that were forced to the disk.
    synced: u64,
    checkpoints: Vec<Saved>,
    best: Option<Digest>,
    /// A model that is written and waits for the coordinator's word.
    pub pending: Option<Digest>,
    /// One that counts.
    pub model: Option<Digest>,
}

impl PartyDisk {
    pub fn new(answers: PathBuf, never_syncs: bool) -> Self {
        let disk = Disk::new(never_syncs);
        drop(RedbStore::on(disk.clone(), [7; 32]).unwrap());
        let (checkpoints, best, pending, model) = (Vec::new(), None, None, None);
        Self { ledger: disk, answers, synced: 0, checkpoints, best, pending, model }
    }

    /// The last checkpoint cannot be read any more.
    pub fn lose_checkpoint(&mut self) {
        self.checkpoints.pop();
    }

    /// The log of answers may end anywhere behind what was forced to the disk.
    pub fn shorten_answers(&self, share: f32) {
        let Ok(file) = std::fs::OpenOptions::new().write(true).open(&self.answers) else { return };
        let length = file.metadata().unwrap().len();
        let lost = (length.saturating_sub(self.synced) as f32 * share) as u64;
        file.set_len(length - lost).unwrap();
    }
}

/// Codes that were sent and are not counted yet.
struct OutgoingCodes {
    rows: Vec<u32>,
    digests: Vec<ReleaseDigest>,
    encoder: EncoderIdentity,
}

/// A party's process.
pub struct Party {
    index: usize,
    settings: RunSettings,
    plan: Plan,
    ids: Vec<String>,
    session: PartySession,
    weights: Digest,
    frozen: bool,
    ledger: Ledger<RedbStore>,
    answers: AnswerLog,
    outgoing: Option<OutgoingCodes>,
    /// Codes that leave when the answer is written down.
    leaving: Vec<(u32, EncoderIdentity, Vec<u8>)>,
    pub exchange: Exchange<FromParty>,
    fault: Option<Fault>,
}

/// Names the run, and the weights that it begins with.
fn beginning(index: usize) -> Digest {
    Digest::of_parts([b"party".as_slice(), &[index as u8]])
}

/// What a process says of why it has died or given up.
pub type Failure = String;

fn failed(error: impl ToString) -> Failure {
    error.to_string()
}

impl Party {
    pub fn start(
        index: usize,
        disk: &mut PartyDisk,
        settings: &RunSettings,
        plan: &Plan,
        fault: Option<Fault>,
    ) -> Result<Self, Failure> {
        let ids: Vec<String> = (0..plan.records()).map(|record| format!("r{record}")).collect();
        let policy = Policy::default();
        let terms = LedgerOptions {
            policy,
            flows: vec![(Flow::new("run", FlowKind::Codes), Cost { bits: BITS as u32, epsilon: None })],
        };
        let store = RedbStore::on(disk.ledger.clone(), [7; 32]).map_err(failed)?;
        let table = TableIds { ids: &ids, key_columns: 1 };
        let ledger = Ledger::open(store, table, &[], terms).map_err(failed)?;
        let answers = AnswerLog::open(&disk.answers, &beginning(index)).map_err(failed)?;
        if fault == Some(Fault::ForgetsWhatIsPending) {
            disk.pending = None;
        }
        if fault == Some(Fault::DecidesAlone) && disk.pending.is_some() {
            disk.model = disk.pending.take();
        }
        let session = PartySession::new(
            settings.clone(),
            settings.code_of(&settings.parties[0]),
            plan.clone(),
            ExcludedRecords::default(),
        );
        Ok(Self {
            index,
            settings: settings.clone(),
            plan: plan.clone(),
            ids,
            session,
            weights: beginning(index),
            frozen: false,
            ledger,
            answers,
            outgoing: None,
            leaving: Vec::new(),
            exchange: Exchange::new(),
            fault,
        })
    }

    /// Which party it is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Carries out a message; its answer.
    pub fn receive(
        &mut self,
        message: FromCoordinator,
        disk: &mut PartyDisk,
        observer: &mut Observer,
    ) -> Result<Option<FromParty>, Failure> {
        let work = self.session.receive(message).map_err(failed)?;
        let (step, answer) = match work {
            TrainingWork::SendRecords(salt) => {
                let digest = RecordsDigest::of(&salt, self.ids.iter().map(String::as_str));
                let checkpoints = disk.checkpoints.iter().map(|saved| saved.id).collect();
                let excluded = ExcludedRecords::default();
                return Ok(Some(FromParty::Records { digest, excluded, head: None, checkpoints }));
            }
            TrainingWork::Joined => return Ok(None),
            TrainingWork::Begin { resume, .. } => {
                self.go_on_from(resume, disk)?;
                return Ok(None);
            }
            TrainingWork::Learn { gradient } => {
                self.count()?;
                self.weights = Digest::of_parts([self.weights.0.as_slice(), &gradient.to_bytes()]);
                return Ok(None);
            }
            TrainingWork::Save(id) => {
                self.save(id, disk)?;
                return Ok(Some(FromParty::Saved(id)));
            }
            TrainingWork::Commit => {
                disk.model = Some(disk.pending.take().ok_or("no model is written")?);
                disk.checkpoints.clear();
                return Ok(Some(FromParty::Committed));
            }
            TrainingWork::Encode(work) => (work.step, self.encode(&work)?),
            TrainingWork::Command { step, command: Command::Checkpoint(_) } => {
                disk.best = Some(self.weights);
                (step, Confirmation::Checkpointed.into())
            }
            TrainingWork::Command { step, command: Command::Restore(_) } => {
                self.weights = disk.best.ok_or("no checkpoint is written")?;
                (step, Confirmation::Restored.into())
            }
            TrainingWork::Freeze { step } => {
                self.frozen = true;
                (step, Answer::Frozen(self.weights))
            }
            TrainingWork::Finish { step } => {
                self.count()?;
                disk.pending = Some(self.weights);
                (step, Confirmation::Finished.into())
            }
            // Synthetic inputs, calibration, heads of audit logs.
            _ => return Err("nobody asks for that here".into()),
        };
        let text = format!("{answer:?}");
        self.answers.say(step, &Digest::of(text.as_bytes())).map_err(failed)?;
        observer.said(self.index, step, text);
        for (row, encoder, code) in self.leaving.drain(..) {
            observer.sent(self.index, row, &encoder, code);
        }
        Ok(Some(FromParty::Answer(step, answer)))
    }

    fn go_on_from(&mut self, resume: Option<CheckpointId>, disk: &mut PartyDisk) -> Result<(), Failure> {
        if self.answers.has(1) {
            self.ledger.resume("run").map_err(failed)?;
        }
        disk.pending = None;
        let Some(id) = resume else {
            disk.checkpoints.clear();
            return Ok(());
        };
        let found = match self.fault {
            Some(Fault::GoesOnFromAnOlderCheckpoint) => disk.checkpoints.first(),
            _ => disk.checkpoints.iter().find(|saved| saved.id == id),
        };
        let found = found.ok_or("that checkpoint was not offered")?.clone();
        disk.checkpoints.retain(|saved| saved.step <= found.step);
        self.session.go_on_from(&found.place).map_err(failed)?;
        self.weights = found.weights;
        Ok(())
    }

    fn save(&mut self, id: CheckpointId, disk: &mut PartyDisk) -> Result<(), Failure> {
        self.count()?;
        self.answers.sync().map_err(failed)?;
        disk.synced = std::fs::metadata(&disk.answers).map_err(failed)?.len();
        let (step, place) = (self.session.step(), self.session.place());
        disk.checkpoints.push(Saved { id, step, place, weights: self.weights });
        if disk.checkpoints.len() > 2 {
            disk.checkpoints.remove(0);
        }
        Ok(())
    }

    fn encode(&mut self, work: &EncodeWork) -> Result<Answer, Failure> {
        self.count()?;
        let charged = self.answers.has(work.step) && self.fault != Some(Fault::ChargesAgain);
        let encoder = EncoderIdentity { digest: self.weights, frozen: self.frozen };
        let charges_late = self.fault == Some(Fault::ChargesAfterSending);
        if !charged && !charges_late {
            let passes = match work.part {
                Part::CohortTrain | Part::CohortValidation => PASSES_AHEAD.min(self.settings.epochs),
                _ => 1,
            };
            let block = RowBlock { rows: self.plan.part(work.part), passes };
            self.ledger.reserve(&work.rows, block, &encoder).map_err(failed)?;
        }
        let mut rows = work.rows.clone();
        if self.fault == Some(Fault::SwapsRowsAfterARestart) && self.answers.has(1) {
            rows.reverse();
        }
        let mut values = Vec::with_capacity(rows.len() * BITS);
        for row in &rows {
            let hash = Digest::of_parts([self.weights.0.as_slice(), &row.to_le_bytes()]);
            values.extend(hash.0[..BITS].iter().map(|byte| if byte % 2 == 0 { 1.0 } else { -1.0 }));
        }
        let codes = PackedCodes::pack(&values, BITS).map_err(failed)?;
        let digest = |row| ReleaseDigest::of(&encoder, &codes.row_bytes(row));
        let digests = (0..codes.rows()).map(digest).collect();
        let outgoing = OutgoingCodes { rows: work.rows.clone(), digests, encoder };
        let code = |(at, row): (usize, &u32)| (*row, encoder, codes.row_bytes(at));
        self.leaving = work.rows.iter().enumerate().map(code).collect();
        if !charged {
            self.outgoing = Some(outgoing);
            if !charges_late && !self.ledger.is_reserved(&work.rows) {
                self.count()?;
            }
        }
        Ok(Answer::Codes(codes.into_bytes()))
    }

    /// Counts what was sent.
    fn count(&mut self) -> Result<(), Failure> {
        let Some(OutgoingCodes { rows, digests, encoder }) = self.outgoing.take() else { return Ok(()) };
        self.ledger.release(&rows, &encoder, &digests).map_err(failed)
    }

    /// Ends in order.
    pub fn settle(&mut self) -> Result<(), Failure> {
        if self.fault != Some(Fault::SettlesBeforeCounting) {
            self.count()?;
        }
        self.ledger.settle().map_err(failed)
    }
}
