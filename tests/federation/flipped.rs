//! Randomised response over the network: twins, kept answers, accounts, and what is left of runs of earlier versions.

use std::collections::BTreeMap;
use std::fs;

use hashvfl_core::{CodeTable, PackedCodes, Part, Plan, Settings, StoredCodes};
use hashvfl_learning::Snapshot;
use hashvfl_transcript::{RecordedKind, Recording};

use crate::fixture::{Fixture, RECORDS, command};
use crate::ledger::next_run;
use crate::predict::{predict_command, serving};

/// Epsilon of one draw: 8 bits at 1 each.
const DRAW: f64 = 8.0;

/// A federation with randomised response and encode-once training, in which each odd record is the twin of the one
/// before it.
fn twins() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.settings.randomised_response = Some(1.0);
    fixture.settings.cohort_fraction = 0.5;
    fixture.extra.push(("coordinator", "transcript = true".into()));
    fixture.extra.push(("bank", "transcript = true".into()));
    for name in ["bank.csv", "telecom.csv"] {
        let text = fixture.read(name);
        let lines: Vec<&str> = text.lines().collect();
        let cells = |record: usize| lines[1 + record].split_once(',').unwrap().1;
        let line = |record: usize| format!("r{record},{}\n", cells(record / 2 * 2));
        let twins: String = (0..RECORDS).map(line).collect();
        fixture.write(name, &format!("{}\n{twins}", lines[0]));
    }
    fixture
}

/// Cells of bank's ledger by id: bits, epsilon, formal epsilon.
fn accounts(fixture: &Fixture) -> BTreeMap<String, (u64, String, String)> {
    let path = |name: &str| fixture.path(name).display().to_string();
    let _ = fs::remove_file(path("accounts.csv"));
    let (ledger, config, out) = (path("bank-ledger.redb"), path("bank.toml"), path("accounts.csv"));
    let export = ["party", "ledger", "export", "--ledger", &ledger, "--config", &config, "--out", &out];
    let (good, _, errors) = command(&export);
    assert!(good, "{errors}");
    let text = fixture.read("accounts.csv");
    let account = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[0].to_string(), (cells[1].parse().unwrap(), cells[4].to_string(), cells[5].to_string()))
    };
    text.lines().skip(1).map(account).collect()
}

/// Frozen codes of bank by record, as the coordinator saw them.
fn frozen_codes(fixture: &Fixture) -> BTreeMap<u32, Vec<u8>> {
    let path = fixture.path("coordinator-state/transcript.parquet");
    let recording = Recording::read(&path, None).unwrap();
    let frozen = recording
        .steps
        .iter()
        .filter(|step| matches!(step.kind, RecordedKind::Part(part) if part != Part::CohortValidation));
    let codes = frozen.flat_map(|step| {
        let (_, bytes) = step.values.iter().find(|(party, _)| *party == "bank").unwrap();
        step.records.iter().copied().zip(bytes.iter().map(|code| vec![*code])).collect::<Vec<_>>()
    });
    codes.collect()
}

