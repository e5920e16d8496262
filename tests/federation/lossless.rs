//! What would be lost or changed without a word ends in the right value or in one clear line, which shows no cell.

use std::process::{Command, Stdio};

use crate::fixture::{Fixture, PARTIES, command};
use crate::predict::{predict_command, serving};

/// `--check` of `role`; its output, and the error where it is refused.
fn check(fixture: &Fixture, role: &str) -> Result<String, String> {
    let config = match role {
        "coordinator" => fixture.coordinator_config(),
        _ => fixture.party_config("bank", "127.0.0.1:1"),
    };
    let (good, said, errors) = command(&[role, "--check", "--config", config.to_str().unwrap()]);
    assert!(!said.contains("Ann") && !errors.contains("Ann"), "a cell is shown: {said}{errors}");
    if good { Ok(said) } else { Err(errors) }
}

#[test]
fn a_stray_quote_takes_no_record_away() {
    let fixture = Fixture::new();
    let table = fixture.read("bank.csv");
    let with = |quoted: &[&str]| {
        quoted
            .iter()
            .fold(table.clone(), |table, id| table.replacen(&format!("\n{id},"), &format!("\n\"{id},"), 1))
    };
    for quoted in [&["r20"][..], &["r20", "r40"]] {
        fixture.write("bank.csv", &with(quoted));
        let error = check(&fixture, "party").unwrap_err();
        assert!(error.contains("bank.csv, line 22: a quoted cell begins here"), "{error}");
    }
    fixture.write("bank.csv", &table);
    let said = check(&fixture, "party").unwrap();
    assert!(said.contains("read: 400 records on 401 lines; 3 columns of numbers, 0 of categories"), "{said}");
}

#[test]
fn labels_that_are_missing_or_written_in_two_ways_are_told() {
    let fixture = Fixture::new();
    let labels = fixture.read("labels.csv");
    fixture.write("labels.csv", &labels.replace("r7,0", "r7,NA").replace("r7,1", "r7,NA"));
    let error = check(&fixture, "coordinator").unwrap_err();
    assert!(error.contains("1 record without a label in column \"y\", the first at"), "{error}");
    assert!(error.contains("labels.csv, line 9"), "{error}");
    fixture.write("labels.csv", &labels.replacen(",1\n", ",1.0\n", 5));
    let said = check(&fixture, "coordinator").unwrap();
    assert!(said.contains("400 records on 401 lines; 2 classes of"), "{said}");
    assert!(said.contains("2 classes occur in 3 spellings"), "{said}");
    fixture.write("labels.csv", &labels.replace(",1\n", ",Maybe\n").replace(",0\n", ",maybe\n"));
    let said = check(&fixture, "coordinator").unwrap();
    assert!(said.contains("note: 1 of 2 classes differ from another class only in spelling"), "{said}");
    assert!(!said.to_lowercase().contains("maybe"), "{said}");
}

