//! Predictions over the network: what is right, what is refused, and what happens while a party is away.

use std::collections::BTreeMap;
use std::thread;

use hashvfl_core::{Part, Plan};
use hashvfl_learning::metrics;
use hashvfl_proto::v1::inference_client::InferenceClient;
use hashvfl_proto::v1::predict_response::Message;
use hashvfl_proto::v1::{Outcome, PredictRequest};
use tonic::Code;

use crate::documented::check_documented;
use crate::fixture::{Fixture, PARTIES, RECORDS, Role, command, command_with};
use crate::ledger::counted;

/// A line of a file of predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: String,
    pub outcome: String,
    class: String,
    /// Of class 1.
    pub probability: f32,
    parties: String,
}

/// `coordinator predict` from the file `input` to the file `out`; whether it ended well, its output and its error.
pub fn predict_command(fixture: &Fixture, address: &str, input: &str, out: &str) -> (bool, String, String) {
    let (server, path) = (format!("http://{address}"), |name: &str| fixture.path(name).display().to_string());
    let _ = std::fs::remove_file(path(out));
    let arguments =
        ["coordinator", "predict", "--server", &server, "--input", &path(input), "--out", &path(out)];
    let (good, said, errors) = command_with(&arguments, &[("HASHVFL_LOG", fixture.log)]);
    assert!(!errors.contains("panicked"), "{errors}");
    (good, said, errors)
}

/// The same without its output.
fn predict_file(fixture: &Fixture, address: &str, input: &str, out: &str) -> (bool, String) {
    let (good, _, errors) = predict_command(fixture, address, input, out);
    (good, errors)
}

/// Predictions for `ids`, and the error if there was one.
pub fn predict(fixture: &Fixture, address: &str, ids: &[String]) -> (Vec<Row>, String) {
    fixture.write("ask.csv", &format!("id\n{}\n", ids.join("\n")));
    let (good, errors) = predict_file(fixture, address, "ask.csv", "answer.csv");
    assert_eq!(good, errors.is_empty(), "{errors}");
    (rows(&fixture.read("answer.csv")), errors)
}

fn rows(text: &str) -> Vec<Row> {
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    assert!(
        header.starts_with("id,outcome,class,probability,probability_0,probability_1,parties"),
        "{header}"
    );
    let row = |line: &str| {
        let cells: Vec<String> = line.split(',').map(str::to_string).collect();
        let probability = cells[5].parse().unwrap_or(f32::NAN);
        Row {
            id: cells[0].clone(),
            outcome: cells[1].clone(),
            class: cells[2].clone(),
            probability,
            parties: cells[6].clone(),
        }
    };
    lines.map(row).collect()
}

pub fn ids(rows: impl IntoIterator<Item = usize>) -> Vec<String> {
    rows.into_iter().map(|row| format!("r{row}")).collect()
}

pub fn outcomes(rows: &[Row]) -> BTreeMap<&str, usize> {
    let mut outcomes = BTreeMap::new();
    rows.iter().for_each(|row| *outcomes.entry(row.outcome.as_str()).or_default() += 1);
    outcomes
}

pub fn all_by(rows: &[Row], parties: &str) -> bool {
    rows.iter().all(|row| row.outcome == "predicted" && row.parties == parties)
}

pub fn serving(fixture: &Fixture, coordinator: &Role, address: &str) -> [Role; 2] {
    PARTIES.map(|name| {
        let party = fixture.party_serves(name, address);
        coordinator.wait_for(&format!("\"joined\",\"party\":\"{name}\""));
        party
    })
}

