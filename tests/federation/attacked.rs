//! What a networked run sent is attacked; what was changed since is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use hashvfl_attack::report::{
    AttackResult, Change, CheckId, CutKind, Hijack, Knowledge, Metric, Population, Report, Sent, Victim,
    answers, baseline_of, label_questions, questions,
};
use hashvfl_attack::{AttackConfig, AttackId, Manifest};
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{PartyName, Task};
use hashvfl_transcript::{RecordedKind, Recording, Step, ValueEncoding};

use crate::fixture::{Fixture, PARTIES};
use crate::ledger::{first_records, next_run};

/// A finished run with its manifest, and a config that attacks the second party.
pub fn finished(fixture: &mut Fixture) -> (PathBuf, AttackConfig) {
    fixture.extra.push(("coordinator", "transcript = true".into()));
    fixture.run();
    let parties: Vec<PathBuf> = PARTIES.iter().map(|name| fixture.path(&format!("{name}.toml"))).collect();
    let manifest = fixture.path("manifest.toml");
    Manifest::of(&fixture.path("coordinator.toml"), &parties).unwrap().write(&manifest).unwrap();
    let head = fixture.summary()["transcript_head"].as_str().unwrap().to_string();
    let config = AttackConfig {
        own: Some(PartyName::new(PARTIES[0]).unwrap()),
        auxiliary_fractions: vec![0.3, 0.5],
        further_attacks: true,
        trainings: 2,
        head: Some(head),
        ..AttackConfig::new(manifest, PartyName::new(PARTIES[1]).unwrap())
    };
    (fixture.path("coordinator-state/transcript.parquet"), config)
}

fn skill(report: &Report, wanted: impl Fn(&AttackResult) -> bool) -> f64 {
    let result = report.results.iter().find(|result| wanted(result)).expect("an attack");
    result.metrics[&Metric::Skill].value
}

#[test]
fn a_run_without_some_records_is_attacked_without_them() {
    let mut fixture = Fixture::new();
    fixture.settings.test_fraction = 0.5;
    fixture.settings.on_refusal = OnRefusal::LeaveOut;
    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.write("policy.toml", "bits_per_record = 40\n");
    let whole = first_records(&fixture, 200);
    fixture.run();
    whole();
    next_run(&mut fixture);
    let (transcript, config) = finished(&mut fixture);
    let excluded = fixture.summary()["excluded"]["bank"].as_u64().unwrap();
    assert!(excluded > 0);
    let config = AttackConfig { further_attacks: false, trainings: 1, ..config };
    let out = fixture.path("attacks");
    let report = hashvfl_attack::run(&transcript, &config, &out, &mut |_| ()).unwrap();
    let columns = Victim::Columns { party: config.victim.clone(), of: Population::Training };
    let trained = |result: &AttackResult| result.victim == columns && !result.is_baseline();
    let rows = |result: &AttackResult| (result.auxiliary_rows + result.target_rows) as u64;
    let most = report.results.iter().filter(|result| trained(result)).map(rows).max();
    // Half of 400 records are the test's.
    assert!(most.is_some_and(|most| most <= 200 - excluded), "{most:?} of 200 without {excluded}");
}

/// The first result of an attack at a cut.
fn result_of(report: &Report, attack: AttackId, cut: CutKind) -> &AttackResult {
    let mut of = report.results.iter().filter(|result| result.attack == attack && result.cut == cut);
    of.next().unwrap_or_else(|| panic!("no {attack} at {cut:?}"))
}

