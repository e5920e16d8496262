//! A report for tests, with something in every section.

use std::collections::BTreeMap;

use super::model::*;
use super::names::{ACCURACY, ADDED, CONDITIONAL_MEAN, PSNR, SKILL, SSIM, TOP1, WORST};

/// A result with skill `skill`, give or take 0.02, and 16 bits a release.
pub fn result(attack: &str, knowledge: &[&str], releases: u64, cut: CutKind, skill: f64) -> AttackResult {
    let floats = if cut == CutKind::SimulatedFloats { 32 } else { 1 };
    AttackResult {
        attack: attack.to_string(),
        victim: "bank&co's columns".to_string(),
        knowledge: knowledge.iter().map(|known| known.to_string()).collect(),
        releases,
        cut,
        defence: match cut {
            CutKind::SimulatedFloats => "none, 16 floats",
            _ if releases == 0 => "none",
            _ => "hash, d = 16",
        }
        .to_string(),
        bits: 16 * floats * releases,
        auxiliary_rows: 4000,
        target_rows: 6000,
        metrics: BTreeMap::from([(SKILL.to_string(), around(skill, 0.02))]),
        note: None,
        seconds: 1.5,
    }
}

fn around(value: f64, reach: f64) -> Estimate {
    Estimate { value, low: value - reach, high: value + reach }
}

fn with(mut result: AttackResult, figures: &[(&str, f64, f64)]) -> AttackResult {
    result
        .metrics
        .extend(figures.iter().map(|(name, value, reach)| (name.to_string(), around(*value, *reach))));
    result
}

fn results() -> Vec<AttackResult> {
    use CutKind::*;
    let known = ["auxiliary rows", "labels"];
    let pictures =
        |skill: f64| [(PSNR, 10.0 + 20.0 * skill, 0.2), (SSIM, skill, 0.01), (TOP1, skill / 8.0, 0.002)];
    let column =
        |attack, releases, cut, skill| with(result(attack, &known, releases, cut, skill), &pictures(skill));
    let labels = |attack, releases, accuracy| {
        let mut found = result(attack, &["own columns"], releases, Gradients, 0.0);
        found.victim = "the labels".to_string();
        found.metrics.clear();
        with(found, &[(ACCURACY, accuracy, 0.01)])
    };
    let mut noisy = column("inverse network", 1, Codes, 0.09);
    noisy.defence = "randomised response, epsilon 2 a bit, 32 a draw, 32 over the run".to_string();
    let mut sign = column("inverse network", 1, BeforeSign, 0.4);
    sign.note = Some("The authors' attack: no coordinator sees this value.".to_string());
    vec![
        with(column("class mean", 0, Codes, 0.04), &[(WORST, 0.2, 0.02)]),
        column(CONDITIONAL_MEAN, 1, Codes, 0.1),
        with(column("inverse network", 1, Codes, 0.15), &[(ADDED, 0.11, 0.02), (WORST, 0.08, 0.02)]),
        with(column("transcript decoder", 30, Codes, 0.22), &[(ADDED, 0.18, 0.02), (WORST, 0.04, 0.01)]),
        noisy,
        column("inverse network", 1, SimulatedFloats, 0.45),
        column("inverse network", 1, SimulatedQuantised, 0.2),
        sign,
        labels("majority class", 0, 0.6),
        labels("gradient direction", 30, 0.71),
    ]
}

/// The report.
pub fn sample() -> Report {
    let text = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let curve = |name: &str, xs: &[f64], slope: f64| Curve {
        name: name.to_string(),
        points: xs.iter().map(|x| (*x, around(slope * (1.0 + x).ln(), 0.02))).collect(),
    };
    let chart = |title: &str, x: &str, log_x, curves| Chart {
        title: title.to_string(),
        x: x.to_string(),
        log_x,
        y: SKILL.to_string(),
        curves,
    };
    let point = |defence: &str, setting: &str, utility, leakage| UtilityPoint {
        defence: defence.to_string(),
        setting: setting.to_string(),
        utility,
        leakage: around(leakage, 0.02),
        baseline: around(0.04, 0.02),
        strongest: "inverse network".to_string(),
        dcs: Some(around(0.7, 0.01)),
    };
    let picture =
        |shift: usize| (0..28 * 14).map(|i| ((i / 14 * shift + i % 14) % 29) as f32 / 28.0).collect();
    let row = |name: &str, step: usize| PictureRow {
        name: name.to_string(),
        images: (1..11).map(|n| picture(step * n)).collect(),
    };
    let epochs: Vec<f64> = (1..=30).map(f64::from).collect();
    Report {
        version: VERSION,
        title: "credit-default, bank's columns".to_string(),
        data: "6000 target records of 14 columns, scored in standard deviations of the auxiliary rows."
            .to_string(),
        run: text(&[("id", "7f3a"), ("transcript SHA-256", &"0123456789abcdef".repeat(4))]),
        defence: "hash, d = 16".to_string(),
        settings: text(&[("bits", "16"), ("epochs", "30"), ("seed", "1")]),
        reproduce: vec!["attack --seed 1 && report".to_string()],
        results: results(),
        charts: vec![
            chart(
                "Leakage over epochs",
                "epochs seen",
                false,
                vec![curve("transcript decoder", &epochs, 0.065), curve("class mean", &epochs, 0.0)],
            ),
            chart(
                "Leakage over d",
                "bits of a code",
                true,
                vec![curve("inverse network", &[1.0, 4.0, 16.0, 64.0], 0.055)],
            ),
            chart(
                "Leakage over auxiliary share",
                "auxiliary rows, % of records",
                true,
                vec![curve("inverse network", &[0.1, 1.0, 10.0], 0.06)],
            ),
        ],
        utility: vec![
            point("hash", "d = 4", 0.741, 0.06),
            point("hash", "d = 16", 0.769, 0.15),
            point("hash", "d = 64", 0.774, 0.24),
            point("randomised response", "epsilon 1 a bit, 16 a draw, 16 over the run", 0.702, 0.05),
            point("randomised response", "epsilon 2 a bit, 32 a draw, 32 over the run", 0.748, 0.09),
            point("floats", "none", 0.778, 0.45),
        ],
        label_utility: vec![point("int8 gradients", "alone", 0.778, 0.99), point("noise", "1", 0.741, 0.7)],
        spreads: vec![Spread {
            what: "skill from one code".to_string(),
            figure: SKILL.to_string(),
            values: vec![0.15, 0.16, 0.13],
        }],
        utility_metric: "AUC".to_string(),
        grids: vec![Grid {
            title: "Left halves of ten digits".to_string(),
            height: 28,
            width: 14,
            rows: vec![row("original", 3), row("class mean", 0), row("conditional mean", 2)],
        }],
        checks: vec![
            Check {
                name: "shuffled codes add nothing".to_string(),
                held: true,
                detail: "added 0.1 points, interval \u{2212}0.4 to 0.6".to_string(),
            },
            Check {
                name: "a linear float cut is inverted".to_string(),
                held: true,
                detail: "skill 99.8 %, at least 99 expected".to_string(),
            },
        ],
        lower_bound: NONE_PROVEN.to_string(),
        not_tried: vec!["FSHA: needs a coordinator that deviates from the protocol.".to_string()],
    }
}