#[test]
fn no_error_and_no_config_shows_a_cell_of_a_file_without_header() {
    let fixture = Fixture::new();
    fixture.write("bank.csv", "C000,Ann Smith,Leeds\nC001,Bob Jones,York\nC002,Cy Brown,Hull\n");
    let error = check(&fixture, "party").unwrap_err();
    assert!(error.contains("has no column \"id\"") && error.contains("none of its 3 columns"), "{error}");
    let (table, out) = (fixture.path("bank.csv"), fixture.path("p.toml"));
    let from = ["party", "init", "--from", table.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let (good, said, error) = command(&from);
    assert!(!good && !out.exists() && said.is_empty(), "{said}");
    assert!(
        error.contains("header or a record") && !error.contains("Ann") && !error.contains("C000"),
        "{error}"
    );
    fixture.write("bank.csv", "133,x0:0.45;x1:-1.25\n134,x0:0.10;x1:0.75\n");
    let (good, _, error) = command(&from);
    assert!(!good && !error.contains("133") && !error.contains("x0"), "{error}");
}

#[test]
fn one_bad_record_costs_its_own_prediction_alone() {
    let fixture = Fixture::new();
    fixture.run();
    let table = fixture.read("bank.csv");
    let row = table.lines().find(|line| line.starts_with("r5,")).unwrap();
    fixture.write("bank.csv", &table.replace(row, "r5,,0.1,0.2"));
    let (coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    fixture.write("ask.csv", "id\nr4\nr5\nr6\n");
    let (good, _, error) = predict_command(&fixture, &address, "ask.csv", "out.csv");
    assert!(!good && error.contains("no prediction for 1 record: 1 refused by a party"), "{error}");
    assert!(
        error.contains("bank: 1 record with a cell that is missing, unseen in training, or not a value"),
        "{error}"
    );
    let rows = fixture.read("out.csv");
    assert_eq!(rows.lines().filter(|line| line.contains(",predicted,")).count(), 2, "{rows}");
    assert!(rows.contains("r5,refused by a party,"), "{rows}");

    let (server, path) = (format!("http://{address}"), |name: &str| fixture.path(name).display().to_string());
    let (input, out) = (path("ask.csv"), path("allowed.csv"));
    let (good, said, error) = command(&[
        "coordinator",
        "predict",
        "--server",
        &server,
        "--input",
        &input,
        "--out",
        &out,
        "--allow-missing",
    ]);
    assert!(good && error.is_empty() && said.contains("no prediction for 1 record: "), "{said}{error}");
    assert_eq!(fixture.read("allowed.csv"), rows);

    parties[0].terminate();
    let (_, log) = parties[0].ends();
    assert_eq!(log.matches("1 of 400 records have a cell").count(), 1, "told once: {log}");
    assert!(log.contains("1 request so far, codes of 2 records sent"), "{log}");
}

#[test]
fn long_ids_are_asked_for_in_several_requests_and_unknown_ones_hint_at_ways_of_writing() {
    let fixture = Fixture::new();
    fixture.run();
    let (coordinator, address) = fixture.serve();
    let _parties = serving(&fixture, &coordinator, &address);
    // More than one message may hold.
    let long: String = (0..220).map(|row| format!("{}{row}\n", "x".repeat(200_000))).collect();
    fixture.write("long.csv", &format!("id\nr7\n{long}r7\n"));
    let (good, said, error) = predict_command(&fixture, &address, "long.csv", "out.csv");
    assert!(
        !good && said.contains("1 of 222 records predicted") && said.contains("read from 223 lines"),
        "{said}{error}"
    );
    assert!(error.contains("220 with an id that is not among the served records"), "{error}");
    assert!(error.contains("1 with the id of an earlier record"), "in another request: {error}");
    assert!(error.contains("ids are compared character by character: 7, 7.0 and 007 are three"), "{error}");
    fixture.write("ask.csv", "id\nR7\n");
    let (_, _, error) = predict_command(&fixture, &address, "ask.csv", "out.csv");
    assert!(error.contains("unknown ids are served in another way of writing"), "{error}");
    // A client's ids of digits are as long as it likes: in every width they would take gigabytes.
    let zeros = [70_000, 1_000_000].map(|digits| format!("{}7\n", "0".repeat(digits))).concat();
    fixture.write("zeros.csv", &format!("id\nr7\n{zeros}"));
    let (good, said, error) = predict_command(&fixture, &address, "zeros.csv", "out.csv");
    assert!(!good && said.contains("1 of 3 records predicted"), "{said}{error}");
    assert_eq!(fixture.read("out.csv").matches(",unknown id,").count(), 2);
    fixture.write("twice.csv", "id,name,id\nr1,x,r2\nr3,y,r4\n");
    let (good, _, error) = predict_command(&fixture, &address, "twice.csv", "twice.out.csv");
    assert!(!good && error.contains("columns 1 and 3 of") && error.contains("the same name"), "{error}");
    fixture.write("ask.csv", "id,note\nr1,ok\nr2,\"ok\nr3,ok\n");
    let (good, _, error) = predict_command(&fixture, &address, "ask.csv", "out.csv");
    assert!(!good && error.contains("ask.csv, line 3: a quoted cell begins here"), "{error}");
    assert!(!fixture.path("out.csv").exists(), "nothing is written");
}

#[test]
fn a_party_at_work_says_so() {
    let fixture = Fixture::new();
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.succeeds();
    for party in &mut parties {
        let (good, log) = party.ends();
        assert!(good && log.contains("epoch 1 of 4"), "{log}");
    }
}

#[test]
fn ranges_that_become_categories_are_told() {
    let fixture = Fixture::new();
    let with_band = |(number, line): (usize, &str)| match number {
        0 => format!("{line},band\n"),
        _ => format!("{line},{}0-{}9\n", number % 4, number % 4),
    };
    let table: String = fixture.read("bank.csv").lines().enumerate().map(with_band).collect();
    fixture.write("bank.csv", &table);
    let config = fixture.party_config("bank", "127.0.0.1:1");
    let (good, _, errors) = command(&["party", "--check", "--config", config.to_str().unwrap()]);
    assert!(good && errors.contains("column \"band\": 4 of 4 categories look like ranges"), "{errors}");
    let table = fixture.path("bank.csv");
    let (good, said, errors) = command(&["party", "inspect", "--from", table.to_str().unwrap()]);
    assert!(
        good && said.contains("column \"band\": 400 values with ranges or pairs of numbers"),
        "{said}{errors}"
    );
}

#[test]
fn a_pipe_that_is_closed_is_nobodys_error() {
    let fixture = Fixture::new();
    // More figures than a pipe holds.
    let row = |cell: &dyn Fn(usize) -> String| {
        (0..3000).map(|column| format!(",{}", cell(column))).collect::<String>()
    };
    let mut table = format!("id{}\n", row(&|column| format!("column_{column}")));
    for record in 0..9 {
        table += &format!("k{record}{}\n", row(&|column| ((record + column) % 3).to_string()));
    }
    fixture.write("wide.csv", &table);
    let mut inspecting = Command::new(env!("CARGO_BIN_EXE_roles"))
        .args(["party", "inspect", "--from"])
        .arg(fixture.path("wide.csv"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(inspecting.stdout.take());
    let ended = inspecting.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}
