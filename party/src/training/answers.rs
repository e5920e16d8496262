//! What this party says at each step of its run, by digest: said once more where the run goes back to a checkpoint, and
//! charged once.

use hashvfl_core::Digest;
use hashvfl_core::protocol::message::Answer;
use hashvfl_ledger::{AnswerLog, AnswerLogError};

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::state::StateFolder;
use crate::training::checkpoint::run_name;

/// The answers of a run.
pub struct RunAnswers {
    run: Digest,
    log: AnswerLog,
}

impl RunAnswers {
    /// Those of the run of `config` over the records of `prepared`, as they were loaded.
    ///
    /// # Errors
    /// If the state folder has those of another run, or they cannot be read.
    pub fn open(config: &PartyConfig, prepared: &Prepared, state: &StateFolder) -> anyhow::Result<Self> {
        let run = run_name(config, prepared)?;
        let log = AnswerLog::open(&state.answers(), &run)?;
        Ok(Self { run, log })
    }

    /// Names the run.
    pub fn run(&self) -> &Digest {
        &self.run
    }

    /// Whether anything was said before this process began.
    pub fn are_some(&self) -> bool {
        self.log.has(1)
    }

    /// Whether `step` was answered before this process began: its answer is charged.
    pub fn has(&self, step: u64) -> bool {
        self.log.has(step)
    }

    /// Forces what was written to the disk: before a checkpoint that is behind it.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn sync(&mut self) -> Result<(), AnswerLogError> {
        self.log.sync()
    }

    /// Writes `answer` down before it is sent.
    ///
    /// # Errors
    /// If another was given before: it must not be sent then.
    pub fn say(&mut self, step: u64, answer: &Answer) -> Result<(), AnswerLogError> {
        self.log.say(step, &digest(answer)).map(drop)
    }
}

fn digest(answer: &Answer) -> Digest {
    let kind = answer.kind().as_bytes();
    match answer {
        Answer::Codes(bytes) => Digest::of_parts([kind, bytes]),
        Answer::Frozen(encoder) => Digest::of_parts([kind, &encoder.0]),
        Answer::CalibrationPValues(None) | Answer::Confirmed(_) => Digest::of_parts([kind]),
        Answer::CalibrationPValues(Some(sent)) => {
            let grid = [sent.grid.bits() as u32, sent.grid.step()].map(u32::to_le_bytes).concat();
            Digest::of_parts([kind, &grid, &sent.bytes])
        }
    }
}
