//! A party's side of the protocol as a pure state machine: messages in, work out.
//!
//! ```text
//!            Welcome           Accepted           Begin         Encode(batch)
//!  Greeting ---------> Joining ----------> Waiting -----> Ready ---------------> AwaitingGradient
//!                                                          ^ |  <-------------------  Gradient
//!                                 Encode(chunk), Checkpoint| |
//!                   Freeze, EncodeSynthetic, Calibrate +-+  Restore            Freeze
//!                                                            |\---------> Restored --------> Ready, frozen
//!                                                            |   Finish
//!                                                            \----------> InDoubt ---------> Done ---> Left
//!                                                                                 Commit        Heads
//! ```
//!
//! These rules bind even a malicious coordinator:
//!
//! - Steps count up by one.
//! - Batches come from the plan, and only while the bottom model learns. Each batch of an epoch is encoded once, in order.
//! - The cohort's validation records are encoded at most once per epoch, after all of its batches, and only while the
//!   bottom model learns. All other records are encoded at most once, and only by a frozen bottom model, which nothing
//!   changes any more.
//! - A checkpoint is written at most once per epoch, when its validation records have been encoded, and a restore goes
//!   back to one that was written.
//! - The bottom model is frozen after a whole epoch, and the run finishes after that: no untrained model is kept.
//! - What the party's own detectors say of calibration records is asked for at most once, after the freeze.
//! - The bottom model goes back to a checkpoint at most once, and is frozen next: no state of it is held over batches.
//! - Where the run is, is saved at most once behind each batch. What a run that goes on from there asks for once more is
//!   answered as before, or not at all: that is kept by the party's log of answers, not here.
//! - Where the run goes on without records that a policy refuses, no request is about those that this party has named.
//!
//! So the number of bits that leave about each record is known before the run.

use std::collections::BTreeMap;

use crate::codes::form::CodeForm;
use crate::gradient::Gradient;
use crate::protocol::message::{
    AuditHead, CheckpointId, Command, FromCoordinator, Request, RequestPhase, RequestRule,
};
use crate::records::SALT_BYTES;
use crate::records::excluded::ExcludedRecords;
use crate::records::plan::{Part, Plan, RowSelection};
use crate::settings::{OnRefusal, RunSettings};

pub use crate::protocol::party_error::PartyError;
pub use place::SavedPlace;

#[path = "party_place.rs"]
mod place;

/// What the party has to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainingWork {
    /// Send count and digest of the records under this salt.
    SendRecords([u8; SALT_BYTES]),
    /// Nothing: the party is in.
    Joined,
    /// The run begins: take the session's plan, which is now without the excluded records.
    Begin {
        /// How many records the run goes on without.
        excluded: usize,
        /// The heads of audit logs.
        heads: Vec<AuditHead>,
        /// The checkpoint to go on from: load it, and give its place to [`PartySession::go_on_from`].
        resume: Option<CheckpointId>,
    },
    /// Encode rows and send the codes.
    Encode(EncodeWork),
    /// Encode synthetic inputs and send the codes.
    EncodeSynthetic {
        /// The step.
        step: u64,
        /// The chunk of them.
        chunk: u32,
    },
    /// Fit the party's own detectors, and send what they say of the records that calibrate where that is to be sent.
    Calibrate {
        /// The step.
        step: u64,
    },
    /// Learn from the gradient of the last batch's codes; no answer.
    Learn {
        /// Of [rows, latents], checked.
        gradient: Gradient,
    },
    /// Carry a command out and confirm.
    Command {
        /// The step.
        step: u64,
        /// The command.
        command: Command,
    },
    /// Write down all that is needed to go on from here, and say so. It is no step.
    Save(CheckpointId),
    /// Freeze the encoder and confirm with its digest.
    Freeze {
        /// The step.
        step: u64,
    },
    /// Write the model and confirm; what it is called says that it does not count yet.
    Finish {
        /// The step.
        step: u64,
    },
    /// The model counts: give it its name.
    Commit,
    /// Keep the heads of audit logs after the run; nothing follows.
    KeepHeads {
        /// The heads.
        heads: Vec<AuditHead>,
    },
}

