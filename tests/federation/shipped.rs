//! Configs that ship with containers and manifests are read as they are.

use std::path::Path;

use serde_json::Value;

use crate::fixture::command;

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
        let bundle: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
        // What cannot be used ends with the reason.
        assert!(bundle["check"].is_null() && bundle["ledger"].is_object() == (role == "party"), "{said}");
        assert_eq!(bundle["config"]["preset"], "tabular", "{said}");
    }
}
