//! How the coordinator's default combination was chosen: on normal validation records alone.
//!
//! Codes of some of them are spoiled without any knowledge of the kinds of the bench: re-paired with another record's,
//! a quarter of one party's bits flipped, random codes at all parties. Every combination of up to three detectors is
//! ranked by the least area over the three.

use hashvfl_core::random::stream;
use hashvfl_detectors::{Combination, CoordinatorKind};
use rand::Rng;

use crate::federation::Federation;
use crate::scores::Fitted;

/// Combinations that are shown.
const SHOWN: usize = 12;

/// Prints the best combinations with their areas.
pub fn choose(federation: &Federation<'_>, fitted: &Fitted, seed: u64) -> anyhow::Result<()> {
    let (normal, spoiled) = federation.scale.split_at(federation.scale.len() / 2);
    let columns = |rows: &[u32]| -> anyhow::Result<Vec<Vec<f32>>> {
        (0..2).map(|party| federation.prepare(party, federation.raw(party, rows))).collect()
    };
    let of_normal = fitted.score(&federation.view_of(normal)?)?.0;
    let signs: Vec<Vec<f32>> = (0..2)
        .map(|party| {
            let view = federation.view_of(spoiled)?;
            Ok(view.embedding[party].iter().map(|value| if *value >= 0.0 { 1.0 } else { -1.0 }).collect())
        })
        .collect::<anyhow::Result<_>>()?;
    let bits = signs[0].len() / spoiled.len();
    let mut rng = stream(seed, "spoiled codes", &[]);
    let paired: Vec<f32> = (0..spoiled.len())
        .flat_map(|_| {
            let other = rng.next_u32() as usize % spoiled.len();
            signs[1][other * bits..][..bits].to_vec()
        })
        .collect();
    let flipped = signs[1].iter().map(|sign| if rng.next_u32() & 3 == 0 { -sign } else { *sign }).collect();
    let mut random = |count: usize| -> Vec<f32> {
        (0..count).map(|_| if rng.next_u32() & 1 == 0 { -1.0 } else { 1.0 }).collect()
    };
    let both = [Some(random(signs[0].len())), Some(random(signs[1].len()))];
    let mut found = Vec::new();
    for codes in [[None, Some(paired)], [None, Some(flipped)], both] {
        found.push(fitted.score(&federation.view(columns(spoiled)?, codes)?)?.0);
    }
    let mut ranked: Vec<(Vec<f64>, String)> = Vec::new();
    let count = CoordinatorKind::ALL.len();
    for set in 1_u32..1 << count {
        let members: Vec<usize> = (0..count).filter(|at| set >> at & 1 == 1).collect();
        if members.len() > 3 {
            continue;
        }
        for rule in [Combination::Bonferroni, Combination::TwiceMean] {
            let areas = found.iter().map(|spoiled| {
                let (a, b) = (combined(&of_normal, &members, rule), combined(spoiled, &members, rule));
                let positive: Vec<bool> = (0..a.len() + b.len()).map(|at| at >= a.len()).collect();
                hashvfl_learning::metrics::auc(&[a, b].concat(), &positive)
            });
            let names: Vec<&str> = members.iter().map(|at| CoordinatorKind::ALL[*at].name()).collect();
            ranked.push((areas.collect(), format!("{rule:?} of {}", names.join(", "))));
            if members.len() == 1 {
                break;
            }
        }
    }
    let least = |areas: &Vec<f64>| areas.iter().copied().fold(f64::INFINITY, f64::min);
    ranked.sort_by(|a, b| least(&b.0).total_cmp(&least(&a.0)));
    println!("\ncombinations by their least AUROC on spoiled validation codes: re-paired, flipped, random");
    for (areas, name) in ranked.iter().take(SHOWN) {
        println!("  {:.3} {:.3} {:.3}  {name}", areas[0], areas[1], areas[2]);
    }
    Ok(())
}

/// Scores are minus logarithms of shares of normal rows.
fn combined(scores: &[Vec<f64>], members: &[usize], rule: Combination) -> Vec<f32> {
    let score = |row: usize| match rule {
        Combination::Bonferroni => {
            members.iter().map(|at| scores[*at][row]).fold(f64::NEG_INFINITY, f64::max)
        }
        Combination::TwiceMean => {
            -members.iter().map(|at| (-scores[*at][row]).exp()).sum::<f64>().max(1e-300).ln()
        }
    };
    (0..scores[0].len()).map(|row| score(row) as f32).collect()
}