/// What is tried beyond reconstruction from codes; `codes` is the conditional mean's skill.
fn check_further_attacks(report: &Report, codes: f64) {
    let found = |attack, cut| result_of(report, attack, cut);
    // Gradients from a decoder put more of the columns into the code.
    let steered = skill(report, |result| {
        result.attack == AttackId::Steering
            && result.defence.change == Some(Change::Steered(10))
            && result.cut == CutKind::Codes
    });
    assert!(steered > codes + 0.02, "{steered} against {codes}");
    // Whoever steers has the codes of all epochs, too.
    let everything = |change: fn(&Change) -> bool| {
        report.results.iter().any(|result| {
            result.defence.change.as_ref().is_some_and(change)
                && result.releases > 1
                && result.attack == AttackId::Steering
        })
    };
    assert!(everything(|change| matches!(change, Change::Steered(_))));
    assert!(everything(|change| matches!(change, Change::SteeredApart(_))));
    assert!(everything(|change| matches!(change, Change::SteeredContrastive(_))));
    let esa: Vec<&AttackResult> =
        report.results.iter().filter(|result| result.attack == AttackId::Esa).collect();
    let bits = |result: &AttackResult| result.metrics[&Metric::Bits].value;
    assert!(bits(esa[0]) > 0.9, "exact predictions of a linear model give codes away: {}", bits(esa[0]));
    assert!(bits(esa[1]) < bits(esa[0]));
    let given = |attack: AttackId| found(attack, CutKind::Predictions).metrics[&Metric::Skill].value;
    assert!(given(AttackId::PredictionMean) > 0.02, "{}", given(AttackId::PredictionMean));
    // Through both models the generator finds columns that give the predictions, more of them where parties send floats.
    assert!(given(AttackId::Grna) > 0.02, "{}", given(AttackId::Grna));
    // Who has the architecture alone and no record finds less than who has records. On codes it often finds nothing
    // (docs/research/privacy.md); whether it does here depends on the seed of its clone.
    let unsplit = found(AttackId::UnSplit, CutKind::Codes).metrics[&Metric::Skill];
    assert!(unsplit.high > unsplit.low && unsplit.value < codes, "{unsplit:?} against {codes}");
    assert!(report.spreads.iter().all(|spread| spread.values.len() == 2 && spread.moments()[1] > 0.0));
    let reidentified = found(AttackId::Reidentification, CutKind::Codes).metrics[&Metric::Added];
    assert!(reidentified.low > 0.0, "{reidentified:?}");
    // A copy of the encoder names records as well, if fewer.
    let copied = found(AttackId::ReidentificationByCopy, CutKind::Codes).metrics[&Metric::Added];
    assert!(copied.value > 0.02, "{copied:?}");
    let shifted: Vec<&AttackResult> =
        report.results.iter().filter(|result| result.knowledge.contains(&Knowledge::HalfOfClasses)).collect();
    let gain = shifted[1].metrics[&Metric::Added];
    assert!(shifted[0].is_baseline() && gain.value > 0.02, "{gain:?}");
    assert!(
        report.utility.iter().all(|point| point.dcs.is_some_and(|dcs| dcs.value > 0.0 && dcs.value <= 1.0))
    );
}

/// The column with two values, from floats.
fn check_attribute(report: &Report, victim: &PartyName) {
    let of_column = |result: &&AttackResult| {
        matches!(&result.victim, Victim::Column { party, column, .. } if party == victim && column.starts_with('c'))
            && result.cut == CutKind::SimulatedFloats
            && !result.is_baseline()
    };
    let attribute = report.results.iter().find(of_column).expect("an attribute");
    let (reached, added) = (attribute.metrics[&Metric::Balanced], attribute.metrics[&Metric::Added]);
    assert!(reached.value > 0.8 && added.low > 0.1, "{reached:?} {added:?}");
    assert!(attribute.metrics[&Metric::Accuracy].value > attribute.metrics[&Metric::Majority].value + 0.1);
    // Values of validation records are guessed too, and of steered runs; whoever pairs hits has them record by record.
    let columns = |result: &&AttackResult| matches!(result.victim, Victim::Column { .. });
    for result in report.results.iter().filter(columns) {
        let mean = result.hits.iter().map(|hit| f64::from(*hit)).sum::<f64>() / result.hits.len() as f64;
        assert_eq!(result.hits.len(), result.target_rows);
        assert!((mean - result.metrics[&Metric::Accuracy].value).abs() < 1e-6, "{}", result.victim);
    }
    let of_validation =
        |result: &AttackResult| matches!(result.victim, Victim::Column { of: Population::Validation, .. });
    assert!(report.results.iter().any(|result| of_validation(result) && result.defence == report.defence));
    assert!(report.results.iter().any(|result| of_validation(result) && result.defence.is_steered()));
}

