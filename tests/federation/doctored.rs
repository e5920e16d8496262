//! `party doctor` and `coordinator doctor`: what they find, and that nothing of it is anybody's secret.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::fixture::{Fixture, PARTIES, Role, command};
use crate::restarted::outcome::files_below;
use crate::secured::secured;

/// Runs `doctor` under the config of a side: what it said, and its bundle as a text.
fn doctor(fixture: &Fixture, side: &str, out: &str) -> (String, String) {
    let role = if side == "coordinator" { "coordinator" } else { "party" };
    let (config, out) = (fixture.path(&format!("{side}.toml")), fixture.path(out));
    let arguments = [role, "doctor", "--config", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let (good, said, errors) = command(&arguments);
    assert!(good && !errors.contains("panicked"), "{errors}");
    // It does not overwrite what it wrote.
    let (good, _, errors) = command(&arguments);
    assert!(!good && errors.contains("already exists"), "{errors}");
    (said, fs::read_to_string(out).unwrap())
}

/// Lines of keys and certificates, and bytes of other keys as a text would show them.
fn keys(fixture: &Fixture) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["shop", "bank", "telecom"] {
        for path in files_below(&fixture.path(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(
                text.lines().filter(|line| line.len() > 20 && !line.starts_with("---")).map(Into::into),
            );
        }
    }
    assert!(found.len() > 20, "{} lines of keys", found.len());
    found
}

/// Words of a text.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !letter.is_alphanumeric()).collect()
}

/// That `bundle` holds no cell, id, key, seed, path or name of a column.
fn holds_no_secret(fixture: &Fixture, bundle: &str) {
    for table in ["bank.csv", "telecom.csv"] {
        for line in fixture.read(table).lines().skip(1) {
            for cell in line.split(',').skip(1) {
                assert!(!bundle.contains(&cell.trim_start_matches('-')[..9]), "a cell of {table}");
            }
        }
    }
    let words = words(bundle);
    for line in fixture.read("labels.csv").lines().skip(1) {
        let id = line.split(',').next().unwrap();
        assert!(!words.contains(id), "the id {id}");
    }
    for key in keys(fixture) {
        assert!(!bundle.contains(&key), "a line of a key");
    }
    assert!(!bundle.contains(&fixture.folder.path().display().to_string()), "a path: {bundle}");
    for secret in ["918273645", "s3cret", "customer_word"] {
        assert!(!bundle.contains(secret), "{secret}: {bundle}");
    }
}

fn section(bundle: &str, name: &str) -> Value {
    let all: Value = serde_json::from_str(bundle).unwrap();
    all[name].clone()
}

/// A federation with secrets in its configs.
fn with_secrets() -> Fixture {
    let mut fixture = secured();
    fixture.extra.push(("bank", "null_values = [\"s3cret\"]\ntranscript = true".into()));
    fixture.extra.push(("bank", "types = { a = { kind = \"number\", missing = \"fill\" } }".into()));
    fixture.extra.push(("bank", "monitor = \"unix:bank.sock\"".into()));
    fixture.extra.push(("coordinator", "seed = 918273645\ntranscript = true".into()));
    fixture.extra.push(("coordinator", "monitor = \"unix:coordinator.sock\"".into()));
    fixture
}

