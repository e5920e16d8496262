//! Files that are somebody else's: what a config or an option names by mistake is refused, and stays as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fixture::{Fixture, command};

/// The one line by which a command refuses, while all of `files` stay as they were.
fn refused(fixture: &Fixture, arguments: &[&str], files: &[&str]) -> String {
    let read = || files.iter().map(|file| fs::read(fixture.path(file)).unwrap()).collect::<Vec<_>>();
    let before = read();
    let (good, said, errors) = command(arguments);
    let lines: Vec<&str> = errors.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(!good && lines.len() == 1 && !errors.contains("panicked"), "{arguments:?}: {said}{errors}");
    assert_eq!(read(), before, "{arguments:?}: {errors}");
    lines[0].to_string()
}

#[test]
fn a_party_takes_no_file_that_is_another_place() {
    let files = ["bank.csv", "labels.csv", "notes.txt"];
    let mut fixture = Fixture::new();
    fixture.write("notes.txt", "mine");
    for (line, expected) in [
        ("cache = \"labels.csv\"", "is not a cache, so it was not overwritten"),
        ("cache = \"bank.csv\"", "cache and columns name the same file"),
        ("cache = \"./x/../bank-ledger.redb\"", "name the same file"),
        ("monitor = \"unix:notes.txt\"", "is not a socket"),
        ("monitor = \"unix:bank.csv\"", "monitor and columns name the same file"),
        ("threads = 100000", "threads must be 0 to 1024"),
    ] {
        fixture.extra = vec![("bank", line.to_string())];
        let config = fixture.party_config("bank", "127.0.0.1:1").display().to_string();
        let error = refused(&fixture, &["party", "--check", "--config", &config], &files);
        assert!(error.contains(expected), "{line}: {error}");
    }
    fixture.extra.clear();
    let config = fixture.party_config("bank", "127.0.0.1:1");
    let text = fs::read_to_string(&config).unwrap();
    for state in [".", "x/.."] {
        fs::write(&config, text.replace("state = \"bank-state\"", &format!("state = {state:?}"))).unwrap();
        let path = config.display().to_string();
        let error = refused(&fixture, &["party", "--config", &path], &files);
        assert!(error.contains("is inside "), "{state}: {error}");
    }
}

#[test]
fn a_coordinator_takes_no_file_that_is_another_place() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("coordinator", "runs = \"other.csv\"".to_string()));
    fixture.write("other.csv", "id,z\n1,2\n");
    let config = fixture.coordinator_config().display().to_string();
    let check = ["coordinator", "--check", "--config", &config];
    let error = refused(&fixture, &check, &["other.csv"]);
    assert!(error.contains("is not a list of finished runs"), "{error}");
    fixture.extra[0].1 = "runs = \"labels.csv\"".to_string();
    fixture.coordinator_config();
    let error = refused(&fixture, &check, &["labels.csv"]);
    assert!(error.contains("runs and labels name the same file"), "{error}");
    let served =
        "serve = { records = { format = \"csv\", paths = [\"coordinator-state/ids.csv\"], id = \"id\" } }";
    for (line, key) in
        [("policy = \"coordinator-state/policy.toml\"", "policy = "), (served, "serve.records = ")]
    {
        fixture.extra[0].1 = line.to_string();
        fixture.coordinator_config();
        let error = refused(&fixture, &check, &[]);
        assert!(error.contains(key) && error.contains("state = "), "{line}: {error}");
    }
}

#[test]
fn results_take_the_place_of_nothing_that_was_not_meant() {
    let fixture = Fixture::new();
    fixture.run();
    fixture.write("notes.txt", "mine");
    let path = |name: &str| fixture.path(name).display().to_string();
    let bank = fixture.party_config("bank", "127.0.0.1:1").display().to_string();
    let files = ["bank.csv", "labels.csv", "notes.txt", "bank-state/bottom.safetensors"];
    for out in ["bank.csv", "bank-state/bottom.safetensors"] {
        let out = path(out);
        let encode = ["party", "encode", "--config", &bank, "--part", "test", "--out", &out];
        let error = refused(&fixture, &encode, &files);
        assert!(error.contains("is not a file of codes: choose another file"), "{error}");
    }
    let (ids, notes) = (path("labels.csv"), path("notes.txt"));
    let predict = ["coordinator", "predict", "--server", "http://127.0.0.1:1", "--input", &ids, "--id", "id"];
    for (more, expected) in [
        (vec!["--out", &ids, "--replace"], "name the same file"),
        (vec!["--out", &notes, "--timings", &ids, "--replace"], "name the same file"),
        (vec!["--out", &notes], "choose another file with --out"),
    ] {
        let error = refused(&fixture, &[&predict[..], &more].concat(), &files);
        assert!(error.contains(expected), "{more:?}: {error}");
    }
    let new = path("new.csv");
    let error = refused(&fixture, &[&predict[..], &["--out", &new, "--timings", &notes]].concat(), &files);
    assert!(error.contains("choose another file with --timings"), "{error}");
    std::os::unix::fs::symlink(fixture.path("notes.txt"), fixture.path("link")).unwrap();
    let link = path("link");
    let error = refused(&fixture, &[&predict[..], &["--out", &link, "--replace"]].concat(), &files);
    assert!(error.contains("is not a regular file"), "{error}");
}

#[test]
fn a_key_that_others_can_read_and_one_in_the_place_of_its_name_are_refused() {
    let mut fixture = Fixture::new();
    fixture.settings.randomised_response = Some(2.0);
    fixture.write("bank.key", &"k".repeat(32));
    fs::set_permissions(fixture.path("bank.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let config = fixture.party_config("bank", "127.0.0.1:1").display().to_string();
    let error = refused(&fixture, &["party", "--check", "--config", &config], &["bank.key"]);
    assert!(error.contains("chmod 600"), "{error}");
    let mut fixture = Fixture::new();
    let key = "0123456789abcdef".repeat(4);
    for line in [
        format!("encryption = {{ key_variable = {key:?} }}"),
        format!("encryption = {{ key_file = {key:?} }}"),
        format!("encryption = {key:?}"),
    ] {
        fixture.extra = vec![("bank", line)];
        let config = fixture.party_config("bank", "127.0.0.1:1").display().to_string();
        let error = refused(&fixture, &["party", "--check", "--config", &config], &[]);
        assert!(!error.contains("0123456789abcdef"), "{error}");
    }
}