/// Who knows more is handed what who knows less has found, however it knows it; what a party notices is told.
fn check_handed_on(report: &Report) {
    let of_test = |result: &&AttackResult| {
        matches!(result.victim, Victim::Columns { of: Population::Test, .. })
            && result.cut == CutKind::Codes
            && result.defence == report.defence
    };
    let mut asked = 0;
    for result in report.results.iter().filter(of_test).filter(|r| r.attack == AttackId::QueriedMean) {
        let less: Vec<Knowledge> =
            result.knowledge.iter().copied().filter(|known| *known != Knowledge::QueryAccess).collect();
        let without = |other: &&AttackResult| {
            other.attack == AttackId::ConditionalMean && other.releases == 1 && other.knowledge == less
        };
        let without = report.results.iter().filter(of_test).find(without).expect("the same without asking");
        let skill = |result: &AttackResult| result.metrics[&Metric::Skill].value;
        assert!(skill(result) > skill(without) - 0.05, "{less:?}");
        asked += 1;
    }
    assert_eq!(asked, 3);
    let steered = |result: &&AttackResult| result.defence.is_steered() && !result.is_baseline();
    for result in report.results.iter().filter(steered) {
        let note = result.note.as_deref().unwrap_or_default();
        assert_eq!(result.alarm.is_some(), note.contains("raises an alarm"), "{note}");
        assert!(result.alarm.as_ref().is_none_or(|alarm| alarm.on_alarm == "stop"));
    }
    // Whose codes they are is asked of everything that training records sent, too.
    let copied = |result: &AttackResult| {
        result.attack == AttackId::ReidentificationByCopy
            && matches!(result.victim, Victim::Identity { of: Population::Training, .. })
            && result.releases > 1
    };
    assert!(report.results.iter().any(copied));
}

/// Hijackers read codes and floats by their own decoders; the grid's adversaries read their codes, and one hijack's of all epochs.
fn check_hijacks(report: &Report) {
    for by in [Hijack::Urvfl, Hijack::UrvflSync, Hijack::Fsha] {
        for (cut, parts) in [(CutKind::Codes, &[0_u32, 50][..]), (CutKind::SimulatedFloats, &[0][..])] {
            let honest = |result: &AttackResult| match result.defence.change {
                Some(Change::Hijacked { by: other, honest_percent }) if other == by => Some(honest_percent),
                _ => None,
            };
            let of_decoder = |result: &&AttackResult| {
                result.attack == AttackId::Hijack(by) && result.cut == cut && result.errors.len() == 100
            };
            let found: Vec<u32> = report.results.iter().filter(of_decoder).filter_map(honest).collect();
            assert_eq!(found, parts, "{by} at {cut:?}");
        }
        let of_grid = |result: &&AttackResult| {
            result.attack == AttackId::AfterHijack && result.defence.to_string().contains(&by.to_string())
        };
        // Three adversaries, with none and with half of the honest gradient.
        let grid = report.results.iter().filter(of_grid).filter(|result| result.releases == 1);
        assert!(grid.count() >= 6, "{by}");
    }
    let everything = |result: &&AttackResult| {
        result.attack == AttackId::AfterHijack
            && result.releases > 1
            && matches!(result.victim, Victim::Columns { of: Population::Training, .. })
    };
    assert_eq!(report.results.iter().filter(everything).count(), 3);
    let priced = report.utility.iter().filter(|point| point.defence == "hijacked by its coordinator");
    assert_eq!(priced.count(), 6);
}

