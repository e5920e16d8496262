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
    let mut session = PartySession::new(settings, plan, ExcludedRecords::of(excluded, 400));
    session.receive(FromCoordinator::Welcome { salt: [0; SALT_BYTES] }).unwrap();
    assert_eq!(session.receive(FromCoordinator::Accepted), Ok(Work::Joined));
    session
}

fn begin(rows: &[u32]) -> FromCoordinator {
    FromCoordinator::Begin { excluded: ExcludedRecords::of(rows, 400), heads: Vec::new() }
}

fn joined() -> PartySession {
    let mut session = session(OnRefusal::End, &[]);
    assert_eq!(session.receive(begin(&[])), Ok(Work::Begin { excluded: 0, heads: Vec::new() }));
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

#[test]
fn a_run_in_order() {
    let mut session = joined();
    for (step, (epoch, index)) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().enumerate() {
        let step = step as u64 + 1;
        let Ok(Work::Encode(EncodeWork { rows, learn: true, .. })) =
            session.receive(batch(step, epoch, index))
        else {
            panic!("batch {index} of epoch {epoch}");
        };
        assert_eq!(rows.len(), 144);
        assert!(matches!(session.receive(gradient(step, rows.len())), Ok(Work::Learn { .. })));
    }
    assert!(matches!(
        session.receive(chunk(5, Part::CohortValidation)),
        Ok(Work::Encode(EncodeWork { learn: false, .. }))
    ));
    assert_eq!(session.receive(request(6, Request::Freeze)), Ok(Work::Freeze { step: 6 }));
    assert!(matches!(session.receive(chunk(7, Part::Test)), Ok(Work::Encode(_))));
    assert_eq!(session.receive(request(8, Request::Finish)), Ok(Work::Finish { step: 8 }));
    assert!(matches!(session.receive(batch(9, 0, 0)), Err(PartyError::Unexpected { .. })));
}

/// A party with a calibration part of that size, after step 1.
fn frozen(calibration_fraction: f64) -> PartySession {
    let new = RunSettings::new(vec![PartyName::new("a").unwrap()], Task::Binary, 2, 2);
    let settings = RunSettings { calibration_fraction, ..new };
    let plan = Plan::new(&settings, 400).unwrap();
    let mut session = PartySession::new(settings, plan, ExcludedRecords::default());
    session.receive(FromCoordinator::Welcome { salt: [0; SALT_BYTES] }).unwrap();
    session.receive(FromCoordinator::Accepted).unwrap();
    session.receive(begin(&[])).unwrap();
    session.receive(request(1, Request::Freeze)).unwrap();
    session
}

#[test]
fn p_values_of_calibration_records_are_asked_for_once_of_a_frozen_party() {
    let calibrate = |step| request(step, Request::Calibrate);
    let refused = |mut session: PartySession, step| {
        let error = session.receive(calibrate(step)).unwrap_err().to_string();
        let start =
            "the coordinator asked to tell p-values of calibration records, which this run allows only ";
        error.strip_prefix(start).unwrap().to_string()
    };
    let mut session = frozen(0.3);
    assert_eq!(session.receive(calibrate(2)), Ok(Work::Calibrate { step: 2 }));
    assert_eq!(refused(session, 3), "once");
    assert_eq!(refused(frozen(0.0), 2), "with run.calibration_fraction above 0");
    assert_eq!(refused(joined(), 1), "after the freeze");
}

#[test]
fn drawn_inputs_are_asked_for_once_and_only_for_detectors() {
    let draw = |step, chunk| request(step, Request::EncodeSynthetic { chunk });
    let refused = |mut session: PartySession, step, chunk| {
        let error = session.receive(draw(step, chunk)).unwrap_err().to_string();
        error.strip_prefix("the coordinator asked to encode drawn inputs, ").unwrap().to_string()
    };
    let mut session = frozen(0.3);
    for chunk in 0..SYNTHETIC_CHUNKS {
        let step = u64::from(chunk) + 2;
        assert_eq!(session.receive(draw(step, chunk)), Ok(Work::EncodeSynthetic { step, chunk }));
    }
    assert!(refused(session, u64::from(SYNTHETIC_CHUNKS) + 2, SYNTHETIC_CHUNKS).contains("so many chunks"));
    assert!(refused(frozen(0.3), 2, 1).contains("chunk by chunk"));
    assert!(refused(frozen(0.0), 2, 0).contains("with run.calibration_fraction above 0"));
    assert!(refused(joined(), 1, 0).contains("after the freeze"));
    assert!(matches!(frozen(0.3).receive(draw(3, 0)), Err(PartyError::Step { expected: 2, .. })));
}

#[test]
fn only_the_freeze_follows_a_restore() {
    let label = CheckpointLabel::Best;
    let restored = || {
        let mut session = joined();
        session.receive(batch(1, 0, 0)).unwrap();
        session.receive(gradient(1, 144)).unwrap();
        session.receive(request(2, Command::Checkpoint(label))).unwrap();
        let restore = request(3, Command::Restore(label));
        assert_eq!(session.receive(restore), Ok(Work::Command { step: 3, command: Command::Restore(label) }));
        session
    };
    for other in [
        batch(4, 0, 1),
        chunk(4, Part::CohortValidation),
        chunk(4, Part::Test),
        request(4, Request::EncodeSynthetic { chunk: 0 }),
        request(4, Request::Calibrate),
        request(4, Command::Checkpoint(label)),
        request(4, Command::Restore(label)),
        request(4, Request::Finish),
    ] {
        let error = restored().receive(other).unwrap_err();
        assert!(matches!(error, PartyError::Unexpected { .. }), "{error}");
        assert!(error.to_string().contains("the freeze, which alone may follow a restore"), "{error}");
    }
    let mut session = restored();
    assert_eq!(session.receive(request(4, Request::Freeze)), Ok(Work::Freeze { step: 4 }));
    assert!(matches!(session.receive(chunk(5, Part::Test)), Ok(Work::Encode(_))));
    let again = session.receive(request(6, Command::Restore(label))).unwrap_err();
    assert!(matches!(again, PartyError::Forbidden { .. }), "{again}");
}

#[test]
fn a_run_goes_on_without_what_any_party_leaves_out() {
    let mut session = session(OnRefusal::LeaveOut, &[3, 7]);
    let test = session.plan().part(Part::Test)[0];
    let wanted: Vec<u32> = [3, 7, test].into();
    assert_eq!(session.receive(begin(&wanted)), Ok(Work::Begin { excluded: 3, heads: Vec::new() }));
    assert!(!session.plan().part(Part::Test).contains(&test));
    let Ok(Work::Encode(EncodeWork { rows, .. })) = session.receive(batch(1, 0, 0)) else {
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
    assert!(
        few.starts_with("without the records that the parties' policies refuse, 1 records leave"),
        "{few}"
    );
    let strange =
        FromCoordinator::Begin { excluded: ExcludedRecords::from_bytes(vec![1; 49]), heads: Vec::new() };
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
    let freeze = request(1, Request::Freeze);
    assert!(matches!(refused(vec![freeze.clone(), batch(2, 0, 0)]), PartyError::Forbidden { .. }));
    let frozen = |second| refused(vec![request(1, Request::Freeze), second]);
    for part in [Part::Train, Part::Validation] {
        assert!(matches!(frozen(chunk(2, part)), PartyError::Forbidden { .. }));
    }
    let label = CheckpointLabel::Best;
    assert!(matches!(frozen(request(2, Command::Restore(label))), PartyError::Forbidden { .. }));
    assert!(matches!(frozen(request(2, Command::Checkpoint(label))), PartyError::Forbidden { .. }));
    let again = refused(vec![freeze, chunk(2, Part::Test), chunk(3, Part::Test)]);
    assert_eq!(again, PartyError::ChunkOrder { part: Part::Test, chunk: 0 });
    let validation = |step| chunk(step, Part::CohortValidation);
    let again = refused(vec![validation(1), validation(2)]);
    assert_eq!(again, PartyError::ChunkOrder { part: Part::CohortValidation, chunk: 0 });
    let amid = refused(vec![batch(1, 0, 0), gradient(1, 144), validation(2)]);
    assert!(matches!(amid, PartyError::Forbidden { .. }));
    let far = request(2, Request::Encode(RowSelection::Chunk { part: Part::CohortValidation, chunk: 1 }));
    assert!(matches!(refused(vec![validation(1), far]), PartyError::Plan(_)));
    let refusal = FromCoordinator::Refused { text: "no".into() };
    assert_eq!(refused(vec![refusal]), PartyError::Refused("no".into()));
}

#[test]
fn heads_of_audit_logs_come_once_and_at_the_end_alone() {
    let heads = vec![AuditHead { party: None, sequence: 3, entry: Digest([1; 32]), signature: Vec::new() }];
    let told = FromCoordinator::Heads { heads: heads.clone() };
    let mut session = joined();
    let early = joined().receive(told.clone()).unwrap_err();
    assert!(matches!(early, PartyError::Unexpected { found: "Heads", .. }), "{early}");
    session.receive(request(1, Request::Finish)).unwrap();
    assert_eq!(session.receive(told.clone()), Ok(Work::KeepHeads { heads }));
    assert!(matches!(session.receive(told), Err(PartyError::Unexpected { state: "gone", .. })));
}
