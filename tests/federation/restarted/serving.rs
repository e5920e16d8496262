//! Processes that serve predictions and are killed at random moments: the same commands, and predictions to the same bits.
//! `HASHVFL_KILLS` says how many kills, and `HASHVFL_KILLS_SEED` which.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use hashvfl_core::random::{below, stream, uniform};

use crate::fixture::{Fixture, PARTIES, RECORDS};
use crate::predict::{Row, all_by, ids, predict};
use crate::proxy::Proxy;
use crate::restarted::from_environment;
use crate::restarted::outcome::counted_by_record;
use crate::restarted::supervisor::{BANK, COORDINATOR, SIDES, Supervisor, TELECOM};

/// Kills of one federation.
const MOST: usize = 12;
/// Longest time from a client's start to a kill.
const WITHIN: Duration = Duration::from_millis(250);

/// A federation that has finished its run, and whose commands serve.
fn serving(fixture: &Fixture) -> Supervisor<'_, Proxy> {
    fixture.run();
    let mut run = Supervisor::plain(fixture);
    run.command(COORDINATOR, &["coordinator", "serve", "--json"]);
    run.command(BANK, &["party", "serve"]);
    run.command(TELECOM, &["party", "serve"]);
    run
}

/// Starts who does not run, and waits until the coordinator takes requests.
fn start_all(run: &mut Supervisor<'_, Proxy>) {
    run.start_all();
    run.wait_until("the address", |run| run.has_said("\"listening\""));
}

/// All predictions, and what each party has counted of each record when it has ended well.
fn end(
    fixture: &Fixture,
    run: &mut Supervisor<'_, Proxy>,
) -> (Vec<Row>, BTreeMap<&'static str, BTreeMap<String, u64>>) {
    let (rows, errors) = predict(fixture, &run.address(), &ids(0..RECORDS));
    assert!(all_by(&rows, "bank+telecom"), "{errors}");
    (0..SIDES.len()).for_each(|side| run.terminate(side));
    run.all_end();
    assert!(run.all_finished(), "{}", run.told());
    (rows, PARTIES.map(|party| (party, counted_by_record(fixture, party))).into())
}

#[test]
fn whoever_is_killed_while_predictions_are_served_costs_nothing_but_time() {
    let wanted = from_environment("HASHVFL_KILLS", 6);
    let seed = from_environment("HASHVFL_KILLS_SEED", 1) as u64;
    let quiet = Fixture::new();
    let mut run = serving(&quiet);
    start_all(&mut run);
    let (expected, counted) = end(&quiet, &mut run);
    let (mut kills, mut runs) = (0, 0);
    while kills < wanted {
        let mut rng = stream(seed, "kills of servers", &[runs]);
        runs += 1;
        let fixture = Fixture::new();
        let mut run = serving(&fixture);
        for kill in 0..MOST.min(wanted - kills) {
            start_all(&mut run);
            // A client that asks meanwhile: it may fail, and does not hang.
            let first = below(&mut rng, RECORDS);
            let asked = ids(first..RECORDS.min(first + 1 + below(&mut rng, RECORDS)));
            fixture.write("asked.csv", &format!("id\n{}\n", asked.join("\n")));
            let path = |name: &str| fixture.path(name).display().to_string();
            let server = format!("http://{}", run.address());
            let client = Command::new(env!("CARGO_BIN_EXE_roles"))
                .args(["coordinator", "predict", "--server", &server, "--input", &path("asked.csv")])
                .args(["--out", &path(&format!("answer-{kill}.csv")), "--connect-s", "1"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            thread::sleep(WITHIN.mul_f32(uniform(&mut rng)));
            let victim = below(&mut rng, SIDES.len() + 1);
            for side in (0..SIDES.len()).filter(|side| victim == *side || victim == SIDES.len()) {
                assert!(run.kill(side), "whoever serves does not end by itself: {}", run.told());
            }
            start_all(&mut run);
            let said = client.wait_with_output().unwrap();
            assert!(!String::from_utf8_lossy(&said.stderr).contains("panicked"), "{said:?}");
        }
        let (rows, found) = end(&fixture, &mut run);
        assert_eq!(rows, expected, "run {} of seed {seed}", runs - 1);
        for (side, party) in [(BANK, PARTIES[0]), (TELECOM, PARTIES[1])] {
            // A request is reserved as a whole, once.
            let more = (run.kills[side] * fixture.settings.bits) as u64;
            let wrong = counted[party]
                .iter()
                .filter(|(id, bits)| !(**bits..=*bits + more).contains(&found[party][*id]));
            assert_eq!(wrong.count(), 0, "run {} of seed {seed}: ledger of {party}", runs - 1);
        }
        kills += run.kills.iter().sum::<usize>();
        println!("federation {}: {kills} kills so far, all with the same predictions", runs - 1);
    }
}
