//! Runs in which all goes well.

use std::fs;

use hashvfl_data::{Matrix, Preprocessing};
use hashvfl_examples::simulation::{Side, simulate};
use hashvfl_learning::TopConfig;
use hashvfl_learning::encoder::{Cut, EncoderConfig};
use hashvfl_learning::loss::Labels;

use crate::fixture::{Fixture, PARTIES, RECORDS, command};

fn numbers(text: &str) -> Vec<Vec<f32>> {
    let cells = |line: &str| line.split(',').skip(1).map(|cell| cell.parse().unwrap()).collect();
    text.lines().skip(1).map(cells).collect()
}

#[test]
fn three_processes_learn_what_one_process_learns() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("coordinator", "transcript = true".into()));
    fixture.run();
    let summary = fixture.summary();
    Fixture::check_documented(&summary, &PARTIES);

    let tables = PARTIES.map(|name| {
        let rows = numbers(&fixture.read(&format!("{name}.csv")));
        Matrix::new(RECORDS, 3, rows.concat()).unwrap()
    });
    let sides: Vec<Side> = tables
        .iter()
        .map(|columns| Side {
            columns,
            image: None,
            preprocessing: (Preprocessing::default(), None),
            encoder: EncoderConfig::default(),
            seed: 7,
        })
        .collect();
    let index = numbers(&fixture.read("labels.csv")).concat().iter().map(|label| *label as u32).collect();
    let labels = Labels::Classes { count: 2, index };
    let local = simulate(&sides, &labels, &fixture.settings, (&TopConfig::default(), 0), Cut::Hash).unwrap();
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

    // What is private is readable by its owner alone, and nothing half-written is left.
    for name in ["coordinator-state", "coordinator-state/codes", "bank-state", "telecom-state"] {
        for entry in fs::read_dir(fixture.path(name)).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.extension().is_none_or(|end| end != "tmp"), "{}", path.display());
            #[cfg(unix)]
            if path.is_file() {
                use std::os::unix::fs::PermissionsExt;
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", path.display());
            }
        }
    }
    assert!(fixture.path("coordinator-state/transcript.parquet").exists());
}

#[test]
fn the_demo_writes_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let run = || command(&["--out", out.to_str().unwrap(), "--bits", "16"]);
    let (good, said, errors) = run();
    assert!(good, "{said}{errors}");
    for line in ["left party alone", "same network, all columns, no hashing", "bits released by a party"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    Fixture::check_documented(&summary, &["left", "right"]);
    let accuracy = |test: &serde_json::Value| test["accuracy"].as_f64().unwrap();
    let alone = accuracy(&summary["baselines"]["left_alone"]);
    assert!(accuracy(&summary["federation"]["test"]) > alone, "two halves tell more than one: {said}");
    assert!(fs::read_to_string(out.join("curve.svg")).unwrap().contains("<svg"));
    // Its own folder is replaced, another's is not.
    assert!(run().0);
    fs::remove_file(out.join(".hashvfl-demo")).unwrap();
    let (good, _, errors) = run();
    assert!(!good && errors.contains("no demo made it"), "{errors}");
}

#[test]
fn encode_once_trains_the_top_model_again_without_asking_anybody() {
    let mut fixture = Fixture::new();
    fixture.settings.cohort_share = 0.5;
    fixture.run();
    let summary = fixture.summary();
    let released = &summary["bits_released_per_record"];
    assert_eq!((released["others"].as_u64(), released["test"].as_u64()), (Some(8), Some(8)));
    assert_eq!(released["cohort_train"].as_u64(), Some(8 * 4 + 8));

    let (config, out) = (fixture.path("coordinator.toml"), fixture.path("again.safetensors"));
    let (config, out) = (config.to_str().unwrap(), out.to_str().unwrap());
    let (good, said, errors) = command(&["coordinator", "retrain", "--config", config, "--out", out]);
    assert!(good && said.contains("no party asked"), "{said}{errors}");
    let (good, said, errors) = command(&["coordinator", "evaluate", "--config", config, "--top", out]);
    assert!(good, "{errors}");
    let again: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(again, summary["test"], "the same codes, seed and settings give the same top model");
}

#[test]
fn a_regression_and_several_classes_with_three_parties_of_unequal_columns() {
    for (task, least) in [(hashvfl_core::Task::Regression, -0.5), (hashvfl_core::Task::Multiclass, 0.3)] {
        let mut fixture = Fixture::new();
        fixture.settings.task = task;
        fixture.settings.parties.push(hashvfl_core::PartyName::new("third").unwrap());
        let narrow: String = fixture
            .read("bank.csv")
            .lines()
            .map(|line| line.rsplit_once(',').unwrap().0.to_string() + "\n")
            .collect();
        fixture.write("third.csv", &narrow);
        if task == hashvfl_core::Task::Multiclass {
            let labels = fixture.read("labels.csv");
            let three: String = labels
                .lines()
                .enumerate()
                .map(|(n, line)| {
                    if n % 3 == 1 {
                        line.split_once(',').unwrap().0.to_string() + ",x\n"
                    } else {
                        format!("{line}\n")
                    }
                })
                .collect();
            fixture.write("labels.csv", &three);
        }
        let (mut coordinator, address) = fixture.coordinator();
        let mut parties = ["bank", "telecom", "third"].map(|name| fixture.party(name, &address));
        coordinator.succeeds();
        parties.iter_mut().for_each(crate::fixture::Role::succeeds);
        let test = &fixture.summary()["test"];
        let metric = if task == hashvfl_core::Task::Regression { &test["r2"] } else { &test["accuracy"] };
        assert!(metric.as_f64().unwrap() > least, "{test}");
    }
}
