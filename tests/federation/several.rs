//! Several runs in one process of the coordinator: at one port, each for itself, whatever becomes of the others.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::cancelled::{TOLD, cancel, trail};
use crate::fixture::{Fixture, PARTIES, Role, command, wait_until};
use crate::proxy::Proxy;
use crate::secured::secured;

const RUNS: [&str; 2] = ["spring", "autumn"];

/// Writes a side's config for the run `run`, with places of its own; its path.
fn config(fixture: &Fixture, run: &str, side: &str, address: &str) -> PathBuf {
    let mut text = match side {
        "coordinator" => {
            fixture.coordinator_config();
            format!("ledger = \"coordinator-ledger.redb\"\n{}", fixture.read("coordinator.toml"))
        }
        party => {
            fixture.party_config(party, address);
            fixture.read(&format!("{party}.toml"))
        }
    };
    for ending in ["-state", "-ledger.redb", ".key"] {
        text = text.replace(&format!("\"{side}{ending}\""), &format!("\"{run}-{side}{ending}\""));
    }
    let name = format!("{run}-{side}.toml");
    fixture.write(&name, &text.replace("run_id = \"test\"", &format!("run_id = {run:?}")));
    fixture.path(&name)
}

/// Changes a config.
fn edit(fixture: &Fixture, name: &str, from: &str, to: &str) {
    let text = fixture.read(name);
    assert!(text.contains(from), "{from}: {text}");
    fixture.write(name, &text.replace(from, to));
}

/// Starts the coordinator of both runs, whose configs are there.
fn start_both(fixture: &Fixture, more: &[&str]) -> Role {
    let [spring, autumn] = RUNS.map(|run| fixture.path(&format!("{run}-coordinator.toml")));
    let spring = spring.display().to_string();
    let mut arguments = vec!["coordinator", "--json"];
    arguments.extend(more);
    arguments.extend(["--config", &spring, "--config"]);
    Role::start(&arguments, &autumn, fixture.log)
}

/// The coordinator of both runs once it listens for both, and where; autumn has two epochs more.
fn both(fixture: &Fixture, more: &[&str]) -> (Role, String) {
    RUNS.iter().for_each(|run| drop(config(fixture, run, "coordinator", "")));
    lengthen(fixture, "coordinator");
    let coordinator = start_both(fixture, more);
    let address = port_of_both(&coordinator);
    (coordinator, address)
}

/// Waits until it listens for both runs: where.
fn port_of_both(coordinator: &Role) -> String {
    let mut found: Vec<(String, String)> = Vec::new();
    while found.len() < RUNS.len() {
        let line = coordinator.next_line().expect("it listens");
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["event"] == "listening" {
            let text = |key: &str| event[key].as_str().unwrap().to_string();
            found.push((text("run"), text("address")));
        }
    }
    found.sort();
    assert_eq!([found[0].0.as_str(), found[1].0.as_str()], ["autumn", "spring"]);
    assert_eq!(found[0].1, found[1].1, "one port");
    found.remove(0).1
}

fn lengthen(fixture: &Fixture, side: &str) {
    let epochs = fixture.settings.epochs;
    let [from, to] = [epochs, epochs + 2].map(|epochs| format!("epochs = {epochs}\n"));
    edit(fixture, &format!("autumn-{side}.toml"), &from, &to);
}

/// Starts a party of a run.
fn party(fixture: &Fixture, run: &str, name: &str, address: &str) -> Role {
    let path = config(fixture, run, name, address);
    if run == "autumn" {
        lengthen(fixture, name);
    }
    Role::start(&["party", "--config"], &path, fixture.log)
}

fn parties(fixture: &Fixture, run: &str, address: &str) -> [Role; 2] {
    PARTIES.map(|name| party(fixture, run, name, address))
}

/// What a run measured on test records.
fn test_of(fixture: &Fixture, run: &str) -> Value {
    let text = fixture.read(&format!("{run}-coordinator-state/summary.json"));
    let summary: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(summary["run_id"], *run);
    assert!(summary["test"]["loss"].is_number(), "{summary}");
    summary["test"].clone()
}

/// What both runs measure where each has a process of its own.
fn alone(of: impl Fn() -> Fixture) -> [Value; 2] {
    [0, 2].map(|more| {
        let mut fixture = of();
        fixture.settings.epochs += more;
        fixture.run();
        fixture.summary()["test"].clone()
    })
}

