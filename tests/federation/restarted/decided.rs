//! After the decision: the same command on a run that has finished, parties that did not hear it, and what `--fresh` refuses.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hashvfl_testbed::strangers;

use crate::fixture::{Fixture, command};
use crate::restarted::gate::Gate;
use crate::restarted::points::{Point, final_files, held_at, held_at_decision};
use crate::restarted::supervisor::{BANK, COORDINATOR, IN_DOUBT, Relay, Restart, SIDES, Supervisor, TELECOM};
use crate::restarted::unfinished::states;
use crate::restarted::{Shape, assert_same};

/// Runs a side's command with more arguments; whether it ended well, its standard output and its error.
fn start_again(fixture: &Fixture, side: usize, more: &[&str]) -> (bool, String, String) {
    let config = fixture.path(&format!("{}.toml", SIDES[side])).display().to_string();
    let role = if side == COORDINATOR { "coordinator" } else { "party" };
    let arguments: Vec<&str> =
        [role].into_iter().chain(more.iter().copied()).chain(["--config", &config]).collect();
    command(&arguments)
}

#[test]
fn the_same_command_on_a_finished_run_says_so_and_ends_well() {
    let fixture = Shape::Plain.fixture();
    let mut run = Supervisor::plain(&fixture);
    // Bank's seed is drawn.
    run.edit(BANK, |text| text.replace("\nseed = 7\n", "\n"));
    run.finish(Restart::WhenAllHaveEnded);
    let before = states(&fixture, &[COORDINATOR, BANK, TELECOM]);
    for (side, model) in
        [(COORDINATOR, "top.safetensors"), (BANK, "bottom.safetensors"), (TELECOM, "bottom.safetensors")]
    {
        let (good, _, log) = start_again(&fixture, side, &[]);
        assert!(
            good && log.contains("the run has already finished") && log.contains(model),
            "{}: {log}",
            SIDES[side]
        );
        let (good, said, log) = start_again(&fixture, side, &["--check"]);
        assert!(
            good && said.contains("done: the run has already finished") && said.contains(model),
            "{said}{log}"
        );
        let (good, _, log) = start_again(&fixture, side, &["--fresh"]);
        assert!(!good && log.contains("from a finished run"), "{log}");
    }
    assert!(before == states(&fixture, &[COORDINATOR, BANK, TELECOM]), "nothing is changed");
}

#[test]
fn another_config_does_not_pass_for_a_finished_run() {
    let fixture = Shape::Plain.fixture();
    let mut run = Supervisor::plain(&fixture);
    run.finish(Restart::WhenAllHaveEnded);
    let before = states(&fixture, &[COORDINATOR, BANK]);
    let changes: [(usize, &str, fn(&str) -> String); 5] = [
        (BANK, "bank.toml", |text| text.replace("epochs = 6", "epochs = 7")),
        (BANK, "bank.toml", |text| text.replace("seed = 7", "seed = 8")),
        (BANK, "bank.csv", |text| text.replacen(",0.", ",0.1", 1)),
        (COORDINATOR, "coordinator.toml", |text| text.replace("epochs = 6", "epochs = 7")),
        (COORDINATOR, "labels.csv", |text| text.replacen(",1\n", ",0\n", 1)),
    ];
    for (side, file, change) in changes {
        let original = fixture.read(file);
        assert_ne!(change(&original), original, "{file}");
        fixture.write(file, &change(&original));
        for more in [&[][..], &["--check"]] {
            let (good, _, log) = start_again(&fixture, side, more);
            let lines = log.lines().filter(|line| line.starts_with("error: ")).count();
            assert!(!good && lines == 1 && log.contains("is from a finished run"), "{file}: {log}");
        }
        fixture.write(file, &original);
    }
    assert!(before == states(&fixture, &[COORDINATOR, BANK]), "nothing is changed");
}

#[test]
fn a_model_in_doubt_is_not_thrown_away() {
    let fixture = Shape::Plain.fixture();
    let mut run = held_at(&fixture, Point::Finished);
    assert!(run.kill(BANK), "{}", run.told());
    run.relays[0].lose();
    run.all_end();
    let before = states(&fixture, &[BANK]);
    run.start_with(BANK, &["--fresh"]);
    run.wait_until("a refusal", |run| !run.runs(BANK));
    let end = run.last_end(BANK);
    let error = end.errors()[0];
    assert!(end.code == Some(IN_DOUBT) && error.contains("start without --fresh"), "{error}");
    assert!(before == states(&fixture, &[BANK]), "nothing is changed");
    run.finish(Restart::WhenAllHaveEnded);
    assert_same(&fixture, &run, Shape::Plain.undisturbed(), "asked for --fresh in vain");
}

/// A run whose coordinator was killed right after its decision, of which bank has not heard; commands from now on serve.
fn killed_at_decision(fixture: &Fixture) -> Supervisor<'_, Gate> {
    let mut run = held_at_decision(fixture);
    assert!(run.kill(COORDINATOR), "{}", run.told());
    run.relays[0].lose();
    run.all_end();
    assert!(fixture.path("coordinator-state/unacknowledged.json").exists());
    run.command(COORDINATOR, &["coordinator", "train-and-serve", "--json"]);
    run
}

