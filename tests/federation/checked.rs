//! `--check` finds what would end the run at once, at both sides, and writes nothing.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::fixture::{Fixture, Role, command};

/// All files of the fixture's folder with what they hold.
fn snapshot(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push((path.display().to_string(), fs::read(&path).unwrap_or_default()));
        if path.is_dir() {
            found.extend(snapshot(&path));
        }
    }
    found.sort();
    found
}

/// What `--check` says, which must be one line and leave all as it was.
fn check(fixture: &Fixture, role: &str, config: &Path) -> (bool, String) {
    let before = snapshot(fixture.folder.path());
    let (good, out, errors) = command(&[role, "--check", "--config", config.to_str().unwrap()]);
    assert!(before == snapshot(fixture.folder.path()), "--check writes nothing");
    assert!(good || errors.lines().count() == 1, "{errors}");
    (good, if good { out } else { errors })
}

#[test]
fn places_that_a_party_cannot_use_are_found_as_the_run_finds_them() {
    for (place, what, expected) in [
        ("bank-ledger.redb", "empty file", "damaged or no ledger"),
        ("bank-ledger.redb", "folder", "cannot open the ledger"),
        ("bank-state", "empty file", "state folder"),
        ("bank-state/bottom.safetensors", "empty file", "from a finished run"),
        ("missing/ledger.redb", "ledger elsewhere", "cannot make the ledger"),
    ] {
        let fixture = Fixture::new();
        let config = fixture.party_config("bank", "127.0.0.1:1");
        let path = fixture.path(place);
        match what {
            "folder" => fs::create_dir(&path).unwrap(),
            "ledger elsewhere" => {
                let text = fixture.read("bank.toml").replace("bank-ledger.redb", place);
                fixture.write("bank.toml", &text);
            }
            _ => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, "").unwrap();
            }
        }
        let (good, said) = check(&fixture, "party", &config);
        assert!(!good && said.contains(expected), "{place}, {what}: {said}");
        let run = Role::start(&["party", "--config"], &config, "info").fails();
        assert!(run.contains(expected), "{place}, {what}: {run}");
    }
}

#[test]
fn places_that_a_coordinator_cannot_use_are_found_as_the_run_finds_them() {
    for (place, expected) in [
        ("label-ledger.redb", "damaged or no ledger"),
        ("coordinator-state", "state folder"),
        ("coordinator-state/top.safetensors", "from a finished run"),
    ] {
        let fixture = Fixture::new();
        let config = fixture.coordinator_config();
        let path = fixture.path(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        let (good, said) = check(&fixture, "coordinator", &config);
        assert!(!good && said.contains(expected), "{place}: {said}");
        let run = Role::start(&["coordinator", "--config"], &config, "info").fails();
        assert!(run.contains(expected), "{place}: {run}");
    }
}

#[test]
fn a_port_in_use_is_found_and_a_free_one_is_free_again() {
    let fixture = Fixture::new();
    let config = fixture.coordinator_config();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = fixture.read("coordinator.toml").replace("127.0.0.1:0", &address);
    fixture.write("coordinator.toml", &text);
    let (good, said) = check(&fixture, "coordinator", &config);
    assert!(!good && said.contains(&format!("cannot listen on {address}")), "{said}");
    drop(taken);
    for _ in 0..2 {
        let (good, said) = check(&fixture, "coordinator", &config);
        assert!(good, "{said}");
    }
}

#[test]
fn an_identity_that_is_missing_is_still_to_be_made() {
    let fixture = Fixture { secured: true, ..Fixture::new() };
    for (role, config, command) in [
        ("party", fixture.party_config("bank", "127.0.0.1:1"), "party identity request --config FILE"),
        ("coordinator", fixture.coordinator_config(), "coordinator identity init --config FILE --name NAME"),
    ] {
        let (good, said) = check(&fixture, role, &config);
        let command = command.replace("FILE", config.to_str().unwrap());
        assert!(good && said.contains(&format!("`{command}`")), "{said}");
    }
}

#[test]
fn an_address_that_is_none_is_refused_before_anybody_dials() {
    for (address, expected) in [
        ("coordinator.example", "with a port"),
        ("127.0.0.1:99999", "from 1 to 65535"),
        ("::1:7433", "brackets"),
        ("user:secret@127.0.0.1:9", "without a user or password"),
    ] {
        let fixture = Fixture::new();
        let config = fixture.party_config("bank", address);
        let (good, said) = check(&fixture, "party", &config);
        assert!(!good && said.contains(expected) && said.contains("http://HOST:PORT"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn a_party_hears_what_its_gradient_monitor_will_not_see() {
    let mut fixture = Fixture::new();
    let blind = "it will not see gradients that pull a record towards its earlier codes";
    for (cycles, on_alarm, told) in [(4, "stop", true), (4, "off", false), (2, "stop", false)] {
        fixture.settings.cycles = cycles;
        fixture.extra = vec![("bank", format!("on_alarm = \"{on_alarm}\""))];
        let config = fixture.party_config("bank", "127.0.0.1:1").display().to_string();
        let (good, _, warned) = command(&["party", "--check", "--config", &config]);
        assert!(good && warned.contains(blind) == told, "{cycles} {on_alarm}: {warned}");
    }
}

#[test]
fn served_tables_are_looked_at_before_the_training() {
    let mut fixture = Fixture::new();
    let serve = |table: &str| {
        format!("serve = {{ columns = {{ format = \"csv\", paths = [\"{table}\"], id = \"id\" }} }}")
    };
    fixture.extra.push(("bank", serve("new.csv")));
    let config = fixture.party_config("bank", "127.0.0.1:1");
    let (good, said) = check(&fixture, "party", &config);
    assert!(!good && said.contains("new.csv"), "{said}");
    fixture.write("new.csv", "id,a,b\nn1,1,2\n");
    let (good, said) = check(&fixture, "party", &config);
    assert!(!good && said.contains("[serve]"), "{said}");
    fixture.write("new.csv", "id,a,b,c\nn1,1,2,3\n");
    let (good, said) = check(&fixture, "party", &config);
    assert!(good, "{said}");
    // How it was read is told, and what looks cut off.
    let log = |role: &str, config: &Path| command(&[role, "--check", "--config", config.to_str().unwrap()]).2;
    fixture.write("new.csv", "id,a,b,c\nn1,1,2,3");
    let said = log("party", &config);
    assert!(said.contains("[serve]: 1 record on 2 lines; the last line of 1 of 1 files has no"), "{said}");

    let records = "serve = { records = { format = \"csv\", paths = [\"ids.csv\"], id = \"id\" } }";
    fixture.extra.push(("coordinator", records.into()));
    let config = fixture.coordinator_config();
    let (good, said) = check(&fixture, "coordinator", &config);
    assert!(!good && said.contains("ids.csv"), "{said}");
    fixture.write("ids.csv", "id\nn1\n");
    let (good, said) = check(&fixture, "coordinator", &config);
    assert!(good, "{said}");
    fixture.write("ids.csv", "id\nn1");
    let said = log("coordinator", &config);
    assert!(said.contains("[serve]: serving 1 record of a list on 2 lines"), "{said}");
    assert!(said.contains("[serve]: the last line of 1 of 1 files has no line break"), "{said}");
}
