use super::*;
use crate::digest::Digest;
use crate::gradient::GradientEncoding;
use crate::name::PartyName;
use crate::protocol::message::CheckpointLabel;
use crate::records::plan::SYNTHETIC_CHUNKS;
use crate::settings::Task;

fn session(on_refusal: OnRefusal, excluded: &[u32]) -> PartySession {
    let parties = vec![PartyName::new("a").unwrap()];
    let new = RunSettings::new(parties, Task::Binary, 2, 2);
    let settings = RunSettings { gradient: GradientEncoding::F32, on_refusal, ..new };
    let plan = Plan::new(&settings, 400).unwrap();
    let mut session =
        PartySession::new(settings, CodeForm::signs(2), plan, ExcludedRecords::of(excluded, 400));
    session.receive(FromCoordinator::Welcome { salt: [0; SALT_BYTES] }).unwrap();
    assert_eq!(session.receive(FromCoordinator::Accepted { session: None }), Ok(TrainingWork::Joined));
    session
}

fn begin(rows: &[u32]) -> FromCoordinator {
    FromCoordinator::Begin { excluded: ExcludedRecords::of(rows, 400), heads: Vec::new(), resume: None }
}

fn joined() -> PartySession {
    let mut session = session(OnRefusal::End, &[]);
    assert_eq!(
        session.receive(begin(&[])),
        Ok(TrainingWork::Begin { excluded: 0, heads: Vec::new(), resume: None })
    );
    session
}

fn request(step: u64, request: impl Into<Request>) -> FromCoordinator {
    FromCoordinator::Request(step, request.into())
}

fn batch(step: u64, epoch: u32, batch: u32) -> FromCoordinator {
    request(step, Request::Encode(RowSelection::Batch { epoch, batch }))
}

fn chunk(step: u64, part: Part) -> FromCoordinator {
    request(step, Request::Encode(RowSelection::Chunk { part, chunk: 0 }))
}

fn gradient(step: u64, rows: usize) -> FromCoordinator {
    FromCoordinator::Gradient { step, gradient: Gradient::F32(vec![0.5; rows * 2]) }
}

/// A whole epoch, the first, up to step 2.
fn learned() -> PartySession {
    let mut session = joined();
    learn_first_epoch(&mut session);
    session
}

fn learn_first_epoch(session: &mut PartySession) {
    for (step, index) in [(1, 0), (2, 1)] {
        let Ok(TrainingWork::Encode(EncodeWork { rows, .. })) = session.receive(batch(step, 0, index)) else {
            panic!("batch {index}")
        };
        session.receive(gradient(step, rows.len())).unwrap();
    }
}

#[test]
fn a_run_in_order() {
    let mut session = joined();
    for (step, (epoch, index)) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().enumerate() {
        let step = step as u64 + 1;
        let Ok(TrainingWork::Encode(EncodeWork { rows, learn: true, .. })) =
            session.receive(batch(step, epoch, index))
        else {
            panic!("batch {index} of epoch {epoch}");
        };
        assert_eq!(rows.len(), 144);
        assert!(matches!(session.receive(gradient(step, rows.len())), Ok(TrainingWork::Learn { .. })));
    }
    assert!(matches!(
        session.receive(chunk(5, Part::CohortValidation)),
        Ok(TrainingWork::Encode(EncodeWork { learn: false, .. }))
    ));
    assert_eq!(session.receive(request(6, Request::Freeze)), Ok(TrainingWork::Freeze { step: 6 }));
    assert!(matches!(session.receive(chunk(7, Part::Test)), Ok(TrainingWork::Encode(_))));
    assert_eq!(session.receive(request(8, Request::Finish)), Ok(TrainingWork::Finish { step: 8 }));
    assert!(matches!(session.receive(batch(9, 0, 0)), Err(PartyError::Unexpected { .. })));
}

