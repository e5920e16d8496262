//! Runs whose codes are levels of a few latents: trained, evaluated, served, flipped, attacked.

use std::collections::BTreeMap;

use hashvfl_attack::report::{CheckId, Metric};
use hashvfl_attack::{AttackConfig, AttackId};
use hashvfl_core::{CodeForm, PackedCodes, Part, Plan, RunSettings, StoredCodes};
use hashvfl_learning::{Snapshot, TopConfig};
use hashvfl_transcript::{RecordedKind, Recording};

use crate::attacked::finished;
use crate::fixture::{Fixture, PARTIES, RECORDS, Role, command, done};
use crate::honest::in_one_process;
use crate::ledger::counted;
use crate::predict::{Row, all_by, ids, outcomes, predict, serving};

/// Two latents of three bits each.
const FORM: CodeForm = CodeForm::new(2, 3);

fn of_levels() -> Fixture {
    let mut fixture = Fixture::new();
    let (bits, bits_per_latent) = (FORM.bits(), FORM.bits_per_latent());
    fixture.settings = RunSettings { bits, bits_per_latent, ..fixture.settings };
    fixture
}

pub fn path(fixture: &Fixture, name: &str) -> String {
    fixture.path(name).display().to_string()
}

/// Fails where the predictions `rows` of all records, in the table's order, have another AUC on test records than the run's
/// summary says.
pub fn check_served_auc(fixture: &Fixture, rows: &[Row]) {
    let plan = Plan::new(&fixture.settings, RECORDS).unwrap();
    let labels: Vec<bool> =
        fixture.read("labels.csv").lines().skip(1).map(|line| line.ends_with(",1")).collect();
    let tested = plan.part(Part::Test).iter().map(|row| *row as usize);
    let (scores, positive): (Vec<f32>, Vec<bool>) =
        tested.map(|row| (rows[row].probability, labels[row])).unzip();
    let auc = hashvfl_learning::metrics::auc(&scores, &positive).unwrap();
    assert!((auc - fixture.summary()["test"]["auc"].as_f64().unwrap()).abs() < 1e-6);
}

/// Codes of a party's test records, encoded into a file.
pub fn encoded(fixture: &Fixture, party: &str, out: &str) -> StoredCodes {
    let (config, out) = (path(fixture, &format!("{party}.toml")), path(fixture, out));
    done(&["party", "encode", "--config", &config, "--out", &out]);
    StoredCodes::from_bytes(&std::fs::read(out).unwrap()).unwrap()
}

/// Trains, with transcripts on all sides. Fails where the sides learn anything else than one process does, where the longest code,
/// of `form`, is not what was released of a test record, where the AUC is not above `least_auc`, or where `coordinator evaluate`
/// says anything else of codes that parties have encoded.
pub fn train_as_in_one_process(fixture: &mut Fixture, form: CodeForm, least_auc: f64) {
    for side in [PARTIES[0], PARTIES[1], "coordinator"] {
        fixture.extra.push((side, "transcript = true".into()));
    }
    fixture.run();
    let summary = fixture.summary();
    let local = in_one_process(fixture, &TopConfig::default());
    assert_eq!(summary["test"], serde_json::to_value(local.test).unwrap(), "bit for bit");
    assert!(summary["test"]["auc"].as_f64().unwrap() > least_auc, "{}", summary["test"]);
    assert_eq!(summary["bits_released_per_record"]["test"].as_u64(), Some(form.bits() as u64));
    let config = path(fixture, "coordinator.toml");
    let mut arguments = vec!["coordinator", "evaluate", "--config", &config];
    let codes = PARTIES.map(|party| {
        encoded(fixture, party, &format!("{party}.codes"));
        format!("{party}={}", path(fixture, &format!("{party}.codes")))
    });
    codes.iter().for_each(|codes| arguments.extend(["--codes", codes]));
    let evaluated: serde_json::Value = serde_json::from_str(&done(&arguments)).unwrap();
    assert_eq!(evaluated, summary["test"]);
}

