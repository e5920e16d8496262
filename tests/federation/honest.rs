//! Runs in which all goes well.

use std::fs;

use hashvfl_core::settings::Schedule;
use hashvfl_core::{PartyName, RunSettings, Task};
use hashvfl_data::{Matrix, Preprocessing};
use hashvfl_learning::TopConfig;
use hashvfl_learning::encoder::{CutLayer, EncoderConfig};
use hashvfl_learning::top::loss::{Labels, LossConfig};
use hashvfl_testbed::simulation::{SimulatedParty, SimulatedRun, simulate};

use crate::documented::check_documented;
use crate::fixture::{Fixture, PARTIES, RECORDS, Role, command};
use crate::ledger::counted;

fn numbers(text: &str) -> Vec<Vec<f32>> {
    let cells = |line: &str| line.split(',').skip(1).map(|cell| cell.parse().unwrap()).collect();
    text.lines().skip(1).map(cells).collect()
}

/// The same run in this process.
pub fn in_one_process(fixture: &Fixture, top: &TopConfig) -> SimulatedRun {
    in_one_process_with(fixture, top, &EncoderConfig::default())
}

/// The same with parties' models of this `encoder` table.
fn in_one_process_with(fixture: &Fixture, top: &TopConfig, encoder: &EncoderConfig) -> SimulatedRun {
    let tables = PARTIES.map(|name| {
        let rows = numbers(&fixture.read(&format!("{name}.csv")));
        Matrix::new(RECORDS, 3, rows.concat()).unwrap()
    });
    let sides: Vec<SimulatedParty> = tables
        .iter()
        .map(|columns| SimulatedParty {
            columns,
            image: None,
            preprocessing: (Preprocessing::default(), None),
            encoder: encoder.clone(),
            seed: 7,
        })
        .collect();
    let index = numbers(&fixture.read("labels.csv")).concat().iter().map(|label| *label as u32).collect();
    let labels = Labels::Classes { count: 2, index };
    simulate(&sides, &labels, &fixture.settings, top, 0, CutLayer::Hash).unwrap()
}

#[test]
fn three_processes_learn_what_one_process_learns() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("coordinator", "transcript = true".into()));
    fixture.run();
    let summary = fixture.summary();
    check_documented(&summary, &PARTIES);
    let local = in_one_process(&fixture, &TopConfig::default());
    assert_eq!(summary["test"], serde_json::to_value(local.test).unwrap(), "bit for bit");
    assert!(summary["test"]["auc"].as_f64().unwrap() > 0.8, "{}", summary["test"]);

    // Both sides load what they kept and reproduce the test figures exactly.
    let codes: Vec<String> = PARTIES
        .iter()
        .map(|name| {
            let out = fixture.path(&format!("{name}.codes"));
            let config = fixture.path(&format!("{name}.toml"));
            let (good, _, errors) = command(&[
                "party",
                "encode",
                "--config",
                config.to_str().unwrap(),
                "--out",
                out.to_str().unwrap(),
            ]);
            assert!(good, "{errors}");
            format!("{name}={}", out.display())
        })
        .collect();
    let config = fixture.path("coordinator.toml");
    let config = config.to_str().unwrap();
    let evaluated = |codes: &[String]| -> serde_json::Value {
        let mut arguments = vec!["coordinator", "evaluate", "--config", config];
        codes.iter().for_each(|codes| arguments.extend(["--codes", codes]));
        let (good, output, errors) = command(&arguments);
        assert!(good, "{errors}");
        serde_json::from_str(&output).unwrap()
    };
    assert_eq!(evaluated(&codes), summary["test"]);
    assert_eq!(evaluated(&[]), summary["test"]);

    // What is private is readable by its owner alone.
    for name in ["coordinator-state", "coordinator-state/codes", "bank-state", "telecom-state"] {
        for entry in fs::read_dir(fixture.path(name)).unwrap() {
            let path = entry.unwrap().path();
            #[cfg(unix)]
            if path.is_file() {
                use std::os::unix::fs::PermissionsExt;
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", path.display());
            }
        }
    }
    // Nothing else is left: what a finished run has, once per side.
    let mut kept = fixture.unfinished();
    kept.sort();
    let whole =
        ["bottom.safetensors", "bottom.safetensors", "summary.json", "top.safetensors", "transcript.parquet"];
    assert_eq!(kept, whole);
}