#[test]
fn predictions_are_those_of_evaluate_and_asking_again_releases_nothing() {
    let fixture = Fixture::new();
    fixture.run();
    let (mut coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    let (first, _) = predict(&fixture, &address, &ids(0..RECORDS));
    assert!(all_by(&first, "bank+telecom"), "{:?}", outcomes(&first));
    assert!(first.iter().map(|row| row.id.clone()).eq(ids(0..RECORDS)), "in the order of the request");

    let labels = fixture.read("labels.csv");
    let labels: Vec<bool> = labels.lines().skip(1).map(|line| line.ends_with(",1")).collect();
    let plan = Plan::new(&fixture.settings, RECORDS).unwrap();
    let test: Vec<(f32, bool)> = plan
        .part(Part::Test)
        .iter()
        .map(|row| (first[*row as usize].probability, labels[*row as usize]))
        .collect();
    let (scores, positive): (Vec<f32>, Vec<bool>) = test.iter().copied().unzip();
    let summary = fixture.summary();
    let expected = |name: &str| summary["test"][name].as_f64().unwrap();
    assert!((metrics::auc(&scores, &positive).unwrap() - expected("auc")).abs() < 1e-6);
    let share = |(score, positive): &(f32, bool)| f64::from(if *positive { *score } else { 1.0 - score });
    let loss = -test.iter().map(|one| share(one).ln()).sum::<f64>() / test.len() as f64;
    assert!((loss - expected("loss")).abs() < 1e-5, "{loss} {}", expected("loss"));
    assert!(summary["without"]["bank"]["auc"].as_f64().unwrap() < expected("auc"), "{}", summary["without"]);

    parties.iter_mut().chain([&mut coordinator]).for_each(Role::terminate);
    parties.iter_mut().chain([&mut coordinator]).for_each(Role::succeeds);
    // One code more of each training and validation record; those of test records had left already.
    let once = BTreeMap::from([(40, 320), (8, 80)]);
    assert_eq!(counted(&fixture, "bank"), once);

    // Known codes outlast the coordinator: nobody is asked, and nobody is there.
    let (mut coordinator, address) = fixture.serve();
    let (again, errors) = predict(&fixture, &address, &ids(0..RECORDS));
    assert_eq!((again, errors), (first.clone(), String::new()));
    // And without them the party's ledger knows that the same codes are free.
    coordinator.terminate();
    coordinator.succeeds();
    for entry in std::fs::read_dir(fixture.path("coordinator-state/codes")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "served") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let (coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    // Parquet out, and the same file in again.
    let (good, errors) = predict_file(&fixture, &address, "bank.csv", "answer.parquet");
    assert!(good, "{errors}");
    let (good, errors) = predict_file(&fixture, &address, "answer.parquet", "again.csv");
    assert!(good, "{errors}");
    assert_eq!(rows(&fixture.read("again.csv")), first);
    parties.iter_mut().for_each(Role::terminate);
    parties.iter_mut().for_each(Role::succeeds);
    assert_eq!(counted(&fixture, "bank"), once, "the same codes are free");
    let ledger = fixture.path("label-ledger.redb").display().to_string();
    drop(coordinator);
    let (good, said, errors) = command(&["coordinator", "ledger", "--ledger", &ledger]);
    assert!(good && said.contains("predictions to clients: "), "{said}{errors}");
}

#[test]
fn bad_ids_have_a_status_each_and_no_party_hears_of_them() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("coordinator", "serve = { absent = \"refuse\" }".into()));
    fixture.run();
    let (coordinator, address) = fixture.serve();
    let asked = ["r1", "nobody", "r2", "r1"].map(String::from);
    let (alone, errors) = predict(&fixture, &address, &asked);
    let words: Vec<&str> = alone.iter().map(|row| row.outcome.as_str()).collect();
    assert_eq!(words, ["party away", "unknown id", "party away", "repeated id"]);
    assert!(errors.contains("bank is away; telecom is away") && !errors.contains("nobody"), "{errors}");
    let mut parties = serving(&fixture, &coordinator, &address);
    let (rest, errors) = predict(&fixture, &address, &asked);
    let words: Vec<&str> = rest.iter().map(|row| row.outcome.as_str()).collect();
    assert_eq!(words, ["predicted", "unknown id", "predicted", "repeated id"]);
    assert!(errors.contains("no prediction for 2 records: 1 with an id that is not among"), "{errors}");
    parties.iter_mut().for_each(Role::terminate);
    parties.iter_mut().for_each(Role::succeeds);
    assert!(counted(&fixture, "bank").values().sum::<usize>() == RECORDS, "no account but the records'");

    // Over the wire: a request that holds nothing, and one after which the others are still answered.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = InferenceClient::connect(format!("http://{address}")).await.unwrap();
        let request = |ids: &[&str]| PredictRequest { ids: ids.iter().map(ToString::to_string).collect() };
        let requests = tokio_stream::iter([request(&["r1", "x"]), request(&[])]);
        let mut answers = client.predict(requests).await.unwrap().into_inner();
        let Some(Message::Model(model)) = answers.message().await.unwrap().unwrap().message else { panic!() };
        assert_eq!(
            (model.parties, model.classes),
            (PARTIES.map(String::from).to_vec(), vec!["0".into(), "1".into()])
        );
        let Some(Message::Predictions(first)) = answers.message().await.unwrap().unwrap().message else {
            panic!()
        };
        assert_eq!(first.outcomes, [i32::from(Outcome::Predicted), i32::from(Outcome::UnknownId)]);
        assert_eq!((first.took_part, first.probabilities.len()), (vec![3], 2));
        let empty = answers.message().await.unwrap_err();
        assert_eq!(empty.code(), Code::InvalidArgument);
        assert!(empty.message().contains("request 2 holds no record ids"), "{}", empty.message());
        let many = request(&vec!["r1"; model.max_ids as usize + 1]);
        let mut answers = client.predict(tokio_stream::iter([many])).await.unwrap().into_inner();
        answers.message().await.unwrap();
        let status = answers.message().await.unwrap_err();
        assert!(status.message().contains("at most"), "{}", status.message());
    });
    drop(coordinator);

    for (text, expected) in [("id\n", "holds no records"), ("name\nr1\n", "pass --id COLUMN")] {
        fixture.write("ask.csv", text);
        let (coordinator, address) = fixture.serve();
        let (good, errors) = predict_file(&fixture, &address, "ask.csv", "none.csv");
        assert!(!good && errors.contains(expected), "{errors}");
        assert!(!fixture.path("none.csv").exists());
        assert!(fixture.unfinished().iter().all(|name| !name.contains("none")), "no part of it");
        drop(coordinator);
    }
}