/// Records to encode.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodeWork {
    /// The step.
    pub step: u64,
    /// What was asked for.
    pub selection: RowSelection,
    /// Its rows, in order.
    pub rows: Vec<u32>,
    /// The part of the records that they belong to: such requests go through all of it, chunk by chunk.
    pub part: Part,
    /// Whether a gradient will follow: batch statistics then, running ones otherwise.
    pub learn: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Greeting,
    Joining,
    Waiting,
    Ready,
    AwaitingGradient {
        rows: usize,
    },
    /// Back at a checkpoint: only the freeze may follow.
    Restored,
    /// The model is written, and nobody has said that all others have written theirs.
    InDoubt,
    Done,
    Left,
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Joining => "waiting to be accepted",
            Self::Waiting => "waiting for the run to begin",
            Self::Ready => "waiting for a request",
            Self::AwaitingGradient { .. } => "waiting for a gradient",
            Self::Restored => "waiting for the freeze (nothing else may follow a restore)",
            Self::InDoubt => "waiting to hear that all have written their models",
            Self::Done => "finished",
            Self::Left => "gone",
        }
    }
}

/// A party's place in the protocol.
#[derive(Debug, Clone)]
pub struct PartySession {
    settings: RunSettings,
    form: CodeForm,
    plan: Plan,
    excluded: ExcludedRecords,
    state: State,
    step: u64,
    next_batch: (u32, u32),
    next_chunk: BTreeMap<Part, u32>,
    next_synthetic: u32,
    /// The last epoch (from 0) after which a checkpoint was written.
    checkpoint: Option<u32>,
    /// The batch that was next when the run was saved last.
    saved: Option<(u32, u32)>,
    frozen: bool,
    calibrated: bool,
}

impl PartySession {
    /// A party with codes of `form` that is about to send its `Hello`, and whose policy does not allow the run for the
    /// records `excluded`.
    pub fn new(settings: RunSettings, form: CodeForm, plan: Plan, excluded: ExcludedRecords) -> Self {
        let (next_batch, next_chunk) = ((0, 0), BTreeMap::new());
        Self {
            settings,
            form,
            plan,
            excluded,
            state: State::Greeting,
            step: 0,
            next_batch,
            next_chunk,
            next_synthetic: 0,
            checkpoint: None,
            saved: None,
            frozen: false,
            calibrated: false,
        }
    }

    /// The same party before its `Hello`, where the run has not begun: a handshake is tried once more.
    pub fn anew(&self) -> Self {
        Self::new(self.settings.clone(), self.form, self.plan.clone(), self.excluded.clone())
    }

    /// Whether the coordinator has let this party in.
    pub fn is_accepted(&self) -> bool {
        !matches!(self.state, State::Greeting | State::Joining)
    }

    /// The last step that was requested.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Whether the batch just asked for is the first of its epoch.
    pub fn starts_epoch(&self) -> bool {
        // The next batch is known already: the second of this epoch, or the first of the next if there is one.
        let batches = self.plan.batches();
        self.next_batch.1 == 1 || (batches == 1 && self.next_batch.1 == 0)
    }

    /// Before the run begins, the records that this party's policy refuses; after that, those that the run goes on without.
    pub fn excluded(&self) -> &ExcludedRecords {
        &self.excluded
    }

    /// The run's plan; without records that are left out, once it has begun.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What `message` asks for.
    ///
    /// # Errors
    /// If the protocol does not allow the message now. The session must not be used again then.
    pub fn receive(&mut self, message: FromCoordinator) -> Result<TrainingWork, PartyError> {
        let unexpected = PartyError::Unexpected { found: message.kind(), state: self.state.name() };
        match (&self.state, message) {
            (_, FromCoordinator::Refused { text, try_again: false }) => Err(PartyError::Refused(text)),
            (State::Greeting | State::Joining, FromCoordinator::Refused { text, .. }) => {
                Err(PartyError::TryAgain(text))
            }
            (_, FromCoordinator::Refused { text, .. }) => Err(PartyError::Interrupted(text)),
            (State::Greeting, FromCoordinator::Welcome { salt }) => {
                self.state = State::Joining;
                Ok(TrainingWork::SendRecords(salt))
            }
            (State::Joining, FromCoordinator::Accepted { .. }) => {
                self.state = State::Waiting;
                Ok(TrainingWork::Joined)
            }
            (State::Waiting, FromCoordinator::Begin { excluded, heads, resume }) => {
                self.begin(&excluded)?;
                Ok(TrainingWork::Begin { excluded: excluded.count(), heads, resume })
            }
            (State::InDoubt | State::Joining, FromCoordinator::Commit) => {
                self.state = State::Done;
                Ok(TrainingWork::Commit)
            }
            (State::Done, FromCoordinator::Heads { heads }) => {
                self.state = State::Left;
                Ok(TrainingWork::KeepHeads { heads })
            }
            (State::AwaitingGradient { rows }, FromCoordinator::Gradient { step, gradient }) => {
                let rows = *rows;
                self.learn(rows, step, gradient)
            }
            (State::Ready, FromCoordinator::Request(step, request)) => self.request(step, request),
            (State::Ready, FromCoordinator::Save(id)) => self.save(id),
            (State::Restored, FromCoordinator::Request(step, request @ Request::Freeze)) => {
                self.request(step, request)
            }
            _ => Err(unexpected),
        }
    }

