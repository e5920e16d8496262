//! What a person sees at a terminal while a run goes on.

use std::process::{Command, Stdio};

use crate::fixture::{Fixture, Role};

/// Runs a role at a terminal of its own; what was shown there, once it has ended well.
fn shown_at_a_terminal(arguments: &str) -> String {
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_roles"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    let output = script.env("HASHVFL_LOG", "info").stdin(Stdio::null()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    shown
}

/// The longest of the lines that stood at the bottom in training.
fn longest_line(shown: &str) -> &str {
    let lines = shown.split(['\r', '\n']).map(|line| line.trim_start_matches("\u{1b}[2K"));
    lines
        .filter(|line| line.starts_with("training: epoch "))
        .max_by_key(|line| line.len())
        .unwrap_or_default()
}

#[test]
fn both_sides_show_a_line_of_progress_at_a_terminal() {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 600;
    let (mut coordinator, address) = fixture.coordinator();
    let _telecom = fixture.party("telecom", &address);
    let config = fixture.party_config("bank", &address);
    let shown = shown_at_a_terminal(&format!("party --config {}", config.display()));
    let line = longest_line(&shown);
    assert!(line.contains("/600, ") && line.contains(" left, ") && line.ends_with(" batch/s"), "{shown}");
    assert!(line.len() < 80, "{line}");
    coordinator.succeeds();

    // The coordinator of another run, whose parties wait for the address that it has.
    for side in ["coordinator", "bank", "telecom"] {
        std::fs::remove_dir_all(fixture.path(&format!("{side}-state"))).unwrap();
    }
    fixture.run_id = "second";
    let mut parties = ["bank", "telecom"].map(|name| fixture.party(name, &address));
    let config = fixture.coordinator_config();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{address}\"")))
        .unwrap();
    let shown = shown_at_a_terminal(&format!("coordinator --config {}", config.display()));
    let line = longest_line(&shown);
    for part in ["/600, ", " left, ", "AUC ", "loss ", " batch/s"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    parties.iter_mut().for_each(Role::succeeds);
}
