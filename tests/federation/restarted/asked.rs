//! Processes of a run that are asked to end, as service managers and Ctrl+C do: a checkpoint is written, all end within
//! seconds or wait, nothing is over-counted, and the run goes on to the same bits.

use std::time::{Duration, Instant};

use crate::fixture::Fixture;
use crate::restarted::gate::Gate;
use crate::restarted::points::{Point, final_files, held_at};
use crate::restarted::supervisor::{
    ASKED_TO_END, BANK, COORDINATOR, IN_DOUBT, Restart, SIDES, Supervisor, TELECOM,
};
use crate::restarted::{Shape, assert_same};

/// Longest time from the signal to the end of the process that gets it.
const ENDED: Duration = Duration::from_secs(10);

/// A run whose checkpoints are those alone that signals lead to.
fn fixture(on_interruption: &'static str) -> Fixture {
    let mut fixture = Shape::Plain.fixture();
    fixture.on_interruption = on_interruption;
    fixture.extra.retain(|(_, line)| !line.starts_with("checkpoint_every_s"));
    fixture.extra.push(("coordinator", "checkpoint_every_s = 1000".into()));
    fixture
}

/// Asks these sides to end; when that was. All of them know it then, and of bank the coordinator does.
fn ask_to_end(run: &mut Supervisor<'_, Gate>, victims: &[usize]) -> Instant {
    victims.iter().for_each(|victim| run.terminate(*victim));
    let asked = Instant::now();
    run.wait_until("the signals", |run| {
        victims.iter().all(|victim| run.has_logged(*victim, "asked to terminate: ending"))
    });
    if victims.contains(&BANK) {
        run.wait_until("bank's word", |run| run.has_logged(COORDINATOR, "it leaves"));
    }
    asked
}

/// Waits until these sides have ended since they were asked to, each with its code and in time.
fn all_ended(run: &mut Supervisor<'_, Gate>, asked: Instant, victims: &[usize]) {
    run.wait_until("the end", |run| victims.iter().all(|side| !run.runs(*side)));
    assert!(asked.elapsed() < ENDED, "{:?} after the signal", asked.elapsed());
    for side in victims {
        assert_eq!(run.last_end(*side).code, Some(ASKED_TO_END), "{}", run.told());
    }
}

#[test]
fn whoever_is_asked_to_end_in_a_run_lets_all_write_a_checkpoint_first() {
    for victims in [&[COORDINATOR][..], &[BANK], &[COORDINATOR, BANK, TELECOM]] {
        let fixture = fixture("stop");
        let mut run = held_at(&fixture, Point::Batch(3, 1));
        let asked = ask_to_end(&mut run, victims);
        run.relays[0].open();
        all_ended(&mut run, asked, victims);
        run.all_end();
        for side in (0..SIDES.len()).filter(|side| !victims.contains(side)) {
            let end = run.last_end(side);
            assert!(end.code == Some(1) && end.errors()[0].contains("asked to end"), "{}", run.told());
        }
        run.finish(Restart::WhenAllHaveEnded);
        assert_eq!(run.starts(), 2 * SIDES.len(), "{}", run.told());
        assert!(!run.has_said("\"epoch\":1,") && run.has_said("\"epoch\":4,"), "{}", run.told());
        // Nobody was killed, so no ledger may count more.
        assert_same(&fixture, &run, Shape::Plain.undisturbed(), &format!("{victims:?}"));
    }
}

#[test]
fn the_others_wait_for_whoever_was_asked_to_end() {
    for victim in [COORDINATOR, BANK] {
        let fixture = fixture("wait");
        let mut run = held_at(&fixture, Point::Gradient(2, 2));
        let asked = ask_to_end(&mut run, &[victim]);
        run.relays[0].open();
        all_ended(&mut run, asked, &[victim]);
        run.start(victim);
        run.wait_until("the end of the run", |run| run.all_finished());
        assert_eq!(run.starts(), SIDES.len() + 1, "the others have waited: {}", run.told());
        assert!(run.has_said("\"epoch\":3,"), "{}", run.told());
        assert_same(&fixture, &run, Shape::Plain.undisturbed(), SIDES[victim]);
    }
}

