//! Sides that wait in vain for each other for longer than their limits, and come back by themselves: no process is killed, and
//! none is started again.

use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::Fixture;
use crate::restarted::gate::Gate;
use crate::restarted::points::Point;
use crate::restarted::supervisor::{BANK, COORDINATOR, SIDES, Supervisor};
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
    thread::sleep(Duration::from_millis(4500));
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