/// A party with a calibration part of that size that has learned an epoch and is frozen.
fn frozen(calibration_fraction: f64) -> PartySession {
    let new = RunSettings::new(vec![PartyName::new("a").unwrap()], Task::Binary, 2, 2);
    let encoding = GradientEncoding::F32;
    let settings = RunSettings { calibration_fraction, gradient: encoding, batch_rows: 144.into(), ..new };
    let plan = Plan::new(&settings, 400).unwrap();
    let mut session = PartySession::new(settings, CodeForm::signs(2), plan, ExcludedRecords::default());
    session.receive(FromCoordinator::Welcome { salt: [0; SALT_BYTES] }).unwrap();
    session.receive(FromCoordinator::Accepted { session: None }).unwrap();
    session.receive(begin(&[])).unwrap();
    let batches = u64::from(session.plan().batches());
    for step in 1..=batches {
        let Ok(TrainingWork::Encode(work)) = session.receive(batch(step, 0, step as u32 - 1)) else {
            panic!("step {step}")
        };
        session.receive(gradient(step, work.rows.len())).unwrap();
    }
    session.receive(request(batches + 1, Request::Freeze)).unwrap();
    session
}

#[test]
fn p_values_of_calibration_records_are_asked_for_once_of_a_frozen_party() {
    let calibrate = |step| request(step, Request::Calibrate);
    let refused = |mut session: PartySession, step| {
        let error = session.receive(calibrate(step)).unwrap_err().to_string();
        let start =
            "the coordinator asked to send p-values of calibration records, which this run allows only ";
        error.strip_prefix(start).unwrap().to_string()
    };
    let mut session = frozen(0.3);
    let step = session.step() + 1;
    assert_eq!(session.receive(calibrate(step)), Ok(TrainingWork::Calibrate { step }));
    assert_eq!(refused(session, step + 1), "once");
    let without = frozen(0.0);
    let step = without.step() + 1;
    assert_eq!(refused(without, step), "with run.calibration_fraction above 0");
    assert_eq!(refused(joined(), 1), "after the freeze");
}

#[test]
fn synthetic_inputs_are_asked_for_once_and_only_for_detectors() {
    let synthetic = |step, chunk| request(step, Request::EncodeSynthetic { chunk });
    let refused = |mut session: PartySession, step, chunk| {
        let error = session.receive(synthetic(step, chunk)).unwrap_err().to_string();
        error.strip_prefix("the coordinator asked to encode synthetic inputs, ").unwrap().to_string()
    };
    let mut session = frozen(0.3);
    let first = session.step() + 1;
    for chunk in 0..SYNTHETIC_CHUNKS {
        let step = u64::from(chunk) + first;
        assert_eq!(
            session.receive(synthetic(step, chunk)),
            Ok(TrainingWork::EncodeSynthetic { step, chunk })
        );
    }
    assert!(
        refused(session, u64::from(SYNTHETIC_CHUNKS) + first, SYNTHETIC_CHUNKS).contains("so many chunks")
    );
    assert!(refused(frozen(0.3), first, 1).contains("chunk by chunk"));
    let without = frozen(0.0);
    let next = without.step() + 1;
    assert!(refused(without, next, 0).contains("with run.calibration_fraction above 0"));
    assert!(refused(joined(), 1, 0).contains("after the freeze"));
    assert!(matches!(frozen(0.3).receive(synthetic(first + 1, 0)), Err(PartyError::Step { .. })));
}

#[test]
fn only_the_freeze_follows_a_restore() {
    let label = CheckpointLabel::Best;
    let restored = || {
        let mut session = learned();
        session.receive(chunk(3, Part::CohortValidation)).unwrap();
        session.receive(request(4, Command::Checkpoint(label))).unwrap();
        let restore = request(5, Command::Restore(label));
        assert_eq!(
            session.receive(restore),
            Ok(TrainingWork::Command { step: 5, command: Command::Restore(label) })
        );
        session
    };
    for other in [
        batch(6, 1, 0),
        chunk(6, Part::CohortValidation),
        chunk(6, Part::Test),
        request(6, Request::EncodeSynthetic { chunk: 0 }),
        request(6, Request::Calibrate),
        request(6, Command::Checkpoint(label)),
        request(6, Command::Restore(label)),
        request(6, Request::Finish),
    ] {
        let error = restored().receive(other).unwrap_err();
        assert!(matches!(error, PartyError::Unexpected { .. }), "{error}");
        assert!(error.to_string().contains("the freeze (nothing else may follow a restore)"), "{error}");
    }
    let mut session = restored();
    assert_eq!(session.receive(request(6, Request::Freeze)), Ok(TrainingWork::Freeze { step: 6 }));
    assert!(matches!(session.receive(chunk(7, Part::Test)), Ok(TrainingWork::Encode(_))));
    let again = session.receive(request(8, Command::Restore(label))).unwrap_err();
    assert!(matches!(again, PartyError::Forbidden { .. }), "{again}");
}

