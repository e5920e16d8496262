//! State folders of a run that has not finished: who may use them, what may have changed meanwhile, and how they are discarded.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hashvfl_core::settings::OnRefusal;

use crate::fixture::{Fixture, PARTIES, command};
use crate::proxy::Proxy;
use crate::restarted::outcome::{Outcome, files_below};
use crate::restarted::points::{Point, held_at};
use crate::restarted::supervisor::{BANK, COORDINATOR, Restart, SIDES, Supervisor, TELECOM};
use crate::restarted::{Shape, assert_same, undisturbed};

/// What lies in the state folders of sides.
pub fn states(fixture: &Fixture, sides: &[usize]) -> BTreeMap<PathBuf, Vec<u8>> {
    let folders = sides.iter().map(|side| fixture.path(&format!("{}-state", SIDES[*side])));
    let files = folders.flat_map(|folder| files_below(&folder));
    files.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// A run of which all processes were killed at once after its third epoch; it has three checkpoints.
pub fn killed(fixture: &Fixture) -> Supervisor<'_, Proxy> {
    let mut run = Supervisor::plain(fixture);
    run.start_all();
    run.wait_until("the third epoch", |run| run.has_said("\"epoch\":3,"));
    assert!((0..SIDES.len()).all(|side| run.kill(side)), "{}", run.told());
    run
}

#[test]
fn a_second_process_in_a_state_folder_is_refused_and_changes_nothing() {
    let fixture = Shape::Plain.fixture();
    let mut run = Supervisor::plain(&fixture);
    run.start(COORDINATOR);
    run.start(BANK);
    run.wait_until("bank", |run| run.has_said("\"joined\",\"party\":\"bank\""));
    // With ledgers of their own, so that not these are in the way.
    let bank = fixture.read("bank.toml").replace("bank-ledger.redb", "second-ledger.redb");
    fixture.write("second-bank.toml", &bank);
    fixture.write(
        "second-coordinator.toml",
        &format!("ledger = \"other.redb\"\n{}", fixture.read("coordinator.toml")),
    );
    let before = states(&fixture, &[COORDINATOR, BANK]);
    for (role, config) in [("party", "second-bank.toml"), ("coordinator", "second-coordinator.toml")] {
        for more in [&[][..], &["--fresh"]] {
            let config = fixture.path(config).display().to_string();
            let arguments: Vec<&str> =
                [role].into_iter().chain(more.iter().copied()).chain(["--config", &config]).collect();
            let (good, _, errors) = command(&arguments);
            let lines = errors.lines().filter(|line| line.starts_with("error: ")).count();
            assert!(!good && lines == 1, "{arguments:?}: {errors}");
            assert!(
                errors.contains("-state") && errors.contains("another process"),
                "{arguments:?}: {errors}"
            );
        }
    }
    assert!(before == states(&fixture, &[COORDINATOR, BANK]), "a refused process changes nothing");
    run.start_all();
    run.finish(Restart::WhenAllHaveEnded);
    assert_same(&fixture, &run, Shape::Plain.undisturbed(), "beside others");
}

/// Starts one side of a killed run, which must refuse to go on, name a way out, and leave its state as it is.
fn assert_refused(fixture: &Fixture, run: &mut Supervisor<'_, Proxy>, side: usize, what: &str) {
    let before = states(fixture, &[side]);
    run.start(side);
    run.wait_until("a refusal", |run| !run.runs(side));
    assert!(!run.finished(side), "{what}: it went on: {}", run.told());
    let error = run.last_end(side).errors()[0];
    assert!(error.contains("--fresh"), "{what}: {error}");
    assert!(before == states(fixture, &[side]), "{what}: a refused process changes nothing");
}

