//! Mistakes that people make: each ends in one clear line at all sides, with a non-zero exit.

use std::path::Path;

use hashvfl_core::Task;

use crate::fixture::{Fixture, RECORDS, Role, command, command_with};

/// `--check` of `role`, which has this config and this state folder; the error.
fn refused_check(fixture: &Fixture, role: &str, config: &Path, state: &str) -> String {
    let (good, _, errors) = command(&[role, "--check", "--config", config.to_str().unwrap()]);
    assert!(!good && errors.lines().count() == 1 && errors.starts_with("error: "), "{errors}");
    assert!(!fixture.path(state).exists(), "--check writes nothing");
    errors
}

/// `party --check` on the fixture's bank after `change`; the error.
fn check(change: impl Fn(&mut Fixture)) -> String {
    let mut fixture = Fixture::new();
    change(&mut fixture);
    refused_check(&fixture, "party", &fixture.party_config("bank", "127.0.0.1:1"), "bank-state")
}

/// `coordinator --check` on the fixture after `change`; the error.
fn check_coordinator(change: impl Fn(&mut Fixture)) -> String {
    let mut fixture = Fixture::new();
    change(&mut fixture);
    refused_check(&fixture, "coordinator", &fixture.coordinator_config(), "coordinator-state")
}

/// Puts `text` into a cell of a table; lines count from 1, the header's, columns from 0.
fn put(fixture: &Fixture, file: &str, (line, column): (usize, usize), text: &str) {
    let changed = |(number, row): (usize, &str)| {
        let mut cells: Vec<&str> = row.split(',').collect();
        if number + 1 == line {
            cells[column] = text;
        }
        cells.join(",") + "\n"
    };
    let table: String = fixture.read(file).lines().enumerate().map(changed).collect();
    fixture.write(file, &table);
}

#[test]
fn files_and_keys() {
    let missing = check(|fixture| std::fs::remove_file(fixture.path("bank.csv")).unwrap());
    assert!(missing.contains("cannot open") && missing.contains("bank.csv"), "{missing}");
    let unknown = check(|fixture| fixture.extra.push(("bank", "devise = \"cpu\"".into())));
    assert!(unknown.contains("unknown field `devise`") && unknown.contains("line 2"), "{unknown}");
    let range = check(|fixture| fixture.settings.bits = 5000);
    assert!(range.contains("run.bits must be 1 to 1024, not 5000"), "{range}");
    let (good, _, errors) = command(&["party", "--config", "/nowhere/party.toml"]);
    assert!(!good && errors.contains("cannot read the config /nowhere/party.toml"), "{errors}");
}

#[test]
fn files_and_keys_of_the_coordinator() {
    let missing = check_coordinator(|fixture| std::fs::remove_file(fixture.path("labels.csv")).unwrap());
    assert!(missing.contains("cannot open") && missing.contains("labels.csv"), "{missing}");
    let unknown = check_coordinator(|fixture| fixture.extra.push(("coordinator", "tops = {}".into())));
    assert!(unknown.contains("unknown field `tops`") && unknown.contains("line 2"), "{unknown}");
    let range =
        check_coordinator(|fixture| fixture.extra.push(("coordinator", "top = { dropout = 1.5 }".into())));
    assert!(range.contains("in [top]: dropout must be from 0 to below 1, not 1.5"), "{range}");
    let label = check_coordinator(|fixture| {
        fixture.settings.task = Task::Regression;
        put(fixture, "labels.csv", (18, 1), "secretlabel");
    });
    assert!(label.contains("labels.csv, line 18") && !label.contains("secretlabel"), "{label}");
    let (good, _, errors) = command(&["coordinator", "--config", "/nowhere/coordinator.toml"]);
    assert!(!good && errors.contains("cannot read the config /nowhere/coordinator.toml"), "{errors}");
}