/// Every release of every population is attacked by the same adversaries.
fn check_grid(report: &Report) {
    let mut rows: BTreeMap<(String, CutKind, String, u64), BTreeSet<Vec<Knowledge>>> = BTreeMap::new();
    for result in report.results.iter().filter(|result| result.attack == AttackId::ConditionalMean) {
        let columns = matches!(result.victim, Victim::Columns { .. });
        if columns && !result.knowledge.contains(&Knowledge::HalfOfClasses) {
            let row = (result.victim.to_string(), result.cut, result.defence.to_string(), result.releases);
            rows.entry(row).or_default().insert(result.knowledge.clone());
        }
    }
    let first = rows.values().next().expect("a row").clone();
    assert!(rows.len() > 6 && first.len() == 3, "{rows:?}");
    assert!(rows.values().all(|adversaries| *adversaries == first), "{rows:?}");
}

#[test]
fn codes_are_attacked_beside_their_baselines() {
    let mut fixture = Fixture::new();
    // Half of the records are the test's: 100 to learn from, 100 to score.
    fixture.settings.test_fraction = 0.5;
    // The last column takes two values: an attribute.
    let two_values = |line: &str| match line.rsplit_once(',') {
        Some((rest, c)) => {
            format!("{rest},{}\n", c.parse::<f64>().map_or(c.into(), |c| i8::from(c > 0.0).to_string()))
        }
        None => String::new(),
    };
    let table: String = fixture.read("telecom.csv").lines().map(two_values).collect();
    fixture.write("telecom.csv", &table);
    let (transcript, config) = finished(&mut fixture);
    let out = fixture.path("attacks");
    let report = hashvfl_attack::run(&transcript, &config, &out, &mut |_| ()).unwrap();
    for check in &report.checks {
        assert!(check.held, "{}: {}", check.name, check.detail);
    }
    let mean = |cut: CutKind| {
        skill(&report, |result| {
            (result.attack, result.cut, result.releases) == (AttackId::ConditionalMean, cut, 1)
                && result.knowledge.is_empty()
        })
    };
    let (codes, floats) = (mean(CutKind::Codes), mean(CutKind::SimulatedFloats));
    // Eight bits and eight floats of three columns: the floats give nearly all of them away.
    assert!(codes > 0.1 && floats > 0.9 && codes < floats, "codes {codes}, floats {floats}");
    let nothing = skill(&report, |result| result.is_baseline() && result.knowledge.is_empty());
    assert!(nothing.abs() < 1e-6, "{nothing}");
    let found = |attack, cut| result_of(&report, attack, cut);
    // Half of the label's columns are the victim's: a substitute that learns through the top model reads its floats.
    let query_free = |cut| found(AttackId::QueryFree, cut).metrics[&Metric::Skill].value;
    assert!(query_free(CutKind::Codes) > 0.0, "{}", query_free(CutKind::Codes));
    assert!(query_free(CutKind::SimulatedFloats) > 0.05, "{}", query_free(CutKind::SimulatedFloats));
    // Who looks on at the run is tried at both cuts, on what the run sent.
    for attack in [AttackId::Pcat, AttackId::Sdar, AttackId::SdarByRegressions] {
        for (cut, how) in [
            (CutKind::Codes, "made again from the transcript"),
            (CutKind::SimulatedFloats, "the repetition sent what the run did"),
        ] {
            let note = found(attack, cut).note.as_deref().unwrap_or_default();
            assert!(note.contains(how), "{attack}: {note}");
        }
    }
    found(AttackId::Fora, CutKind::Codes);
    let posterior = skill(&report, |result| {
        (result.attack, result.cut) == (AttackId::Posterior, CutKind::SimulatedFloats)
            && result.knowledge.is_empty()
    });
    assert!(posterior > 0.3, "{posterior}");
    for cut in [CutKind::Codes, CutKind::SimulatedFloats] {
        let added = found(AttackId::Linkage, cut).metrics[&Metric::Added];
        assert!(added.value > 0.02, "a record is followed from one run to another: {added:?}");
        let area = found(AttackId::MembershipByLoss, cut).metrics[&Metric::Auc].value;
        assert!((0.35..0.95).contains(&area), "{area}");
        // Federations of the attacker's own say how sure a top model is of a record that it has not learned from.
        let area = found(AttackId::MembershipByShadows, cut).metrics[&Metric::Auc].value;
        assert!(area > 0.35, "{area}");
    }
    check_attribute(&report, &config.victim);
    check_handed_on(&report);
    check_further_attacks(&report, codes);
    check_hijacks(&report);
    check_grid(&report);
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(!html.contains("http://") && html.contains("What no attack can exceed"), "a page on its own");
    assert!(report.results.iter().all(|result| result.auxiliary_rows + result.target_rows <= 400));

    let refused = |config: &AttackConfig| {
        format!("{:#}", hashvfl_attack::run(&transcript, config, &out, &mut |_| ()).unwrap_err())
    };
    let other = AttackConfig { head: Some("0".repeat(64)), ..config.clone() };
    assert!(refused(&other).contains("not the expected transcript"), "{}", refused(&other));
    let stranger = AttackConfig { victim: PartyName::new("stranger").unwrap(), ..config.clone() };
    assert!(refused(&stranger).contains("stranger is not a party of the run"));
    fixture.write("telecom.csv", &fixture.read("telecom.csv").replacen("0.", "1.", 1));
    assert!(refused(&config).contains("its SHA-256 differs"), "{}", refused(&config));
}

