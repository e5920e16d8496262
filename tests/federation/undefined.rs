//! Metrics that the records leave undefined: they are no numbers, and choose no model.

use crate::fixture::{Fixture, command};

/// A fixture of which few records are of class 1, so that with this seed its validation part has none.
fn rare() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 8;
    let plan = hashvfl_core::Plan::new(&fixture.settings, crate::fixture::RECORDS).unwrap();
    let validation = plan.part(hashvfl_core::Part::Validation);
    let labels = fixture.read("labels.csv");
    let mut text = "id,y\n".to_string();
    for (row, line) in labels.lines().skip(1).enumerate() {
        let (id, label) = line.split_once(',').unwrap();
        let is_kept = label == "1" && !validation.contains(&(row as u32));
        text += &format!("{id},{}\n", u8::from(is_kept));
    }
    fixture.write("labels.csv", &text);
    fixture
}

#[test]
fn a_validation_part_of_one_class_has_no_auc_and_the_least_loss_is_kept() {
    let fixture = rare();
    let config = fixture.coordinator_config().display().to_string();
    let (good, said, errors) = command(&["coordinator", "--check", "--config", &config]);
    assert!(good && said.contains("note: the 32 validation records are all of one class"), "{said}{errors}");
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = crate::fixture::PARTIES.map(|name| fixture.party(name, &address));
    let (good, log) = coordinator.ends();
    assert!(good && log.contains("AUC undefined"), "{log}");
    assert!(log.contains("the 32 validation records are all of one class"), "{log}");
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
fn the_seed_that_a_check_names_brings_every_class_into_every_part() {
    let mut fixture = rare();
    let config = fixture.coordinator_config().display().to_string();
    let (good, said, errors) = command(&["coordinator", "--check", "--config", &config]);
    let (_, named) = said.split_once("with run.seed = ").unwrap_or_else(|| panic!("{said}{errors}"));
    assert!(good && named.contains("at all sides no part lacks a class"), "{said}");
    fixture.settings.seed = named.split(' ').next().unwrap().parse().unwrap();
    let config = fixture.coordinator_config().display().to_string();
    let (good, said, errors) = command(&["coordinator", "--check", "--config", &config]);
    assert!(good && !said.contains("are all of one class") && !said.contains("run.seed"), "{said}{errors}");
    fixture.run();
    let summary = fixture.summary();
    assert!(summary["test"]["auc"].is_f64(), "{summary}");
    let epochs = summary["epochs"].as_array().unwrap();
    assert!(epochs.iter().all(|epoch| epoch["validation"]["auc"].is_f64()), "{summary}");
}
