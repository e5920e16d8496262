//! Configs that ship with containers and manifests are read as they are.

use std::fs;
use std::path::Path;

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
