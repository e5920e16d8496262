//! What this party says at each step of its run, by digest: said once more where the run goes back to a checkpoint, and
//! charged once.

use hashvfl_core::protocol::message::Answer;
use hashvfl_core::protocol::party::{EncodeWork, TrainingWork};
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{Digest, ExcludedRecords, Gradient};
use hashvfl_ledger::{AnswerLog, AnswerLogError, AnswerStatus};

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::releases::ReleaseLedger;
use crate::state::StateFolder;
use crate::training::checkpoint::run_name;
use crate::training::excluded;

/// The answers of a run.
pub struct RunAnswers {
    run: Digest,
    log: AnswerLog,
    /// The gradient that came since the last answer, by digest.
    gradient: Option<Digest>,
    excluded: ExcludedRecords,
}

impl RunAnswers {
    /// Those of the run of `config` over the records of `prepared`, as they were loaded.
    ///
    /// # Errors
    /// If the state folder has those of another run, or they cannot be read.
    pub fn open(
        config: &PartyConfig,
        prepared: &Prepared,
        state: &StateFolder,
        releases: &ReleaseLedger,
    ) -> anyhow::Result<Self> {
        let run = run_name(config, prepared)?;
        let log = AnswerLog::open(&state.answers(), &run)?;
        let excluded = match config.run.on_refusal {
            OnRefusal::End => ExcludedRecords::default(),
            OnRefusal::LeaveOut => excluded::kept(state, &run, prepared.plan.records())?
                .unwrap_or_else(|| releases.excluded(&prepared.plan)),
        };
        Ok(Self { run, log, gradient: None, excluded })
    }

    /// Names the run.
    pub fn run(&self) -> &Digest {
        &self.run
    }

    /// Records that this party leaves out of the run: those of its beginning, also where it goes on.
    pub fn excluded(&self) -> &ExcludedRecords {
        &self.excluded
    }

    /// Whether anything was said before this process began.
    pub fn are_some(&self) -> bool {
        self.log.has(1)
    }

    /// Whether `step` was answered before this process began: its answer is charged.
    pub fn has(&self, step: u64) -> bool {
        self.log.has(step)
    }

    /// Whether this party has said at `step`, before this process began, that it sends no p-values.
    pub fn withheld_p_values(&self, step: u64) -> bool {
        let withheld =
            self.digest(&asked(&TrainingWork::Calibrate { step }), &Answer::CalibrationPValues(None));
        self.log.look(step, &withheld).is_ok_and(|said| said == AnswerStatus::Before)
    }

    /// Forces what was written to the disk: before a checkpoint that is behind it.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn sync(&mut self) -> Result<(), AnswerLogError> {
        self.log.sync()
    }

    /// A gradient has come: what is said next depends on it.
    pub fn learned(&mut self, gradient: &Gradient) {
        self.gradient = Some(Digest::of(&gradient.to_bytes()));
    }

    /// The gradient that came since the last answer, for a checkpoint.
    pub fn gradient(&self) -> Option<&Digest> {
        self.gradient.as_ref()
    }

    /// The run goes on from a checkpoint that was written behind this gradient.
    pub fn go_on_behind(&mut self, gradient: Option<Digest>) {
        self.gradient = gradient;
    }

    /// Writes `answer` to what was `asked` down before it is sent.
    ///
    /// # Errors
    /// If another was given before, or to something else: it must not be sent then.
    pub fn say(&mut self, step: u64, asked: &Digest, answer: &Answer) -> Result<(), AnswerLogError> {
        let said = self.digest(asked, answer);
        self.log.say(step, &said)?;
        self.gradient = None;
        Ok(())
    }

    /// Names an answer, what was asked, and the gradient that came before it.
    fn digest(&self, asked: &Digest, answer: &Answer) -> Digest {
        let said = digest(answer);
        if !self.log.holds_requests() {
            return said;
        }
        let gradient = self.gradient.as_ref().map_or(&[][..], |gradient| gradient.0.as_slice());
        Digest::of_parts([asked.0.as_slice(), gradient, said.0.as_slice()])
    }
}