#[test]
fn two_runs_at_one_port_learn_what_each_learns_alone() {
    let fixture = Fixture::new();
    let (mut coordinator, address) = both(&fixture, &["--log-format", "json"]);
    // A run that is none of both is refused in the words of one that has the party.
    let mut stranger = party(&fixture, "winter", "bank", &address);
    let error = stranger.fails();
    assert!(error.contains("run_id is autumn at the coordinator but winter at the party"), "{error}");
    let mut all: Vec<Role> = RUNS.iter().flat_map(|run| parties(&fixture, run, &address)).collect();
    let (good, log) = coordinator.ends();
    assert!(good, "{log}");
    all.iter_mut().for_each(Role::succeeds);
    assert_eq!(RUNS.map(|run| test_of(&fixture, run)), alone(Fixture::new), "bit for bit");

    // Each line and event is of its run.
    let objects: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<Value> =
        coordinator.rest().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (run, epochs) in RUNS.into_iter().zip([4, 6]) {
        let of_run = |line: &&Value| line["run"] == run;
        let logged = objects.iter().filter(of_run).filter(|line| line["epoch"].is_u64());
        let logged: Vec<u64> = logged.map(|line| line["epoch"].as_u64().unwrap()).collect();
        assert_eq!(logged, (1..=epochs).collect::<Vec<u64>>(), "{run}: {log}");
        let told = events.iter().filter(of_run).filter(|event| event["event"] == "epoch").count();
        assert_eq!(told as u64, epochs, "{run}: {events:?}");
        let joined = objects.iter().filter(of_run).filter(|line| line["message"] == "joined").count();
        assert_eq!(joined, PARTIES.len(), "{run}: {log}");
    }
    let refused = trail(&fixture, "coordinator", "autumn-coordinator.toml");
    assert!(refused.contains("refused from training: other-run"), "{refused}");
    assert!(
        !trail(&fixture, "coordinator", "spring-coordinator.toml").contains("refused"),
        "only one heard it"
    );
}

#[test]
fn a_run_that_is_cancelled_leaves_the_other_as_it_is() {
    let mut fixture = Fixture { reconnect_s: 60, on_interruption: "wait", ..Fixture::new() };
    fixture.settings.epochs = 200;
    let (mut coordinator, address) = both(&fixture, &[]);
    let mut autumn = parties(&fixture, "autumn", &address);
    while !coordinator.next_line().unwrap().contains("\"run\":\"autumn\",\"event\":\"epoch\"") {}
    let (good, line) = cancel(&fixture, "autumn-coordinator.toml", &[]);
    assert!(good && line.contains("run autumn is cancelled"), "{line}");
    for one in &mut autumn {
        let error = one.fails();
        assert!(error.contains(TOLD), "{error}");
    }
    // Who comes later hears it as well, and does not wait.
    let error = party(&fixture, "autumn", "bank", &address).fails();
    assert!(error.contains(TOLD), "{error}");
    let (good, line) = cancel(&fixture, "autumn-coordinator.toml", &[]);
    assert!(!good && line.contains("no coordinator is working on run autumn"), "{line}");
    let mut spring = parties(&fixture, "spring", &address);
    spring.iter_mut().for_each(Role::succeeds);
    let end = coordinator.end();
    assert_eq!(end.code, Some(1), "one run was cancelled: {}", end.log);
    assert!(matches!(end.errors()[..], [error] if error.contains("run autumn: ") && error.contains(TOLD)));
    test_of(&fixture, "spring");
    assert!(trail(&fixture, "coordinator", "autumn-coordinator.toml").contains(": cancelled"));

    // It goes on by itself, beside one that has finished.
    let mut coordinator = start_both(&fixture, &[]);
    let address = loop {
        let event: Value = serde_json::from_str(&coordinator.next_line().unwrap()).unwrap();
        if event["event"] == "listening" {
            assert_eq!(event["run"], "autumn", "nobody of spring is waited for");
            break event["address"].as_str().unwrap().to_string();
        }
    };
    parties(&fixture, "autumn", &address).iter_mut().for_each(Role::succeeds);
    coordinator.succeeds();
    test_of(&fixture, "autumn");
}