#[test]
fn a_run_goes_on_without_what_any_party_leaves_out() {
    let mut session = session(OnRefusal::LeaveOut, &[3, 7]);
    let test = session.plan().part(Part::Test)[0];
    let wanted: Vec<u32> = [3, 7, test].into();
    assert_eq!(
        session.receive(begin(&wanted)),
        Ok(TrainingWork::Begin { excluded: 3, heads: Vec::new(), resume: None })
    );
    assert!(!session.plan().part(Part::Test).contains(&test));
    let Ok(TrainingWork::Encode(EncodeWork { rows, .. })) = session.receive(batch(1, 0, 0)) else {
        panic!("a batch")
    };
    assert!(!rows.contains(&3) && !rows.contains(&7));
}

#[test]
fn how_a_run_may_not_begin() {
    let refused = |on_refusal, own: &[u32], rows: &[u32]| {
        session(on_refusal, own).receive(begin(rows)).unwrap_err().to_string()
    };
    let end = refused(OnRefusal::End, &[], &[1]);
    assert!(end.contains("only with run.on_refusal = \"leave-out\""), "{end}");
    let own = refused(OnRefusal::LeaveOut, &[1, 2], &[2, 3]);
    assert!(own.contains("only without the records that this party's policy refuses"), "{own}");
    let most: Vec<u32> = (0..399).collect();
    let few = refused(OnRefusal::LeaveOut, &[], &most);
    let start = "without the records that the parties' policies refuse, there are too few records for ";
    assert!(few.starts_with(start) && few.contains(" of 1, at least "), "{few}");
    let strange = FromCoordinator::Begin {
        excluded: ExcludedRecords::from_bytes(vec![1; 49]),
        heads: Vec::new(),
        resume: None,
    };
    let strange = session(OnRefusal::LeaveOut, &[]).receive(strange).unwrap_err();
    assert!(matches!(strange, PartyError::ExcludedRecords(_)));
    assert!(matches!(
        session(OnRefusal::End, &[]).receive(batch(1, 0, 0)),
        Err(PartyError::Unexpected { .. })
    ));
}

#[test]
fn what_a_coordinator_may_not_do() {
    let refused = |messages: Vec<FromCoordinator>| {
        let mut session = joined();
        let (last, before) = messages.split_last().unwrap();
        before.iter().for_each(|message| drop(session.receive(message.clone()).unwrap()));
        session.receive(last.clone()).unwrap_err()
    };
    let order = PartyError::Order { epoch: 0, batch: 0 };
    assert_eq!(refused(vec![batch(1, 0, 0), gradient(1, 144), batch(2, 0, 0)]), order);
    assert!(matches!(refused(vec![batch(2, 0, 0)]), PartyError::Step { expected: 1, .. }));
    assert!(matches!(refused(vec![batch(1, 0, 0), gradient(1, 143)]), PartyError::Gradient { .. }));
    assert!(matches!(refused(vec![batch(1, 0, 0), gradient(2, 144)]), PartyError::Step { .. }));
    assert!(matches!(refused(vec![batch(1, 0, 0), batch(2, 0, 1)]), PartyError::Unexpected { .. }));
    assert!(matches!(refused(vec![chunk(1, Part::Test)]), PartyError::Forbidden { .. }));
    assert!(matches!(refused(vec![chunk(1, Part::Train)]), PartyError::Forbidden { .. }));
    let refusal = FromCoordinator::Refused { text: "no".into(), try_again: false };
    assert_eq!(refused(vec![refusal]), PartyError::Refused("no".into()));
}