#[test]
fn two_sides_with_the_same_state_folder() {
    let fixture = Fixture::new();
    let shared = |name: &str| {
        let text = fixture.read(name);
        let state = text.lines().find(|line| line.starts_with("state = ")).unwrap();
        fixture.write(name, &text.replace(state, "state = \"state\""));
    };
    let (bank, coordinator) = (fixture.party_config("bank", "127.0.0.1:1"), fixture.coordinator_config());
    ["bank.toml", "coordinator.toml"].into_iter().for_each(shared);
    let error = refused_check(&fixture, "party", &bank, "state");
    assert!(error.contains("coordinator.toml, the config of the coordinator"), "{error}");
    let error = refused_check(&fixture, "coordinator", &coordinator, "state");
    assert!(error.contains("bank.toml, the config of party bank"), "{error}");

    // While one works there, and after it, wherever its config is.
    let mut waiting = Role::start(&["coordinator", "--json", "--config"], &coordinator, "info");
    waiting.wait_for("\"listening\"");
    std::fs::remove_file(&bank).unwrap();
    let telecom = fixture.party_config("telecom", "127.0.0.1:1");
    shared("telecom.toml");
    let expected = "is the state folder of coordinator, but this side is party-telecom";
    let error = Role::start(&["party", "--config"], &telecom, "info").fails();
    assert!(error.contains(expected), "{error}");
    waiting.kill();
    std::fs::remove_file(&coordinator).unwrap();
    let (good, _, error) = command(&["party", "--check", "--config", telecom.to_str().unwrap()]);
    assert!(!good && error.contains(expected), "{error}");
}

#[test]
fn cells_are_named_by_place_and_never_shown() {
    for bad in ["NaN", "secretvalue", "", "inf"] {
        let error = check(|fixture| put(fixture, "bank.csv", (18, 2), bad));
        assert!(error.contains("bank.csv, line 18") && error.contains("\"b\""), "{error}");
        assert!(!error.contains("secretvalue"), "{error}");
    }
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    let fixture = Fixture::new();
    let config = fixture.party_config("bank", "127.0.0.1:1");
    let text = fixture.read("bank.toml").replace("device = \"cpu\"", "device = \"wgpu\"");
    fixture.write("bank.toml", &text);
    // Hides every driver from Linux's loaders of Vulkan and OpenGL.
    let hidden = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "__EGL_VENDOR_LIBRARY_DIRS"];
    let hidden = hidden.map(|variable| (variable, "/nonexistent"));
    let arguments = ["party", "--check", "--config", config.to_str().unwrap()];
    let (good, _, errors) = command_with(&arguments, &hidden);
    if good && std::env::var_os("HASHVFL_NEED_WGPU").is_none() {
        eprintln!("skipped: adapters cannot be hidden on this system");
        return;
    }
    assert!(!good && errors.contains("device = \"wgpu\" is set, but no adapter can be opened"), "{errors}");
    assert!(errors.contains("or set device = \"cpu\"") && !errors.contains("panicked"), "{errors}");
}

/// A run in which the party telecom is refused; what it says.
fn refused(change: impl Fn(&mut Fixture)) -> String {
    let mut fixture = Fixture::new();
    let (coordinator, address) = fixture.coordinator();
    change(&mut fixture);
    let mut telecom = fixture.party("telecom", &address);
    let error = telecom.fails();
    assert!(!fixture.path("telecom-state/bottom.safetensors").exists());
    // The coordinator waits for one that fits.
    drop(coordinator);
    error
}

#[test]
fn settings_that_differ_are_named_with_both_values() {
    let error = refused(|fixture| fixture.settings.bits = 4);
    assert!(error.contains("run.bits is 8 at the coordinator but 4 at the party"), "{error}");
    let error = refused(|fixture| fixture.settings.learning_rate = 0.5);
    assert!(error.contains("run.learning_rate is 0.02 at the coordinator but 0.5 at the party"), "{error}");
}

