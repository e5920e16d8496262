//! The coordinator: its half of the protocol is the real one; its top model is a digest of all that it has heard.

use hashvfl_core::protocol::coordinator::{PeerAnswer, PeerSession};
use hashvfl_core::protocol::exchange::Exchange;
use hashvfl_core::protocol::message::{
    CheckpointId, CheckpointLabel, Command, FromCoordinator, FromParty, Request,
};
use hashvfl_core::{Digest, Gradient, Part, PartyName, Plan, RowSelection, RunSettings};

use crate::Fault;
use crate::party::{BITS, Failure};

/// A checkpoint on disk.
#[derive(Clone)]
struct Saved {
    id: CheckpointId,
    position: usize,
    step: u64,
    top: Digest,
}

/// What outlives the coordinator's processes.
#[derive(Default)]
pub struct CoordinatorDisk {
    checkpoints: Vec<Saved>,
    /// The top model of a run that it has decided to have finished.
    pub decided: Option<Digest>,
    /// Checkpoints so far, over all processes: their names.
    named: u8,
}

impl CoordinatorDisk {
    /// The latest checkpoint that all have.
    pub fn common(&self, offered: &[Vec<CheckpointId>], fault: Option<Fault>) -> Option<CheckpointId> {
        let all_have = |id: &CheckpointId| {
            fault == Some(Fault::GoesOnFromItsOwnCheckpoint) || offered.iter().all(|ids| ids.contains(id))
        };
        self.checkpoints.iter().rev().map(|saved| saved.id).find(all_have)
    }
}

/// What it waits for.
enum Waiting {
    Answers(Vec<Option<PeerAnswer>>),
    Saved(CheckpointId, Vec<bool>),
    Committed(Vec<bool>),
}

/// The coordinator's process in a run.
pub struct Coordinator {
    peers: Vec<PeerSession>,
    pub exchanges: Vec<Exchange<FromCoordinator>>,
    script: Vec<(Request, usize)>,
    position: usize,
    step: u64,
    top: Digest,
    waiting: Waiting,
    /// The batches that were behind the last checkpoint.
    saved_behind: usize,
    fault: Option<Fault>,
}

/// All requests of a run, with the number of codes that each asks for.
fn script(settings: &RunSettings, plan: &Plan) -> Vec<(Request, usize)> {
    let mut plan = plan.clone();
    let mut script = Vec::new();
    let mut encode = |rows: RowSelection, script: &mut Vec<_>| {
        script.push((Request::Encode(rows), plan.rows(rows).unwrap().len()));
    };
    let batches = Plan::new(settings, RECORDS).unwrap().batches();
    for epoch in 0..settings.epochs {
        (0..batches).for_each(|batch| encode(RowSelection::Batch { epoch, batch }, &mut script));
        encode(RowSelection::Chunk { part: Part::CohortValidation, chunk: 0 }, &mut script);
        if epoch + 1 < settings.epochs {
            script.push((Command::Checkpoint(CheckpointLabel::Best).into(), 0));
        }
    }
    script.push((Command::Restore(CheckpointLabel::Best).into(), 0));
    script.push((Request::Freeze, 0));
    encode(RowSelection::Chunk { part: Part::Test, chunk: 0 }, &mut script);
    script.push((Request::Finish, 0));
    script
}

pub const RECORDS: usize = 40;

/// Messages to all parties.
pub type ToAll = Vec<Vec<FromCoordinator>>;

impl Coordinator {
    /// Begins the run at all parties, from that checkpoint or from its beginning.
    pub fn begin(
        settings: &RunSettings,
        plan: &Plan,
        resume: Option<CheckpointId>,
        disk: &mut CoordinatorDisk,
        fault: Option<Fault>,
    ) -> (Self, ToAll) {
        let names: Vec<PartyName> = settings.parties.clone();
        let count = names.len();
        let (mut position, mut step, mut top) = (0, 0, Digest::of(b"coordinator"));
        match resume.and_then(|id| disk.checkpoints.iter().find(|saved| saved.id == id).cloned()) {
            Some(saved) => {
                (position, step, top) = (saved.position, saved.step, saved.top);
                disk.checkpoints.retain(|other| other.step <= saved.step);
            }
            None => disk.checkpoints.clear(),
        }
        let mut coordinator = Self {
            peers: names.into_iter().map(|name| PeerSession::new(name, BITS)).collect(),
            exchanges: vec![Exchange::new(); count],
            script: script(settings, plan),
            position,
            step,
            top,
            waiting: Waiting::Answers(vec![None; count]),
            saved_behind: 0,
            fault,
        };
        coordinator.saved_behind = coordinator.batches();
        let begin = FromCoordinator::Begin { excluded: Default::default(), heads: Vec::new(), resume };
        let mut messages = vec![vec![begin]; count];
        coordinator.ask(&mut messages);
        (coordinator, messages)
    }