#[test]
fn bundles_say_how_a_side_is_and_hold_no_secret() {
    let fixture = with_secrets();
    let (mut coordinator, address) = fixture.coordinator();
    fixture.party_config("bank", &address);
    let text = fixture.read("bank.toml").replace("seed = 7\n", "seed = 918273645\n");
    fixture.write("bank.toml", &text);

    // The coordinator is up, and nobody has joined.
    let (said, bundle) = doctor(&fixture, "bank", "before.json");
    assert!(said.contains("coordinator/shop answers at"), "{said}");
    assert_eq!(section(&bundle, "coordinator")["answers"], "yes");
    let ahead = section(&bundle, "clock")["coordinator_ahead_s"].as_i64().expect("the coordinator's clock");
    assert!(ahead.abs() <= 2, "{ahead}");
    assert_eq!(section(&bundle, "disk")["records"], 400);
    assert_eq!(section(&bundle, "disk")["fits"], true);
    assert!(section(&bundle, "certificate")["days_left"].as_i64().unwrap() >= 363);
    assert_eq!(section(&bundle, "process")["answers"], false);
    assert_eq!(section(&bundle, "ledger")["is"], "absent");
    holds_no_secret(&fixture, &bundle);
    let (said, bundle) = doctor(&fixture, "coordinator", "waiting.json");
    assert!(
        said.contains("is free: no coordinator is running there"),
        "its port was chosen when it began: {said}"
    );
    assert_eq!(section(&bundle, "process")["status"]["phase"], "waiting");
    holds_no_secret(&fixture, &bundle);

    let own = fixture.path("bank.toml");
    let mut bank = Role::start(&["party", "--config"], &own, "info");
    let mut telecom = fixture.party("telecom", &address);
    coordinator.succeeds();
    for party in [&mut bank, &mut telecom] {
        party.succeeds();
    }
    let (said, bundle) = doctor(&fixture, "bank", "after.json");
    assert!(said.contains("nothing answers at"), "{said}");
    assert_eq!(section(&bundle, "coordinator")["answers"], "nobody");
    let ledger = section(&bundle, "ledger");
    assert!(ledger["is"] == "in order" && ledger["releases"].as_u64().unwrap() > 400, "{ledger}");
    assert_eq!(ledger["older_than_audit_trail"], false);
    assert_eq!(section(&bundle, "audit")["kinds"]["run-ended"], 1);
    forecast_holds(&fixture, &bundle, ["bank-state", "bank-ledger.redb"]);
    holds_no_secret(&fixture, &bundle);
    let (_, bundle) = doctor(&fixture, "coordinator", "coordinator.json");
    assert_eq!(section(&bundle, "heads").as_object().unwrap().len(), PARTIES.len(), "{bundle}");
    forecast_holds(&fixture, &bundle, ["coordinator-state", "label-ledger.redb"]);
    holds_no_secret(&fixture, &bundle);
}

/// That the run wrote no more than was forecast.
fn forecast_holds(fixture: &Fixture, bundle: &str, places: [&str; 2]) {
    let forecast = section(bundle, "disk");
    let bytes = |path: &Path| fs::metadata(path).unwrap().len();
    let of = |what: &str| {
        forecast["forecast_bytes"][what].as_u64().unwrap_or_else(|| panic!("no {what}: {forecast}"))
    };
    for (what, path) in
        [("transcript", places[0].to_string() + "/transcript.parquet"), ("ledger", places[1].into())]
    {
        let written = bytes(&fixture.path(&path));
        assert!(written <= of(what), "{what}: {written} bytes, {} were forecast", of(what));
    }
    let all: u64 = files_below(&fixture.path(places[0])).iter().map(|path| bytes(path)).sum();
    let total = forecast["forecast_total_bytes"].as_u64().unwrap();
    assert!(
        all + bytes(&fixture.path(places[1])) <= total,
        "{all} bytes beside the ledger, {total} were forecast"
    );
}

#[test]
fn a_config_that_cannot_be_used_has_a_bundle_too() {
    let fixture = with_secrets();
    fixture.party_config("bank", "127.0.0.1:1");
    fixture.write("bank.toml", &format!("customer_word = \"s3cret\"\n{}", fixture.read("bank.toml")));
    let (said, bundle) = doctor(&fixture, "bank", "unknown.json");
    assert!(said.contains("unknown field `customer_word`"), "a person is told: {said}");
    assert_eq!(section(&bundle, "check")["config_usable"], false);
    assert!(!bundle.contains("s3cret"), "{bundle}");
    fixture.write("bank.toml", "s3cret");
    let (said, bundle) = doctor(&fixture, "bank", "none.json");
    assert!(said.contains("is not valid TOML"), "{said}");
    assert_eq!(section(&bundle, "config")["read"], false);
    holds_no_secret(&fixture, &bundle);
}