#[test]
fn an_unfinished_run_is_not_mixed_with_another_table_or_other_settings() {
    let fixture = Shape::Plain.fixture();
    let mut run = killed(&fixture);
    let changes: [(usize, &str, fn(&str) -> String, &str); 5] = [
        (BANK, "bank.csv", changed_cell, "a cell of a table"),
        (COORDINATOR, "labels.csv", |text| text.replacen(",1\n", ",0\n", 1), "a label"),
        (BANK, "bank.toml", |text| text.replace("epochs = 6", "epochs = 7"), "a party's agreed settings"),
        (
            COORDINATOR,
            "coordinator.toml",
            |text| text.replace("epochs = 6", "epochs = 7"),
            "the coordinator's agreed settings",
        ),
        (
            BANK,
            "bank.toml",
            |text| format!("{text}[encoder.model]\nkind = \"mlp\"\nhidden = [7]\n"),
            "the bottom model",
        ),
    ];
    for (side, file, change, what) in changes {
        let original = fixture.read(file);
        let changed = change(&original);
        assert_ne!(changed, original, "{what}");
        fixture.write(file, &changed);
        assert_refused(&fixture, &mut run, side, what);
        fixture.write(file, &original);
    }
    // Where the coordinator is and how long it is waited for is no setting of the run: it has moved.
    let moved = Proxy::to("127.0.0.1:9");
    run.edit(TELECOM, |text| {
        assert!(text.contains(&run.relays[1].address), "{text}");
        text.replace(&run.relays[1].address, &moved.address).replace("step_s = 60", "step_s = 50")
    });
    run.relays[1] = moved;
    run.finish(Restart::WhenAllHaveEnded);
    assert!(!run.has_said("\"epoch\":1,"), "it went on from a checkpoint");
    assert_same(&fixture, &run, Shape::Plain.undisturbed(), "as it was");
}

/// The same table with another number in its first record.
fn changed_cell(text: &str) -> String {
    let (head, rest) = text.split_once('\n').unwrap();
    let (first, rest) = rest.split_once('\n').unwrap();
    let (cells, _) = first.rsplit_once(',').unwrap();
    format!("{head}\n{cells},0.123\n{rest}")
}

#[test]
fn a_run_that_is_begun_afresh_says_what_it_throws_away() {
    for sides in [&[COORDINATOR, BANK, TELECOM][..], &[COORDINATOR], &[BANK]] {
        let fixture = Shape::Plain.fixture();
        let mut run = killed(&fixture);
        sides.iter().for_each(|side| run.start_with(*side, &["--fresh"]));
        run.start_all();
        run.finish(Restart::WhenAllHaveEnded);
        assert!(run.has_said("\"epoch\":1,"), "{sides:?}: from the beginning: {}", run.told());
        for side in sides {
            let log = &run.last_end(*side).log;
            assert!(log.contains("of an unfinished run; the ledger"), "{sides:?}, {}: {log}", SIDES[*side]);
            assert!(log.contains(".safetensors, ") && log.contains("answers.hashvfl"), "by name: {log}");
        }
        // With given seeds it learns the same; what was sent before still counts.
        let outcome = Outcome::of(&fixture);
        let differences = outcome.differences(Shape::Plain.undisturbed(), [1 + MORE; 3]);
        assert!(differences.is_empty(), "{sides:?}: {differences:#?}");
        assert!(
            PARTIES
                .iter()
                .all(|party| outcome.most_bits(party) >= Shape::Plain.undisturbed().most_bits(party))
        );
    }
}

/// What a run that was discarded has sent is counted once more: three epochs, fewer than are reserved ahead.
const MORE: usize = 1;

#[test]
fn fresh_throws_no_finished_run_away() {
    let fixture = Shape::Plain.fixture();
    let mut run = Supervisor::plain(&fixture);
    run.finish(Restart::WhenAllHaveEnded);
    let before = states(&fixture, &[COORDINATOR, BANK, TELECOM]);
    for (role, config) in [("party", "bank.toml"), ("coordinator", "coordinator.toml")] {
        let config = fixture.path(config).display().to_string();
        let (good, _, errors) = command(&[role, "--fresh", "--config", &config]);
        assert!(!good && errors.contains("from a finished run"), "{role}: {errors}");
    }
    assert!(before == states(&fixture, &[COORDINATOR, BANK, TELECOM]), "nothing is changed");
}

