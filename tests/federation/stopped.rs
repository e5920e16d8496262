//! Processes that are asked to end, as `docker stop` and service managers do: the run ends on all sides, and all say why.

use std::process::Command;

use crate::fixture::{Fixture, Role};

#[test]
fn a_party_that_is_asked_to_end_ends_the_run_and_is_named() {
    let fixture = Fixture::that_never_ends();
    let (mut coordinator, address) = fixture.coordinator();
    let mut bank = fixture.party("bank", &address);
    let mut telecom = fixture.party("telecom", &address);
    coordinator.wait_for("\"epoch\":2");
    telecom.terminate();
    let line = telecom.was_asked();
    assert!(
        line.contains("start the same command again to continue the run") && line.contains("asked to end"),
        "{line}"
    );
    let error = coordinator.fails();
    assert!(error.contains("telecom left, because its process was asked to end"), "{error}");
    let error = bank.fails();
    assert!(
        error.contains("the run has ended")
            && error.contains("telecom left, because its process was asked to end"),
        "{error}"
    );
    assert_eq!(fixture.unfinished(), Vec::<String>::new(), "nothing of a run that did not finish");
}

#[test]
fn a_coordinator_that_is_asked_to_end_tells_the_parties() {
    let fixture = Fixture::that_never_ends();
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = [fixture.party("bank", &address), fixture.party("telecom", &address)];
    coordinator.wait_for("\"epoch\":2");
    coordinator.terminate();
    let line = coordinator.was_asked();
    assert!(
        line.contains("start the same command again to continue the run") && line.contains("asked to end"),
        "{line}"
    );
    for party in &mut parties {
        let error = party.fails();
        assert!(
            error.contains("interrupted") && error.contains("the coordinator was asked to end"),
            "{error}"
        );
    }
    assert_eq!(fixture.unfinished(), Vec::<String>::new(), "nothing of a run that did not finish");
}

#[test]
fn whoever_waits_for_others_ends_when_it_is_asked() {
    let fixture = Fixture::new();
    let (mut coordinator, address) = fixture.coordinator();
    let mut bank = fixture.party("bank", &address);
    coordinator.wait_for("joined");
    coordinator.terminate();
    let line = coordinator.was_asked();
    assert!(line.ends_with("this process was asked to end"), "{line}");
    let error = bank.fails();
    assert!(error.contains("the coordinator was asked to end"), "{error}");
    // Nobody listens there now.
    let mut telecom = Role::start(&["party", "--config"], &fixture.party_config("telecom", &address), "warn");
    telecom.wait_for_log("no coordinator at");
    telecom.terminate();
    assert!(telecom.was_asked().ends_with("this process was asked to end"));
}

#[test]
fn an_attack_that_is_asked_to_end_ends_with_the_code_of_that() {
    let fixture = Fixture::new();
    let config = fixture.path("attack.toml");
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
    let path = |name: &str| fixture.path(name).display().to_string();
    let (transcript, out) = (path("transcript.parquet"), path("report"));
    let run = ["attack", "run", "--transcript", &transcript, "--out", &out, "--config"];
    let mut attack = Role::start(&run, &config, fixture.log);
    // It is at work once it reads its config, to which nobody has written a word.
    let _written = std::fs::OpenOptions::new().write(true).open(&config).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    attack.terminate();
    let end = attack.end();
    assert!(end.code == Some(130) && end.errors().is_empty(), "{end:?}");
}
