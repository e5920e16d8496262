//! The binary that the label holder installs: it starts, explains itself, writes a config and checks it.

use std::fs;
use std::process::{Command, Output};

fn coordinator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_coordinator")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_is_complete() {
    let help = text(&coordinator(&["--help"]).stdout);
    for part in ["--config", "--check", "--json", "init", "evaluate", "retrain", "HASHVFL_LOG"] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

#[test]
fn init_writes_a_config_that_check_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let rows: String = (0..50).map(|i| format!("k{i},{}\n", i % 2)).collect();
    fs::write(path("labels.csv"), format!("customer_id,defaulted\n{rows}")).unwrap();
    let out = path("coordinator.toml");
    let wrong = coordinator(&["init", "--from", &path("labels.csv"), "--out", &out]);
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("no column \"y\""));
    let labels = path("labels.csv");
    // Any free port: the check takes it for a moment.
    let line = ["init", "--from", &labels, "--label", "defaulted", "--listen", "127.0.0.1:0", "--out", &out];
    let init = coordinator(&line);
    assert!(init.status.success(), "{}", text(&init.stderr));
    assert!(text(&init.stdout).contains("label \"defaulted\": binary"), "{}", text(&init.stdout));
    let check = coordinator(&["--config", &out, "--check"]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    assert!(text(&check.stdout).contains("labels of 50 records"), "{}", text(&check.stdout));
}