#[test]
fn a_run_that_fails_leaves_the_other_as_it_is_and_all_are_asked_to_end() {
    let fixture = Fixture::new();
    RUNS.iter().for_each(|run| drop(config(&fixture, run, "coordinator", "")));
    edit(&fixture, "autumn-coordinator.toml", "labels.csv", "nowhere.csv");
    let coordinator = start_both(&fixture, &[]);
    let event: Value = serde_json::from_str(&coordinator.next_line().unwrap()).unwrap();
    assert_eq!((&event["run"], &event["event"]), (&"spring".into(), &"listening".into()));
    let mut spring = parties(&fixture, "spring", event["address"].as_str().unwrap());
    let mut coordinator = coordinator;
    let end = coordinator.end();
    let errors = end.errors();
    assert!(end.code == Some(1) && errors.len() == 1, "{}", end.log);
    assert!(errors[0].contains("error: run autumn: ") && errors[0].contains("nowhere.csv"), "{}", errors[0]);
    spring.iter_mut().for_each(Role::succeeds);
    test_of(&fixture, "spring");

    let mut fixture = Fixture::new();
    fixture.settings.epochs = 50_000;
    let (mut coordinator, address) = both(&fixture, &[]);
    let spring = parties(&fixture, "spring", &address);
    let bank = party(&fixture, "autumn", "bank", &address);
    coordinator.wait_for("\"event\":\"epoch\"");
    coordinator.terminate();
    let end = coordinator.end();
    assert!(end.code == Some(130) && end.errors().is_empty(), "{}", end.log);
    for run in RUNS {
        let line = format!("run {run}: start the same command again to continue the run");
        assert_eq!(end.log.matches(&line).count(), 1, "{}", end.log);
    }
    for mut one in spring.into_iter().chain([bank]) {
        let error = one.fails();
        assert!(error.contains("the coordinator was asked to end"), "{error}");
    }
}

#[test]
fn a_connection_that_breaks_comes_back_to_its_own_run() {
    let long = || {
        let mut fixture = Fixture { reconnect_s: 60, ..Fixture::new() };
        fixture.settings.epochs = 150;
        fixture
    };
    let fixture = long();
    let (mut coordinator, address) = both(&fixture, &[]);
    let proxy = Proxy::to(&address);
    let mut all: Vec<Role> = RUNS.iter().flat_map(|run| parties(&fixture, run, &proxy.address)).collect();
    coordinator.wait_for("\"event\":\"epoch\"");
    let mut cuts = 0;
    wait_until("the coordinator does not end", || {
        let has_ended = coordinator.ended().is_some();
        if !has_ended {
            cuts += usize::from(cuts < 5 && proxy.cut() > 0);
            thread::sleep(Duration::from_millis(200));
        }
        has_ended
    });
    all.iter_mut().for_each(Role::succeeds);
    assert!(cuts > 0);
    assert_eq!(RUNS.map(|run| test_of(&fixture, run)), alone(long), "bit for bit");
}

#[test]
fn a_party_in_doubt_is_told_while_the_process_that_has_decided_holds_another_run() {
    let fixture = Fixture::new();
    let path = config(&fixture, "spring", "coordinator", "");
    let mut coordinator = Role::start(&["coordinator", "--json", "--config"], &path, fixture.log);
    let mut trained = parties(&fixture, "spring", &coordinator.listens());
    coordinator.succeeds();
    trained.iter_mut().for_each(Role::succeeds);
    // As if bank had died before it heard the decision.
    let [model, pending] = ["bottom.safetensors", "bottom.pending.safetensors"]
        .map(|name| fixture.path(&format!("spring-bank-state/{name}")));
    fs::copy(&model, pending).unwrap();
    fs::remove_file(&model).unwrap();
    fixture.write("spring-coordinator-state/unacknowledged.json", "[\"bank\"]");

    let (mut coordinator, address) = both(&fixture, &[]);
    // Nobody has asked within timeouts.reconnect_s, and autumn waits for its parties.
    coordinator.wait_for_log("bank is told when it asks, while this process holds other runs");
    party(&fixture, "spring", "bank", &address).succeeds();
    assert!(model.exists());
    let kept = fixture.path("spring-coordinator-state/unacknowledged.json");
    wait_until("it is not noted that bank has asked", || !kept.exists());
    coordinator.terminate();
    assert_eq!(coordinator.end().code, Some(130));
}

#[test]
fn a_party_that_dies_is_waited_for_by_its_own_run_alone() {
    let long = |on_interruption| {
        let mut fixture = Fixture { on_interruption, ..Fixture::new() };
        fixture.settings.epochs = 100;
        fixture.extra.push(("coordinator", "checkpoint_every_s = 0".into()));
        fixture
    };
    let fixture = long("wait");
    let (mut coordinator, address) = both(&fixture, &[]);
    let mut all: Vec<Role> = RUNS.iter().flat_map(|run| parties(&fixture, run, &address)).collect();
    while !coordinator.next_line().unwrap().contains("\"run\":\"spring\",\"event\":\"epoch\"") {}
    all[0].kill();
    // Given up after timeouts.reconnect_s; the run is open again then.
    while !coordinator.next_line().unwrap().contains("\"run\":\"spring\",\"event\":\"listening\"") {}
    all[0] = party(&fixture, "spring", "bank", &address);
    coordinator.succeeds();
    all.iter_mut().for_each(Role::succeeds);
    assert_eq!(RUNS.map(|run| test_of(&fixture, run)), alone(|| long("stop")), "bit for bit");
}

