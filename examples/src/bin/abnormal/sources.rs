//! What several sources find together where few rows calibrate: the coordinator's default, and those of two parties as
//! they send it. By `detectors.parties`, which calibrates what it combines; and by p-values of each source combined.

use hashvfl_core::p_value::Grid;
use hashvfl_detectors::Combination;
use hashvfl_detectors::conformal::{Calibration, Ties};
use hashvfl_detectors::evidence::combined;

/// Level of the flags.
const LEVEL: f64 = 0.01;
/// Sets of calibration rows, over which shares are means.
const SETS: usize = 10;

const RULES: [(&str, Combination); 3] = [
    ("Bonferroni", Combination::Bonferroni),
    ("geometric mean", Combination::GeometricMean),
    ("twice the mean", Combination::TwiceMean),
];

/// Minus logarithms of shares, one vector a source: the coordinator's first.
pub type Sources = Vec<Vec<f64>>;

/// The share of `rows` that is flagged by calibration rows drawn from `calibration`, `few` of them: by each source alone,
/// by their p-values combined by each rule, and by each rule with the combined score calibrated.
pub fn flagged(calibration: &Sources, rows: &Sources, few: usize) -> anyhow::Result<Vec<(String, f64)>> {
    let mut sums: Vec<(String, f64)> = Vec::new();
    let sets = (calibration[0].len() / few).min(SETS);
    for set in 0..sets {
        let known: Sources =
            calibration.iter().map(|source| source[set * few..(set + 1) * few].to_vec()).collect();
        let p_values = |known: Vec<f64>, scores: &[f64]| -> anyhow::Result<Vec<f64>> {
            let calibration = Calibration::new(known)?;
            Ok(scores.iter().map(|score| calibration.p_value(*score, 0, &mut Ties::Count)).collect())
        };
        let mut alone = Vec::new();
        for (known, scores) in known.iter().zip(rows) {
            alone.push(p_values(known.clone(), scores)?);
        }
        let mut found: Vec<(String, Vec<f64>)> = vec![];
        for (source, p_values) in alone.iter().enumerate() {
            let name = if source == 0 { "codes alone".into() } else { format!("party {source} alone") };
            found.push((name, p_values.clone()));
        }
        // A party's p-values travel on a grid.
        let sent: Vec<Vec<f64>> =
            alone.iter().enumerate().map(|(at, p)| if at == 0 { p.clone() } else { on_grid(p) }).collect();
        for (name, rule) in RULES {
            let of = |row: usize| rule.of(&sent.iter().map(|source| source[row]).collect::<Vec<f64>>());
            found.push((format!("{name} of p-values"), (0..rows[0].len()).map(of).collect()));
        }
        for (name, rule) in RULES {
            let scores = |sources: &Sources| {
                let own: Vec<f64> = sources[0].iter().map(|score| -score).collect();
                let share =
                    |scores: &Vec<f64>| scores.iter().map(|score| (-score).exp()).collect::<Vec<f64>>();
                let said: Vec<Vec<f64>> = sources[1..].iter().map(|source| on_grid(&share(source))).collect();
                combined(rule, &own, &said.iter().map(Vec::as_slice).collect::<Vec<_>>())
            };
            found.push((format!("{name}, calibrated"), p_values(scores(&known), &scores(rows))?));
        }
        for (at, (name, p_values)) in found.into_iter().enumerate() {
            let share = p_values.iter().filter(|p| **p <= LEVEL).count() as f64 / p_values.len() as f64;
            if set == 0 {
                sums.push((name, 0.0));
            }
            sums[at].1 += share / sets as f64;
        }
    }
    Ok(sums)
}

fn on_grid(shares: &[f64]) -> Vec<f64> {
    let round = |shares: &[f64]| {
        // Unwrap safety: a message holds so many.
        let packed = Grid::FINE.pack(shares).expect("p-values of a message");
        Grid::FINE.p_values(&packed.to_signs())
    };
    shares.chunks(4096).flat_map(round).collect()
}
