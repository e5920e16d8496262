//! What several sources find together where few rows calibrate: the coordinator's detectors and those of parties, whose
//! p-values travel in four bits.
//!
//! Three ways to make one p-value of them: each source's own p-values combined by a rule, as they are; the rule's score
//! calibrated as a whole, which is what the coordinator does; and the best source alone.

use hashvfl_core::p_value::{Grid, PackedPValues};
use hashvfl_detectors::Combination;
use hashvfl_detectors::calibration::conformal::{Calibration, Ties};
use hashvfl_detectors::calibration::evidence::{SentOfRows, combined_scores};
use hashvfl_files::say;

/// Sets of calibration rows, over which fractions are means.
const SETS: usize = 10;
/// p-values of one message.
const MESSAGE: usize = 4096;

/// Some rows as several sources see them: minus logarithms of the fractions of normal rows that are as strange,
/// `scores[source][row]`. The first source is the coordinator's, the others send theirs.
pub type SourceScores = Vec<Vec<f64>>;

/// The fraction of rows that is flagged in one way.
pub struct FlaggedFraction {
    /// The way.
    pub name: String,
    /// The fraction, in the mean over sets of calibration rows.
    pub fraction: f64,
}

/// The fraction of `rows` that is flagged at `level` in each way, where `few` of the `calibration` rows calibrate. `names` are
/// those of the sources.
///
/// # Errors
/// If there are fewer calibration rows than `few`.
pub fn flagged(
    names: &[&str],
    calibration: &SourceScores,
    rows: &SourceScores,
    few: usize,
    level: f64,
) -> anyhow::Result<Vec<FlaggedFraction>> {
    let sets = (calibration[0].len() / few).min(SETS);
    anyhow::ensure!(sets > 0, "{} calibration rows are fewer than {few}", calibration[0].len());
    let mut found: Vec<FlaggedFraction> = Vec::new();
    for set in 0..sets {
        let known: SourceScores =
            calibration.iter().map(|source| source[set * few..(set + 1) * few].to_vec()).collect();
        for (at, way) in ways(names, &known, rows)?.into_iter().enumerate() {
            let count = way.p_values.iter().filter(|p_value| **p_value <= level).count();
            if set == 0 {
                found.push(FlaggedFraction { name: way.name, fraction: 0.0 });
            }
            found[at].fraction += count as f64 / (way.p_values.len() * sets) as f64;
        }
    }
    Ok(found)
}

/// Prints what [`flagged`] finds of some rows.
pub fn print(what: &str, few: usize, level: f64, found: &[FlaggedFraction]) {
    say!("\n{what}: flagged at {:.1} % where {few} rows calibrate, %", 100.0 * level);
    for FlaggedFraction { name, fraction } in found {
        say!("  {name:<32} {:>5.1}", 100.0 * fraction);
    }
}

/// p-values of the rows in one way.
struct Way {
    name: String,
    p_values: Vec<f64>,
}

fn ways(names: &[&str], known: &SourceScores, rows: &SourceScores) -> anyhow::Result<Vec<Way>> {
    let (mut ways, mut sent) = (Vec::new(), Vec::new());
    for (source, name) in names.iter().enumerate() {
        let p_values = p_values(known[source].clone(), &rows[source])?;
        sent.push(if source == 0 { p_values.clone() } else { as_sent(&p_values)? });
        ways.push(Way { name: format!("{name} alone"), p_values });
    }
    for rule in Combination::ALL {
        let mut combined = Vec::with_capacity(rows[0].len());
        for row in 0..rows[0].len() {
            combined.push(rule.of(&sent.iter().map(|source| source[row]).collect::<Vec<f64>>()));
        }
        ways.push(Way { name: format!("{rule:?} of p-values"), p_values: combined });
    }
    for rule in Combination::ALL {
        let p_values = p_values(scores(*rule, known)?, &scores(*rule, rows)?)?;
        ways.push(Way { name: format!("{rule:?}, calibrated"), p_values });
    }
    Ok(ways)
}

fn p_values(known: Vec<f64>, scores: &[f64]) -> anyhow::Result<Vec<f64>> {
    let calibration = Calibration::new(known)?;
    Ok(scores.iter().map(|score| calibration.p_value(*score, 0, &mut Ties::Count)).collect())
}

/// The combined scores of rows, of what parties send of them.
fn scores(rule: Combination, sources: &SourceScores) -> anyhow::Result<Vec<f64>> {
    let own: Vec<f64> = sources[0].iter().map(|score| -score).collect();
    let mut sent = Vec::new();
    for source in &sources[1..] {
        let fractions: Vec<f64> = source.iter().map(|score| (-score).exp().max(f64::MIN_POSITIVE)).collect();
        sent.push(as_sent(&fractions)?);
    }
    let sent: Vec<SentOfRows<'_>> =
        sent.iter().map(|p_values| SentOfRows { grid: Grid::FINE, p_values }).collect();
    Ok(combined_scores(rule, &own, &sent))
}

fn as_sent(p_values: &[f64]) -> anyhow::Result<Vec<f64>> {
    let mut sent = Vec::with_capacity(p_values.len());
    for message in p_values.chunks(MESSAGE) {
        sent.extend(PackedPValues::pack(Grid::FINE, message)?.p_values());
    }
    Ok(sent)
}