/// Names what is asked for: its kind, and the rows or the chunk.
pub fn asked(work: &TrainingWork) -> Digest {
    let rows_of = |rows: &[u32]| rows.iter().flat_map(|row| row.to_le_bytes()).collect::<Vec<u8>>();
    let (kind, what) = match work {
        TrainingWork::Encode(EncodeWork { rows, learn: true, .. }) => ("batch", rows_of(rows)),
        TrainingWork::Encode(EncodeWork { rows, learn: false, .. }) => ("chunk", rows_of(rows)),
        TrainingWork::EncodeSynthetic { chunk, .. } => ("synthetic", chunk.to_le_bytes().to_vec()),
        TrainingWork::Calibrate { .. } => ("calibrate", Vec::new()),
        TrainingWork::Command { command, .. } => (command.kind(), Vec::new()),
        TrainingWork::Freeze { .. } => ("freeze", Vec::new()),
        TrainingWork::Finish { .. } => ("finish", Vec::new()),
        TrainingWork::SendRecords(_)
        | TrainingWork::Joined
        | TrainingWork::Begin { .. }
        | TrainingWork::Learn { .. }
        | TrainingWork::Save(_)
        | TrainingWork::Commit
        | TrainingWork::KeepHeads { .. } => ("no step", Vec::new()),
    };
    Digest::of_parts([kind.as_bytes(), &what])
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

#[cfg(test)]
mod tests {
    use hashvfl_core::{Part, RowSelection};

    use super::*;

    fn batch(rows: &[u32]) -> TrainingWork {
        let selection = RowSelection::Batch { epoch: 0, batch: 0 };
        TrainingWork::Encode(EncodeWork {
            step: 1,
            selection,
            rows: rows.to_vec(),
            part: Part::CohortTrain,
            learn: true,
        })
    }

    fn answers(log: AnswerLog) -> RunAnswers {
        RunAnswers { run: Digest([1; 32]), log, gradient: None, excluded: ExcludedRecords::default() }
    }

    #[test]
    fn the_same_bytes_to_another_question_or_behind_another_gradient_are_not_said_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers");
        let open = || answers(AnswerLog::open(&path, &Digest([1; 32])).unwrap());
        let codes = Answer::Codes(vec![7]);
        let gradient = |value: f32| Gradient::F32(vec![value]);
        let (one, other) = (asked(&batch(&[4])), asked(&batch(&[5])));
        let mut said = open();
        said.say(1, &one, &codes).unwrap();
        said.learned(&gradient(0.5));
        said.say(2, &one, &codes).unwrap();
        drop(said);

        let differs = |said: Result<(), AnswerLogError>| matches!(said, Err(AnswerLogError::Differs { .. }));
        let mut again = open();
        assert!(differs(again.say(1, &other, &codes)), "of another record");
        again.say(1, &one, &codes).unwrap();
        again.learned(&gradient(0.25));
        assert!(differs(again.say(2, &one, &codes)), "behind another gradient");
        // From a checkpoint behind the gradient.
        let mut again = open();
        assert!(differs(again.say(2, &one, &codes)), "behind no gradient");
        again.go_on_behind(Some(Digest::of(&gradient(0.5).to_bytes())));
        again.say(2, &one, &codes).unwrap();
    }

    #[test]
    fn p_values_that_were_withheld_are_known_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers");
        let open = || answers(AnswerLog::open(&path, &Digest([1; 32])).unwrap());
        let calibrate = asked(&TrainingWork::Calibrate { step: 1 });
        let mut said = open();
        said.say(1, &calibrate, &Answer::CalibrationPValues(None)).unwrap();
        assert!(!said.withheld_p_values(1), "this process has not gone back");
        drop(said);
        let mut again = open();
        assert!(again.withheld_p_values(1) && !again.withheld_p_values(2));
        again.say(1, &calibrate, &Answer::CalibrationPValues(None)).unwrap();
    }
}