    fn learn(&mut self, rows: usize, step: u64, gradient: Gradient) -> Result<TrainingWork, PartyError> {
        if step != self.step {
            return Err(PartyError::Step { kind: "Gradient", found: step, expected: self.step });
        }
        gradient
            .check(rows, self.form.latents(), self.settings.gradient)
            .map_err(|source| PartyError::Gradient { step, source })?;
        self.state = State::Ready;
        Ok(TrainingWork::Learn { gradient })
    }

    /// Where the run is, is saved while the bottom model learns, behind a batch that was not saved yet.
    fn save(&mut self, id: CheckpointId) -> Result<TrainingWork, PartyError> {
        if self.frozen || self.next_batch == (0, 0) || self.saved == Some(self.next_batch) {
            return Err(forbidden("save where the run is", "once after each batch, before the freeze"));
        }
        self.saved = Some(self.next_batch);
        Ok(TrainingWork::Save(id))
    }

    fn request(&mut self, step: u64, request: Request) -> Result<TrainingWork, PartyError> {
        let expected = self.step + 1;
        if step != expected {
            return Err(PartyError::Step { kind: request.kind(), found: step, expected });
        }
        self.step = step;
        self.check_phase(request.rule())?;
        match request {
            Request::Encode(selection) => self.encode(step, selection),
            Request::EncodeSynthetic { chunk } => self.encode_synthetic(step, chunk),
            Request::Calibrate => self.calibrate(step),
            Request::Command(command) => {
                self.check_command(command)?;
                Ok(TrainingWork::Command { step, command })
            }
            Request::Freeze => {
                if self.whole_epochs().is_none() {
                    return Err(forbidden("freeze", "after a whole epoch"));
                }
                self.frozen = true;
                self.state = State::Ready;
                Ok(TrainingWork::Freeze { step })
            }
            Request::Finish => {
                self.state = State::InDoubt;
                Ok(TrainingWork::Finish { step })
            }
        }
    }

    fn check_phase(&self, rule: RequestRule) -> Result<(), PartyError> {
        let when = match (rule.phase, self.frozen) {
            (RequestPhase::BeforeFreeze, true) => "before the freeze",
            (RequestPhase::AfterFreeze, false) => "after the freeze",
            (RequestPhase::BeforeFreeze | RequestPhase::AfterFreeze | RequestPhase::Any, _) => return Ok(()),
        };
        Err(PartyError::Forbidden { what: rule.what, when })
    }

    /// How many epochs are whole, where at least one is and none has begun since.
    fn whole_epochs(&self) -> Option<u32> {
        let (epochs, batch) = self.next_batch;
        (epochs > 0 && batch == 0).then_some(epochs)
    }

    /// A checkpoint follows an epoch's validation, once; a restore needs one that was written.
    fn check_command(&mut self, command: Command) -> Result<(), PartyError> {
        if matches!(command, Command::Checkpoint(_)) {
            let what = "write a checkpoint";
            let chunks = self.plan.chunks(Part::CohortValidation);
            let validated = self.next_chunk.get(&Part::CohortValidation) == Some(&chunks);
            let Some(epochs) = self.whole_epochs().filter(|_| validated) else {
                return Err(forbidden(what, "after an epoch's validation"));
            };
            if self.checkpoint == Some(epochs - 1) {
                return Err(forbidden(what, "once per epoch"));
            }
            self.checkpoint = Some(epochs - 1);
        }
        if matches!(command, Command::Restore(_)) {
            if self.checkpoint.is_none() || self.whole_epochs().is_none() {
                return Err(forbidden(
                    "go back to a checkpoint",
                    "after a whole epoch, to one that was written",
                ));
            }
            self.state = State::Restored;
        }
        Ok(())
    }

