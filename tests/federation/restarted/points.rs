//! Processes that are killed at fixed points of a run.

use hashvfl_proto::v1::{coordinator_message, encode, party_message};
use std::time::Duration;

use crate::audited::verified;
use crate::restarted::gate::{Gate, Passing};
use crate::restarted::supervisor::{BANK, COORDINATOR, IN_DOUBT, Restart, SIDES, Supervisor, TELECOM};
use crate::restarted::{Shape, assert_same};

/// A message of bank, or to it, that is held while somebody is killed.
#[derive(Debug, Clone, Copy)]
pub enum Point {
    /// The request for this batch of an epoch, both from 0.
    Batch(u32, u32),
    /// The answer to it.
    Answer(u32, u32),
    /// The gradient of this batch.
    Gradient(u32, u32),
    /// The request to save where the run is, this often from 1.
    Save(u32),
    /// The answer to it: bank has saved, and the coordinator has not heard it.
    Saved(u32),
    Restore,
    Freeze,
    /// The request for test records.
    Test,
    Finish,
    /// Bank has written its model, and the coordinator has not heard it.
    Finished,
    /// The coordinator has decided, and bank has not heard it.
    Commit,
}

impl Point {
    /// Whether the message that passes is the one.
    pub fn wanted(self) -> impl FnMut(Passing<'_>) -> bool + Send + 'static {
        use coordinator_message::Message as Down;
        use party_message::Message as Up;
        let (mut saves, mut batch) = (0, None);
        move |message| {
            if let Passing::Down(Down::Encode(request)) = message {
                batch = match &request.rows {
                    Some(encode::Rows::Batch(batch)) => Some((batch.epoch, batch.batch)),
                    _ => None,
                };
            }
            match (self, message) {
                (Self::Batch(epoch, number), Passing::Down(Down::Encode(_)))
                | (Self::Answer(epoch, number), Passing::Up(Up::Codes(_)))
                | (Self::Gradient(epoch, number), Passing::Down(Down::Gradient(_))) => {
                    batch == Some((epoch, number))
                }
                (Self::Save(count), Passing::Down(Down::Save(_)))
                | (Self::Saved(count), Passing::Up(Up::Saved(_))) => {
                    saves += 1;
                    saves == count
                }
                (Self::Test, Passing::Down(Down::Encode(request))) => {
                    let test = i32::from(hashvfl_proto::v1::Part::Test);
                    matches!(&request.rows, Some(encode::Rows::Chunk(chunk)) if chunk.part == test)
                }
                (Self::Restore, Passing::Down(Down::Restore(_)))
                | (Self::Freeze, Passing::Down(Down::Freeze(_)))
                | (Self::Finish, Passing::Down(Down::Finish(_)))
                | (Self::Finished, Passing::Up(Up::Finished(_)))
                | (Self::Commit, Passing::Down(Down::Commit(_))) => true,
                _ => false,
            }
        }
    }
}

/// Longest time until all others have ended where somebody was killed: `timeouts.reconnect_s` of a test, and 10 s.
const ENDED: Duration = Duration::from_secs(11);

/// The same where a run finishes: the coordinator waits 10 s at most for a party that is to hear the last word.
const PARTED: Duration = Duration::from_secs(24);

/// A run that is held at this point, with a gate in front of each party.
pub fn held_at<'a>(fixture: &'a crate::fixture::Fixture, point: Point) -> Supervisor<'a, Gate> {
    let mut run = Supervisor::new(fixture, [Gate::new(), Gate::new()]);
    run.relays[0].stop_at(point.wanted());
    run.start_all();
    run.wait_until(&format!("{point:?}"), |run| run.relays[0].holds());
    run
}

