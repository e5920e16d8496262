//! Metrics that the records leave undefined: they are no numbers, and choose no model.

use hashvfl_core::{Part, Plan};

use crate::fixture::{Fixture, PARTIES, RECORDS, command};

/// Sum of the columns that a label depends on above which a record is of class 1: one in twelve.
const RARE: f64 = 0.8;

/// A fixture with few records of class 1, and the first seed under which its `part` has none of them.
fn rare(part: Part) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 8;
    let mut sums = [0.0; RECORDS];
    for party in PARTIES {
        for (sum, line) in sums.iter_mut().zip(fixture.read(&format!("{party}.csv")).lines().skip(1)) {
            *sum += line.split(',').skip(1).take(2).map(|cell| cell.parse::<f64>().unwrap()).sum::<f64>();
        }
    }
    let mut labels = "id,y\n".to_string();
    for (record, sum) in sums.iter().enumerate() {
        labels += &format!("r{record},{}\n", u8::from(*sum > RARE));
    }
    fixture.write("labels.csv", &labels);
    while has_rare(&fixture, part, &sums) {
        fixture.settings.seed += 1;
    }
    fixture
}

fn has_rare(fixture: &Fixture, part: Part, sums: &[f64]) -> bool {
    let plan = Plan::new(&fixture.settings, RECORDS).unwrap();
    plan.part(part).iter().any(|row| sums[*row as usize] > RARE)
}

#[test]
fn a_validation_part_of_one_class_has_no_auc_and_the_least_loss_is_kept() {
    let fixture = rare(Part::Validation);
    let config = fixture.coordinator_config().display().to_string();
    let (good, said, errors) = command(&["coordinator", "--check", "--config", &config]);
    assert!(
        good && said.contains("note: the run has 32 validation records, all of one class"),
        "{said}{errors}"
    );
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    let (good, log) = coordinator.ends();
    assert!(good && log.contains("AUC undefined"), "{log}");
    assert!(log.contains("the run has 32 validation records, all of one class"), "{log}");
    parties.iter_mut().for_each(crate::fixture::Role::succeeds);
    let summary = fixture.summary();
    let epochs = summary["epochs"].as_array().unwrap();
    assert!(epochs.iter().all(|epoch| epoch["validation"].get("auc").is_none()), "{summary}");
    let loss = |epoch: &serde_json::Value| epoch["validation"]["loss"].as_f64().unwrap();
    let best = summary["best_epoch"].as_u64().unwrap() as usize;
    assert!(epochs.iter().all(|epoch| loss(epoch) >= loss(&epochs[best - 1])), "{summary}");
    assert!(best > 1, "the first epoch is barely trained: {summary}");
}

#[test]
fn a_test_part_of_one_class_has_no_auc_and_evaluate_says_so() {
    let fixture = rare(Part::Test);
    fixture.run();
    let config = fixture.path("coordinator.toml").display().to_string();
    let (good, said, errors) = command(&["coordinator", "evaluate", "--config", &config]);
    assert!(good && errors.contains("AUC is undefined, and left out"), "{said}{errors}");
    let test: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(test.get("auc").is_none() && test["loss"].is_f64(), "{said}");
}

#[test]
fn the_seed_that_a_check_names_brings_every_class_into_every_part() {
    let mut fixture = rare(Part::Validation);
    let config = fixture.coordinator_config().display().to_string();
    let (good, said, errors) = command(&["coordinator", "--check", "--config", &config]);
    let (_, named) = said.split_once("with run.seed = ").unwrap_or_else(|| panic!("{said}{errors}"));
    assert!(good && named.contains("at all sides, no part lacks a class"), "{said}");
    fixture.settings.seed = named.split(' ').next().unwrap().parse().unwrap();
    let config = fixture.coordinator_config().display().to_string();
    let (good, said, errors) = command(&["coordinator", "--check", "--config", &config]);
    assert!(good && !said.contains("all of one class") && !said.contains("run.seed"), "{said}{errors}");
    fixture.run();
    let summary = fixture.summary();
    assert!(summary["test"]["auc"].is_f64(), "{summary}");
    let epochs = summary["epochs"].as_array().unwrap();
    assert!(epochs.iter().all(|epoch| epoch["validation"]["auc"].is_f64()), "{summary}");
}
