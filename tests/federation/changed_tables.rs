//! Row numbers outlive the table that they counted: what is done with a run afterwards finds records by id, or refuses.

use std::collections::BTreeSet;
use std::fs;

use hashvfl_attack::{AttackConfig, Manifest};
use hashvfl_core::{Digest, PartyName};
use hashvfl_data::Order;
use hashvfl_learning::Snapshot;
use hashvfl_transcript::Recording;

use crate::fixture::{Fixture, PARTIES, RECORDS, command};

/// A run that keeps all that a run can keep, and the records that its transcripts are about.
fn finished(mut fixture: Fixture) -> Fixture {
    fixture.settings.refit = true;
    fixture.extra.push(("coordinator", "transcript = true".into()));
    fixture.extra.push(("bank", "transcript = true".into()));
    fixture.run();
    fixture
}

impl Fixture {
    fn config(&self, side: &str) -> String {
        self.path(&format!("{side}.toml")).to_str().unwrap().to_string()
    }

    /// Runs a command of `role` with the config of `side`, and more arguments.
    fn does(&self, role: &str, name: &str, side: &str, more: &[&str]) -> (bool, String, String) {
        let config = self.config(side);
        command(&[&[role, name, "--config", &config], more].concat())
    }

    fn succeeds_with(&self, role: &str, name: &str, side: &str, more: &[&str]) -> String {
        let (good, out, errors) = self.does(role, name, side, more);
        assert!(good, "{role} {name}: {errors}");
        out
    }

    /// The one line with which a command is refused.
    fn refused(&self, role: &str, name: &str, side: &str, more: &[&str]) -> String {
        let (good, out, errors) = self.does(role, name, side, more);
        assert!(!good && !errors.contains("panicked"), "{role} {name} ended well: {out}{errors}");
        errors.lines().find(|line| line.starts_with("error: ")).unwrap_or_default().to_string()
    }

    fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_string()
    }

    /// Rewrites a table: its header, and what becomes of its other lines.
    fn rewrite(&self, name: &str, of: impl Fn(Vec<String>) -> Vec<String>) {
        let text = self.read(name);
        let mut lines = text.lines().map(String::from);
        let header = lines.next().unwrap();
        let lines = of(lines.collect());
        self.write(name, &format!("{header}\n{}\n", lines.join("\n")));
    }

    /// Records of the run that a side's transcript has rows about.
    fn seen(&self, side: &str) -> BTreeSet<u32> {
        let path = self.path(&format!("{side}-state/transcript.parquet"));
        let recording = Recording::read(&path, None).unwrap();
        recording.steps.into_iter().flat_map(|step| step.records).collect()
    }

    fn digest(&self, name: &str) -> Digest {
        Digest::of(&fs::read(self.path(name)).unwrap())
    }

    /// Codes of the test records by both parties' models, on the tables as they are, and what they evaluate to.
    fn encoded_and_evaluated(&self, to: &str) -> String {
        let files = PARTIES.map(|name| self.file(&format!("{name}-{to}.codes")));
        for (name, file) in PARTIES.iter().zip(&files) {
            self.succeeds_with("party", "encode", name, &["--part", "test", "--out", file]);
        }
        let codes: Vec<String> =
            PARTIES.iter().zip(&files).map(|(name, file)| format!("{name}={file}")).collect();
        let more = ["--codes", &codes[0], "--codes", &codes[1]];
        self.succeeds_with("coordinator", "evaluate", "coordinator", &more)
    }
}

fn reversed(mut lines: Vec<String>) -> Vec<String> {
    lines.reverse();
    lines
}

#[test]
fn tables_that_are_sorted_otherwise_or_longer_give_what_the_run_gave() {
    let fixture = finished(Fixture::new());
    let evaluated = || fixture.succeeds_with("coordinator", "evaluate", "coordinator", &[]);
    let retrained = |to: &str| {
        fixture.succeeds_with("coordinator", "retrain", "coordinator", &["--out", &fixture.file(to)]);
        Snapshot::read(&fixture.path(to)).unwrap()
    };
    let (figures, top) = (evaluated(), retrained("first.safetensors"));
    assert_eq!(fixture.encoded_and_evaluated("first"), figures);
    let codes = fixture.digest("bank-first.codes");

    for table in ["labels.csv", "bank.csv", "telecom.csv"] {
        fixture.rewrite(table, reversed);
    }
    assert_eq!(evaluated(), figures);
    assert!(retrained("second.safetensors") == top, "another top model from the same codes");
    assert_eq!(fixture.encoded_and_evaluated("second"), figures);
    assert_eq!(fixture.digest("bank-second.codes"), codes);

    for (table, cells) in [("labels.csv", "1"), ("bank.csv", "0.1,0.2,0.3"), ("telecom.csv", "0.1,0.2,0.3")] {
        let new = (0..50).map(|at| format!("new{at},{cells}"));
        fixture.rewrite(table, |lines| new.clone().chain(lines).collect());
    }
    assert_eq!(evaluated(), figures);
    assert!(retrained("third.safetensors") == top, "another top model from the same codes");
    assert_eq!(fixture.encoded_and_evaluated("third"), figures);
    assert_eq!(fixture.digest("bank-third.codes"), codes);
}