#[test]
fn a_party_that_is_away_is_left_out_and_one_that_returns_takes_part_again() {
    let mut fixture = Fixture::new();
    fixture.settings.party_dropout = 0.2;
    fixture.extra.push(("coordinator", "serve = { absent = \"mask\" }".into()));
    fixture.run();
    let (coordinator, address) = fixture.serve();
    let bank = fixture.party_serves("bank", &address);
    coordinator.wait_for("\"joined\",\"party\":\"bank\"");
    let (masked, _) = predict(&fixture, &address, &ids(0..50));
    assert!(all_by(&masked, "bank"), "{masked:?}");
    let mut telecom = fixture.party_serves("telecom", &address);
    coordinator.wait_for("\"joined\",\"party\":\"telecom\"");
    let (both, _) = predict(&fixture, &address, &ids(0..50));
    assert!(all_by(&both, "bank+telecom"), "{both:?}");
    assert!(masked.iter().zip(&both).any(|(one, two)| one.probability != two.probability));

    telecom.kill();
    coordinator.wait_for("\"left\",\"party\":\"telecom\"");
    let (known, _) = predict(&fixture, &address, &ids(40..60));
    assert!(
        all_by(&known[..10], "bank+telecom") && all_by(&known[10..], "bank"),
        "known codes stay: {known:?}"
    );
    let _telecom = fixture.party_serves("telecom", &address);
    coordinator.wait_for("\"joined\",\"party\":\"telecom\"");
    let (back, _) = predict(&fixture, &address, &ids(40..60));
    assert!(all_by(&back, "bank+telecom"), "{back:?}");
    drop(bank);
}

