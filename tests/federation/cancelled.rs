//! Runs that the coordinator's operator cancels: in training, while parties are waited for, and where there is nothing to
//! cancel.

use std::fs;
use std::time::{Duration, Instant};

use crate::fixture::{Fixture, PARTIES, Role, command};

/// What every party is told.
pub const TOLD: &str = "the coordinator's operator has cancelled the run";
/// Longest time from the command to the end of all.
const SOON: Duration = Duration::from_secs(15);

/// Runs `coordinator cancel` with the config of that name; whether it ended well, and its line.
pub fn cancel(fixture: &Fixture, config: &str, more: &[&str]) -> (bool, String) {
    let config = fixture.path(config).display().to_string();
    let arguments: Vec<&str> =
        ["coordinator", "cancel", "--config", &config].iter().chain(more).copied().collect();
    let (good, said, errors) = command(&arguments);
    let line = if good { said } else { errors };
    assert_eq!(line.lines().count(), 1, "one clear line: {line}");
    (good, line)
}

/// The audit trail of a side, for a person.
pub fn trail(fixture: &Fixture, role: &str, config: &str) -> String {
    let config = fixture.path(config).display().to_string();
    let (good, said, errors) = command(&[role, "audit", "show", "--config", &config]);
    assert!(good, "{errors}");
    said
}

/// A run that does not end by itself, and whose sides wait long for each other.
fn endless() -> Fixture {
    let mut fixture = Fixture { reconnect_s: 60, on_interruption: "wait", ..Fixture::new() };
    fixture.settings.epochs = 100_000;
    fixture.extra.push(("coordinator", "checkpoint_every_s = 0".into()));
    fixture
}

fn starts(fixture: &Fixture) -> (Role, [Role; 2]) {
    let (coordinator, address) = fixture.coordinator();
    (coordinator, PARTIES.map(|name| fixture.party(name, &address)))
}

/// Waits until all sides have ended since `began`, each with one line that says why.
fn all_hear(coordinator: &mut Role, parties: &mut [Role], began: Instant) {
    let error = coordinator.fails();
    assert!(error.contains(TOLD) && error.contains("to continue from the last checkpoint"), "{error}");
    for party in parties {
        let error = party.fails();
        assert!(error.contains(TOLD), "{error}");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn a_run_that_is_cancelled_ends_for_all_and_goes_on_when_it_is_started_again() {
    let fixture = endless();
    let (mut coordinator, mut parties) = starts(&fixture);
    coordinator.wait_for("\"epoch\":2,");
    let began = Instant::now();
    let (good, line) = cancel(&fixture, "coordinator.toml", &[]);
    assert!(good && line.contains("run test is cancelled") && line.contains("--fresh"), "{line}");
    all_hear(&mut coordinator, &mut parties, began);
    let said = trail(&fixture, "coordinator", "coordinator.toml");
    let last = said.lines().rfind(|line| line.contains("run ended")).unwrap_or_default();
    assert!(last.ends_with(": cancelled") && !last.contains("step 0:"), "{said}");
    assert!(fixture.unfinished().is_empty() && !fixture.path("coordinator-state/cancel.request").exists());
    let (good, line) = cancel(&fixture, "coordinator.toml", &[]);
    assert!(!good && line.contains("no coordinator is working on run test"), "{line}");

    // It goes on, and is cancelled for good then.
    let (mut coordinator, mut parties) = starts(&fixture);
    coordinator.wait_for("\"epoch\":");
    let began = Instant::now();
    let (good, line) = cancel(&fixture, "coordinator.toml", &["--fresh"]);
    assert!(good && line.contains("discarded") && !line.contains(" 0 files"), "{line}");
    all_hear(&mut coordinator, &mut parties, began);
    let said = trail(&fixture, "coordinator", "coordinator.toml");
    assert!(said.contains("the run continued from the checkpoint"), "{said}");
    let left: Vec<_> = fs::read_dir(fixture.path("coordinator-state")).unwrap().map(Result::unwrap).collect();
    let stays = |name: &std::ffi::OsStr| name == "codes" || name == "coordinator.owner";
    assert!(left.iter().all(|entry| stays(&entry.file_name())), "{left:?}");
}

#[test]
fn a_run_that_waits_for_a_party_is_cancelled_too() {
    let fixture = endless();
    let (mut coordinator, address) = fixture.coordinator();
    let mut bank = [fixture.party("bank", &address)];
    coordinator.wait_for("joined");
    let began = Instant::now();
    let (good, line) = cancel(&fixture, "coordinator.toml", &[]);
    assert!(good, "{line}");
    all_hear(&mut coordinator, &mut bank, began);
    let said = trail(&fixture, "coordinator", "coordinator.toml");
    assert!(said.lines().last().unwrap().ends_with("run ended unfinished at step 0: cancelled"), "{said}");
}

#[test]
fn whoever_waits_for_a_party_that_was_lost_hears_of_it() {
    let fixture = endless();
    let (mut coordinator, [mut bank, telecom]) = starts(&fixture);
    coordinator.wait_for("\"epoch\":2,");
    bank.kill();
    // It is waited for, up to timeouts.reconnect_s.
    coordinator.wait_for_log("waiting up to 60 s for it to reconnect");
    let began = Instant::now();
    assert!(cancel(&fixture, "coordinator.toml", &[]).0);
    all_hear(&mut coordinator, &mut [telecom], began);
}

#[test]
fn what_has_not_begun_or_has_finished_is_not_cancelled_and_a_finished_run_says_so_at_once() {
    // Nobody could wait for that.
    let fixture = Fixture { reconnect_s: 100, ..Fixture::new() };
    fixture.coordinator_config();
    let (good, line) = cancel(&fixture, "coordinator.toml", &[]);
    assert!(!good && line.contains("no coordinator is working on run test"), "{line}");
    assert!(!fixture.path("coordinator-state").exists(), "nothing was made");
    fixture.run();
    let (good, line) = cancel(&fixture, "coordinator.toml", &["--fresh"]);
    assert!(!good && line.contains("run test has finished") && line.contains("top.safetensors"), "{line}");
    // Asked for where nobody was there to obey.
    fixture.write("coordinator-state/cancel.request", "cancel\n");
    let began = Instant::now();
    let (good, _, errors) =
        command(&["coordinator", "--config", &fixture.path("coordinator.toml").display().to_string()]);
    assert!(good && errors.contains("the run has already finished"), "{errors}");
    assert!(began.elapsed() < SOON, "all parties have their models: nobody is waited for");
    assert!(!fixture.path("coordinator-state/cancel.request").exists());
}
