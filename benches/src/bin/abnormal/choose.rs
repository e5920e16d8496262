//! How each side's default combination was chosen: on normal validation records alone.
//!
//! What a side sees of some of them is spoiled without any knowledge of the kinds of abnormal rows that are measured. Codes
//! are paired with those of another record, a quarter of one party's bits is flipped, or the bits of all parties are random.
//! One party's columns are each of another record, a quarter of them are of another record, or all are moved by noise. Every
//! combination of up to three detectors is ranked by its least area over these three.

use hashvfl_core::normal::add_noise;
use hashvfl_core::random::stream;
use hashvfl_detectors::{Combination, CoordinatorKind, DetectorKind, PartyKind};
use hashvfl_files::say;
use rand::Rng;
use rand::rngs::ChaCha8Rng;

use crate::federation::{Federation, View};
use crate::kinds::WRONG;
use crate::scores::{Fitted, combined, place, places};

/// The most detectors of a combination.
const MEMBERS: usize = 3;
/// The deviation of the noise, as a multiple of each column's.
const MOVED: f32 = 0.5;

/// What [`columns`] does, as it is printed.
pub const SPOILED_COLUMNS: &str =
    "validation columns of the second party: each of another record, a quarter of another record, moved";

/// A detector that may be part of a combination.
#[derive(Clone, Copy)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// Where its scores are among those of all detectors.
    pub place: usize,
}

/// Prints the combinations of each side with their areas.
pub fn choose(federation: &Federation<'_>, fitted: &Fitted, seed: u64) -> anyhow::Result<()> {
    let (normal, spoiled) = federation.scale.split_at(federation.scale.len() / 2);
    let of_normal = fitted.score(&federation.view_of(normal)?)?.0;
    let members: Vec<Member> =
        CoordinatorKind::ALL.iter().map(|kind| Member { name: kind.name(), place: place(kind) }).collect();
    say!("\nvalidation codes that were re-paired, flipped, random");
    rank(&of_normal, &scores(fitted, &spoiled_codes(federation, spoiled, seed)?)?, &members);
    let members: Vec<Member> =
        PartyKind::ALL.iter().map(|kind| Member { name: kind.name(), place: places(kind)[WRONG] }).collect();
    say!("\n{SPOILED_COLUMNS}");
    rank(&of_normal, &scores(fitted, &spoiled_columns(federation, spoiled, seed)?)?, &members);
    Ok(())
}

fn scores(fitted: &Fitted, views: &[View]) -> anyhow::Result<Vec<Vec<Vec<f64>>>> {
    views.iter().map(|view| Ok(fitted.score(view)?.0)).collect()
}

fn signs(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| if *value >= 0.0 { 1.0 } else { -1.0 }).collect()
}

fn random_signs(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| if rng.next_u32() & 1 == 0 { -1.0 } else { 1.0 }).collect()
}

fn spoiled_codes(federation: &Federation<'_>, rows: &[u32], seed: u64) -> anyhow::Result<Vec<View>> {
    let view = federation.view_of(rows)?;
    let signs = [signs(&view.embedding[0]), signs(&view.embedding[1])];
    let bits = signs[1].len() / rows.len();
    let mut rng = stream(seed, "spoiled codes", &[]);
    let paired = (0..rows.len()).flat_map(|_| {
        let other = below(&mut rng, rows.len());
        signs[1][other * bits..][..bits].to_vec()
    });
    let paired = paired.collect();
    let flipped = signs[1].iter().map(|sign| if rng.next_u32() & 3 == 0 { -sign } else { *sign }).collect();
    let both = [Some(random_signs(signs[0].len(), &mut rng)), Some(random_signs(signs[1].len(), &mut rng))];
    let forged = [[None, Some(paired)], [None, Some(flipped)], both];
    forged.into_iter().map(|forged| federation.view(view.columns.clone(), forged)).collect()
}

fn spoiled_columns(federation: &Federation<'_>, rows: &[u32], seed: u64) -> anyhow::Result<Vec<View>> {
    let view = federation.view_of(rows)?;
    let values = &view.columns[WRONG];
    columns(values, values.len() / rows.len(), seed)
        .into_iter()
        .map(|values| federation.view(vec![view.columns[0].clone(), values], [None, None]))
        .collect()
}

/// Normal `values` of `width` per row, spoiled in each of three ways.
pub fn columns(values: &[f32], width: usize, seed: u64) -> [Vec<f32>; 3] {
    let rows = values.len() / width;
    let mut rng = stream(seed, "spoiled columns", &[]);
    let each = (0..values.len()).map(|at| values[below(&mut rng, rows) * width + at % width]).collect();
    let mut quarter = Vec::with_capacity(values.len());
    for row in 0..rows {
        let other = below(&mut rng, rows);
        for column in 0..width {
            let from = if rng.next_u32() & 3 == 0 { other } else { row };
            quarter.push(values[from * width + column]);
        }
    }
    let deviations: Vec<f32> =
        (0..width).map(|column| deviation(values.iter().skip(column).step_by(width))).collect();
    let mut moved = vec![0.0; values.len()];
    add_noise(&mut moved, MOVED, &mut rng);
    for (at, (moved, value)) in moved.iter_mut().zip(values).enumerate() {
        *moved = value + deviations[at % width] * *moved;
    }
    [each, quarter, moved]
}

fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    (rng.next_u64() % bound as u64) as usize
}

fn deviation<'a>(values: impl Iterator<Item = &'a f32> + Clone) -> f32 {
    let count = values.clone().count() as f32;
    let mean = values.clone().sum::<f32>() / count;
    (values.map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt()
}

/// Prints the combinations of `members` with their areas.
pub fn rank(of_normal: &[Vec<f64>], of_spoiled: &[Vec<Vec<f64>>], members: &[Member]) {
    let mut ranked: Vec<(Vec<f64>, String)> = Vec::new();
    for set in 1_u32..1 << members.len() {
        let chosen: Vec<Member> =
            (0..members.len()).filter(|at| set >> at & 1 == 1).map(|at| members[at]).collect();
        if chosen.len() > MEMBERS {
            continue;
        }
        for rule in Combination::ALL.iter().copied() {
            let normal = scores_of(&chosen, rule, of_normal);
            let areas = of_spoiled.iter().map(|spoiled| area(&normal, &scores_of(&chosen, rule, spoiled)));
            let names: Vec<&str> = chosen.iter().map(|member| member.name).collect();
            ranked.push((areas.collect(), format!("{rule:?} of {}", names.join(", "))));
            if chosen.len() == 1 {
                break;
            }
        }
    }
    ranked.sort_by(|a, b| least(&b.0).total_cmp(&least(&a.0)));
    say!("{} combinations by their least AUROC:", ranked.len());
    for (areas, name) in &ranked {
        say!("  {:.3} {:.3} {:.3}  {name}", areas[0], areas[1], areas[2]);
    }
}

/// The combined score of each row.
fn scores_of(chosen: &[Member], rule: Combination, scores: &[Vec<f64>]) -> Vec<f32> {
    let rows = 0..scores[0].len();
    rows.map(|row| combined(rule, chosen.iter().map(|member| scores[member.place][row])) as f32).collect()
}

/// The area under the ROC curve.
fn area(normal: &[f32], abnormal: &[f32]) -> f64 {
    let positive: Vec<bool> = (0..normal.len() + abnormal.len()).map(|at| at >= normal.len()).collect();
    hashvfl_learning::metrics::auc(&[normal, abnormal].concat(), &positive).unwrap_or(f64::NAN)
}

fn least(areas: &[f64]) -> f64 {
    areas.iter().copied().fold(f64::INFINITY, f64::min)
}