    /// Batches so far.
    fn batches(&self) -> usize {
        let is_batch =
            |(request, _): &&(Request, usize)| matches!(request, Request::Encode(RowSelection::Batch { .. }));
        self.script[..self.position].iter().filter(is_batch).count()
    }

    /// Whether all have said that their models count.
    pub fn all_committed(&self) -> bool {
        matches!(&self.waiting, Waiting::Committed(committed) if committed.iter().all(|committed| *committed))
    }

    /// The next request to all.
    fn ask(&mut self, messages: &mut ToAll) {
        let (request, count) = self.script[self.position];
        self.step += 1;
        self.waiting = Waiting::Answers(vec![None; self.peers.len()]);
        for (peer, messages) in self.peers.iter_mut().zip(messages) {
            peer.requested(self.step, &request, count);
            messages.push(FromCoordinator::Request(self.step, request));
        }
    }

    /// Takes a party's message; what all hear next, once all have answered. `saves`: whether it is time for a checkpoint.
    pub fn receive(
        &mut self,
        party: usize,
        message: FromParty,
        disk: &mut CoordinatorDisk,
        saves: bool,
    ) -> Result<ToAll, Failure> {
        let mut messages = vec![Vec::new(); self.peers.len()];
        match &mut self.waiting {
            Waiting::Answers(answers) => {
                let answer = self.peers[party].receive(message).map_err(|error| error.to_string())?;
                answers[party] = Some(answer);
                let decides_early = self.fault == Some(Fault::DecidesEarly)
                    && matches!(self.script[self.position].0, Request::Finish);
                if decides_early || answers.iter().all(Option::is_some) {
                    let answers = answers.iter().flatten().cloned().collect();
                    self.answered(answers, &mut messages, disk, saves);
                }
            }
            Waiting::Saved(id, saved) => {
                let id = *id;
                self.peers[party].receive_saved(id, message).map_err(|error| error.to_string())?;
                saved[party] = true;
                if saved.iter().all(|saved| *saved) {
                    let (position, step, top) = (self.position, self.step, self.top);
                    disk.checkpoints.push(Saved { id, position, step, top });
                    if disk.checkpoints.len() > 2 {
                        disk.checkpoints.remove(0);
                    }
                    self.ask(&mut messages);
                }
            }
            Waiting::Committed(committed) => match message {
                FromParty::Committed => committed[party] = true,
                // Where it decided before all had answered.
                other => return Err(format!("{} after the decision", other.kind())),
            },
        }
        Ok(messages)
    }

    fn answered(
        &mut self,
        answers: Vec<PeerAnswer>,
        messages: &mut ToAll,
        disk: &mut CoordinatorDisk,
        saves: bool,
    ) {
        let (request, rows) = self.script[self.position];
        let text = format!("{answers:?}");
        self.top = Digest::of_parts([self.top.0.as_slice(), text.as_bytes()]);
        let is_batch = matches!(request, Request::Encode(RowSelection::Batch { .. }));
        if is_batch {
            for (party, messages) in messages.iter_mut().enumerate() {
                let hash = Digest::of_parts([self.top.0.as_slice(), &[party as u8]]);
                let values = (0..rows * BITS).map(|at| f32::from(hash.0[at % 32]) / 256.0 - 0.5).collect();
                messages.push(FromCoordinator::Gradient { step: self.step, gradient: Gradient::F32(values) });
            }
        }
        self.position += 1;
        if self.position == self.script.len() {
            disk.decided = Some(self.top);
            self.waiting = Waiting::Committed(vec![false; self.peers.len()]);
            messages.iter_mut().for_each(|messages| messages.push(FromCoordinator::Commit));
            return;
        }
        let batches = self.batches();
        let may_save = is_batch
            || matches!(request, Request::Encode(RowSelection::Chunk { part: Part::CohortValidation, .. }));
        if saves && may_save && self.saved_behind != batches {
            self.saved_behind = batches;
            disk.named += 1;
            let id = CheckpointId([disk.named; CheckpointId::BYTES]);
            self.waiting = Waiting::Saved(id, vec![false; self.peers.len()]);
            messages.iter_mut().for_each(|messages| messages.push(FromCoordinator::Save(id)));
            return;
        }
        self.ask(messages);
    }
}
