//! Sides that wait in vain for each other for longer than their limits, and come back by themselves: no process is killed, and
//! none is started again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::fixture::Fixture;
use crate::restarted::gate::Gate;
use crate::restarted::points::Point;
use crate::restarted::supervisor::{BANK, COORDINATOR, SIDES, Supervisor, TELECOM};
use crate::restarted::{Shape, assert_same};

fn fixture() -> Fixture {
    Fixture { on_interruption: "wait", ..Shape::Plain.fixture() }
}

#[test]
fn a_party_that_has_waited_for_longer_than_its_limits_ends_the_run_for_nobody() {
    let fixture = fixture();
    let mut run = Supervisor::new(&fixture, [Gate::new(), Gate::new()]);
    // It waits for both together.
    run.edit(BANK, |text| text.replace("step_s = 60, reconnect_s = 1", "step_s = 3, reconnect_s = 1"));
    run.relays[0].stop_at(Point::Batch(2, 1).wanted());
    run.start_all();
    run.wait_until("the third epoch", |run| run.relays[0].holds());
    run.wait_until("the end of its patience", |run| {
        run.has_logged(BANK, "waited 4 s for the request after step")
    });
    run.relays[0].open();
    run.wait_until("the end of the run", |run| run.all_finished() || !run.runs(COORDINATOR));
    run.wait_until("the end of all", |run| (0..SIDES.len()).all(|side| !run.runs(side)));
    assert!(run.all_finished() && run.starts() == SIDES.len(), "{}", run.told());
    let log = &run.last_end(BANK).log;
    assert!(log.contains("waited 4 s for the request after step"), "{log}");
    assert_same(&fixture, &run, Shape::Plain.undisturbed(), "it waited in vain");
}

#[test]
fn a_coordinator_behind_a_tunnel_that_takes_connections_and_closes_them_is_waited_for_as_one_that_is_gone() {
    let fixture = fixture();
    let mut run = Supervisor::plain(&fixture);
    run.edit(BANK, |text| text.replace("connect_s = 20", "connect_s = 1"));
    run.start_all();
    run.wait_until("the second epoch", |run| run.has_said("\"epoch\":2,"));
    run.relays[0].block(true);
    run.relays[0].cut();
    // Longer than bank tries to come back, and than it tries to reach a coordinator at first.
    let open = Instant::now() + Duration::from_secs(5);
    run.wait_until("the end of the cut", |run| Instant::now() > open || !run.runs(BANK));
    assert!(run.runs(BANK), "{}", run.told());
    run.relays[0].block(false);
    run.wait_until("the end of all", |run| (0..SIDES.len()).all(|side| !run.runs(side)));
    assert!(run.all_finished() && run.starts() == SIDES.len(), "{}", run.told());
    assert_same(&fixture, &run, Shape::Plain.undisturbed(), "behind a tunnel");
}

/// Starts all sides, and holds this message of bank's at each attempt of the run, so often. None of them ends before that.
fn hold_each_time(run: &mut Supervisor<'_, Gate>, point: Point, times: u32) {
    for time in 1..=times {
        let held = Arc::new(AtomicBool::new(false));
        let (mut wanted, is_held) = (point.wanted(), Arc::clone(&held));
        run.relays[0].stop_at(move |passing| {
            let stops = wanted(passing);
            if stops {
                is_held.store(true, Ordering::SeqCst);
            }
            stops
        });
        if time == 1 {
            run.start_all();
        }
        run.wait_until(&format!("{point:?}, time {time}"), |_| held.load(Ordering::SeqCst));
        assert!((0..SIDES.len()).all(|side| run.runs(side)), "time {time}: {}", run.told());
    }
    run.all_end();
    assert_eq!(run.starts(), SIDES.len());
}

/// The one line that says why a side has ended.
fn why(run: &Supervisor<'_, Gate>, side: usize) -> String {
    let end = run.last_end(side);
    assert_eq!(end.code, Some(1), "{}", end.log);
    end.errors()[0].to_string()
}

#[test]
fn a_coordinator_that_is_silent_for_too_long_at_the_same_step_each_time_ends_the_run_after_three_times() {
    let fixture = fixture();
    let mut run = Supervisor::new(&fixture, [Gate::new(), Gate::new()]);
    run.edit(BANK, |text| text.replace("step_s = 60, reconnect_s = 1", "step_s = 3, reconnect_s = 1"));
    hold_each_time(&mut run, Point::Batch(2, 1), 3);
    let bank = why(&run, BANK);
    assert!(bank.contains("waited 4 s for the request after step"), "{bank}");
    assert!(bank.contains("3 times in a row: raise the parties' timeouts.step_s"), "{bank}");
    let coordinator = why(&run, COORDINATOR);
    assert!(coordinator.contains("bank stopped: waited 4 s for the request after step"), "{coordinator}");
    let telecom = why(&run, TELECOM);
    assert!(telecom.contains("bank stopped") && telecom.contains("its own log says why"), "{telecom}");
}

#[test]
fn a_party_that_is_too_slow_at_the_same_step_each_time_ends_the_run_after_three_times() {
    let fixture = fixture();
    let mut run = Supervisor::new(&fixture, [Gate::new(), Gate::new()]);
    run.edit(COORDINATOR, |text| text.replace("step_s = 30", "step_s = 4"));
    hold_each_time(&mut run, Point::Answer(2, 1), 3);
    let said = "waited 4 s for bank, and 3 such waits in a row were in vain: raise timeouts.step_s";
    for side in 0..SIDES.len() {
        let why = why(&run, side);
        assert!(why.contains(said), "{why}");
    }
}