#[test]
fn what_a_coordinator_may_not_do_after_an_epoch() {
    let refused = |messages: Vec<FromCoordinator>| {
        let mut session = learned();
        let (last, before) = messages.split_last().unwrap();
        before.iter().for_each(|message| drop(session.receive(message.clone()).unwrap()));
        session.receive(last.clone()).unwrap_err()
    };
    let frozen = |second| refused(vec![request(3, Request::Freeze), second]);
    assert!(matches!(frozen(batch(4, 1, 0)), PartyError::Forbidden { .. }));
    for part in [Part::Train, Part::CohortTrain, Part::Validation, Part::CohortValidation] {
        assert!(matches!(frozen(chunk(4, part)), PartyError::Forbidden { .. }), "{part:?}");
    }
    let label = CheckpointLabel::Best;
    assert!(matches!(frozen(request(4, Command::Restore(label))), PartyError::Forbidden { .. }));
    assert!(matches!(frozen(request(4, Command::Checkpoint(label))), PartyError::Forbidden { .. }));
    let again = refused(vec![request(3, Request::Freeze), chunk(4, Part::Test), chunk(5, Part::Test)]);
    assert_eq!(again, PartyError::ChunkOrder { part: Part::Test, chunk: 0 });
    let validation = |step| chunk(step, Part::CohortValidation);
    let again = refused(vec![validation(3), validation(4)]);
    assert_eq!(again, PartyError::ChunkOrder { part: Part::CohortValidation, chunk: 0 });
    let amid = refused(vec![batch(3, 1, 0), gradient(3, 144), validation(4)]);
    assert!(matches!(amid, PartyError::Forbidden { .. }));
    let far = request(4, Request::Encode(RowSelection::Chunk { part: Part::CohortValidation, chunk: 1 }));
    assert!(matches!(refused(vec![validation(3), far]), PartyError::Plan(_)));
}