#[test]
fn at_one_port_over_tls_each_run_takes_its_own_parties_alone() {
    let mut fixture = secured();
    fixture.settings.parties.truncate(1);
    RUNS.iter().for_each(|run| drop(config(&fixture, run, "coordinator", "")));
    let (bank, telecom) = ("parties = [\"bank\"]", "parties = [\"telecom\"]");
    edit(&fixture, "autumn-coordinator.toml", bank, telecom);
    let mut coordinator = start_both(&fixture, &[]);
    let address = port_of_both(&coordinator);
    let start = |run: &str, name: &str| {
        let path = config(&fixture, run, name, &address);
        if run == "autumn" {
            edit(&fixture, &format!("{run}-{name}.toml"), bank, telecom);
        }
        Role::start(&["party", "--config"], &path, fixture.log)
    };
    // It is let in at the port, and not into the other run.
    let config_of_telecom = config(&fixture, "spring", "telecom", &address);
    edit(&fixture, "spring-telecom.toml", bank, "parties = [\"bank\", \"telecom\"]");
    let error = Role::start(&["party", "--config"], &config_of_telecom, fixture.log).fails();
    assert!(error.contains("telecom is not among run.parties of run spring"), "{error}");
    start("spring", "bank").succeeds();
    while !coordinator.next_line().unwrap().contains("\"run\":\"spring\",\"event\":\"finished\"") {}
    // A party of a run that is over hears nothing of one that it has no part in, whatever run it names.
    // For a moment, its own run is still there to be asked about.
    let refused = || {
        let error = start("winter", "bank").fails();
        assert!(!error.contains("autumn"), "{error}");
        error.contains("do not match the coordinator's")
    };
    assert!((0..20).any(|_| refused()), "the run that is over is still told of");
    start("autumn", "telecom").succeeds();
    let (good, log) = coordinator.ends();
    assert!(good && log.contains("bank asks for run winter, but this process holds no such run"), "{log}");
    RUNS.iter().for_each(|run| drop(test_of(&fixture, run)));
    let autumn = trail(&fixture, "coordinator", "autumn-coordinator.toml");
    assert!(!autumn.contains("refused"), "it is not the business of those of autumn: {autumn}");
}

/// The one line with which both configs are refused, at `--check` and at the start; nothing is made.
fn clash(fixture: &Fixture) -> String {
    let [spring, autumn] =
        RUNS.map(|run| fixture.path(&format!("{run}-coordinator.toml")).display().to_string());
    let mut said = Vec::new();
    for more in [&["--check"][..], &[]] {
        let arguments = [&["coordinator", "--config", &spring, "--config", &autumn], more].concat();
        let (good, _, errors) = command(&arguments);
        assert!(!good && errors.lines().count() == 1 && errors.starts_with("error: "), "{errors}");
        said.push(errors);
    }
    for made in ["spring-coordinator-state", "autumn-coordinator-state"] {
        assert!(!fixture.path(made).exists(), "nothing was started");
    }
    assert_eq!(said[0], said[1]);
    said.remove(0)
}

#[test]
fn configs_that_clash_are_refused_before_anything_starts() {
    let changes = [
        ("run_id = \"autumn\"", "run_id = \"spring\"", "the same run_id = \"spring\""),
        ("autumn-coordinator-state", "spring-coordinator-state", "the same state = "),
        ("\"autumn-coordinator-ledger.redb\"", "\"spring-coordinator-ledger.redb\"", "the same ledger = "),
        ("autumn-coordinator-ledger.redb", "spring-coordinator-ledger.db", "the same audit.folder = "),
        ("ledger = ", "monitor = \"unix:page.sock\"\nledger = ", "the same monitor = "),
        ("insecure_plaintext = true", "identity = {}", "differ in [identity]"),
    ];
    for (from, to, expected) in changes {
        let mut fixture = Fixture::new();
        fixture.extra.push(("coordinator", String::new()));
        RUNS.iter().for_each(|run| drop(config(&fixture, run, "coordinator", "")));
        edit(&fixture, "autumn-coordinator.toml", from, to);
        if to.contains("monitor") {
            edit(&fixture, "spring-coordinator.toml", from, to);
        }
        let line = clash(&fixture);
        assert!(line.contains(expected) && line.contains("spring-coordinator.toml and "), "{line}");
    }
}