#[test]
fn a_party_that_is_away_is_waited_for_up_to_a_limit() {
    let mut fixture = Fixture::new();
    fixture.run();
    fixture.extra.push(("coordinator", "serve = { absent = \"wait\", absent_timeout_s = 1 }".into()));
    let (coordinator, address) = fixture.serve();
    let bank = fixture.party_serves("bank", &address);
    coordinator.wait_for("\"joined\",\"party\":\"bank\"");
    let (late, errors) = predict(&fixture, &address, &ids(0..3));
    assert_eq!(outcomes(&late), BTreeMap::from([("party away", 3)]));
    assert!(errors.contains("3 because a party is away (telecom is away)"), "{errors}");
    drop((coordinator, bank));

    fixture.extra.clear();
    let (coordinator, address) = fixture.serve();
    let _bank = fixture.party_serves("bank", &address);
    let waited = thread::scope(|scope| {
        let asking = scope.spawn(|| predict(&fixture, &address, &ids(0..3)));
        coordinator.wait_for("\"joined\",\"party\":\"bank\"");
        let telecom = fixture.party_serves("telecom", &address);
        let answered = asking.join().unwrap();
        drop(telecom);
        answered
    });
    assert!(all_by(&waited.0, "bank+telecom"), "{waited:?}");
}

#[test]
fn a_partys_policy_binds_predictions_and_names_its_rule() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.write("policy.toml", "bits_per_record = 32\n");
    fixture.run();
    let before = counted(&fixture, "bank");
    let (mut coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    let (rows, errors) = predict(&fixture, &address, &ids(0..RECORDS));
    assert_eq!(outcomes(&rows), BTreeMap::from([("predicted", 80), ("refused by a party", 320)]));
    assert!(
        errors
            .contains("320 refused by a party (bank: the policy's bits_per_record = 32 refuses 320 records"),
        "{errors}"
    );
    parties.iter_mut().for_each(Role::terminate);
    parties.iter_mut().for_each(Role::succeeds);
    assert_eq!(counted(&fixture, "bank"), before, "what is refused is not counted");
    coordinator.kill();

    fixture.write("policy.toml", "runs = [\"spring\"]\n");
    let error = fixture.party_serves("bank", &address).fails();
    assert!(error.contains("the policy's runs = [\"spring\"] refuses 400 records"), "{error}");
    fixture.write("policy.toml", "min_batch = 5\n");
    let (coordinator, address) = fixture.serve();
    let _parties = serving(&fixture, &coordinator, &address);
    let new = ids((0..RECORDS).filter(|row| rows[*row].outcome != "predicted").take(4));
    let (few, errors) = predict(&fixture, &address, &new);
    assert_eq!(outcomes(&few), BTreeMap::from([("refused by a party", 4)]));
    assert!(errors.contains("the policy's min_batch = 5 refuses 4 records"), "{errors}");
}