    fn begin(&mut self, excluded: &ExcludedRecords) -> Result<(), PartyError> {
        excluded.check(self.plan.records())?;
        if self.settings.on_refusal == OnRefusal::End && !excluded.is_empty() {
            return Err(forbidden("exclude records", "with run.on_refusal = \"leave-out\""));
        }
        if !excluded.holds(&self.excluded) {
            return Err(forbidden("begin", "without the records that this party's policy refuses"));
        }
        self.plan = self.plan.clone().without(excluded).map_err(PartyError::TooFewLeft)?;
        self.excluded = excluded.clone();
        self.state = State::Ready;
        Ok(())
    }

    fn encode(&mut self, step: u64, selection: RowSelection) -> Result<TrainingWork, PartyError> {
        let (learn, part) = match selection {
            RowSelection::Batch { .. } if self.frozen => {
                return Err(forbidden("train", "before the freeze"));
            }
            RowSelection::Batch { epoch, batch } => {
                self.take_batch(epoch, batch)?;
                (true, Part::CohortTrain)
            }
            RowSelection::Chunk { part, chunk } => {
                self.check_part(part)?;
                self.take_chunk(part, chunk)?;
                (false, part)
            }
        };
        let rows = self.plan.rows(selection)?;
        if learn {
            self.state = State::AwaitingGradient { rows: rows.len() };
        }
        Ok(TrainingWork::Encode(EncodeWork { step, selection, rows, part, learn }))
    }

    /// Chunks of synthetic inputs go in order, each once.
    fn encode_synthetic(&mut self, step: u64, chunk: u32) -> Result<TrainingWork, PartyError> {
        let what = "encode synthetic inputs";
        if chunk >= self.plan.synthetic_chunks() {
            return Err(forbidden(what, "with run.calibration_fraction above 0, and so many chunks"));
        }
        if chunk != self.next_synthetic {
            return Err(forbidden(what, "chunk by chunk, each once"));
        }
        self.next_synthetic += 1;
        Ok(TrainingWork::EncodeSynthetic { step, chunk })
    }

    /// Calibration records are asked about once.
    fn calibrate(&mut self, step: u64) -> Result<TrainingWork, PartyError> {
        let what = Request::Calibrate.rule().what;
        if self.plan.part(Part::Calibration).is_empty() {
            return Err(forbidden(what, "with run.calibration_fraction above 0"));
        }
        if self.calibrated {
            return Err(forbidden(what, "once"));
        }
        self.calibrated = true;
        Ok(TrainingWork::Calibrate { step })
    }

    /// Batches go in order, each once. Nothing goes back to an epoch that early stopping has cut short.
    fn take_batch(&mut self, epoch: u32, batch: u32) -> Result<(), PartyError> {
        if (epoch, batch) != self.next_batch {
            return Err(PartyError::Order { epoch, batch });
        }
        // The bottom model changes now: validation records may be encoded again after this epoch.
        self.next_chunk.remove(&Part::CohortValidation);
        let last = batch + 1 == self.plan.batches();
        self.next_batch = if last { (epoch + 1, 0) } else { (epoch, batch + 1) };
        Ok(())
    }

    /// Chunks of a part go in order, each once; of the cohort's validation records, once per epoch.
    fn take_chunk(&mut self, part: Part, chunk: u32) -> Result<(), PartyError> {
        let next = self.next_chunk.entry(part).or_insert(0);
        if chunk != *next {
            return Err(PartyError::ChunkOrder { part, chunk });
        }
        *next += 1;
        Ok(())
    }

    fn check_part(&self, part: Part) -> Result<(), PartyError> {
        let (what, when) = match part {
            Part::CohortValidation if self.frozen => ("encode validation records", "before the freeze"),
            Part::CohortValidation if self.whole_epochs().is_none() => {
                ("encode validation records", "after a whole epoch")
            }
            Part::CohortValidation => return Ok(()),
            Part::Test if !self.frozen => ("encode test records", "after the freeze"),
            Part::Calibration if !self.frozen => ("encode calibration records", "after the freeze"),
            Part::Validation if !self.frozen => ("encode all validation records", "after the freeze"),
            // They are among the training records: both parts together would release each of them once too often.
            Part::CohortTrain => ("encode the cohort's training records", "in batches"),
            Part::Train if !self.frozen => ("encode training records as a whole", "after the freeze"),
            Part::Train | Part::Validation if !self.settings.refits() => {
                ("encode records as a whole", "with run.refit or a cohort below 1")
            }
            _ => return Ok(()),
        };
        Err(forbidden(what, when))
    }
}

fn forbidden(what: &'static str, when: &'static str) -> PartyError {
    PartyError::Forbidden { what, when }
}

#[cfg(test)]
#[path = "party_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "party_properties.rs"]
mod properties;
