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
