//! The binary that organisations install: it starts, explains itself, writes a config and checks it.

use std::fs;
use std::process::{Command, Output};

fn party(arguments: &[&str]) -> Output {
    let mut party = Command::new(env!("CARGO_BIN_EXE_party"));
    // Mesa, where it is installed, complains on standard error without it.
    party.env("XDG_RUNTIME_DIR", std::env::temp_dir()).args(arguments).output().unwrap()
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
fn inspect_shows_figures_and_names_of_categories_only_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let job = |i: usize| ["secret", "smith", ""][i % 3];
    let rows: String = (0..60).map(|i| format!("key{i},{},{}\n", i % 5, job(i))).collect();
    fs::write(path("bank.csv"), format!("id,age,job\n{rows}")).unwrap();
    let shown = |arguments: &[&str]| {
        let output = party(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(output.stderr.is_empty(), "nothing is logged");
        let shown = text(&output.stdout);
        assert!(!shown.contains("key1"), "{shown}");
        shown
    };
    let table = shown(&["inspect", "--from", &path("bank.csv")]);
    assert!(table.contains("60 records on 61 lines, 2 columns") && !table.contains("secret"), "{table}");
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[2][..11], ["age", "number", "0", "%", "5", "0", "1", "2", "3", "4", "0.00"]);
    assert!(lines[2][11].starts_with('█'), "{table}");
    assert_eq!(lines[3], ["job", "category", "33.3", "%", "2", "██"]);
    let named = shown(&["inspect", "--from", &path("bank.csv"), "--categories"]);
    assert!(named.contains("20  secret") && named.contains("20  smith"), "{named}");

    let out = path("party.toml");
    shown(&["init", "--from", &path("bank.csv"), "--name", "bank", "--out", &out]);
    assert_eq!(
        shown(&["inspect", "--config", &out]).lines().skip(1).collect::<Vec<_>>(),
        table.lines().skip(1).collect::<Vec<_>>()
    );
    let strict = fs::read_to_string(&out).unwrap().replace("missing = \"fill\"", "missing = \"error\"");
    fs::write(&out, strict).unwrap();
    assert!(shown(&["inspect", "--config", &out]).contains("33.3 %, an error"));
    let json = shown(&["inspect", "--config", &out, "--json"]);
    assert!(json.contains("\"missing\": 20") && json.contains("\"median\": 2.0"), "{json}");
    let neither = party(&["inspect"]);
    assert!(!neither.status.success() && text(&neither.stderr).contains("--config"));
}

#[test]
fn init_says_why_it_assumes_a_task() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let label = |i: usize| if i == 7 { String::new() } else { format!("{i}.5") };
    let rows: String = (0..200).map(|i| format!("k{i},{},{}\n", i % 50, label(i))).collect();
    fs::write(path("bank.csv"), format!("id,age,y\n{rows}")).unwrap();
    let init = party(&["init", "--from", &path("bank.csv"), "--ignore", "y", "--out", &path("party.toml")]);
    let said = text(&init.stdout);
    assert!(init.status.success(), "{}", text(&init.stderr));
    assert!(
        said.contains("task: binary, the default, since the ignored column \"y\" shows none (1 of 200"),
        "{said}"
    );
}

#[test]
fn inspect_needs_no_ids() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let row = |i: usize| format!("{},{}.5,{}\n", 20 + i % 50, i * 3, ["a", "b"][i % 2]);
    let rows: String = (0..1000).map(row).collect();
    for (header, columns, remark) in [
        ("age,income,job", 3, "no column has the name of an id"),
        ("id,income,job", 2, "column \"id\": 50 ids of 1000 records"),
    ] {
        fs::write(path("t.csv"), format!("{header}\n{rows}")).unwrap();
        let output = party(&["inspect", "--from", &path("t.csv")]);
        let shown = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(shown.contains(&format!("1000 records on 1001 lines, {columns} columns")), "{shown}");
        assert!(shown.contains(remark) && !shown.contains("unusable"), "{shown}");
    }
    fs::write(path("t.csv"), "customer,town\nk1,rome\nk2,paris\n").unwrap();
    let unclear = party(&["inspect", "--from", &path("t.csv")]);
    assert!(!unclear.status.success() && text(&unclear.stderr).contains("pass --header"));
    assert!(party(&["inspect", "--from", &path("t.csv"), "--header"]).status.success());
}

#[test]
fn init_writes_a_config_that_check_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let job = |i: usize| ["clerk", "smith", ""][i % 3];
    let rows: String = (0..50).map(|i| format!("k{i},{},{},{},x\n", i % 7, i * 3, job(i))).collect();
    fs::write(path("bank.csv"), format!("customer_id,age,income,job,country\n{rows}")).unwrap();
    let out = path("party.toml");
    let init = party(&["init", "--from", &path("bank.csv"), "--name", "bank", "--out", &out]);
    assert!(init.status.success(), "{}", text(&init.stderr));
    let written = fs::read_to_string(&out).unwrap();
    assert!(written.contains("columns = [\"age\", \"income\", \"job\"]"), "{written}");
    assert!(written.contains("\"country\" (the same in every record)"), "{written}");
    let check = party(&["--config", &out, "--check"]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    assert!(text(&check.stdout).contains("50 records, 5 columns"), "{}", text(&check.stdout));
    let again = party(&["init", "--from", &path("bank.csv"), "--out", &out]);
    assert!(!again.status.success() && text(&again.stderr).contains("already exists"));
    assert_eq!(fs::read_to_string(&out).unwrap(), written, "nothing is overwritten");
}

/// Runs a command whose reader has left before the first line.
fn unread(arguments: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let party = Command::new(env!("CARGO_BIN_EXE_party"))
        // Mesa, where it is installed, complains on standard error without it.
        .env("XDG_RUNTIME_DIR", std::env::temp_dir())
        .args(arguments)
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn();
    let output = party.unwrap().wait_with_output().unwrap();
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
    output
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let names: String = (0..2000).map(|column| format!(",column_{column}")).collect();
    let cells = |row: usize| (0..2000).map(|column| format!(",{}", (row + column) % 3)).collect::<String>();
    let rows: String = (0..60).map(|row| format!("k{row}{}\n", cells(row))).collect();
    fs::write(path("wide.csv"), format!("id{names}\n{rows}")).unwrap();
    let wide = path("wide.csv");
    for arguments in [
        &["inspect", "--from", &wide][..],
        &["inspect", "--json", "--from", &wide],
        &["init", "--from", &wide, "--out", &path("party.toml")],
        &["--config", &path("party.toml"), "--check"],
        &["--help"],
    ] {
        let output = unread(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
    // Nobody reads the error either: the exit code tells.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let failed = Command::new(env!("CARGO_BIN_EXE_party"))
        .args(["--config", "/nowhere/party.toml", "--check"])
        .stderr(writer)
        .status();
    assert_eq!(failed.unwrap().code(), Some(1));
}
