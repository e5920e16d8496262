//! Labels of which some are rare: metrics that a part cannot tell, and a watch that must not take an honest run for a
//! hijack.

use hashvfl_core::{Part, Plan, Task};
use serde_json::Value;

use crate::fixture::{Fixture, PARTIES, RECORDS, Role, command};

/// The fixture's labels with those of some `rows` replaced by `label`.
fn relabel(fixture: &Fixture, rows: &[u32], label: &str) {
    let text = fixture.read("labels.csv");
    let line = |(number, line): (usize, &str)| match (number as u32).checked_sub(1) {
        Some(row) if rows.contains(&row) => format!("r{row},{label}\n"),
        _ => format!("{line}\n"),
    };
    fixture.write("labels.csv", &text.lines().enumerate().map(line).collect::<String>());
}

fn check(fixture: &Fixture) -> (bool, String) {
    let config = fixture.coordinator_config();
    let (good, _, errors) = command(&["coordinator", "--check", "--config", config.to_str().unwrap()]);
    (good, errors)
}

#[test]
fn a_validation_part_without_a_class_is_told_and_the_loss_chooses() {
    let mut fixture = Fixture::new();
    (fixture.settings.epochs, fixture.settings.refit) = (8, true);
    let plan = Plan::new(&fixture.settings, RECORDS).unwrap();
    relabel(&fixture, plan.part(Part::Validation), "0");
    let (good, errors) = check(&fixture);
    let told = "of 32 validation records none is of 1 of 2 classes: AUC is undefined there, and models are chosen by the loss";
    assert!(good && errors.contains(told), "{errors}");

    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    let (good, log) = coordinator.ends();
    parties.iter_mut().for_each(Role::succeeds);
    assert!(good && log.contains("AUC undefined (one class), accuracy") && !log.contains("AUC 0.5"), "{log}");
    let summary = fixture.summary();
    Fixture::check_documented(&summary, &PARTIES);
    let epochs = summary["epochs"].as_array().unwrap();
    let loss = |epoch: &Value| epoch["validation"]["loss"].as_f64().unwrap();
    for epoch in epochs {
        assert_eq!(epoch["validation"]["undefined"], "one-class");
        assert!(epoch["validation"].get("auc").is_none(), "{epoch}");
    }
    let best = summary["best_epoch"].as_u64().unwrap() as usize;
    assert!(
        epochs.iter().all(|epoch| loss(epoch) >= loss(&epochs[best - 1])),
        "{best}: {}",
        summary["epochs"]
    );
    assert!(summary["test"]["auc"].as_f64().unwrap() > 0.6, "{}", summary["test"]);

    let (config, out) = (fixture.path("coordinator.toml"), fixture.path("again.safetensors"));
    let arguments =
        ["coordinator", "retrain", "--config", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let (good, said, errors) = command(&arguments);
    assert!(good && said.contains("validation AUC undefined (one class)"), "{said}{errors}");
}

#[test]
fn equal_training_labels_are_refused_and_equal_test_labels_have_no_r2() {
    let fixture = Fixture::new();
    let plan = Plan::new(&fixture.settings, RECORDS).unwrap();
    relabel(&fixture, plan.part(Part::Train), "1");
    let (good, errors) = check(&fixture);
    assert!(!good && errors.contains("all 288 training records have the same label"), "{errors}");

    let mut fixture = Fixture::new();
    fixture.settings.task = Task::Regression;
    relabel(&fixture, plan.part(Part::Test), "0.1");
    let (good, errors) = check(&fixture);
    assert!(
        good && errors.contains("of 80 test records all have one value: R2 is undefined there"),
        "{errors}"
    );
    fixture.run();
    let test = &fixture.summary()["test"];
    assert!(test["undefined"] == "one-value" && test.get("r2").is_none(), "{test}");
}

#[test]
fn a_linear_top_model_on_a_rare_class_raises_no_alarm() {
    let mut fixture = Fixture::new();
    (fixture.settings.epochs, fixture.settings.learning_rate) = (20, 0.01);
    // One positive record in forty.
    let rare: Vec<u32> = (0..RECORDS as u32).filter(|row| row % 40 != 7).collect();
    relabel(&fixture, &(0..RECORDS as u32).collect::<Vec<u32>>(), "1");
    relabel(&fixture, &rare, "0");
    fixture.extra.push(("coordinator", "top = { hidden = [] }".into()));
    // Parties stop at an alarm, and the run with them.
    fixture.run();
    assert_eq!(fixture.summary()["epochs"].as_array().unwrap().len(), 20);
}