/// The label holder's question, of the very gradients that the run sends, beside the same party without them.
fn check_labels(report: &Report) {
    let own = report.gradients.as_ref().expect("labels were inferred");
    let answers = answers(report);
    let of_labels: Vec<_> = answers.iter().filter(|answer| answer.best.victim == Victim::Labels).collect();
    assert!(!of_labels.is_empty() && of_labels.iter().all(|answer| answer.best.defence == *own));
    assert!(
        of_labels.iter().all(|answer| answer.baseline.is_some_and(|(bare, _)| bare.cut == CutKind::Codes))
    );
    let [alone, together] = label_questions(report);
    assert_eq!((alone.within, together.within), (Some(false), Some(false)), "{alone:?} {together:?}");
    assert!(alone.answer.contains("without gradients"), "{}", alone.answer);
    // A party has its own columns, with gradients and without.
    for attack in [AttackId::CompletionWithColumns, AttackId::CodesAndColumns] {
        let found = report.results.iter().find(|result| result.attack == attack).expect("an attack");
        assert!(found.knowledge.contains(&Knowledge::OwnColumns), "{:?}", found.knowledge);
    }
    // Labels are inferred without a single one as well, beside a baseline that knows as little.
    for attack in [AttackId::UnlabelledNorm, AttackId::UnlabelledClusters, AttackId::UnlabelledCodes] {
        let found = report.results.iter().find(|result| result.attack == attack).expect("an attack");
        let bare = baseline_of(|| report.results.iter(), found).expect("its baseline");
        assert_eq!(bare.knowledge, [Knowledge::ClassFractions]);
    }
}

