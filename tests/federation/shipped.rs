//! Configs that ship with containers and manifests are read as they are.

use std::fs;
use std::path::Path;

use hashvfl_party::PartyConfig;
use serde_json::Value;

use crate::fixture::{command, done};
use crate::secured::last_word;

/// Roles with their configs.
const CONFIGS: [(&str, &str); 6] = [
    ("party", "deploy/containers/demo/bank/party.toml"),
    ("party", "deploy/containers/demo/telecom/party.toml"),
    ("party", "deploy/containers/demo/shop/party.toml"),
    ("coordinator", "deploy/containers/demo/coordinator/coordinator.toml"),
    ("party", "deploy/kubernetes/party/party.toml"),
    ("coordinator", "deploy/kubernetes/coordinator/coordinator.toml"),
];

#[test]
fn configs_that_ship_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (role, config)) in CONFIGS.into_iter().enumerate() {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(config);
        let out = folder.path().join(format!("{number}.json"));
        let arguments =
            [role, "doctor", "--config", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
        let (good, said, errors) = command(&arguments);
        assert!(good, "{errors}");
        let bundle: Value = serde_json::from_slice(&fs::read(out).unwrap()).unwrap();
        // What cannot be used ends with the reason.
        assert!(bundle["check"].is_null() && bundle["ledger"].is_object() == (role == "party"), "{said}");
        assert_eq!(bundle["config"]["preset"], "tabular", "{said}");
    }
}

/// Files with command lines of our programs, and how many each has.
const COMMANDS: [(&str, usize); 7] = [
    ("docker-compose.yml", 12),
    ("Dockerfile", 2),
    ("deploy/containers/one-side.yml", 2),
    ("deploy/kubernetes/party/party.yaml", 2),
    ("deploy/kubernetes/coordinator/coordinator.yaml", 2),
    ("deploy/systemd/hashvfl-party.service", 1),
    ("deploy/systemd/hashvfl-coordinator.service", 1),
];

/// The words of each such command line: a list in brackets, or what a unit starts.
fn command_lines(text: &str) -> Vec<Vec<&str>> {
    let mut lines = Vec::new();
    for rest in text.split('[').skip(1) {
        let list = rest.split(']').next().unwrap_or_default();
        let words = list.split(',').map(|word| word.trim().trim_matches('"'));
        lines.push(words.skip_while(|word| *word == "CMD").collect());
    }
    for started in text.lines().filter_map(|line| line.strip_prefix("ExecStart=/usr/bin/")) {
        lines.push(started.split_whitespace().collect());
    }
    let is_ours = |line: &Vec<&str>| line.len() > 1 && ["party", "coordinator", "attack"].contains(&line[0]);
    lines.retain(is_ours);
    lines
}

/// With `--help` behind it, a command line that is known does nothing, and any other is refused.
#[test]
fn command_lines_that_ship_are_known() {
    for (file, count) in COMMANDS {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap();
        let lines = command_lines(&text);
        assert_eq!(lines.len(), count, "{file}: {lines:?}");
        for line in lines {
            done(&[&line[..], &["--help"]].concat());
        }
    }
    assert!(!command(&["attack", "run", "--kept", "--help"]).0, "an option that there is not");
}

#[test]
fn a_run_is_approved_outside_the_cluster_beside_the_policy_that_is_mounted() {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes/party");
    for file in ["party.toml", "policy.toml", "policy.approved"] {
        fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    // As docs/how-to/kubernetes.md says.
    let config = fs::read_to_string(from.join("party.toml")).unwrap();
    let local = config.replace("/var/lib/hashvfl/", "").replace("/etc/hashvfl-identity", "identity");
    let officer = folder.path().join("officer.toml");
    fs::write(&officer, local).unwrap();
    let approve = ["party", "approve", "--config", officer.to_str().unwrap()];
    let digest = last_word(&done(&approve), "SHA-256 of these settings: ");
    done(&[&approve[..], &["--digest", &digest]].concat());
    let approved = fs::read_to_string(folder.path().join("policy.approved")).unwrap();
    let shipped = fs::read_to_string(from.join("policy.approved")).unwrap();
    assert_eq!(approved, format!("{shipped}{digest}\n"));
}

#[test]
fn a_party_in_doubt_whose_coordinator_is_away_does_not_use_up_the_starts_of_its_unit() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let unit = fs::read_to_string(deploy.join("systemd/hashvfl-party.service")).unwrap();
    let value = |key: &str| {
        let value = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{key}"))
    };
    assert_eq!((value("RestartForceExitStatus"), value("StartLimitIntervalSec")), ("75", "1h"));
    let [starts, pause_s] = ["StartLimitBurst", "RestartSec"].map(|key| value(key).parse::<u64>().unwrap());
    // How long each of its processes waits, by `on_interruption` (`party::training::patience`).
    let timeouts = PartyConfig::read(&deploy.join("kubernetes/party/party.toml")).unwrap().timeouts;
    for limit_s in [timeouts.start_s, timeouts.reconnect_s] {
        assert!(starts * (limit_s + pause_s) > 60 * 60, "{starts} starts of {limit_s} s");
    }
}