#[test]
fn three_processes_learn_levels_as_one_process_does() {
    let mut fixture = of_levels();
    train_as_in_one_process(&mut fixture, FORM, 0.8);

    // A gradient has a value for each latent, and the wire's codes have their bits.
    let recording = Recording::read(&fixture.path("bank-state/transcript.parquet"), None).unwrap();
    assert_eq!(recording.header.form_of(&fixture.settings.parties[0]), FORM);
    for step in &recording.steps {
        let each = match step.kind {
            RecordedKind::Gradient { .. } => 4 * FORM.latents(),
            _ => FORM.bits().div_ceil(8),
        };
        assert_eq!(step.values[0].1.len(), step.records.len() * each, "{:?}", step.kind);
    }
    // Levels of training records are as even as 288 records in steps of 64 allow.
    let plan = Plan::new(&fixture.settings, RECORDS).unwrap();
    let last = recording.steps.iter().rev().find(|step| matches!(step.kind, RecordedKind::Batch { .. }));
    let bytes = last.unwrap().values[0].1.clone();
    let rows: Vec<&[u8]> = bytes.chunks(1).collect();
    let signs = PackedCodes::from_rows(&rows, FORM.bits()).unwrap().to_signs();
    let batch = plan.part(Part::CohortTrain).len() / plan.batches() as usize;
    assert!(rows.len().abs_diff(batch) <= 1);
    for bit in 0..FORM.bits() {
        let set = signs.iter().skip(bit).step_by(FORM.bits()).filter(|sign| **sign > 0.0).count();
        assert!(set.abs_diff(batch / 2) < batch / 3, "bit {bit}: {set} of {batch}");
    }
}