#[test]
fn answers_are_those_of_one_adversary_in_one_run() {
    let mut fixture = Fixture::new();
    fixture.settings.test_fraction = 0.5;
    let (transcript, config) = finished(&mut fixture);
    let config = AttackConfig {
        own: None,
        randomised_response: vec![0.5],
        encode_once: true,
        label_inference: true,
        further_attacks: false,
        white_box: false,
        quick: true,
        trainings: 1,
        max_explained_of: [("a".to_string(), 0.01)].into(),
        max_labels: Some(0.6),
        keep_columns: true,
        ..config
    };
    let out = fixture.path("attacks");
    let report = hashvfl_attack::run(&transcript, &config, &out, &mut |_| ()).unwrap();
    check_labels(&report);
    // The coordinator knows the other party's codes: under flips those that were flipped.
    let of_test = Victim::Columns { party: config.victim.clone(), of: Population::Test };
    let flipped = |result: &&AttackResult| {
        result.victim == of_test
            && matches!(result.defence.sent, Sent::RandomisedResponse { .. })
            && result.knowledge.contains(&Knowledge::OtherCodes)
            && !result.is_baseline()
    };
    let found = report.results.iter().find(flipped).expect("the coordinator under flips");
    let bare = baseline_of(|| report.results.iter(), found).expect("its baseline");
    assert_eq!((&bare.defence, &bare.knowledge), (&found.defence, &found.knowledge));
    let added = found.metrics[&Metric::Added].value;
    let difference = found.metrics[&Metric::Skill].value - bare.metrics[&Metric::Skill].value;
    assert!((added - difference).abs() < 1e-9 && added > -0.05, "{added} {difference}");
    // One column that is told is red, whatever all columns together say.
    let [one, ..] = questions(&report);
    assert_eq!(one.within, Some(false));
    assert!(one.verdict.as_ref().is_some_and(|verdict| verdict.contains("column a")), "{one:?}");
    let numbers: Vec<&str> = report.exposed_numbers().iter().map(|number| number.column).collect();
    assert!(numbers.contains(&"a") && numbers.len() == 3, "{numbers:?}");
    // Whoever pairs errors finds the records.
    for result in report.results.iter().filter(|result| !result.errors.is_empty()) {
        let targets = report.targets_of(result).unwrap_or_else(|| panic!("no targets of {}", result.victim));
        assert!(targets.len() >= result.errors.len(), "{}", result.victim);
    }
    assert!(
        report.targets.keys().any(|records| records.of == Population::OutsideCohort),
        "{:?}",
        report.targets.keys()
    );
    // Records of encode-once training's cohort sent a code in every epoch, and are attacked with all of them.
    let cohort =
        |result: &AttackResult| matches!(result.defence.sent, Sent::EncodeOnce { .. }) && result.releases > 1;
    assert!(report.results.iter().any(cohort));
    for (file, is_kept) in [("victim.npy", true), ("labels.npy", true), ("own.npy", false)] {
        assert_eq!(out.join(file).exists(), is_kept, "{file}");
    }
    let unknown = AttackConfig { max_explained_of: [("z".to_string(), 0.1)].into(), ..config };
    let error = format!("{:#}", hashvfl_attack::run(&transcript, &unknown, &out, &mut |_| ()).unwrap_err());
    assert!(error.contains("has no column \"z\""), "{error}");
}

/// An attack that ends with an error, and one that cannot be tried, lose no other figures; nothing is green.
#[test]
fn one_attack_that_fails_takes_no_figures_with_it() {
    let mut fixture = Fixture::new();
    fixture.settings.test_fraction = 0.5;
    fixture.settings.task = Task::Regression;
    let (transcript, config) = finished(&mut fixture);
    let config = AttackConfig {
        randomised_response: vec![0.5],
        label_inference: true,
        further_attacks: false,
        white_box: false,
        quick: true,
        trainings: 1,
        max_explained: Some(1.0),
        max_reidentified: Some(1.0),
        ..config
    };
    let out = fixture.path("attacks");
    // A folder in the way of the transcript of a repetition.
    fs::create_dir_all(out.join("simulated-epsilon0.5.parquet")).unwrap();
    let report = hashvfl_attack::run(&transcript, &config, &out, &mut |_| ()).unwrap();
    let all_ran = report.checks.iter().find(|check| check.name == CheckId::AllRan).expect("a check");
    assert!(!all_ran.held && all_ran.detail.contains("randomised response"), "{}", all_ran.detail);
    let told = |what: &str| report.not_tried.iter().any(|line| line.contains(what));
    assert!(told("randomised response, which ended with an error"), "{:?}", report.not_tried);
    assert!(told("inference of labels from a party's gradients, since the labels are not classes"));
    assert!(out.join("report.json").exists());
    let [one, all, _] = questions(&report);
    assert!(one.answer.contains("of the variance") && all.answer.contains("of the variance"));
    assert_eq!((one.within, all.within), (None, None), "figures within the limits decide nothing");
    // Records are looked for where a limit is named, without further attacks.
    assert!(all.beside.iter().any(|sentence| sentence.contains("finds the right one")), "{all:?}");
}

