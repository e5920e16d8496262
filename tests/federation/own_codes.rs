//! Runs in which a party has a code of its own: trained, evaluated, served, flipped, refused, attacked.

use std::collections::BTreeMap;

use hashvfl_attack::report::{CheckId, Metric};
use hashvfl_attack::{AttackConfig, AttackId};
use hashvfl_core::{CodeForm, Part, Plan, RunSettings};
use hashvfl_transcript::{RecordedKind, Recording};

use crate::attacked::finished;
use crate::audited::released;
use crate::fixture::{Fixture, PARTIES, RECORDS, Role, command, done};
use crate::ledger::counted;
use crate::levels::{check_served_auc, path, train_as_in_one_process};
use crate::predict::{all_by, ids, outcomes, predict, serving};

/// The code of the coordinator's own party.
const LONG: CodeForm = CodeForm::new(4, 3);
/// That of the other one.
const SHORT: CodeForm = CodeForm::new(1, 4);

fn of_own_codes() -> Fixture {
    let mut fixture = Fixture::new();
    let (bits, bits_per_latent) = (LONG.bits(), LONG.bits_per_latent());
    let codes = BTreeMap::from([(fixture.settings.parties[1].clone(), SHORT)]);
    fixture.settings = RunSettings { bits, bits_per_latent, codes, ..fixture.settings };
    fixture
}

#[test]
fn three_processes_learn_codes_of_two_forms_as_one_process_does() {
    let mut fixture = of_own_codes();
    train_as_in_one_process(&mut fixture, LONG, 0.75);

    // What the coordinator kept of each party, and each party of itself, is as long as that party's code says.
    for side in ["coordinator", PARTIES[0], PARTIES[1]] {
        let recording =
            Recording::read(&fixture.path(&format!("{side}-state/transcript.parquet")), None).unwrap();
        for step in &recording.steps {
            for (name, values) in &step.values {
                let form = if name == PARTIES[1] { SHORT } else { LONG };
                let each = match step.kind {
                    RecordedKind::Gradient { .. } => 4 * form.latents(),
                    _ => form.bits().div_ceil(8),
                };
                assert_eq!(values.len(), step.records.len() * each, "{side}, {name}, {:?}", step.kind);
            }
        }
    }
    for (party, form) in PARTIES.into_iter().zip([LONG, SHORT]) {
        let said = released(&fixture, party);
        let (records, bits) = said.split_once(" records, ").unwrap();
        let records: usize = records.parse().unwrap();
        assert!(bits.starts_with(&format!("{} bits", records * form.bits())), "{party}: {said}");
    }
    let ledger = path(&fixture, "label-ledger.redb");
    let said = done(&["coordinator", "ledger", "--ledger", &ledger]);
    for (party, form) in PARTIES.into_iter().zip([LONG, SHORT]) {
        // A byte for each latent, and a scale.
        let expected = format!("gradients to {party}: 1152, with {} bits", 1152 * (8 * form.latents() + 32));
        assert!(said.contains(&expected), "{expected}: {said}");
    }
    let bits = |party: &str| counted(&fixture, party).keys().copied().collect::<Vec<_>>();
    assert!(bits(PARTIES[1]).iter().all(|bits| bits % 4 == 0 && *bits <= 4 * 16), "{:?}", bits(PARTIES[1]));
    assert!(bits(PARTIES[0]).contains(&12), "{:?}", bits(PARTIES[0]));
}

#[test]
fn codes_of_two_forms_are_served_as_they_are_evaluated() {
    let mut fixture = of_own_codes();
    fixture.settings.calibration_fraction = 0.65;
    fixture.settings.party_dropout = 0.1;
    fixture.extra.push(("coordinator", "detectors = { level = 0.1 }\nserve = { absent = \"mask\" }".into()));
    fixture.extra.push(("telecom", "detectors = { send = \"p_value\", level = 0.1 }".into()));
    fixture.run();
    let (mut coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    let (rows, errors) = predict(&fixture, &address, &ids(0..RECORDS));
    assert!(all_by(&rows, "bank+telecom") && errors.is_empty(), "{:?} {errors}", outcomes(&rows));
    check_served_auc(&fixture, &rows);
    parties.iter_mut().chain([&mut coordinator]).for_each(Role::terminate);
    parties.iter_mut().chain([&mut coordinator]).for_each(Role::succeeds);
    // A code of 4 bits in the run, and one with a p-value of 4 when it was served.
    let of_telecom = counted(&fixture, "telecom");
    assert!(of_telecom.keys().any(|bits| *bits == 4 + 8), "{of_telecom:?}");
}

#[test]
fn an_encoder_of_its_own_code_is_frozen_fitted_again_and_flipped() {
    let mut fixture = of_own_codes();
    fixture.settings.cohort_fraction = 0.5;
    fixture.settings.randomised_response = Some(1.5);
    fixture.run();
    let (config, out) = (path(&fixture, "coordinator.toml"), path(&fixture, "again.safetensors"));
    assert!(
        done(&["coordinator", "retrain", "--config", &config, "--out", &out]).contains("no party was asked")
    );
    let plan = Plan::new(&fixture.settings, RECORDS).unwrap();
    let (ledger, tested) = (path(&fixture, "telecom-ledger.redb"), format!("r{}", plan.part(Part::Test)[0]));
    let said = done(&["party", "ledger", "explain", "--ledger", &ledger, "--id", &tested]);
    // One latent at 1.5.
    assert!(said.contains("released 4 bits in 1 code; epsilon: 1.5"), "{said}");
}

#[test]
fn codes_that_the_sides_do_not_agree_on_are_refused_by_name() {
    let fixture = of_own_codes();
    let (coordinator, address) = fixture.coordinator();
    let mut none = of_own_codes();
    none.settings.codes.clear();
    let error = none.party("telecom", &address).fails();
    let expected = "run.codes is telecom=1x4 at the coordinator but none at the party: make them equal";
    assert!(error.contains(expected), "{error}");
    drop(coordinator);
    let mut stranger = of_own_codes();
    stranger.settings.codes = BTreeMap::from([("shop".parse().unwrap(), SHORT)]);
    let config = stranger.coordinator_config();
    let (good, _, errors) = command(&["coordinator", "--check", "--config", config.to_str().unwrap()]);
    assert!(
        !good && errors.contains("run.codes must be tables named after run.parties, not one of shop"),
        "{errors}"
    );
}

#[test]
fn a_short_code_is_attacked_beside_a_long_one() {
    let mut fixture = of_own_codes();
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
    let form = fixture.settings.code_of(&config.victim);
    let report = hashvfl_attack::run(&transcript, &config, &fixture.path("attacks"), &mut |_| ()).unwrap();
    for check in &report.checks {
        assert!(check.name != CheckId::SameCodes || check.held, "{}", check.detail);
    }
    let codes = report.results.iter().find(|result| result.attack == AttackId::ConditionalMean).unwrap();
    assert_eq!(codes.bits, form.bits() as u64);
    assert!(codes.metrics[&Metric::Skill].value.is_finite(), "{:?}", codes.metrics);
}