#[test]
fn other_records_than_those_of_training_are_served() {
    let mut fixture = Fixture::new();
    fixture.run();
    let newer = |name: &str| {
        let text = fixture.read(name).replace("\nr", "\nnew-");
        text.lines().take(31).map(|line| format!("{line}\n")).collect::<String>()
    };
    let (bank, telecom) = (newer("bank.csv"), newer("telecom.csv"));
    fixture.write("new-bank.csv", &bank);
    fixture.write("new-telecom.csv", &telecom);
    for (name, key) in [("bank", "columns"), ("telecom", "columns"), ("coordinator", "records")] {
        let file = if name == "coordinator" { "bank" } else { name };
        let line = format!(
            "serve = {{ {key} = {{ format = \"csv\", paths = [\"new-{file}.csv\"], id = \"id\" }} }}"
        );
        fixture.extra.push((name, line));
    }
    let (mut coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    let asked: Vec<String> = (0..30).rev().map(|row| format!("new-{row}")).collect();
    let (new, errors) = predict(&fixture, &address, &asked);
    assert!(all_by(&new, "bank+telecom") && errors.is_empty(), "{new:?}{errors}");
    parties.iter_mut().chain([&mut coordinator]).for_each(Role::terminate);
    parties.iter_mut().chain([&mut coordinator]).for_each(Role::succeeds);

    // What is kept of served records can be erased, by their ids.
    fixture.write("gone.txt", &asked[..7].join("\n"));
    let path = |name: &str| fixture.path(name).display().to_string();
    let erase = ["coordinator", "erase", "--config", &path("coordinator.toml"), "--ids", &path("gone.txt")];
    let erased = |count: usize| {
        let (good, out, errors) = command(&erase);
        assert!(good && out.contains(&format!("7 served records: erased {count} codes")), "{out}{errors}");
    };
    erased(14);
    erased(0);

    // A party whose columns have changed is asked again; one whose records are others is refused.
    let shifted = bank.replace(",0.", ",0.9").replace(",-0.", ",-0.9");
    fixture.write("new-bank.csv", &shifted);
    let (coordinator, address) = fixture.serve();
    let _parties = serving(&fixture, &coordinator, &address);
    let (changed, _) = predict(&fixture, &address, &asked);
    assert!(new.iter().zip(&changed).any(|(old, new)| old.probability != new.probability));
    fixture.write("new-telecom.csv", &telecom.replace("new-3,", "other,"));
    let error = fixture.party_serves("telecom", &address).fails();
    assert!(error.contains("is in use by another process"), "{error}");
    drop(_parties);
    coordinator.wait_for("\"left\",\"party\":\"telecom\"");
    let error = fixture.party_serves("telecom", &address).fails();
    assert!(error.contains("telecom holds other records than the label holder"), "{error}");
}

#[test]
fn who_serves_without_a_trained_model_hears_what_is_missing() {
    let fixture = Fixture::new();
    let config = fixture.coordinator_config().display().to_string();
    let (good, _, errors) = command(&["coordinator", "serve", "--config", &config]);
    assert!(!good && errors.contains("top.safetensors does not exist"), "{errors}");
    let config = fixture.party_config("bank", "127.0.0.1:1").display().to_string();
    let (good, _, errors) = command(&["party", "serve", "--config", &config]);
    assert!(!good && errors.contains("bottom.safetensors does not exist"), "{errors}");
}

#[test]
fn strange_records_are_flagged_and_the_share_of_flags_is_in_the_summary() {
    let mut fixture = Fixture::new();
    fixture.settings.calibration_fraction = 0.65;
    fixture.settings.epochs = 8;
    fixture.extra.push(("coordinator", "detectors = { level = 0.02 }".into()));
    fixture.run();
    let summary = fixture.summary();
    check_documented(&summary, &PARTIES);
    assert_eq!(summary["records"]["calibration"], 208);
    // Half of the 208 fitted the detectors, a fifth their scales.
    assert_eq!((&summary["flags"]["calibration"], &summary["flags"]["judged"]), (&62.into(), &80.into()));
    let share = summary["flags"]["flagged_fraction"].as_f64().unwrap();
    let [low, high] = [0, 1].map(|end| summary["flags"]["interval_99"][end].as_f64().unwrap());
    assert!((low..=high).contains(&share), "{low} {share} {high}");

    let (coordinator, address) = fixture.serve();
    let parties = serving(&fixture, &coordinator, &address);
    let (_, errors) = predict(&fixture, &address, &ids(0..RECORDS));
    assert!(errors.is_empty(), "{errors}");
    let text = fixture.read("answer.csv");
    let cells = |line: &str| line.rsplit(',').take(2).map(str::to_string).collect::<Vec<_>>();
    assert_eq!(cells(text.lines().next().unwrap()), ["flagged", "p_value"]);
    let judged: Vec<(f64, String)> =
        text.lines().skip(1).map(cells).map(|cells| (cells[1].parse().unwrap(), cells[0].clone())).collect();
    assert_eq!(judged.len(), RECORDS);
    assert!(judged.iter().all(|(p, flagged)| (*p <= 0.02) == (flagged == "yes")), "{judged:?}");
    assert!(judged.iter().filter(|(_, flagged)| flagged == "yes").count() < 60);
    drop((coordinator, parties));

    // A level that the calibration cannot tell: before a run, and when serving.
    fixture.extra = vec![("coordinator", "detectors = { level = 0.001 }".into())];
    let config = fixture.coordinator_config().display().to_string();
    let (good, _, errors) = command(&["coordinator", "--check", "--config", &config]);
    assert!(
        !good && errors.contains("needs 999 calibrating records, but only 62 of the calibration part's 208"),
        "{errors}"
    );
    let (good, _, errors) = command(&["coordinator", "serve", "--config", &config]);
    assert!(
        !good && errors.contains("62 calibration rows are too few for the level 0.001: at least 999"),
        "{errors}"
    );

    // Detectors of a run with other code lengths.
    let mut other = Fixture::new();
    other.settings.bits = 6;
    other.run();
    let detectors = "coordinator-state/detectors.hashvfl";
    std::fs::copy(fixture.path(detectors), other.path(detectors)).unwrap();
    let config = other.coordinator_config().display().to_string();
    let (good, _, errors) = command(&["coordinator", "serve", "--config", &config]);
    assert!(
        !good && errors.contains("fitted on codes of [8, 8] bits") && errors.contains("[6, 6]"),
        "{errors}"
    );
}

#[test]
fn records_of_a_request_are_compared_with_each_other() {
    let mut fixture = Fixture::new();
    fixture.settings.calibration_fraction = 0.65;
    fixture.settings.epochs = 8;
    let table = "detectors = { level = 0.05, batch = \"adaptive\", batch_rows = 100 }";
    fixture.extra.push(("coordinator", table.into()));
    fixture.run();
    let (coordinator, address) = fixture.serve();
    let parties = serving(&fixture, &coordinator, &address);
    let p_values = |ids: &[String]| -> Vec<f64> {
        let (_, errors) = predict(&fixture, &address, ids);
        assert!(errors.is_empty(), "{errors}");
        let text = fixture.read("answer.csv");
        text.lines().skip(1).map(|line| line.rsplit(',').nth(1).unwrap().parse().unwrap()).collect()
    };
    let (alone, together) = (p_values(&ids(0..99)), p_values(&ids(0..RECORDS)));
    // Bonferroni of two: never more than twice what the detectors of single records say.
    let pairs: Vec<(f64, f64)> = alone.iter().copied().zip(together.iter().copied()).collect();
    assert!(pairs.iter().all(|(alone, together)| *together <= (2.0 * alone).min(1.0) + 1e-6), "{pairs:?}");
    assert!(pairs.iter().any(|(alone, together)| *together < (2.0 * alone).min(1.0) - 1e-6), "{pairs:?}");
    assert!(together.iter().filter(|p| **p <= 0.05).count() < RECORDS / 5);
    drop((coordinator, parties));

    // Without calibration records there is nothing to compare with.
    fixture.settings.calibration_fraction = 0.0;
    let config = fixture.coordinator_config().display().to_string();
    let (good, _, errors) = command(&["coordinator", "--check", "--config", &config]);
    assert!(!good && errors.contains("detectors.batch needs run.calibration_fraction above 0"), "{errors}");
    fixture.settings.calibration_fraction = 0.65;
    // Two p-values need twice the calibration records, and the run must have kept what is compared with.
    fixture.extra = vec![("coordinator", table.replace("0.05", "0.02"))];
    let config = fixture.coordinator_config().display().to_string();
    let (good, _, errors) = command(&["coordinator", "--check", "--config", &config]);
    assert!(
        !good && errors.contains("needs 99 calibrating records, but only 62 of the calibration part's 208"),
        "{errors}"
    );
    std::fs::remove_file(fixture.path("coordinator-state/references.hashvfl")).unwrap();
    fixture.extra = vec![("coordinator", table.into())];
    let config = fixture.coordinator_config().display().to_string();
    let (good, _, errors) = command(&["coordinator", "serve", "--config", &config]);
    assert!(!good && errors.contains("a run keeps where detectors.batch is set"), "{errors}");
}
