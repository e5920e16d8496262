//! The binary that an evaluator installs: it starts, explains itself, and says what is missing.

use std::process::{Command, Output};

fn attack(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attack")).args(arguments).output().unwrap()
}

#[test]
fn help_is_complete() {
    let help = String::from_utf8(attack(&["--help"]).stdout).unwrap();
    for part in ["manifest", "run", "config", "trust boundary"] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    let run =
        attack(&["manifest", "--coordinator", "/nowhere/coordinator.toml", "--party", "/nowhere/party.toml"]);
    let errors = String::from_utf8(run.stderr).unwrap();
    assert!(
        !run.status.success() && errors.starts_with("error: cannot find /nowhere/coordinator.toml"),
        "{errors}"
    );
}