/// Kills the victims in turn at each of the points, each time in a new run, and lets the run go on.
fn killed_at(points: &[Point], victims: &[usize]) {
    let shape = Shape::Plain;
    for point in points {
        let fixture = shape.fixture();
        let mut run = held_at(&fixture, *point);
        assert!(victims.iter().all(|victim| run.kill(*victim)), "{point:?}: {}", run.told());
        run.relays[0].open();
        let took = run.all_end();
        assert!(took < ENDED, "{point:?}: the others ended after {took:?}");
        let survivors = (0..SIDES.len()).filter(|side| !victims.contains(side));
        let finished: Vec<&str> =
            survivors.filter(|side| run.finished(*side)).map(|side| SIDES[side]).collect();
        assert!(finished.is_empty(), "{point:?}: {finished:?} ended well: {}", run.told());
        let begun = run.starts();
        run.finish(Restart::WhenAllHaveEnded);
        assert_eq!(run.starts(), begun + SIDES.len(), "one more start of each is enough: {}", run.told());
        assert_same(&fixture, &run, shape.undisturbed(), &format!("{point:?}, {victims:?} killed"));
    }
}

/// Points before the end of a run.
const POINTS: [Point; 8] = [
    Point::Batch(0, 0),
    Point::Gradient(0, 2),
    Point::Save(1),
    Point::Saved(2),
    Point::Batch(3, 1),
    Point::Gradient(5, 3),
    Point::Freeze,
    Point::Test,
];

#[test]
fn a_coordinator_that_is_killed_in_a_run_costs_nothing_but_time() {
    killed_at(&POINTS, &[COORDINATOR]);
}

#[test]
fn a_party_that_is_killed_in_a_run_costs_nothing_but_time() {
    killed_at(&POINTS, &[BANK]);
}

#[test]
fn another_party_that_is_killed_meanwhile_costs_nothing_but_time() {
    killed_at(&POINTS, &[TELECOM]);
}

#[test]
fn all_sides_that_are_killed_at_once_go_on() {
    killed_at(
        &[Point::Save(1), Point::Saved(3), Point::Restore, Point::Finish],
        &[COORDINATOR, BANK, TELECOM],
    );
}

/// What is kept beside models must not get lost in doubt.
const SHAPE_WITH_DETECTORS: Shape = Shape::Detected;

/// The files that say that a side has finished.
pub fn final_files(fixture: &crate::fixture::Fixture) -> [bool; 3] {
    let models = [
        "coordinator-state/top.safetensors",
        "bank-state/bottom.safetensors",
        "telecom-state/bottom.safetensors",
    ];
    models.map(|model| fixture.path(model).exists())
}

#[test]
fn whoever_is_killed_after_a_party_has_written_its_model_all_finish() {
    let all = [COORDINATOR, BANK, TELECOM];
    let cases =
        [(&all[..1], true), (&all[1..2], true), (&all[1..2], false), (&all[2..], false), (&all, true)];
    for (victims, is_lost) in cases {
        let fixture = SHAPE_WITH_DETECTORS.fixture();
        let mut run = held_at(&fixture, Point::Finished);
        assert_eq!(final_files(&fixture), [false; 3], "nobody has decided");
        assert!(victims.iter().all(|victim| run.kill(*victim)), "{}", run.told());
        match is_lost {
            true => run.relays[0].lose(),
            false => run.relays[0].open(),
        }
        assert!(run.all_end() < PARTED);
        run.finish(Restart::WhenAllHaveEnded);
        let what = format!("{victims:?} killed, its word lost: {is_lost}");
        assert_same(&fixture, &run, SHAPE_WITH_DETECTORS.undisturbed(), &what);
    }
}

#[test]
fn whoever_is_killed_after_the_decision_all_finish() {
    for victims in [&[COORDINATOR][..], &[BANK], &[TELECOM], &[COORDINATOR, BANK, TELECOM]] {
        let fixture = SHAPE_WITH_DETECTORS.fixture();
        let mut run = held_at_decision(&fixture);
        for victim in victims {
            // Who has ended already is not killed.
            run.kill(*victim);
        }
        run.relays[0].lose();
        assert!(run.all_end() < PARTED);
        run.finish(Restart::WhenAllHaveEnded);
        assert_same(&fixture, &run, SHAPE_WITH_DETECTORS.undisturbed(), &format!("{victims:?} killed"));
    }
}