#[test]
fn later_cycles_learn_from_what_earlier_ones_said() {
    let mut fixture = Fixture::new();
    fixture.settings = RunSettings { epochs: 6, cycles: 2, refit: true, ..fixture.settings };
    let plain = in_one_process(&fixture, &TopConfig::default());
    let loss = LossConfig { distillation: 0.5, ..LossConfig::default() };
    let top = TopConfig { loss, ..TopConfig::default() };
    let local = in_one_process(&fixture, &top);
    let losses =
        |run: &SimulatedRun| -> Vec<f64> { run.epochs.iter().map(|epoch| epoch.train_loss).collect() };
    assert_eq!(losses(&local)[..3], losses(&plain)[..3], "the first cycle has labels alone");
    assert!((3..6).all(|epoch| losses(&local)[epoch] != losses(&plain)[epoch]), "{:?}", losses(&local));
    assert!([&plain, &local].iter().all(|run| (4..=6).contains(&run.best_epoch)), "of the last cycle");

    fixture.extra.push(("coordinator", "top = { loss = { distillation = 0.5 } }".into()));
    fixture.run();
    let summary = fixture.summary();
    assert_eq!(summary["test"], serde_json::to_value(local.test).unwrap(), "bit for bit");
    assert_eq!(summary["best_epoch"], local.best_epoch);
}

/// Parties look for hijackers by default, and batches that they look at have more noise than this. It begins wide here.
#[test]
fn little_noise_is_the_same_in_one_process() {
    let mut fixture = Fixture::new();
    let hash = "encoder = { hash = { noise = 0.1, initial_noise = 2.0, noise_decay_fraction = 0.3 } }";
    PARTIES.iter().for_each(|name| fixture.extra.push((name, hash.into())));
    fixture.run();
    let mut encoder = EncoderConfig::default();
    encoder.hash.noise = 0.1;
    (encoder.hash.initial_noise, encoder.hash.noise_decay_fraction) = (Some(2.0), Some(0.3));
    let local = in_one_process_with(&fixture, &TopConfig::default(), &encoder);
    assert_eq!(fixture.summary()["test"], serde_json::to_value(local.test).unwrap(), "bit for bit");
}

#[test]
fn validation_in_the_last_cycle_alone_is_the_same_run_with_fewer_codes() {
    let mut fixture = Fixture::new();
    fixture.settings = RunSettings { epochs: 6, cycles: 2, ..fixture.settings };
    let local = in_one_process(&fixture, &TopConfig::default());
    fixture.extra.push(("coordinator", "top = { validate = \"last-cycle\" }".into()));
    fixture.run();
    let summary = fixture.summary();
    assert_eq!(summary["test"], serde_json::to_value(local.test).unwrap(), "bit for bit");
    assert_eq!(summary["best_epoch"], local.best_epoch);
    let epochs = summary["epochs"].as_array().unwrap();
    let validated: Vec<bool> = epochs.iter().map(|epoch| epoch.get("validation").is_some()).collect();
    assert_eq!(validated, [false, false, false, true, true, true]);
    let bits = |part: &str| summary["bits_released_per_record"][part].as_u64();
    assert_eq!((bits("cohort_train"), bits("cohort_validation")), (Some(48), Some(24)));
    // So says the ledger of a party, which had reserved more.
    let records = &summary["records"];
    let records = |part: &str| records[part].as_u64().unwrap() as usize;
    let expected = [(48, records("train")), (24, records("validation")), (8, records("test"))];
    assert_eq!(counted(&fixture, "bank"), expected.into_iter().collect());
}

