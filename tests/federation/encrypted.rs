//! Federations whose files are encrypted at rest: they learn the same, go on when they were killed, and no file shows what
//! it holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hashvfl_learning::Snapshot;

use crate::fixture::{Fixture, PARTIES, Role, command, command_with};

const VARIABLE: &str = "HASHVFL_TEST_KEY";

/// A fixture whose sides have a key each: the parties in files, the coordinator too.
fn encrypted() -> Fixture {
    let mut fixture = Fixture::new();
    for side in ["coordinator", "bank", "telecom"] {
        let key = fixture.path(&format!("{side}-at-rest.key"));
        let (good, said, errors) = command(&["party", "encryption", "new-key", &key.display().to_string()]);
        assert!(good && said.contains("keep a copy"), "{said}{errors}");
        fixture.extra.push((side, format!("encryption = {{ key_file = \"{side}-at-rest.key\" }}")));
        fixture.extra.push((side, "transcript = true".to_string()));
    }
    checked(&mut fixture);
    fixture
}

/// Bank checks its own codes, and so keeps what left in training.
fn checked(fixture: &mut Fixture) {
    fixture.extra.push(("bank", "policy = \"policy.toml\"".to_string()));
    fixture.write("policy.toml", "max_explained = 1.0\n");
}

/// All files in these folders and these files.
fn files(fixture: &Fixture, places: &[&str]) -> Vec<PathBuf> {
    let mut waiting: Vec<PathBuf> = places.iter().map(|place| fixture.path(place)).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push(path);
        }
    }
    found
}

const PLACES: [&str; 6] = [
    "coordinator-state",
    "bank-state",
    "telecom-state",
    "label-ledger.redb",
    "bank-ledger.redb",
    "telecom-ledger.redb",
];

/// Words that plain files of a run hold: of formats, settings and parties.
const WORDS: [&str; 7] =
    ["hashvfl.header", "hashvfl ", "HVFLSAY", "redb\u{1a}\n", "encoder", "telecom", "__metadata__"];

/// Files that hold one of these words.
fn showing(fixture: &Fixture) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(fixture, &PLACES) {
        let bytes = fs::read(&path).unwrap();
        let holds = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
        if WORDS.iter().any(|word| holds(word)) {
            found.push(path.file_name().unwrap().to_str().unwrap().to_string());
        }
    }
    found
}

/// A copy in plain text of a party's model.
fn model(fixture: &Fixture, party: &str) -> Snapshot {
    let config = fixture.path(&format!("{party}.toml")).display().to_string();
    let file = fixture.path(&format!("{party}-state/bottom.safetensors")).display().to_string();
    let out = fixture.path(&format!("{party}-copy.safetensors"));
    let arguments = ["--config", &config, "--file", &file, "--out", &out.display().to_string()];
    let (good, _, errors) = command(&[&["party", "encryption", "decrypt"], &arguments[..]].concat());
    assert!(good, "{errors}");
    Snapshot::read(&out).unwrap()
}

fn refused(arguments: &[&str], config: &Path) -> String {
    let config = config.display().to_string();
    let (good, _, errors) = command(&[arguments, &["--config", &config]].concat());
    let lines: Vec<&str> = errors.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(!good && lines.len() == 1 && !errors.contains("panicked"), "{errors}");
    lines[0].to_string()
}

#[test]
fn what_is_learned_is_the_same_and_no_file_shows_it() {
    let mut plain = Fixture::new();
    plain
        .extra
        .extend(["coordinator", "bank", "telecom"].map(|side| (side, "transcript = true".to_string())));
    checked(&mut plain);
    plain.run();
    // Each kind of file shows something where there is no key.
    let shown = showing(&plain);
    let kinds = ["bottom.safetensors", "released.safetensors", "top.safetensors"];
    for name in kinds.into_iter().chain(["transcript.parquet", "records.hashvfl", "bank-ledger.redb"]) {
        assert!(shown.iter().any(|found| found == name), "{name} is not among {shown:?}");
    }
    let fixture = encrypted();
    fixture.run();
    assert_eq!(fixture.summary()["test"], plain.summary()["test"], "bit for bit");
    for party in PARTIES {
        let of_plain = Snapshot::read(&plain.path(&format!("{party}-state/bottom.safetensors"))).unwrap();
        assert_eq!(model(&fixture, party).arrays, of_plain.arrays);
    }
    assert_eq!(showing(&fixture), ["summary.json"], "which names parties and holds figures");
    let all = files(&fixture, &PLACES);
    assert!(all.len() > 12, "{all:?}");
    for path in all.iter().filter(|path| !path.ends_with("summary.json")) {
        assert!(fs::read(path).unwrap().starts_with(b"HVFLENC1"), "{}", path.display());
    }
    // The ledger is read with its key alone.
    let (ledger, key) = (fixture.path("bank-ledger.redb"), fixture.path("bank-at-rest.key"));
    let (ledger, key) = (ledger.display().to_string(), key.display().to_string());
    let show = ["party", "ledger", "show", "--ledger", &ledger];
    let (good, said, errors) = command(&[&show[..], &["--key-file", &key]].concat());
    assert!(good && said.contains("bits"), "{said}{errors}");
    let (good, _, errors) = command(&show);
    assert!(!good && errors.contains("no key was given"), "{errors}");
    let digits = fixture.read("bank-at-rest.key");
    let by_variable = [&show[..], &["--key-variable", VARIABLE]].concat();
    let (good, again, errors) = command_with(&by_variable, &[(VARIABLE, digits.trim())]);
    assert!(good && again == said, "{errors}");
    let (good, _, errors) = command_with(&by_variable, &[(VARIABLE, "abc")]);
    assert!(!good && errors.contains("64 hexadecimal digits") && !errors.contains("abc"), "{errors}");
}

