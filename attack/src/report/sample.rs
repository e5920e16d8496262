//! A report for tests, with something in every section.

use std::collections::BTreeMap;

use hashvfl_core::PartyName;

use super::model::*;
use super::{Defence, Knowledge, Metric, Population, PrivacyLimits, Sent, TargetRecords, Victim};
use crate::attacks::AttackId;

/// The party whose columns are attacked.
fn bank() -> PartyName {
    PartyName::new("bank").unwrap()
}

/// A result with skill `skill`, give or take 0.02, and 16 bits per release.
pub fn result(
    attack: AttackId,
    knowledge: &[Knowledge],
    releases: u64,
    cut: CutKind,
    skill: f64,
) -> AttackResult {
    let floats = if cut == CutKind::SimulatedFloats { 32 } else { 1 };
    AttackResult {
        attack,
        victim: Victim::Columns { party: bank(), of: Population::Test },
        knowledge: knowledge.to_vec(),
        releases,
        cut,
        defence: Defence::new(match cut {
            CutKind::SimulatedFloats => Sent::Floats { count: 16 },
            _ => Sent::Codes { bits: 16, response: None },
        }),
        bits: 16 * floats * releases,
        auxiliary_rows: 4000,
        target_rows: 6000,
        metrics: Metrics::from([(Metric::Skill, around(skill, 0.02))]),
        of_columns: BTreeMap::new(),
        errors: vec![0.5, 1.5],
        hits: Vec::new(),
        alarm: None,
        note: None,
        seconds: 1.5,
    }
}

fn around(value: f64, reach: f64) -> Estimate {
    Estimate { value, low: value - reach, high: value + reach }
}

/// The result with further figures, each give or take its second number.
fn with(mut result: AttackResult, figures: &[(Metric, f64, f64)]) -> AttackResult {
    result.metrics.extend(figures.iter().map(|(metric, value, reach)| (*metric, around(*value, *reach))));
    result
}

/// A result about columns, by an adversary that knows labels.
fn columns(attack: AttackId, releases: u64, cut: CutKind, skill: f64) -> AttackResult {
    let figures = [
        (Metric::Psnr, 10.0 + 20.0 * skill, 0.2),
        (Metric::Ssim, skill, 0.01),
        (Metric::Top1, skill / 8.0, 0.002),
    ];
    with(result(attack, &[Knowledge::Labels], releases, cut, skill), &figures)
}

/// The gradients of the run.
fn gradients() -> Defence {
    let (defence, setting) = ("int8 gradients".to_string(), "consistency 0".to_string());
    Defence::new(Sent::Gradients { defence, setting, bits: 16 })
}

/// A result about labels, from what a party sent or was sent.
pub fn labels(
    attack: AttackId,
    knowledge: &[Knowledge],
    releases: u64,
    cut: CutKind,
    accuracy: f64,
) -> AttackResult {
    let mut found = result(attack, knowledge, releases, cut, 0.0);
    found.victim = Victim::Labels;
    found.defence = gradients();
    found.metrics.clear();
    found.errors.clear();
    with(found, &[(Metric::Accuracy, accuracy, 0.01)])
}

fn results() -> Vec<AttackResult> {
    use CutKind::*;
    use Knowledge::{FewLabels, OwnCodes, OwnGradients};
    use Metric::{Added, Worst};
    let mut noisy = columns(AttackId::InverseNetwork, 1, Codes, 0.09);
    let cost = "epsilon 2 per bit, 32 per draw, 32 over the run".to_string();
    noisy.defence = Defence::new(Sent::RandomisedResponse { bits: 16, cost });
    let mut sign = columns(AttackId::InverseNetwork, 1, BeforeSign, 0.4);
    sign.note = Some("The authors' attack: no coordinator sees this value.".to_string());
    vec![
        with(columns(AttackId::NoCode, 0, Codes, 0.04), &[(Worst, 0.2, 0.02)]),
        columns(AttackId::ConditionalMean, 1, Codes, 0.1),
        with(columns(AttackId::InverseNetwork, 1, Codes, 0.15), &[(Added, 0.11, 0.02), (Worst, 0.08, 0.02)]),
        with(columns(AttackId::Fora, 30, Codes, 0.22), &[(Added, 0.18, 0.02), (Worst, 0.04, 0.01)]),
        noisy,
        columns(AttackId::InverseNetwork, 1, SimulatedFloats, 0.45),
        columns(AttackId::InverseNetwork, 1, SimulatedQuantised, 0.2),
        sign,
        labels(AttackId::MajorityClass, &[FewLabels], 0, Gradients, 0.6),
        labels(AttackId::CodesAlone, &[FewLabels, OwnCodes], 30, Codes, 0.62),
        labels(AttackId::GradientDirection, &[FewLabels, OwnGradients], 30, Gradients, 0.71),
    ]
}

fn chart(title: &str, x: &str, log_x: bool, curves: Vec<Curve>) -> Chart {
    Chart { title: title.to_string(), x: x.to_string(), log_x, y: Metric::Skill.into(), curves }
}

fn curve(name: &str, xs: &[f64], slope: f64) -> Curve {
    let points = xs.iter().map(|x| (*x, around(slope * (1.0 + x).ln(), 0.02))).collect();
    Curve { name: name.to_string(), points }
}

fn charts() -> Vec<Chart> {
    let epochs: Vec<f64> = (1..=30).map(f64::from).collect();
    let over_epochs = vec![curve("all codes", &epochs, 0.065), curve("no code", &epochs, 0.0)];
    let lengths = vec![curve("inverse network", &[1.0, 4.0, 16.0, 64.0], 0.055)];
    let fractions = vec![curve("inverse network", &[0.1, 1.0, 10.0], 0.06)];
    vec![
        chart("Leakage over epochs", "epochs seen", false, over_epochs),
        chart("Leakage over d", "bits of a code", true, lengths),
        chart("Leakage over the auxiliary fraction", "auxiliary records, % of records", true, fractions),
    ]
}