#[test]
fn a_run_stops_early_and_keeps_its_best_epoch() {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 200;
    fixture.settings.schedule = Schedule::Constant;
    fixture.extra.push(("coordinator", "top = { patience = 3 }".into()));
    fixture.run();
    let summary = fixture.summary();
    let count = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
    let (best, ran) = (count(&summary["best_epoch"]), summary["epochs"].as_array().unwrap().len());
    assert!(ran == best + 3 && ran < 200, "{ran} epochs, the best was {best}");
    let auc = |epoch: usize| summary["epochs"][epoch - 1]["validation"]["auc"].as_f64().unwrap();
    assert!((1..=ran).all(|epoch| auc(epoch) <= auc(best)), "{}", summary["epochs"]);
    // Only what was sent is counted.
    let released = &summary["bits_released_per_record"];
    assert_eq!((count(&released["cohort_train"]), count(&released["cohort_validation"])), (8 * ran, 8 * ran));

    // All sides have gone back to that epoch: a run that ends there ends with the same models.
    let mut shorter = Fixture::new();
    shorter.settings = RunSettings { epochs: best as u32, ..fixture.settings.clone() };
    shorter.run();
    let shorter = shorter.summary();
    assert_eq!(shorter["test"], summary["test"]);
    assert_eq!(shorter["encoders_sha256"], summary["encoders_sha256"]);
}

#[test]
fn encode_once_trains_the_top_model_again_without_asking_anybody() {
    let mut fixture = Fixture::new();
    fixture.settings.cohort_fraction = 0.5;
    fixture.run();
    let summary = fixture.summary();
    let released = &summary["bits_released_per_record"];
    assert_eq!((released["others"].as_u64(), released["test"].as_u64()), (Some(8), Some(8)));
    assert_eq!(released["cohort_train"].as_u64(), Some(8 * 4 + 8));

    let (config, out) = (fixture.path("coordinator.toml"), fixture.path("again.safetensors"));
    let (config, out) = (config.to_str().unwrap(), out.to_str().unwrap());
    let (good, said, errors) = command(&["coordinator", "retrain", "--config", config, "--out", out]);
    assert!(good && said.contains(", on validation records AUC 0."), "{said}{errors}");
    assert!(said.contains("no party was asked"), "{said}");
    let (good, said, errors) = command(&["coordinator", "evaluate", "--config", config, "--top", out]);
    assert!(good, "{errors}");
    let again: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(again, summary["test"], "the same codes, seed and settings give the same top model");
}

/// Runs the fixture with `more` parties that hold the first two of bank's columns; the test figures.
fn with_more_parties(mut fixture: Fixture, more: usize) -> serde_json::Value {
    let text = fixture.read("bank.csv");
    let narrow: String =
        text.lines().map(|line| line.rsplit_once(',').unwrap().0.to_string() + "\n").collect();
    let more: Vec<String> = (0..more).map(|number| format!("party-{number}")).collect();
    for name in &more {
        fixture.write(&format!("{name}.csv"), &narrow);
        fixture.settings.parties.push(PartyName::new(name.clone()).unwrap());
    }
    let (mut coordinator, address) = fixture.coordinator();
    let names = PARTIES.iter().copied().chain(more.iter().map(String::as_str));
    let mut parties: Vec<Role> = names.map(|name| fixture.party(name, &address)).collect();
    coordinator.succeeds();
    parties.iter_mut().for_each(Role::succeeds);
    fixture.summary()["test"].clone()
}

#[test]
fn a_regression_with_three_parties_of_unequal_columns() {
    let mut fixture = Fixture::new();
    fixture.settings.task = Task::Regression;
    let test = with_more_parties(fixture, 1);
    assert!(test["r2"].as_f64().unwrap() > 0.2, "{test}");
}

#[test]
fn three_classes_with_eight_parties() {
    let mut fixture = Fixture::new();
    fixture.settings.task = Task::Multiclass;
    let labels = fixture.read("labels.csv");
    let third = |(number, line): (usize, &str)| match line.split_once(',') {
        Some((id, _)) if number % 9 == 1 => format!("{id},x\n"),
        _ => format!("{line}\n"),
    };
    fixture.write("labels.csv", &labels.lines().enumerate().map(third).collect::<String>());
    let test = with_more_parties(fixture, 6);
    assert!(test["accuracy"].as_f64().unwrap() > 0.6, "{test}");
    assert!(test["macro_auc"].as_f64().unwrap() > 0.5 && test.get("auc").is_none(), "{test}");
}