#[test]
fn levels_are_served_as_they_are_evaluated() {
    let mut fixture = of_levels();
    fixture.settings.calibration_fraction = 0.65;
    fixture.settings.party_dropout = 0.1;
    fixture.extra.push(("coordinator", "detectors = { level = 0.1 }\nserve = { absent = \"mask\" }".into()));
    fixture.extra.push(("bank", "detectors = { send = \"p_value\", level = 0.1 }".into()));
    fixture.run();
    let (mut coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    let (rows, errors) = predict(&fixture, &address, &ids(0..RECORDS));
    assert!(all_by(&rows, "bank+telecom") && errors.is_empty(), "{:?} {errors}", outcomes(&rows));
    check_served_auc(&fixture, &rows);
    parties.iter_mut().chain([&mut coordinator]).for_each(Role::terminate);
    parties.iter_mut().chain([&mut coordinator]).for_each(Role::succeeds);
    // A code of 6 bits and a p-value of 4 are one release.
    assert!(counted(&fixture, "bank").keys().any(|bits| *bits == 6 + 10), "{:?}", counted(&fixture, "bank"));
}

#[test]
fn levels_are_encoded_once_and_fitted_again() {
    let mut fixture = of_levels();
    fixture.settings.cohort_fraction = 0.5;
    fixture.run();
    let (config, out) = (path(&fixture, "coordinator.toml"), path(&fixture, "again.safetensors"));
    assert!(
        done(&["coordinator", "retrain", "--config", &config, "--out", &out]).contains("no party was asked")
    );
    let said = done(&["coordinator", "evaluate", "--config", &config, "--top", &out]);
    let again: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(again, fixture.summary()["test"]);
}

#[test]
fn randomised_response_is_charged_a_latent() {
    let mut fixture = of_levels();
    fixture.settings.randomised_response = Some(1.5);
    fixture.run();
    let sent = encoded(&fixture, "bank", "codes");
    assert_eq!(encoded(&fixture, "bank", "again"), sent, "what was answered is answered again");
    let plan = Plan::new(&fixture.settings, RECORDS).unwrap();
    let ledger = path(&fixture, "bank-ledger.redb");
    let tested = format!("r{}", plan.part(Part::Test)[0]);
    let said = done(&["party", "ledger", "explain", "--ledger", &ledger, "--id", &tested]);
    // Two latents at 1.5 each.
    assert!(said.contains("released 6 bits in 1 code; epsilon: 3"), "{said}");
    assert_eq!(counted(&fixture, "bank"), BTreeMap::from([(24, 320), (6, 80)]));
}

#[test]
fn other_forms_of_codes_are_refused_by_name() {
    let fixture = of_levels();
    let (coordinator, address) = fixture.coordinator();
    let mut signs = of_levels();
    signs.settings.bits_per_latent = 1;
    let error = signs.party("telecom", &address).fails();
    let expected = "run.bits_per_latent is 3 at the coordinator but 1 at the party: make them equal";
    assert!(error.contains(expected), "{error}");
    drop(coordinator);

    fixture.run();
    // The trained models are of levels: a config of signs is not theirs, nor is another cut of the same bits.
    for bits_per_latent in [1, 2] {
        let mut other = of_levels();
        other.settings.bits_per_latent = bits_per_latent;
        for (name, config) in
            [("bank", fixture.path("bank.toml")), ("coordinator", fixture.path("coordinator.toml"))]
        {
            let text = std::fs::read_to_string(&config).unwrap();
            let changed =
                text.replace("bits_per_latent = 3", &format!("bits_per_latent = {bits_per_latent}"));
            assert_ne!(changed, text);
            std::fs::write(&config, changed).unwrap();
            let serve = [if name == "bank" { "party" } else { name }, "serve", "--config"];
            let (good, _, errors) = command(&[&serve[..], &[config.to_str().unwrap()]].concat());
            assert!(!good && errors.contains("to a run with other settings"), "{errors}");
            std::fs::write(&config, text).unwrap();
        }
    }
}

#[test]
fn a_model_whose_thresholds_are_not_those_of_its_codes_is_refused() {
    let fixture = of_levels();
    fixture.run();
    let model = fixture.path("bank-state/bottom.safetensors");
    let mut snapshot = Snapshot::read(&model).unwrap();
    let thresholds = snapshot.arrays["hash.threshold"].values.clone();
    assert_eq!(thresholds.len(), FORM.latents() * FORM.thresholds());
    for latent in thresholds.chunks(FORM.thresholds()) {
        assert!(latent.is_sorted(), "{latent:?}");
    }
    snapshot.put("hash.threshold", thresholds[..FORM.latents()].to_vec());
    snapshot.write(&model).unwrap();
    let (good, _, errors) = command(&["party", "serve", "--config", &path(&fixture, "bank.toml")]);
    assert!(!good && errors.contains("hash.threshold has shape [2]") && errors.contains("[14]"), "{errors}");
}

#[test]
fn levels_are_attacked_beside_floats_of_as_many_latents() {
    let mut fixture = of_levels();
    fixture.settings.test_fraction = 0.5;
    let (transcript, config) = finished(&mut fixture);
    let config = AttackConfig {
        label_inference: true,
        encode_once: true,
        bits: Vec::new(),
        randomised_response: vec![2.0],
        trainings: 1,
        ..config
    };
    let report = hashvfl_attack::run(&transcript, &config, &fixture.path("attacks"), &mut |_| ()).unwrap();
    for check in &report.checks {
        assert!(check.name != CheckId::SameCodes || check.held, "{}", check.detail);
    }
    let of = |attack: AttackId| report.results.iter().filter(move |result| result.attack == attack);
    let codes = of(AttackId::ConditionalMean).next().unwrap();
    assert_eq!(codes.bits, FORM.bits() as u64);
    assert!(codes.metrics[&Metric::Skill].value > 0.02, "{:?}", codes.metrics);
    let not_tried = report.not_tried.join("\n");
    assert!(
        not_tried
            .contains("UnSplit, since it works only on codes of signs with the same length at all parties"),
        "{not_tried}"
    );
}
