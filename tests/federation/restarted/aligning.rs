//! Processes of an alignment that are killed at random moments, or asked to end: the same commands end with the same order.
//! `HASHVFL_KILLS` says how many kills, and `HASHVFL_KILLS_SEED` which.

use std::time::{Duration, Instant};

use hashvfl_core::random::{below, stream, uniform};

use crate::aligned;
use crate::fixture::Fixture;
use crate::proxy::Proxy;
use crate::restarted::from_environment;
use crate::restarted::supervisor::{ASKED_TO_END, BANK, COORDINATOR, Restart, SIDES, Supervisor, TELECOM};

/// Most kills of one alignment.
const MOST: usize = 3;
/// Longest time from the signal to the end of the process that gets it.
const ENDED: Duration = Duration::from_secs(10);

/// An alignment that may be counted often: one that is killed between counting and its first point counts once more.
fn fixture() -> Fixture {
    aligned::unordered(64)
}

fn aligning(fixture: &Fixture) -> Supervisor<'_, Proxy> {
    let mut run = Supervisor::plain(fixture);
    run.command(COORDINATOR, &["coordinator", "align", "--json"]);
    run.command(BANK, &["party", "align"]);
    run.command(TELECOM, &["party", "align"]);
    // Where the others are through, nobody may be there any more.
    [BANK, TELECOM]
        .iter()
        .for_each(|side| run.edit(*side, |text| text.replace("connect_s = 20", "connect_s = 2")));
    run
}

#[test]
fn alignments_whose_processes_are_killed_at_random_end_with_the_same_order() {
    let wanted = from_environment("HASHVFL_KILLS", 6);
    let seed = from_environment("HASHVFL_KILLS_SEED", 1) as u64;
    let began = Instant::now();
    aligning(&fixture()).finish(Restart::AtOnce);
    let span = began.elapsed();
    let (mut kills, mut runs) = (0, 0);
    while kills < wanted {
        assert!(runs < 10 * (wanted as u64 + 1), "processes end before they are killed: {kills} kills");
        let mut rng = stream(seed, "kills of alignments", &[runs]);
        runs += 1;
        let fixture = fixture();
        let mut run = aligning(&fixture);
        run.start_all();
        for _ in 0..1 + below(&mut rng, MOST) {
            let (victim, after) = (below(&mut rng, SIDES.len() + 1), span.mul_f32(1.1 * uniform(&mut rng)));
            let waited = Instant::now();
            run.supervise(Restart::AtOnce, |_| waited.elapsed() >= after);
            for side in (0..SIDES.len()).filter(|side| victim == *side || victim == SIDES.len()) {
                run.kill(side);
            }
            // Whoever is through may be needed by one that is not.
            run.ask_all_again();
        }
        run.finish(Restart::AtOnce);
        kills += run.kills.iter().sum::<usize>();
        aligned::check(&fixture);
        println!("alignment {}: {kills} kills so far, all ended with the same order", runs - 1);
    }
}

#[test]
fn a_holder_that_is_asked_to_end_is_named_to_the_others_and_the_same_command_goes_on() {
    let cases = [
        (BANK, COORDINATOR, "bank has disconnected; waiting"),
        (COORDINATOR, BANK, "labels has disconnected; waiting"),
    ];
    for (victim, other, line) in cases {
        let fixture = fixture();
        let mut run = aligning(&fixture);
        // Nobody is through before telecom comes.
        run.start(COORDINATOR);
        run.wait_until("the relay", |run| run.has_said("\"listening\""));
        run.start(BANK);
        let points_of_labels = fixture.path("bank-align/sorted-2");
        run.wait_until("what goes without telecom", |_| points_of_labels.exists());

        run.terminate(victim);
        let asked = Instant::now();
        run.wait_until("the end", |run| !run.runs(victim));
        assert!(asked.elapsed() < ENDED, "{:?} after the signal", asked.elapsed());
        assert_eq!(run.last_end(victim).code, Some(ASKED_TO_END), "{}", run.told());
        run.wait_until(line, |run| run.has_logged(other, line));
        run.take(other).kill();

        run.finish(Restart::AtOnce);
        aligned::check(&fixture);
    }
}