#[test]
fn erasure_is_of_the_record_that_was_named_whatever_became_of_the_tables() {
    let fixture = finished(Fixture::new());
    let all: BTreeSet<u32> = (0..RECORDS as u32).collect();
    assert_eq!(fixture.seen("coordinator"), all);
    // One table sorted the other way, the other without the record that asks to be erased, and one that is gone.
    fixture.rewrite("labels.csv", reversed);
    fixture.rewrite("bank.csv", |lines| {
        lines.into_iter().filter(|line| !line.starts_with("r1,")).rev().collect()
    });
    fs::remove_file(fixture.path("telecom.csv")).unwrap();
    fixture.write("ids.txt", "r1\n");
    let ids = fixture.file("ids.txt");
    let said = fixture.succeeds_with("coordinator", "erase", "coordinator", &["--ids", &ids]);
    assert!(said.contains("1 record of the run: erased 2 codes"), "{said}");
    let said = fixture.succeeds_with("party", "erase", "bank", &["--ids", &ids]);
    assert!(said.contains("1 record: erased"), "{said}");
    let left: BTreeSet<u32> = all.iter().copied().filter(|row| *row != 1).collect();
    for side in ["coordinator", "bank"] {
        assert_eq!(fixture.seen(side), left, "{side}");
    }
    // Who asks again is told that nothing is left; what nobody knows is refused.
    let again = fixture.succeeds_with("coordinator", "erase", "coordinator", &["--ids", &ids]);
    assert!(again.contains("1 record of the run: erased 0 codes"), "{again}");
    fixture.write("ids.txt", "r2\nr999\n");
    let unknown = fixture.refused("coordinator", "erase", "coordinator", &["--ids", &ids]);
    assert!(unknown.contains("1 id not among the known records") && unknown.contains("line 2"), "{unknown}");
    assert_eq!(fixture.seen("coordinator"), left);
    // It is not missed in a table.
    let without = |lines: Vec<String>| lines.into_iter().filter(|line| !line.starts_with("r1,")).collect();
    fixture.rewrite("labels.csv", without);
    fixture.succeeds_with("coordinator", "evaluate", "coordinator", &[]);
    let out = fixture.file("train.codes");
    fixture.succeeds_with("party", "encode", "bank", &["--part", "train", "--out", &out]);
}

#[test]
fn tables_that_lack_records_and_labels_that_changed_are_refused() {
    let fixture = finished(Fixture::new());
    let labels = fixture.read("labels.csv");
    let evaluate = |more: &[&str]| fixture.refused("coordinator", "evaluate", "coordinator", more);
    let retrain = || {
        fixture.refused("coordinator", "retrain", "coordinator", &["--out", &fixture.file("no.safetensors")])
    };
    fixture.rewrite("labels.csv", |lines| lines[3..].to_vec());
    fixture.rewrite("bank.csv", |lines| lines[3..].to_vec());
    let out = fixture.file("no.codes");
    let encode = fixture.refused("party", "encode", "bank", &["--out", &out]);
    for error in [evaluate(&[]), retrain(), encode] {
        assert!(error.contains("lacks 3 of the run's 400 records"), "{error}");
    }
    assert!(!fixture.path("no.codes").exists() && !fixture.path("no.safetensors").exists());

    fixture.write("labels.csv", &labels.replace(",1\n", ",bad\n").replace(",0\n", ",good\n"));
    for error in [evaluate(&[]), evaluate(&["--accept-changed-labels"]), retrain()] {
        assert!(error.contains("classes differ from the run's"), "{error}");
        assert!(!error.contains("good"), "no label is shown: {error}");
    }
    let swapped = labels.replace(",1\n", ",x\n").replace(",0\n", ",1\n").replace(",x\n", ",0\n");
    fixture.write("labels.csv", &swapped);
    for error in [evaluate(&[]), retrain()] {
        assert!(error.contains("400 of 400 records have other labels"), "{error}");
    }
    fixture.write("labels.csv", &labels.replacen(",1\n", ",0\n", 1));
    assert!(evaluate(&[]).contains("1 of 400 records have other labels"));
    fixture.succeeds_with("coordinator", "evaluate", "coordinator", &["--accept-changed-labels"]);
}