/// A party's own transcript holds the codes that the coordinator saw, and the gradient of each.
#[test]
fn a_party_records_its_gradients() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("coordinator", "transcript = true".into()));
    fixture.extra.push(("bank", "transcript = true".into()));
    fixture.run();
    let seen = Recording::read(&fixture.path("coordinator-state/transcript.parquet"), None).unwrap();
    let own = Recording::read(&fixture.path("bank-state/transcript.parquet"), None).unwrap();
    assert_eq!(own.header.recorder, "bank");
    let of_bank = |step: &Step| step.values.iter().find(|(party, _)| party == "bank").unwrap().1.clone();
    let codes: Vec<_> = own.steps.iter().filter(|step| step.encoding == ValueEncoding::Bits).collect();
    assert_eq!(codes.len(), seen.steps.len());
    for (own, seen) in codes.iter().zip(&seen.steps) {
        assert_eq!((own.step, own.kind, &own.records), (seen.step, seen.kind, &seen.records));
        assert_eq!(of_bank(own), of_bank(seen));
    }
    let batches = own.steps.iter().filter(|step| matches!(step.kind, RecordedKind::Batch { .. })).count();
    let gradients: Vec<_> =
        own.steps.iter().filter(|step| matches!(step.kind, RecordedKind::Gradient { .. })).collect();
    assert_eq!(gradients.len(), batches);
    assert!(gradients.iter().all(|step| of_bank(step).len() == step.records.len() * 8 * 4));
}

#[test]
fn bits_are_flipped_as_often_as_the_run_says_and_leak_less() {
    let mut fixture = Fixture::new();
    fixture.settings.randomised_response = Some(0.5);
    fixture.settings.refit = true;
    fixture.extra.push(("coordinator", "top = { patience = 1 }".into()));
    let (transcript, config) = finished(&mut fixture);
    let config = AttackConfig { auxiliary_fractions: vec![0.5], trainings: 1, ..config };
    let report = hashvfl_attack::run(&transcript, &config, &fixture.path("attacks"), &mut |_| ()).unwrap();
    // The model and the columns give the codes that were sent, but for so many flips.
    let same = report.checks.iter().find(|check| check.name == CheckId::SameCodes).unwrap();
    assert!(same.held, "{}", same.detail);
    // Whoever looks on hears the very codes that were sent, whatever the parties' seeds and keys are.
    let same = report.checks.iter().find(|check| check.name == CheckId::SameTop).unwrap();
    assert!(same.held, "{}", same.detail);
    for attack in [AttackId::Pcat, AttackId::Sdar, AttackId::SdarByRegressions] {
        assert_eq!(result_of(&report, attack, CutKind::Codes).defence, report.defence, "{attack}");
    }
    let leaked = skill(&report, |result| result.attack == AttackId::ConditionalMean && result.releases == 1);
    assert!(leaked < 0.3, "{leaked}");
    assert!(report.defence.to_string().contains("epsilon 0.5 per bit, 4 per draw"), "{}", report.defence);
    // Whoever cheats has no patience: it asks for all that the settings allow, four epochs and the refit.
    let steered = |result: &&AttackResult| {
        result.defence.is_steered()
            && result.releases > 1
            && matches!(result.victim, Victim::Columns { of: Population::Training, .. })
    };
    let steered: Vec<u64> = report.results.iter().filter(steered).map(|result| result.releases).collect();
    assert!(!steered.is_empty() && steered.iter().all(|releases| *releases == 5), "{steered:?}");
    assert_eq!(report.bounds.iter().map(|bound| bound.releases).max(), Some(5));
    // After a refit all records have sent a code of the frozen encoder: attackers own half of them, not of the test's 80 alone.
    for attack in [AttackId::InverseNetwork, AttackId::QueryFree, AttackId::PredictionMean] {
        let rows = result_of(
            &report,
            attack,
            match attack {
                AttackId::PredictionMean => CutKind::Predictions,
                _ => CutKind::Codes,
            },
        );
        assert!(rows.auxiliary_rows > 150, "{attack}: {}", rows.auxiliary_rows);
    }
}
