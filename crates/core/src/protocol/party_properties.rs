//! The promises to a party, whatever list of messages a coordinator sends: a message that is refused changes nothing,
//! and what is let through stays within the plan.

use proptest::prelude::*;

use super::*;
use crate::gradient::GradientEncoding;
use crate::name::PartyName;
use crate::protocol::message::CheckpointLabel;
use crate::settings::Task;

const RECORDS: usize = 60;
const BITS: usize = 2;

/// A message without its step.
#[derive(Debug, Clone)]
enum Move {
    Batch(u32, u32),
    NextBatch,
    Chunk(Part, u32),
    NextChunk(Part),
    Synthetic(u32),
    Calibrate,
    Heads,
    Gradient { rows_off: i32, byte: i8, scale: f32 },
    Command(Command),
    Freeze,
    Finish,
    Save,
    Commit,
    Begin,
    Accepted,
}

fn any_move() -> impl Strategy<Value = Move> {
    let part = || prop::sample::select(Part::ALL.to_vec());
    let best = CheckpointLabel::Best;
    let byte = prop_oneof![6 => -127_i8..=127, 1 => Just(-128_i8)];
    let scale = prop_oneof![6 => 0.0_f32..2.0, 1 => -1.0_f32..0.0, 1 => Just(f32::NAN)];
    let rows_off = prop_oneof![8 => Just(0), 1 => -1..=1];
    prop_oneof![
        6 => Just(Move::NextBatch),
        1 => (0_u32..3, 0_u32..4).prop_map(|(epoch, batch)| Move::Batch(epoch, batch)),
        6 => (rows_off, byte, scale)
            .prop_map(|(rows_off, byte, scale)| Move::Gradient { rows_off, byte, scale }),
        4 => part().prop_map(Move::NextChunk),
        1 => (part(), 0_u32..2).prop_map(|(part, chunk)| Move::Chunk(part, chunk)),
        1 => (0_u32..3).prop_map(Move::Synthetic),
        1 => Just(Move::Calibrate),
        1 => Just(Move::Heads),
        2 => Just(Move::Command(Command::Checkpoint(best))),
        1 => Just(Move::Command(Command::Restore(best))),
        1 => Just(Move::Save),
        1 => Just(Move::Commit),
        1 => Just(Move::Freeze),
        1 => Just(Move::Finish),
        1 => Just(Move::Begin),
        1 => Just(Move::Accepted),
    ]
}

fn begin() -> FromCoordinator {
    FromCoordinator::Begin { excluded: ExcludedRecords::default(), heads: Vec::new(), resume: None }
}

/// The message that a move is now, for the next step or for another.
fn message(session: &PartySession, to_send: Move, step_off: i64, rows: usize) -> FromCoordinator {
    let step = session.step();
    let next = (step as i64 + 1 + step_off).max(0) as u64;
    let request = match to_send {
        Move::NextBatch => {
            let (epoch, batch) = session.next_batch;
            Request::Encode(RowSelection::Batch { epoch, batch })
        }
        Move::Batch(epoch, batch) => Request::Encode(RowSelection::Batch { epoch, batch }),
        Move::NextChunk(part) => {
            let chunk = session.next_chunk.get(&part).copied().unwrap_or(0);
            Request::Encode(RowSelection::Chunk { part, chunk })
        }
        Move::Chunk(part, chunk) => Request::Encode(RowSelection::Chunk { part, chunk }),
        Move::Synthetic(chunk) => Request::EncodeSynthetic { chunk },
        Move::Calibrate => Request::Calibrate,
        Move::Command(command) => Request::Command(command),
        Move::Freeze => Request::Freeze,
        Move::Finish => Request::Finish,
        Move::Begin => return begin(),
        Move::Commit => return FromCoordinator::Commit,
        Move::Save => return FromCoordinator::Save(CheckpointId([7; 16])),
        Move::Heads => return FromCoordinator::Heads { heads: Vec::new() },
        Move::Accepted => return FromCoordinator::Accepted { session: None },
        Move::Gradient { rows_off, byte, scale } => {
            let rows = (rows as i64 + i64::from(rows_off)).max(0) as usize;
            let gradient = Gradient::Int8 { scales: vec![scale; rows], values: vec![byte; rows * BITS] };
            return FromCoordinator::Gradient { step: (step as i64 + step_off).max(0) as u64, gradient };
        }
    };
    FromCoordinator::Request(next, request)
}

/// What a coordinator has got out of a party.
#[derive(Default)]
struct Seen {
    /// Codes of each record.
    codes: Vec<u32>,
    batches: Vec<(u32, u32)>,
    gradients: usize,
    checkpoints: u32,
    restores: u32,
    freezes: u32,
    synthetic: u32,
    calibrations: u32,
    heads: u32,
    rows: usize,
    saves: u32,
    commits: u32,
    finished: bool,
}