fn point(defence: &str, setting: &str, utility: f64, leakage: f64) -> UtilityPoint {
    UtilityPoint {
        defence: defence.to_string(),
        setting: setting.to_string(),
        utility,
        utility_interval: None,
        leakage: around(leakage, 0.02),
        baseline: around(0.04, 0.02),
        strongest: "inverse network".to_string(),
        dcs: Some(around(0.7, 0.01)),
    }
}

fn pictures(name: &str, step: usize) -> PictureRow {
    let picture =
        |shift: usize| (0..28 * 14).map(|i| ((i / 14 * shift + i % 14) % 29) as f32 / 28.0).collect();
    PictureRow { name: name.to_string(), images: (1..11).map(|n| picture(step * n)).collect() }
}

fn check(name: CheckId, detail: &str) -> Check {
    Check { name, held: true, detail: detail.to_string() }
}

fn bound(about: &str, says: &str, releases: u64) -> Bound {
    let assumes = "By counting codes. For any encoder and any side knowledge.".to_string();
    Bound { about: about.to_string(), says: says.to_string(), assumes, releases }
}

fn facts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// The report.
pub fn sample() -> Report {
    Report {
        version: VERSION,
        title: "credit-default, bank's columns".to_string(),
        data: "6000 target records of 14 columns, scored in standard deviations of the auxiliary records."
            .to_string(),
        run: facts(&[("id", "7f3a"), ("transcript SHA-256", &"0123456789abcdef".repeat(4))]),
        defence: Defence::new(Sent::Codes { bits: 16, response: None }),
        settings: facts(&[("bits", "16"), ("epochs", "30"), ("seed", "1")]),
        reproduce: vec!["attack --seed 1 && report".to_string()],
        results: results(),
        charts: charts(),
        utility: vec![
            point("hash", "d = 4", 0.741, 0.06),
            point("hash", "d = 16", 0.769, 0.15),
            point("hash", "d = 64", 0.774, 0.24),
            point("randomised response", "epsilon 1 per bit, 16 per draw, 16 over the run", 0.702, 0.05),
            point("randomised response", "epsilon 2 per bit, 32 per draw, 32 over the run", 0.748, 0.09),
            point("floats", "none", 0.778, 0.45),
        ],
        label_utility: vec![point("int8 gradients", "alone", 0.778, 0.99), point("noise", "1", 0.741, 0.7)],
        spreads: vec![Spread {
            what: "skill from one code".to_string(),
            figure: Metric::Skill.into(),
            values: vec![0.15, 0.16, 0.13],
        }],
        utility_metric: "AUC".to_string(),
        grids: vec![PictureGrid {
            title: "Left halves of ten digits".to_string(),
            height: 28,
            width: 14,
            rows: vec![pictures("original", 3), pictures("class mean", 0), pictures("conditional mean", 2)],
        }],
        checks: vec![
            check(CheckId::ShuffledCodes, "added 0.1 points, interval \u{2212}0.4 to 0.6"),
            check(CheckId::SameCodes, "16 of 16 bits are equal"),
        ],
        limit: None,
        limits: PrivacyLimits::default(),
        quick: false,
        pixels: true,
        positions: Vec::new(),
        gradients: Some(gradients()),
        targets: BTreeMap::from([(TargetRecords { of: Population::Test, under: None }, vec![5, 3])]),
        owned: vec![0, 4],
        sorted: vec![2, 0, 1, 4, 3, 5],
        bounds: vec![
            bound("one code", "tells at most 16.0 bits of information about a record", 1),
            bound(
                "all 30 codes of a training record",
                "tell at most 480.0 bits of information about a record",
                30,
            ),
        ],
        not_tried: vec!["FSHA: needs a coordinator that deviates from the protocol.".to_string()],
    }
}

/// The same with markup in every text that comes from data.
pub fn poisoned(markup: &str) -> Report {
    let mut report = sample();
    let party = bank();
    for text in [&mut report.title, &mut report.data, &mut report.utility_metric] {
        text.push_str(markup);
    }
    for bound in &mut report.bounds {
        for text in [&mut bound.about, &mut bound.says, &mut bound.assumes] {
            text.push_str(markup);
        }
    }
    report.run.insert(markup.into(), markup.into());
    report.settings.insert(markup.into(), markup.into());
    report.reproduce.push(markup.into());
    report.not_tried.push(markup.into());
    for result in &mut report.results {
        let column = markup.to_string();
        result.victim = Victim::Column { party: party.clone(), column, of: Population::Test };
        result.note = Some(markup.into());
    }
    for chart in &mut report.charts {
        chart.title.push_str(markup);
        chart.x.push_str(markup);
        chart.y = markup.into();
        chart.curves.iter_mut().for_each(|curve| curve.name.push_str(markup));
    }
    for point in report.utility.iter_mut().chain(&mut report.label_utility) {
        for text in [&mut point.defence, &mut point.setting, &mut point.strongest] {
            text.push_str(markup);
        }
    }
    for spread in &mut report.spreads {
        spread.what.push_str(markup);
        spread.figure = markup.into();
    }
    for grid in &mut report.grids {
        grid.title.push_str(markup);
        grid.rows.iter_mut().for_each(|row| row.name.push_str(markup));
    }
    for check in &mut report.checks {
        check.detail.push_str(markup);
    }
    report
}