#[test]
fn with_an_agreed_order_and_missing_values_the_named_record_is_erased_and_exported() {
    let mut fixture = Fixture::new();
    // The agreed order is not the tables', and the bank writes its ids in capitals.
    let agreed: Vec<String> = (0..RECORDS).map(|row| format!("r{}", (row * 7 + 3) % RECORDS)).collect();
    let own = agreed.iter().map(|id| id.to_uppercase()).collect();
    let capitals = Order { own, ..Order::new(agreed.clone(), None) };
    fs::write(fixture.path("bank-order.csv"), capitals.to_bytes()).unwrap();
    fs::write(fixture.path("order.csv"), Order::new(agreed.clone(), None).to_bytes()).unwrap();
    fixture.rewrite("bank.csv", |lines| {
        let line = |(at, line): (usize, &String)| {
            let mut cells: Vec<&str> = line.split(',').collect();
            let (id, kind) = (cells[0].to_uppercase(), if at % 3 == 0 { "n/a" } else { "gold" });
            cells[0] = &id;
            cells[3] = kind;
            cells.join(",")
        };
        lines.iter().enumerate().map(line).collect()
    });
    fixture
        .extra
        .push(("bank", "order = \"bank-order.csv\"\nnull_values = [\"n/a\"]\nmissing = \"fill\"".into()));
    fixture.extra.push(("bank", "types = { c = \"category\" }".into()));
    fixture.extra.push(("telecom", "order = \"order.csv\"".into()));
    fixture.extra.push(("coordinator", "order = \"order.csv\"".into()));
    let fixture = finished(fixture);
    let row = agreed.iter().position(|id| id == "r42").unwrap() as u32;
    let left: BTreeSet<u32> = (0..RECORDS as u32).filter(|other| *other != row).collect();
    fixture.write("ids.txt", "R42\n");
    fixture.succeeds_with("party", "erase", "bank", &["--ids", &fixture.file("ids.txt")]);
    fixture.write("ids.txt", "r42\n");
    fixture.succeeds_with("coordinator", "erase", "coordinator", &["--ids", &fixture.file("ids.txt")]);
    for side in ["coordinator", "bank"] {
        assert_eq!(fixture.seen(side), left, "{side}");
    }
    let (ledger, out) = (fixture.file("bank-ledger.redb"), fixture.file("export.csv"));
    let export = [
        "party",
        "ledger",
        "export",
        "--ledger",
        &ledger,
        "--out",
        &out,
        "--config",
        &fixture.config("bank"),
    ];
    let (good, _, errors) = command(&export);
    assert!(good, "{errors}");
    let exported = fixture.read("export.csv");
    assert_eq!(exported.lines().count(), RECORDS + 1);
    assert!(exported.lines().any(|line| line.starts_with("r42,")), "the account under its agreed id");
}

#[test]
fn an_evaluation_of_privacy_is_refused_when_tables_are_not_those_of_the_run() {
    let fixture = finished(Fixture::new());
    let turned = [PARTIES[1], PARTIES[0]].map(|name| fixture.path(&format!("{name}.toml")));
    for (parties, expected) in [(&turned[..], "in the order of run.parties"), (&turned[1..], "1 party of 2")]
    {
        let error = Manifest::of(&fixture.path("coordinator.toml"), parties).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let refused = || {
        let parties = PARTIES.map(|name| fixture.path(&format!("{name}.toml")));
        let manifest = Manifest::of(&fixture.path("coordinator.toml"), &parties).unwrap();
        manifest.write(&fixture.path("manifest.toml")).unwrap();
        let config = AttackConfig::new(fixture.path("manifest.toml"), PartyName::new(PARTIES[1]).unwrap());
        let transcript = fixture.path("coordinator-state/transcript.parquet");
        let attacked = hashvfl_attack::run(&transcript, &config, &fixture.path("report"), &mut |_| ());
        format!("{:#}", attacked.expect_err("an attack on another record's columns"))
    };
    fixture.rewrite("telecom.csv", reversed);
    let error = refused();
    assert!(error.contains("telecom: the table holds other records"), "{error}");
    fixture.rewrite("telecom.csv", reversed);
    let labels = fixture.read("labels.csv");
    fixture.write("labels.csv", &labels.replace(",1\n", ",yes\n").replace(",0\n", ",no\n"));
    assert!(refused().contains("classes differ from the run's"));
}