/// Codes of bank's test records, encoded into a file.
fn encode(fixture: &Fixture, out: &str) -> CodeTable {
    let (config, out) = (fixture.path("bank.toml"), fixture.path(out));
    let arguments = ["party", "encode", "--config", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let (good, _, errors) = command(&arguments);
    assert!(good, "{errors}");
    StoredCodes::from_bytes(&fs::read(out).unwrap()).unwrap().table
}

#[test]
fn twins_answer_independently_and_answers_are_sent_again_as_they_were() {
    let fixture = twins();
    fixture.run();
    let plan = Plan::new(&fixture.settings, RECORDS).unwrap();
    let codes = frozen_codes(&fixture);
    let pairs: Vec<bool> =
        (0..RECORDS as u32).step_by(2).map(|row| codes[&row] == codes[&(row + 1)]).collect();
    let equal = pairs.iter().filter(|equal| **equal).count();
    // With independent flips of probability 0.27, 1.8 % agree; when content alone drew them, all did.
    assert!(equal < pairs.len() / 10, "{equal} of {} twins agree", pairs.len());

    // One draw each, of the cohort one per epoch and one more; the bottom model was fitted on its training records.
    let first = accounts(&fixture);
    let each = |part: Part, bits: u64, epsilon: &str, formal: f64| {
        for row in plan.part(part) {
            let expected = (bits, epsilon.to_string(), formal.to_string());
            assert_eq!(first[&format!("r{row}")], expected, "{part:?}");
        }
    };
    each(Part::Test, 8, "8", DRAW);
    each(Part::CohortTrain, 40, "none", 5.0 * DRAW);
    each(Part::CohortValidation, 40, "40", 5.0 * DRAW);
    let ledger = fixture.path("bank-ledger.redb").display().to_string();
    let (_, said, _) = command(&["party", "ledger", "show", "--ledger", &ledger]);
    assert!(
        said.contains("none (formal sum 40 at most) for") && said.contains("used to fit bottom models"),
        "{said}"
    );
    let fitted = format!(" R{}", plan.part(Part::CohortTrain)[0]);
    let (good, said, _) = command(&["party", "ledger", "explain", "--ledger", &ledger, "--id", &fitted]);
    assert!(good && said.contains("none (formal sum 40), because bottom models were fitted on it"), "{said}");

    let sent = encode(&fixture, "codes");
    let again = encode(&fixture, "again");
    for row in plan.part(Part::Test) {
        let code = PackedCodes::pack(&sent.signs(&[*row]).unwrap(), 8).unwrap();
        assert_eq!(code.as_bytes(), codes[row]);
        assert_eq!(again.signs(&[*row]).unwrap(), sent.signs(&[*row]).unwrap());
    }
    assert_eq!(accounts(&fixture), first, "what was sent is sent again, for nothing");

    let erased = format!("r{}", plan.part(Part::Test)[0]);
    fixture.write("ids.txt", &erased);
    let (config, list) = (fixture.path("bank.toml"), fixture.path("ids.txt"));
    let arguments = ["party", "erase", "--config", config.to_str().unwrap(), "--ids", list.to_str().unwrap()];
    let (good, said, errors) = command(&arguments);
    assert!(good && said.contains("erased 1 answer kept"), "{said}{errors}");
    assert_eq!(accounts(&fixture), first, "erasing keeps charges");
    let left = encode(&fixture, "left");
    let (gone, others) = plan.part(Part::Test).split_first().unwrap();
    assert_eq!(left.signs(others).unwrap(), sent.signs(others).unwrap());
    assert_eq!(left.signs(&[*gone]), Err(*gone), "an erased record is not encoded again");
    assert_eq!(accounts(&fixture), first, "nothing was drawn anew");
}

#[test]
fn what_runs_of_before_left_is_refused_with_a_word_why() {
    let fixture = twins();
    fixture.run();
    let settings = fixture.settings.to_settings();
    let before = settings.pairs().filter(|(key, _)| *key != "run.randomised_response_draw");
    let before: Vec<(String, String)> = before.map(|(key, value)| (key.into(), value.into())).collect();
    let before = Settings::from_pairs(before.into_iter()).unwrap().digest().to_string();
    for path in ["bank-state/bottom.safetensors", "coordinator-state/top.safetensors"] {
        let path = fixture.path(path);
        let mut model = Snapshot::read(&path).unwrap();
        model.text.insert("settings_sha256".into(), before.clone());
        model.write(&path).unwrap();
    }
    let path = |name: &str| fixture.path(name).display().to_string();
    for arguments in [
        ["party", "encode", "--out", &path("codes"), "--config", &path("bank.toml")].as_slice(),
        &["party", "serve", "--config", &path("bank.toml")],
        &["coordinator", "evaluate", "--config", &path("coordinator.toml")],
        &["coordinator", "serve", "--config", &path("coordinator.toml")],
    ] {
        let (good, _, errors) = command(arguments);
        assert!(
            !good
                && errors.contains(
                    "drew its flips from the records' content alone, so no epsilon holds for it: train again"
                ),
            "{arguments:?} {errors}"
        );
    }
}

#[test]
fn check_tells_how_many_records_have_respelt_or_new_ids_and_changes_nothing() {
    let mut fixture = Fixture::new();
    fixture.settings.randomised_response = Some(1.0);
    fixture.run();
    next_run(&mut fixture);
    let config = fixture.party_config("bank", "127.0.0.1:1").display().to_string();
    let ledger = fs::read(fixture.path("bank-ledger.redb")).unwrap();
    let check = || {
        let (good, said, errors) = command(&["party", "--check", "--config", &config]);
        assert!(good && said.contains("is in order"), "{errors}");
        assert_eq!(fs::read(fixture.path("bank-ledger.redb")).unwrap(), ledger, "--check changes no ledger");
        errors
    };
    assert!(!check().contains("WARN"), "the same table");
    let table = fixture.read("bank.csv");
    fixture.write("bank.csv", &table.replace("\nr1", "\nperson-1"));
    let (said, renamed) = (check(), table.matches("\nr1").count());
    assert!(said.contains(&format!("{renamed} records new to the ledger")), "{said}");
    assert!(!said.contains("person") && !said.contains("different spelling"), "{said}");
    fixture.write("bank.csv", &table.replace("\nr1,", "\n R0,"));
    let said = check();
    assert!(said.contains("1 record with the same id as another record in a different spelling"), "{said}");
    assert!(!said.contains("new to the ledger") && !said.contains("like another id"), "{said}");
    fixture.write("bank.csv", &table.replace("\nr1,", "\nr\u{200b}0,"));
    let said = check();
    assert!(said.contains("1 id like another id except") && !said.contains("different spelling"), "{said}");

    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.write("policy.toml", "epsilon_per_record = 100.0\n");
    fixture.party_config("bank", "127.0.0.1:1");
    let (good, _, errors) = command(&["party", "--check", "--config", &config]);
    let expected =
        "the policy's epsilon_per_record = 100 refuses 288 records: the run fits bottom models on them";
    assert!(!good && errors.contains(expected), "{errors}");
    fs::remove_file(fixture.path("bank-ledger.redb")).unwrap();
    let (good, _, _) = command(&["party", "--check", "--config", &config]);
    assert!(!good && !fixture.path("bank-ledger.redb").exists(), "--check makes no ledger");
}

#[test]
fn a_cell_that_cannot_be_used_ends_no_serving_and_its_record_is_answered_like_any_other() {
    let mut fixture = Fixture::new();
    fixture.settings.randomised_response = Some(1.0);
    fixture.run();
    let table = fixture.read("bank.csv");
    let row = table.lines().find(|line| line.starts_with("r5,")).unwrap();
    fixture.write("bank.csv", &table.replace(row, "r5,,word,0.2"));
    let (coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    fixture.write("ask.csv", "id\nr4\nr5\nr6\n");
    let (good, said, error) = predict_command(&fixture, &address, "ask.csv", "out.csv");
    assert!(good, "a refusal would tell which record it is: {said}{error}");
    let rows = fixture.read("out.csv");
    assert_eq!(rows.lines().filter(|line| line.contains(",predicted,")).count(), 3, "{rows}");
    parties[0].terminate();
    let (_, log) = parties[0].ends();
    assert_eq!(log.matches("1 of 400 records have a cell").count(), 1, "told once: {log}");
    assert!(log.contains("these cells count as missing"), "{log}");
}