#[test]
fn sides_that_were_killed_go_on_and_learn_the_same() {
    let plain = Fixture::new();
    plain.run();
    let mut fixture = Fixture { reconnect_s: 60, on_interruption: "wait", ..encrypted() };
    fixture.extra.push(("coordinator", "checkpoint_every_s = 0".to_string()));
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.wait_for("\"epoch\":2");
    parties.iter_mut().for_each(Role::kill);
    coordinator.kill();
    coordinator.end();
    parties.iter_mut().for_each(|party| drop(party.end()));
    let left = files(&fixture, &["coordinator-state", "bank-state"]);
    assert!(left.iter().any(|path| path.ends_with("transcript.unfinished")), "{left:?}");
    assert_eq!(showing(&fixture), Vec::<String>::new());
    // With another key nothing is begun anew, and one line says why.
    fs::copy(fixture.path("telecom-at-rest.key"), fixture.path("other.key")).unwrap();
    let config = fixture.party_config("bank", &address);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("bank-at-rest.key", "other.key")).unwrap();
    let error = refused(&["party"], &config);
    assert!(error.contains("bank-") && error.contains("encrypted with a different key"), "{error}");
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.succeeds();
    for party in &mut parties {
        let (good, log) = party.ends();
        assert!(good && log.contains("continues from a checkpoint"), "{log}");
    }
    assert_eq!(fixture.summary()["test"], plain.summary()["test"], "bit for bit");
}

#[test]
fn keys_and_places_that_do_not_fit_are_each_one_clear_line() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("bank", "encryption = { key_file = \"at-rest.key\" }".to_string()));
    let config = fixture.party_config("bank", "127.0.0.1:1");
    let check = || refused(&["party", "--check"], &config);
    assert!(check().contains("cannot read the encryption key"), "{}", check());
    fixture.write("at-rest.key", "0123");
    command_chmod(&fixture.path("at-rest.key"), "644");
    assert!(check().contains("chmod 600"), "{}", check());
    command_chmod(&fixture.path("at-rest.key"), "600");
    assert!(check().contains("64 hexadecimal digits") && !check().contains("0123"), "{}", check());
    let text = fs::read_to_string(&config).unwrap();
    for (table, expected) in [
        ("{ }", "name one of key_file and key_variable"),
        ("{ key_file = \"a\", key_variable = \"B\" }", "name one of key_file and key_variable"),
        ("{ key_variable = \"HASHVFL_NO_SUCH_KEY\" }", "no variable HASHVFL_NO_SUCH_KEY"),
        ("{ key = \"a\" }", "unknown field `key`"),
    ] {
        fs::write(&config, text.replace("{ key_file = \"at-rest.key\" }", table)).unwrap();
        assert!(check().contains(expected), "{}", check());
    }
    fs::write(&config, &text).unwrap();
    fs::remove_file(fixture.path("at-rest.key")).unwrap();
    let key = fixture.path("at-rest.key").display().to_string();
    assert!(command(&["party", "encryption", "new-key", &key]).0);
    let cached = format!("cache = \"bank-state/table.cache\"\n{text}");
    fs::write(&config, cached).unwrap();
    assert!(check().contains("cache = ") && check().contains("is inside state = "), "{}", check());
}

fn command_chmod(path: &Path, mode: &str) {
    assert!(Command::new("chmod").arg(mode).arg(path).status().unwrap().success());
}

#[test]
fn files_of_a_run_in_plain_text_are_refused_with_a_key_until_they_are_encrypted() {
    let mut fixture = Fixture::new();
    fixture.run();
    let plain = Snapshot::read(&fixture.path("bank-state/bottom.safetensors")).unwrap();
    let key = fixture.path("at-rest.key").display().to_string();
    assert!(command(&["party", "encryption", "new-key", &key]).0);
    for side in ["coordinator", "bank"] {
        fixture.extra.push((side, "encryption = { key_file = \"at-rest.key\" }".to_string()));
    }
    let config = fixture.party_config("bank", "127.0.0.1:1");
    let error = refused(&["party", "serve"], &config);
    assert!(error.contains("bank-state") && error.contains("it is not encrypted"), "{error}");
    let coordinator = fixture.coordinator_config();
    for (role, config) in [("party", &config), ("coordinator", &coordinator)] {
        let config = config.display().to_string();
        let encrypt = [role, "encryption", "encrypt", "--config", &config];
        let (good, said, errors) = command(&encrypt);
        assert!(good && said.contains(" files; the former plain text"), "{said}{errors}");
        let (good, said, _) = command(&encrypt);
        assert!(good && said.starts_with("encrypted 0 files"), "{said}");
    }
    assert_eq!(model(&fixture, "bank").arrays, plain.arrays);
    let (ledger, key) = (fixture.path("bank-ledger.redb").display().to_string(), key);
    let (good, said, errors) = command(&["party", "ledger", "show", "--ledger", &ledger, "--key-file", &key]);
    assert!(good && said.contains("bits"), "{said}{errors}");
    let (good, said, errors) =
        command(&["coordinator", "evaluate", "--config", &coordinator.display().to_string()]);
    assert!(good, "{said}{errors}");
    // The key is named no more: what is encrypted says so.
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("encryption = {", "# {")).unwrap();
    let error = refused(&["party", "serve"], &config);
    assert!(error.contains("no key was given"), "{error}");
}
