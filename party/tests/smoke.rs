//! The binary that organisations install: it starts, explains itself, writes a config and checks it.

use std::fs;
use std::process::{Command, Output};

fn party(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_party")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_is_complete() {
    let help = text(&party(&["--help"]).stdout);
    for part in ["--config", "--check", "init", "encode", "HASHVFL_LOG"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    let wrong = party(&["--confg", "x"]);
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("--config"));
}

#[test]
fn init_writes_a_config_that_check_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let rows: String = (0..50).map(|i| format!("k{i},{},{},clerk\n", i % 7, i * 3)).collect();
    fs::write(path("bank.csv"), format!("customer_id,age,income,job\n{rows}")).unwrap();
    let out = path("party.toml");
    let init = party(&["init", "--from", &path("bank.csv"), "--name", "bank", "--out", &out]);
    assert!(init.status.success(), "{}", text(&init.stderr));
    let written = fs::read_to_string(&out).unwrap();
    assert!(written.contains("columns = [\"age\", \"income\"]") && written.contains("\"job\""), "{written}");
    let check = party(&["--config", &out, "--check"]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    assert!(text(&check.stdout).contains("50 records, 2 columns"), "{}", text(&check.stdout));
    let again = party(&["init", "--from", &path("bank.csv"), "--out", &out]);
    assert!(!again.status.success() && text(&again.stderr).contains("is there already"));
    assert_eq!(fs::read_to_string(&out).unwrap(), written, "nothing is overwritten");
}