#[test]
fn a_coordinator_that_serves_tells_a_party_that_asks_and_hears_it_of_one_that_serves() {
    let mut fixture = Shape::Plain.fixture();
    // Nobody could wait for that.
    fixture.reconnect_s = 100;
    let mut run = held_at_decision(&fixture);
    assert!(run.kill(COORDINATOR) && run.kill(BANK), "{}", run.told());
    run.kill(TELECOM);
    run.relays[0].lose();
    run.all_end();
    run.command(COORDINATOR, &["coordinator", "train-and-serve", "--json"]);
    run.start(COORDINATOR);
    run.wait_until("the address", |run| run.has_said("\"listening\""));
    // In doubt, it asks, and serves then; telecom has its model, and says so by serving.
    for party in [BANK, TELECOM] {
        // A gate knows nothing of predictions.
        let (gate, address) = (run.relays[party - 1].address().to_string(), run.address());
        run.edit(party, |text| text.replace(&gate, &address));
        run.command(party, &["party", "train-and-serve"]);
        run.start(party);
    }
    run.wait_until("both", |run| {
        ["bank", "telecom"].iter().all(|party| run.has_said(&format!("\"joined\",\"party\":\"{party}\"")))
    });
    assert_eq!(final_files(&fixture), [true; 3]);
    let kept = fixture.path("coordinator-state/unacknowledged.json");
    run.wait_until("acknowledged by both", |_| !kept.exists());
    (0..SIDES.len()).for_each(|side| run.terminate(side));
    run.all_end();
    assert!(run.all_finished(), "whoever serves ends well: {}", run.told());
}

#[test]
fn a_party_that_asks_is_told_by_a_coordinator_that_serves_and_ends_well() {
    let fixture = Shape::Plain.fixture();
    let mut run = killed_at_decision(&fixture);
    run.start(COORDINATOR);
    run.wait_until("the address", |run| run.has_said("\"listening\""));
    run.start(BANK);
    run.wait_until("the end of bank", |run| run.finished(BANK));
    assert_eq!(final_files(&fixture), [true; 3]);
    // A run that was never trained there is refused in one line.
    run.edit(TELECOM, |text| {
        text.replace("telecom-state", "another-state").replace("run_id = \"test\"", "run_id = \"next\"")
    });
    run.start(TELECOM);
    run.wait_until("a refusal", |run| !run.runs(TELECOM));
    assert!(
        run.last_end(TELECOM).errors()[0].contains("run_id is test at the coordinator"),
        "{}",
        run.told()
    );
    run.terminate(COORDINATOR);
    run.all_end();
}

#[test]
fn silent_streams_keep_no_party_from_hearing_that_its_model_counts() {
    let fixture = Shape::Plain.fixture();
    let mut run = held_at_decision(&fixture);
    assert!(run.kill(COORDINATOR), "{}", run.told());
    run.relays[0].lose();
    run.all_end();
    run.edit(COORDINATOR, |text| {
        text.replace("reconnect_s = 1,", "reconnect_s = 100,").replace("handshake_s = 10", "handshake_s = 60")
    });
    run.start(COORDINATOR);
    run.wait_until("the address", |run| run.has_said("\"listening\""));
    // Each is waited for by itself, for timeouts.handshake_s = 60.
    let mut silent = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(run.address()).unwrap();
        stream.write_all(&strangers::stream(strangers::JOIN)).unwrap();
        silent.push(stream);
    }
    let began = Instant::now();
    run.start(BANK);
    run.wait_until("the end of bank", |run| run.finished(BANK));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(final_files(&fixture), [true; 3]);
    drop(silent);
    if run.runs(COORDINATOR) {
        run.terminate(COORDINATOR);
    }
    run.all_end();
}

#[test]
fn a_damaged_summary_keeps_no_party_from_hearing_that_its_model_counts() {
    let fixture = Shape::Plain.fixture();
    let mut run = held_at_decision(&fixture);
    // Before it has added the run to the list of finished ones.
    assert!(run.kill(COORDINATOR), "{}", run.told());
    run.relays[0].lose();
    run.all_end();
    let summary = fixture.read("coordinator-state/summary.json");
    let damaged = summary.replacen("test", "tess", 1);
    assert_ne!(damaged, summary);
    fixture.write("coordinator-state/summary.json", &damaged);
    run.edit(COORDINATOR, |text| text.replace("reconnect_s = 1,", "reconnect_s = 60,"));
    run.start(COORDINATOR);
    run.wait_until("the address", |run| run.has_said("\"listening\""));
    run.start(BANK);
    run.wait_until("the end of bank", |run| run.finished(BANK));
    assert_eq!(final_files(&fixture), [true; 3]);
    if run.runs(COORDINATOR) {
        run.terminate(COORDINATOR);
    }
    run.all_end();
}