/// A run that the coordinator has decided to have finished; telecom has heard it, and bank has not.
pub fn held_at_decision(fixture: &crate::fixture::Fixture) -> Supervisor<'_, Gate> {
    let mut run = held_at(fixture, Point::Commit);
    run.wait_until("telecom's model", |_| final_files(fixture)[TELECOM]);
    assert_eq!(final_files(fixture), [true, false, true], "bank has not heard the decision");
    run
}

#[test]
fn a_coordinator_that_is_started_again_at_once_does_not_take_back_what_it_decided() {
    let fixture = SHAPE_WITH_DETECTORS.fixture();
    let mut run = held_at_decision(&fixture);
    assert!(run.kill(COORDINATOR), "{}", run.told());
    // While bank tries to come back.
    run.relays[0].lose();
    run.start(COORDINATOR);
    run.finish(Restart::AtOnce);
    assert_same(&fixture, &run, SHAPE_WITH_DETECTORS.undisturbed(), "told again");
}

#[test]
fn a_party_in_doubt_says_so_by_its_exit_code_and_asks_again() {
    for point in [Point::Finished, Point::Commit] {
        let fixture = Shape::Plain.fixture();
        let mut run = held_at(&fixture, point);
        assert!(run.kill(COORDINATOR), "{}", run.told());
        run.relays[0].lose();
        run.all_end();
        let end = run.last_end(BANK);
        assert_eq!(end.code, Some(IN_DOUBT), "{point:?}: {}", end.log);
        assert!(!final_files(&fixture)[BANK], "it never decides alone");
        run.finish(Restart::WhenAllHaveEnded);
        assert_same(&fixture, &run, Shape::Plain.undisturbed(), &format!("{point:?}"));
    }
}

#[test]
fn a_run_without_a_checkpoint_begins_again_and_is_charged_once() {
    let mut fixture = Shape::Plain.fixture();
    fixture.extra.retain(|(_, line)| !line.starts_with("checkpoint_every_s"));
    fixture.extra.push(("coordinator", "checkpoint_every_s = 1000".into()));
    let mut run = held_at(&fixture, Point::Gradient(3, 1));
    assert!(run.kill(COORDINATOR), "{}", run.told());
    run.relays[0].open();
    run.all_end();
    run.finish(Restart::WhenAllHaveEnded);
    // No party was killed, so no ledger may count more.
    assert_same(&fixture, &run, Shape::Plain.undisturbed(), "from the beginning");
    assert!(run.has_said("\"epoch\":1,"), "it began again");
}

#[test]
fn a_run_goes_on_from_between_two_batches_where_time_has_passed() {
    let mut fixture = Shape::Plain.fixture();
    fixture.extra.retain(|(_, line)| !line.starts_with("checkpoint_every_s"));
    fixture.extra.push(("coordinator", "checkpoint_every_s = 1".into()));
    // Held for longer than that within the third epoch.
    let mut run = held_at(&fixture, Point::Batch(2, 1));
    std::thread::sleep(Duration::from_millis(1100));
    run.relays[0].stop_at(Point::Gradient(2, 3).wanted());
    run.relays[0].pass_on();
    run.wait_until("another batch", |run| run.relays[0].holds());
    assert!(run.kill(COORDINATOR) && run.kill(BANK), "{}", run.told());
    run.relays[0].open();
    run.all_end();
    run.finish(Restart::WhenAllHaveEnded);
    assert!(!run.has_said("\"epoch\":1,") && run.has_said("\"epoch\":3,"), "{}", run.told());
    assert_same(&fixture, &run, Shape::Plain.undisturbed(), "from within an epoch");
}

#[test]
fn audit_trails_hold_over_kills() {
    let fixture = Shape::Plain.fixture();
    let mut run = held_at(&fixture, Point::Batch(2, 0));
    assert!((0..SIDES.len()).all(|side| run.kill(side)), "{}", run.told());
    run.relays[0].open();
    run.finish(Restart::WhenAllHaveEnded);
    for side in SIDES {
        for keeper in SIDES.into_iter().filter(|keeper| *keeper != side) {
            let (good, said) = verified(&fixture, side, keeper);
            assert!(good, "{side} at {keeper}: {said}");
        }
    }
}
