//! One process ends in a run and is started again by the same command while all others wait: nobody waits for its old connection, and
//! no other process is started again.

use std::fs;
use std::time::{Duration, Instant};

use crate::fixture::Fixture;
use crate::proxy::Proxy;
use crate::restarted::points::{final_files, held_at_decision};
use crate::restarted::supervisor::{BANK, COORDINATOR, Relay, SIDES, Supervisor, TELECOM};
use crate::restarted::{Shape, assert_same};

/// Sides that wait, and would wait for a lost connection for longer than a test may take.
fn patient() -> Fixture {
    Fixture { on_interruption: "wait", reconnect_s: 100, ..Shape::Plain.fixture() }
}

/// Far less than that.
const SOON: Duration = Duration::from_secs(40);

/// Waits until all sides have ended well, with one start more than there are sides.
fn all_end<R: Relay>(fixture: &Fixture, run: &mut Supervisor<'_, R>, what: &str) {
    let began = Instant::now();
    run.wait_until("the end of all", |run| (0..SIDES.len()).all(|side| !run.runs(side)));
    assert!(run.all_finished(), "{what}: {}", run.told());
    assert!(began.elapsed() < SOON, "{what}: {:?}: {}", began.elapsed(), run.told());
    assert_eq!(run.starts(), SIDES.len() + 1, "{what}: {}", run.told());
    assert_same(fixture, run, Shape::Plain.undisturbed(), what);
}

#[test]
fn a_party_that_is_started_again_is_not_waited_for_on_its_old_connection() {
    let fixture = patient();
    let mut run = Supervisor::plain(&fixture);
    run.start_all();
    run.wait_until("the third epoch", |run| run.has_said("\"epoch\":3,"));
    assert!(run.kill(BANK), "{}", run.told());
    // Nobody starts it for a while.
    let notice = "the coordinator says: the run waits for bank, whose connection was lost";
    run.wait_until("the word to telecom", |run| run.has_logged(TELECOM, notice));
    run.start(BANK);
    all_end(&fixture, &mut run, "started again");
    let log = &run.last_end(COORDINATOR).log;
    assert!(log.contains("lost bank: its process has ended, and a new one asks to join"), "{log}");
    assert!(log.contains("the run continues from a checkpoint"), "{log}");
}

#[test]
fn a_party_that_is_started_again_right_behind_the_decision_is_told_by_the_process_that_made_it() {
    let fixture = Fixture { reconnect_s: 100, ..Shape::Detected.fixture() };
    let mut run = held_at_decision(&fixture);
    assert!(run.kill(BANK), "{}", run.told());
    run.relays[0].lose();
    let began = Instant::now();
    run.start(BANK);
    run.wait_until("the end of all", |run| (0..SIDES.len()).all(|side| !run.runs(side)));
    assert!(run.all_finished() && began.elapsed() < SOON, "{:?}: {}", began.elapsed(), run.told());
    assert_eq!(run.starts(), SIDES.len() + 1, "{}", run.told());
    assert_eq!(final_files(&fixture), [true; 3]);
    assert!(!fixture.path("coordinator-state/unacknowledged.json").exists(), "it has confirmed its model");
    let heads = fixture.read("bank-ledger.audit/heads/coordinator.jsonl");
    assert!(heads.contains("\"at\":\"finish\""), "it has a head of the log that holds the decision: {heads}");
    assert_same(&fixture, &run, Shape::Detected.undisturbed(), "told at once");
}

/// A run in which `side` has ended since it could not write `file`, whose name a folder had, as it could not on a full disk. It can now.
fn cannot_write<'a>(fixture: &'a Fixture, side: usize, file: &str) -> Supervisor<'a, Proxy> {
    let path = fixture.path(&format!("{}-state/{file}", SIDES[side]));
    fs::create_dir_all(&path).unwrap();
    let mut run = Supervisor::plain(fixture);
    run.start_all();
    run.wait_until("its end", |run| !run.runs(side));
    let end = run.last_end(side);
    assert_eq!(end.code, Some(1), "{}", end.log);
    assert!(end.errors()[0].contains("cannot write") && end.errors()[0].contains(file), "{}", end.log);
    fs::remove_dir(path).unwrap();
    run
}

#[test]
fn others_wait_for_a_party_that_cannot_write_its_files() {
    let fixture = patient();
    let mut run = cannot_write(&fixture, BANK, "checkpoint-best.safetensors");
    let waits = "waiting for all sides to reconnect";
    for side in [COORDINATOR, TELECOM] {
        run.wait_until("the others' patience", |run| run.has_logged(side, waits));
        assert!(run.has_logged(side, "bank left, because"), "{}", run.told());
    }
    run.start(BANK);
    all_end(&fixture, &mut run, "bank could not write");
}

#[test]
fn parties_wait_for_a_coordinator_that_cannot_write_its_files() {
    let fixture = patient();
    let mut run = cannot_write(&fixture, COORDINATOR, "top.pending.safetensors");
    for side in [BANK, TELECOM] {
        run.wait_until("the parties' patience", |run| {
            run.has_logged(side, "waiting for all sides to reconnect")
        });
    }
    run.start(COORDINATOR);
    all_end(&fixture, &mut run, "the coordinator could not write");
}