#[test]
fn a_side_whose_state_is_lost_makes_all_begin_again() {
    let fixture = Shape::Plain.fixture();
    let mut run = killed(&fixture);
    fs::remove_dir_all(fixture.path("telecom-state")).unwrap();
    run.finish(Restart::WhenAllHaveEnded);
    assert!(run.has_said("\"epoch\":1,"), "from the beginning: {}", run.told());
    let differences = Outcome::of(&fixture).differences(Shape::Plain.undisturbed(), [1, 1, 1 + MORE]);
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn a_policy_bounds_how_often_a_run_goes_on() {
    let mut fixture = Shape::Plain.fixture();
    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.write("policy.toml", "resumes_per_run = 1\n");
    let mut run = killed(&fixture);
    run.start_all();
    run.wait_until("the fifth epoch", |run| run.has_said("\"epoch\":5,"));
    assert!((0..SIDES.len()).all(|side| run.kill(side)), "{}", run.told());
    let before = states(&fixture, &[BANK]);
    run.start_all();
    run.all_end();
    let error = run.last_end(BANK).errors()[0];
    assert!(error.contains("resumes_per_run = 1 refuses 400 records"), "{error}");
    let error = run.last_end(COORDINATOR).errors()[0];
    assert!(error.contains("resumes_per_run = 1"), "the coordinator hears why: {error}");
    assert!(before == states(&fixture, &[BANK]), "nothing is changed");
    fixture.write("policy.toml", "resumes_per_run = 2\n");
    run.finish(Restart::WhenAllHaveEnded);
    assert_same(&fixture, &run, Shape::Plain.undisturbed(), "as often as it may");
}

/// A run of which bank may release just enough, under the policy `policy`.
fn within(mut fixture: Fixture, policy: &str) -> Fixture {
    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.extra.push(("bank", "passes_ahead = 1".into()));
    fixture.write("policy.toml", policy);
    fixture
}

/// Kills bank at `point` and lets the run go on; what bank's last process logged.
fn killed_and_gone_on(fixture: &Fixture, point: Point, expected: &Outcome) -> String {
    let mut run = held_at(fixture, point);
    assert!(run.kill(BANK), "{point:?}: {}", run.told());
    run.relays[0].open();
    run.all_end();
    run.finish(Restart::WhenAllHaveEnded);
    assert_same(fixture, &run, expected, &format!("{point:?}"));
    run.last_end(BANK).log.clone()
}

#[test]
fn a_run_that_leaves_records_out_goes_on_with_those_that_it_began_with() {
    let fixture = || {
        let mut fixture = Shape::Plain.fixture();
        fixture.settings.on_refusal = OnRefusal::LeaveOut;
        // Six epochs of 8 bits, and the pass that is reserved when bank is killed: not as much as the run once more.
        within(fixture, "bits_per_record = 56\n")
    };
    let log = killed_and_gone_on(&fixture(), Point::Batch(3, 1), &undisturbed(&fixture()));
    assert!(log.contains("the run continues from a checkpoint"), "{log}");
}

#[test]
fn p_values_that_a_policy_has_refused_stay_away_when_the_run_goes_on() {
    let fixture = || {
        let mut fixture = Shape::Detected.fixture();
        fixture.settings.epochs = 1;
        // One code of each record, and nothing beside it.
        within(fixture, "bits_per_record = 8\n")
    };
    let log = killed_and_gone_on(&fixture(), Point::Finish, &undisturbed(&fixture()));
    assert!(!log.contains("the coordinator will not use"), "it was refused before: {log}");
}

#[test]
fn all_parties_hear_at_once_of_a_coordinator_that_cannot_go_on() {
    let fixture = Shape::Plain.fixture();
    let mut run = killed(&fixture);
    let path = fixture.path("coordinator-state/transcript.unfinished");
    let mut bytes = fs::read(&path).unwrap();
    bytes[1] ^= 1;
    fs::write(&path, bytes).unwrap();
    run.start_all();
    let took = run.all_end();
    assert!(took < Duration::from_secs(20), "{took:?}: {}", run.told());
    let error = run.last_end(COORDINATOR).errors()[0];
    assert!(error.contains("transcript.unfinished"), "{error}");
    for party in [BANK, TELECOM] {
        let error = run.last_end(party).errors()[0];
        assert!(error.contains("the run has ended: the coordinator stopped; see its log"), "{error}");
    }
}