impl Seen {
    fn note(&mut self, work: TrainingWork) {
        match work {
            TrainingWork::Encode(work) => {
                for row in &work.rows {
                    self.codes[*row as usize] += 1;
                }
                if let RowSelection::Batch { epoch, batch } = work.selection {
                    assert_eq!(self.freezes, 0, "a batch for a frozen model");
                    self.batches.push((epoch, batch));
                    self.rows = work.rows.len();
                } else if work.part != Part::CohortValidation {
                    assert_eq!(self.freezes, 1, "{:?} before the freeze", work.part);
                }
            }
            TrainingWork::Learn { gradient } => {
                let Gradient::Int8 { scales, values } = gradient else { panic!("an f32 gradient") };
                assert!(scales.iter().all(|scale| *scale >= 0.0) && !values.contains(&-128));
                self.gradients += 1;
            }
            TrainingWork::Command { command, .. } => {
                self.checkpoints += u32::from(matches!(command, Command::Checkpoint(_)));
                self.restores += u32::from(matches!(command, Command::Restore(_)));
            }
            TrainingWork::Save(_) => self.saves += 1,
            TrainingWork::Freeze { .. } => self.freezes += 1,
            TrainingWork::EncodeSynthetic { .. } => self.synthetic += 1,
            TrainingWork::Calibrate { .. } => self.calibrations += 1,
            TrainingWork::Commit => {
                assert!(self.finished, "a commit before the end");
                self.commits += 1;
            }
            TrainingWork::KeepHeads { .. } => {
                assert!(self.commits == 1, "heads before the commit");
                self.heads += 1;
            }
            TrainingWork::Finish { .. } => self.finished = true,
            TrainingWork::SendRecords(_) | TrainingWork::Joined | TrainingWork::Begin { .. } => {
                panic!("the run has begun")
            }
        }
    }
}

fn begun(refit: bool, calibration_fraction: f64) -> PartySession {
    let new = RunSettings::new(vec![PartyName::new("a").unwrap()], Task::Binary, BITS, 2);
    let gradient = GradientEncoding::Int8;
    let settings = RunSettings { gradient, refit, calibration_fraction, batch_rows: 20.into(), ..new };
    let plan = Plan::new(&settings, RECORDS).unwrap();
    let mut session = PartySession::new(settings, CodeForm::signs(BITS), plan, ExcludedRecords::default());
    session.receive(FromCoordinator::Welcome { salt: [0; SALT_BYTES] }).unwrap();
    session.receive(FromCoordinator::Accepted { session: None }).unwrap();
    session.receive(begin()).unwrap();
    session
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_list_of_messages_gets_more_than_the_plan_says(
        moves in prop::collection::vec((any_move(), prop_oneof![12 => Just(0_i64), 1 => -1_i64..=1]), 1..120),
        refit in any::<bool>(),
        calibration in any::<bool>(),
    ) {
        let mut session = begun(refit, if calibration { 0.3 } else { 0.0 });
        let mut seen = Seen { codes: vec![0; RECORDS], ..Seen::default() };
        for (to_send, step_off) in moves {
            let step = session.step();
            // A coordinator could start all over with what it learned from a refusal: a refused message is passed over.
            let mut tried = session.clone();
            let Ok(work) = tried.receive(message(&session, to_send, step_off, seen.rows)) else { continue };
            prop_assert!(!seen.finished || matches!(work, TrainingWork::Commit | TrainingWork::KeepHeads { .. }), "nothing else follows the end");
            session = tried;
            prop_assert!(session.step() - step <= 1);
            seen.note(work);
        }
        for (rows, most) in session.plan().releases() {
            for row in rows {
                prop_assert!(seen.codes[*row as usize] <= most, "record {row}: {} of {most}", seen.codes[*row as usize]);
            }
        }
        let batches = session.plan().batches();
        let in_order = (0..2).flat_map(|epoch| (0..batches).map(move |batch| (epoch, batch)));
        prop_assert!(seen.batches.iter().copied().eq(in_order.take(seen.batches.len())));
        prop_assert!(seen.gradients <= seen.batches.len() && seen.batches.len() <= seen.gradients + 1);
        let epochs = seen.batches.len() as u32 / batches;
        prop_assert!(seen.saves as usize <= seen.gradients && seen.commits <= 1);
        prop_assert!(seen.checkpoints <= epochs && seen.restores <= 1 && seen.freezes <= 1);
        prop_assert!(seen.restores == 0 || seen.checkpoints > 0);
        prop_assert!(seen.calibrations <= u32::from(calibration) && seen.heads <= 1);
        prop_assert!(seen.synthetic <= session.plan().synthetic_chunks());
        prop_assert!(!seen.finished || (seen.freezes == 1 && epochs > 0));
    }

    #[test]
    fn nothing_but_the_handshake_comes_before_a_run_begins(to_send in any_move(), accepted in any::<bool>()) {
        let new = RunSettings::new(vec![PartyName::new("a").unwrap()], Task::Binary, BITS, 2);
        let plan = Plan::new(&new, RECORDS).unwrap();
        let mut session = PartySession::new(new, CodeForm::signs(BITS), plan, ExcludedRecords::default());
        session.receive(FromCoordinator::Welcome { salt: [0; SALT_BYTES] }).unwrap();
        if accepted {
            session.receive(FromCoordinator::Accepted { session: None }).unwrap();
        }
        let is_allowed = match to_send {
            Move::Begin => accepted,
            // A party that has written its model and did not hear that it counts is told so in place of being let in.
            Move::Accepted | Move::Commit => !accepted,
            _ => false,
        };
        let sent = message(&session, to_send, 0, 0);
        prop_assert_eq!(session.receive(sent).is_ok(), is_allowed);
    }
}