#[test]
fn nothing_is_encoded_kept_or_finished_before_an_epoch_has_been_learned() {
    let label = CheckpointLabel::Best;
    for (message, expected) in [
        (
            chunk(1, Part::CohortValidation),
            "encode validation records, which this run allows only after a whole",
        ),
        (request(1, Command::Checkpoint(label)), "only after an epoch's validation"),
        (request(1, Command::Restore(label)), "to one that was written"),
        (request(1, Request::Freeze), "freeze, which this run allows only after a whole epoch"),
        (request(1, Request::Finish), "finish, which this run allows only after the freeze"),
    ] {
        let error = joined().receive(message).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_cohort_is_not_encoded_beside_all_training_records() {
    let mut session = learned();
    session.settings.refit = true;
    session.receive(request(3, Request::Freeze)).unwrap();
    assert!(matches!(session.receive(chunk(4, Part::Train)), Ok(TrainingWork::Encode(_))));
    let error = session.receive(chunk(5, Part::CohortTrain)).unwrap_err().to_string();
    assert!(error.contains("only in batches"), "{error}");
}

#[test]
fn a_checkpoint_follows_each_epochs_validation_once() {
    let label = CheckpointLabel::Best;
    let refused = |step, before: Vec<FromCoordinator>, command: Command| {
        let mut session = learned();
        before.into_iter().for_each(|message| drop(session.receive(message).unwrap()));
        session.receive(request(step, command)).unwrap_err().to_string()
    };
    let early = refused(3, vec![], Command::Checkpoint(label));
    assert!(early.contains("only after an epoch's validation"), "{early}");
    let validation = chunk(3, Part::CohortValidation);
    let written = request(4, Command::Checkpoint(label));
    let twice = refused(5, vec![validation.clone(), written], Command::Checkpoint(label));
    assert!(twice.contains("only once per epoch"), "{twice}");
    let none = refused(4, vec![validation.clone()], Command::Restore(label));
    assert!(none.contains("to one that was written"), "{none}");
}

#[test]
fn a_run_is_saved_once_behind_each_batch_and_goes_on_from_there() {
    let save = || FromCoordinator::Save(CheckpointId([3; 16]));
    let refused = |session: &PartySession| {
        let error = session.clone().receive(save()).unwrap_err().to_string();
        assert!(error.contains("only once after each batch"), "{error}");
    };
    let mut session = joined();
    refused(&session);
    let Ok(TrainingWork::Encode(EncodeWork { rows, .. })) = session.receive(batch(1, 0, 0)) else { panic!() };
    assert!(matches!(session.clone().receive(save()), Err(PartyError::Unexpected { .. })));
    session.receive(gradient(1, rows.len())).unwrap();
    assert_eq!(session.receive(save()), Ok(TrainingWork::Save(CheckpointId([3; 16]))));
    refused(&session);
    let place = session.place();
    // Another process, from there.
    let mut resumed = joined();
    resumed.go_on_from(&place).unwrap();
    assert_eq!(resumed.place(), place);
    refused(&resumed);
    for session in [&mut session, &mut resumed] {
        assert!(matches!(session.clone().receive(batch(2, 0, 0)), Err(PartyError::Order { .. })));
        assert!(matches!(session.receive(batch(2, 0, 1)), Ok(TrainingWork::Encode(_))));
        session.receive(gradient(2, rows.len())).unwrap();
        session.receive(chunk(3, Part::CohortValidation)).unwrap();
        session.receive(save()).unwrap();
        let again = session.clone().receive(chunk(4, Part::CohortValidation));
        assert!(matches!(again, Err(PartyError::ChunkOrder { .. })));
    }
    let mut resumed = joined();
    resumed.go_on_from(&session.place()).unwrap();
    let again = resumed.receive(chunk(4, Part::CohortValidation));
    assert!(matches!(again, Err(PartyError::ChunkOrder { .. })), "validation records twice in an epoch");
}

#[test]
fn a_place_of_another_run_is_refused() {
    let place = learned().place();
    assert_eq!(learned().go_on_from(&place), Err(PartyError::OtherPlace), "a run that has begun");
    let mut without = session(OnRefusal::LeaveOut, &[]);
    without.receive(begin(&[1])).unwrap();
    assert_eq!(without.go_on_from(&place), Err(PartyError::OtherPlace), "other records");
    let mut later = joined();
    later.settings.epochs = 0;
    assert_eq!(later.go_on_from(&place), Err(PartyError::OtherPlace), "beyond the plan");
}

#[test]
fn a_party_in_doubt_is_told_that_its_model_counts() {
    let mut session = session(OnRefusal::End, &[]);
    assert!(session.receive(FromCoordinator::Commit).is_err(), "a party that waits for a run to begin");
    let parties = vec![PartyName::new("a").unwrap()];
    let settings = RunSettings::new(parties, Task::Binary, 2, 2);
    let plan = Plan::new(&settings, 400).unwrap();
    let mut asking = PartySession::new(settings, CodeForm::signs(2), plan, ExcludedRecords::default());
    assert!(asking.clone().receive(FromCoordinator::Commit).is_err(), "before it was asked who it is");
    asking.receive(FromCoordinator::Welcome { salt: [0; SALT_BYTES] }).unwrap();
    assert_eq!(asking.receive(FromCoordinator::Commit), Ok(TrainingWork::Commit));
}

#[test]
fn heads_of_audit_logs_come_once_and_at_the_end_alone() {
    let heads = vec![AuditHead { party: None, sequence: 3, entry: Digest([1; 32]), signature: Vec::new() }];
    let told = FromCoordinator::Heads { heads: heads.clone() };
    let early = joined().receive(told.clone()).unwrap_err();
    assert!(matches!(early, PartyError::Unexpected { found: "Heads", .. }), "{early}");
    let mut session = learned();
    session.receive(request(3, Request::Freeze)).unwrap();
    session.receive(request(4, Request::Finish)).unwrap();
    assert!(session.clone().receive(told.clone()).is_err(), "before the commit");
    assert_eq!(session.receive(FromCoordinator::Commit), Ok(TrainingWork::Commit));
    assert!(session.clone().receive(FromCoordinator::Commit).is_err(), "twice");
    assert_eq!(session.receive(told.clone()), Ok(TrainingWork::KeepHeads { heads }));
    assert!(matches!(session.receive(told), Err(PartyError::Unexpected { state: "gone", .. })));
}