#[test]
fn a_run_that_stands_still_ends_within_seconds_of_the_signal() {
    for victims in [&[COORDINATOR][..], &[TELECOM]] {
        let fixture = fixture("stop");
        let mut run = held_at(&fixture, Point::Batch(1, 2));
        victims.iter().for_each(|victim| run.terminate(*victim));
        all_ended(&mut run, Instant::now(), victims);
        run.relays[0].open();
        run.all_end();
        run.finish(Restart::WhenAllHaveEnded);
        assert!(run.has_said("\"epoch\":1,"), "there was no checkpoint: {}", run.told());
        assert_same(&fixture, &run, Shape::Plain.undisturbed(), &format!("{victims:?}"));
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let fixture = fixture("stop");
    let mut run = held_at(&fixture, Point::Batch(1, 2));
    ask_to_end(&mut run, &[COORDINATOR]);
    assert!(run.runs(COORDINATOR), "it waits for a checkpoint");
    let asked = Instant::now();
    let mut coordinator = run.take(COORDINATOR);
    coordinator.terminate();
    let end = coordinator.end();
    // It would wait for that for 6 s.
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert!(end.code == Some(ASKED_TO_END) && end.errors().is_empty(), "{end:?}");
}

#[test]
fn whoever_waits_for_the_others_to_join_waits_for_a_coordinator_that_was_asked_to_end() {
    let fixture = fixture("wait");
    let mut run = Supervisor::new(&fixture, [Gate::new(), Gate::new()]);
    run.start(COORDINATOR);
    run.start(BANK);
    run.wait_until("bank", |run| run.has_said("\"joined\",\"party\":\"bank\""));
    run.terminate(COORDINATOR);
    all_ended(&mut run, Instant::now(), &[COORDINATOR]);
    assert!(run.runs(BANK), "{}", run.told());
    run.start(COORDINATOR);
    run.start(TELECOM);
    run.wait_until("the end of the run", |run| run.all_finished());
    assert_same(&fixture, &run, Shape::Plain.undisturbed(), "joined again");
}

#[test]
fn a_party_in_doubt_that_is_asked_to_end_stays_in_doubt() {
    let fixture = fixture("stop");
    let mut run = held_at(&fixture, Point::Commit);
    run.terminate(BANK);
    run.wait_until("the end of bank", |run| !run.runs(BANK));
    assert_eq!(run.last_end(BANK).code, Some(IN_DOUBT), "{}", run.told());
    assert!(!final_files(&fixture)[BANK]);
    run.relays[0].lose();
    run.finish(Restart::WhenAllHaveEnded);
    assert_same(&fixture, &run, Shape::Plain.undisturbed(), "in doubt");
}

#[test]
fn a_coordinator_that_is_asked_to_end_while_it_waits_for_a_confirmation_ends_soon_and_tells_the_party_later()
{
    let mut fixture = fixture("stop");
    // Longer than a test may take.
    fixture.reconnect_s = 100;
    let mut run = held_at(&fixture, Point::Commit);
    run.terminate(COORDINATOR);
    all_ended(&mut run, Instant::now(), &[COORDINATOR]);
    let log = &run.last_end(COORDINATOR).log;
    assert!(log.contains("the run has finished, but bank has not confirmed its model"), "{log}");
    assert_eq!(fixture.read("coordinator-state/unacknowledged.json").matches("\"bank\"").count(), 1);
    assert!(!fixture.read("coordinator-state/unacknowledged.json").contains("telecom"));
    assert!(run.kill(BANK), "{}", run.told());
    run.relays[0].lose();
    run.finish(Restart::WhenAllHaveEnded);
    assert_same(&fixture, &run, Shape::Plain.undisturbed(), "asked to end behind the decision");
}