#[test]
fn records_that_differ_are_refused() {
    let error = refused(|fixture| {
        let text = fixture.read("telecom.csv");
        let fewer: Vec<&str> = text.lines().take(RECORDS).collect();
        fixture.write("telecom.csv", &fewer.join("\n"));
    });
    assert!(error.contains("telecom holds 399 records and the label holder 400"), "{error}");
    let error = refused(|fixture| {
        let text = fixture.read("telecom.csv");
        let mut lines: Vec<&str> = text.lines().collect();
        lines.swap(5, 6);
        fixture.write("telecom.csv", &lines.join("\n"));
    });
    assert!(error.contains("other records than the label holder, or in another order"), "{error}");
}

#[test]
fn a_second_party_of_one_name_is_refused_and_the_run_goes_on() {
    let fixture = Fixture::new();
    let (mut coordinator, address) = fixture.coordinator();
    let mut bank = fixture.party("bank", &address);
    coordinator.wait_for("joined");
    let second = Fixture::new();
    let config = second.party_config("bank", &address);
    let text = std::fs::read_to_string(&config).unwrap().replace("start_s = 60", "start_s = 2");
    std::fs::write(&config, text).unwrap();
    let error = Role::start(&["party", "--config"], &config, second.log).fails();
    assert!(error.contains("a party named bank has joined run test already"), "{error}");
    let mut telecom = fixture.party("telecom", &address);
    coordinator.succeeds();
    bank.succeeds();
    telecom.succeeds();
}

#[test]
fn a_party_takes_the_place_of_one_that_died() {
    let fixture = Fixture::new();
    let (mut coordinator, address) = fixture.coordinator();
    let mut died = fixture.party("bank", &address);
    coordinator.wait_for("joined");
    // It is there before the other has gone, and tries again.
    let second = Fixture::new();
    let mut bank = second.party("bank", &address);
    bank.wait_for_log("a party named bank has joined run test already");
    died.kill();
    coordinator.wait_for("joined");
    let mut telecom = fixture.party("telecom", &address);
    coordinator.succeeds();
    bank.succeeds();
    telecom.succeeds();
}

#[test]
fn a_finished_run_is_not_overwritten() {
    let fixture = Fixture::new();
    fixture.run();
    let before = fixture.read("coordinator-state/summary.json");
    let config = fixture.path("coordinator.toml");
    for (file, text) in [("coordinator.toml", "id = \"test\""), ("bank.toml", "id = \"test\"")] {
        fixture.write(file, &fixture.read(file).replace(text, "id = \"next\""));
    }
    let (good, _, errors) = command(&["coordinator", "--config", config.to_str().unwrap()]);
    assert!(!good && errors.contains("top.safetensors is from a finished run"), "{errors}");
    let config = fixture.path("bank.toml");
    let (good, _, errors) = command(&["party", "--config", config.to_str().unwrap()]);
    assert!(!good && errors.contains("bottom.safetensors is from a finished run"), "{errors}");
    assert_eq!(fixture.read("coordinator-state/summary.json"), before);
}

#[test]
fn a_coordinator_that_is_not_there_is_waited_for_and_named() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("bank", String::new()));
    let config = fixture.party_config("bank", "127.0.0.1:9");
    let text = std::fs::read_to_string(&config).unwrap().replace("connect_s = 20", "connect_s = 1");
    std::fs::write(&config, text).unwrap();
    let (good, _, errors) = command(&["party", "--config", config.to_str().unwrap()]);
    assert!(!good && errors.contains("no coordinator at http://127.0.0.1:9 within 1 s"), "{errors}");
}

#[test]
fn a_party_that_never_comes_is_named() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("coordinator", String::new()));
    let config = fixture.coordinator_config();
    let text = std::fs::read_to_string(&config).unwrap().replace("join_s = 30", "join_s = 1");
    std::fs::write(&config, text).unwrap();
    let (good, _, errors) = command(&["coordinator", "--config", config.to_str().unwrap()]);
    assert!(!good && errors.contains("waited 1 s (timeouts.join_s) for bank, telecom to join"), "{errors}");
}
