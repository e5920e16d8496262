//! `coordinator export`: TensorBoard's event files as they are, and what MLflow is told where it is not there. The real readers
//! are asked in the slow lane.

use std::fs;

use crate::fixture::{Fixture, command};
use crate::ports::free_address;

/// `coordinator export` with these arguments beside the config.
fn export(fixture: &Fixture, arguments: &[&str]) -> (bool, String, String) {
    let config = fixture.coordinator_config();
    command(&[&["coordinator", "export", "--config", config.to_str().unwrap()], arguments].concat())
}

/// The records of an event file, by their frames.
fn records(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        found.push(&bytes[at + 12..at + 12 + length]);
        at += length + 16;
    }
    found
}

#[test]
fn a_finished_run_becomes_events_and_is_told_to_nobody_who_is_not_there() {
    let fixture = Fixture::new();
    let (good, _, errors) = export(&fixture, &["--to", "tensorboard", "--out", "/nowhere"]);
    assert!(!good && errors.contains("has a run finished there?"), "{errors}");
    fixture.run();

    let out = fixture.path("board");
    let arguments = ["--to", "tensorboard", "--out", out.to_str().unwrap()];
    let (good, said, errors) = export(&fixture, &arguments);
    assert!(good, "{errors}");
    let files: Vec<_> = fs::read_dir(out.join("test")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() == 1 && files[0].to_str().unwrap().contains("tfevents"), "{files:?}");
    let bytes = fs::read(&files[0]).unwrap();
    let records = records(&bytes);
    // Each epoch: loss, seconds, and on validation records loss, AUC and accuracy.
    let told: usize = said.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(records.len(), 1 + told);
    for tag in [
        "train/loss",
        "validation/auc",
        "test/auc",
        "without/bank/auc",
        "balance/telecom/mean_abs_bit_mean",
        "bytes/up",
    ] {
        let times = records
            .iter()
            .filter(|record| record.windows(tag.len()).any(|part| part == tag.as_bytes()))
            .count();
        let epochs = if tag.starts_with("train") || tag.starts_with("validation") { 4 } else { 1 };
        assert_eq!(times, epochs, "{tag}");
    }
    let (good, _, errors) = export(&fixture, &arguments);
    assert!(!good && errors.contains("already exists"), "{errors}");

    let server = format!("http://{}", free_address());
    let (good, _, errors) = export(&fixture, &["--to", "mlflow", "--server", &server]);
    assert!(
        !good && errors.contains("is `mlflow server` running there?") && errors.lines().count() == 1,
        "{errors}"
    );
    let (good, _, errors) = export(&fixture, &["--to", "mlflow"]);
    assert!(!good && errors.contains("needs --server http://HOST:PORT"), "{errors}");

    // A figure that has changed on the disk is told to nobody.
    let text = fixture.read("coordinator-state/summary.json");
    let changed = text.replacen("\"auc\": 0.", "\"auc\": 1.", 1);
    assert_ne!(changed, text);
    fixture.write("coordinator-state/summary.json", &changed);
    let out = fixture.path("another");
    let arguments = ["--to", "tensorboard", "--out", out.to_str().unwrap()];
    let (good, _, errors) = export(&fixture, &arguments);
    assert!(!good && errors.contains("summary.json is damaged") && !out.exists(), "{errors}");
    let mut of_before: serde_json::Value = serde_json::from_str(&text).unwrap();
    of_before.as_object_mut().unwrap().remove("sha256").unwrap();
    fixture.write("coordinator-state/summary.json", &serde_json::to_string_pretty(&of_before).unwrap());
    let (good, _, errors) = export(&fixture, &arguments);
    assert!(good, "an earlier version kept no digest: {errors}");
}
