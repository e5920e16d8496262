//! ESA (Luo et al. 2021, "Feature inference attack on model predictions in vertical federated learning"): a linear top
//! model's predictions are equations in the victim's code. Here the code is one of 2^d, and the one that fits best is
//! taken; of floats, the shortest solution. Solved codes are read by a regression that was fitted on auxiliary records'
//! ones.

use hashvfl_learning::Classifier;
use hashvfl_learning::encoder::CutLayer;

use crate::attacks::AttackId;
use crate::attacks::reconstruction::predictions::{probabilities, scored};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::Attempt;
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::observed::ObservedAt;
use crate::evidence::simulation::{RunVariant, simulate};
use crate::report::{Change, CutKind, Knowledge, Metric};
use hashvfl_leakage::metrics::Bootstrap;
use hashvfl_leakage::regression::{Examples, Regression};

/// Longest code that is looked for among all.
const MOST_BITS: usize = 16;
/// To what predictions are rounded in the second try.
pub const ROUNDED: f32 = 0.01;

/// ESA, on the run repeated with a linear top model.
pub struct Esa;

impl Attack for Esa {
    fn about(&self) -> About {
        About {
            title: "ESA: a linear top model's equations",
            knows: &[
                Knowledge::OwnColumns,
                Knowledge::TopModel,
                Knowledge::ExactPredictions,
                Knowledge::RoundedPredictions,
            ],
            needs: &[Need::FurtherAttacks, Need::OwnColumns, Need::Signs],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let run = &victim.evidence.coordinator.run;
        for (like, cut, name) in [
            (&surfaces.codes, CutLayer::Hash, "codes"),
            (&surfaces.floats, CutLayer::SimulatedFloat, "floats"),
        ] {
            let path = evaluation.out.join(format!("simulated-linear-{name}.parquet"));
            let repeat = RunVariant { linear_top: true, ..RunVariant::new(run, cut) };
            let linear = simulate(victim.evidence, &repeat, &path)?;
            let surface = AttackSurface::repeated(&linear, like, like.defence.changed(Change::LinearTop));
            for predictions in [Knowledge::ExactPredictions, Knowledge::RoundedPredictions] {
                if let Some(attacked) = solve(victim, &surface, &linear.top, predictions)? {
                    evaluation.keep(attacked);
                }
            }
        }
        Ok(())
    }
}

/// Solves the equations of a linear `top` model; nothing if codes are too long.
fn solve(
    victim: &VictimContext,
    surface: &AttackSurface,
    top: &Classifier,
    predictions: Knowledge,
) -> anyhow::Result<Option<AttackOutcome>> {
    let (bits, floats) = (surface.observed.width(victim.place), surface.cut == CutKind::SimulatedFloats);
    if !floats && bits > MOST_BITS {
        return Ok(None);
    }
    let knowledge = [Knowledge::OwnColumns, Knowledge::TopModel, predictions];
    let attempt = Attempt::begin(AttackId::Esa, &knowledge, 1);
    let mut context = victim.test_context(surface);
    let owned = context.owned_frozen();
    context.auxiliary = &owned;
    let equations = Equations::of(top, surface.observed.parties.len(), bits, victim.place);
    let solve = |rows: &[u32]| -> anyhow::Result<Vec<f32>> {
        let parts = surface.observed.gather_all(ObservedAt::Frozen, rows)?;
        let outputs = top.predict(&parts, rows.len());
        let mut predicted = probabilities(&outputs, outputs.len() / rows.len());
        if predictions == Knowledge::RoundedPredictions {
            predicted.iter_mut().for_each(|p| *p = (*p / ROUNDED).round() * ROUNDED);
        }
        Ok(equations.solve(&parts, &predicted, rows.len(), floats))
    };
    let (known, solved) = (solve(context.auxiliary)?, solve(context.targets)?);
    let examples = Examples {
        inputs: known,
        outputs: context.columns.gather(context.auxiliary),
        rows: context.auxiliary.len(),
        discrete: !floats,
    };
    let regression = Regression::fit(&examples, context.seed);
    let guess = regression.predict(&solved, context.targets.len());
    let note = format!("a linear top model, {predictions}; solved codes are read by: {}", regression.kind);
    let mut attacked = scored(&context, attempt.noted(note), guess, equations.classes);
    if !floats {
        let truth = surface.observed.gather(victim.place, ObservedAt::Frozen, context.targets)?;
        let found = found_bits(&solved, &truth, bits);
        attacked.result.metrics.insert(Metric::Bits, Bootstrap::new(context.seed).mean(&found));
    }
    Ok(Some(attacked))
}

/// The fraction of each code's bits that was found: [rows].
fn found_bits(solved: &[f32], truth: &[f32], bits: usize) -> Vec<f64> {
    let right = |(solved, truth): (&[f32], &[f32])| {
        solved.iter().zip(truth).filter(|(a, b)| a == b).count() as f64 / bits as f64
    };
    solved.chunks_exact(bits).zip(truth.chunks_exact(bits)).map(right).collect()
}

/// A linear top model: differences of its outputs to the last class's, as they depend on each party's code.
struct Equations {
    /// Classes, or 1 for a regression.
    classes: usize,
    victim: usize,
    bits: usize,
    /// [party][equation][bit].
    weights: Vec<Vec<Vec<f32>>>,
    offsets: Vec<f32>,
}

impl Equations {
    fn of(top: &Classifier, parties: usize, bits: usize, victim: usize) -> Self {
        let zeros = vec![vec![0.0; bits]; parties];
        let offsets = top.predict(&zeros, 1);
        let classes = offsets.len();
        // Of a linear model, the gradient of an output is its weights.
        let slope = |equation: usize| {
            top.pull(&zeros, 1, |_| {
                let mut of = vec![0.0; classes];
                of[equation] = 1.0;
                if classes > 1 {
                    of[classes - 1] -= 1.0;
                }
                of
            })
        };
        let equations = classes.saturating_sub(1).max(1);
        let slopes: Vec<Vec<Vec<f32>>> = (0..equations).map(slope).collect();
        let weights = (0..parties).map(|party| slopes.iter().map(|of| of[party].clone()).collect()).collect();
        let last = if classes > 1 { offsets[classes - 1] } else { 0.0 };
        let offsets = offsets[..equations].iter().map(|offset| offset - last).collect();
        Self { classes, victim, bits, weights, offsets }
    }

    /// The victim's codes [rows, bits] that give `predicted` [rows, classes] beside the others' `parts`.
    fn solve(&self, parts: &[Vec<f32>], predicted: &[f32], rows: usize, floats: bool) -> Vec<f32> {
        let own = &self.weights[self.victim];
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let left = |row: usize| -> Vec<f32> {
            let predicted = &predicted[row * self.classes..][..self.classes];
            let last = predicted[self.classes - 1].max(1e-12).ln();
            (0..self.offsets.len())
                .map(|equation| {
                    let seen = match self.classes {
                        1 => predicted[0],
                        _ => predicted[equation].max(1e-12).ln() - last,
                    };
                    let others = (0..parts.len()).filter(|party| *party != self.victim);
                    let known = others.map(|party| {
                        dot(&parts[party][row * self.bits..][..self.bits], &self.weights[party][equation])
                    });
                    seen - self.offsets[equation] - known.sum::<f32>()
                })
                .collect()
        };
        if floats {
            return (0..rows).flat_map(|row| self.shortest(&left(row))).collect();
        }
        let code =
            |number: usize| (0..self.bits).map(move |bit| if number >> bit & 1 == 1 { 1.0 } else { -1.0 });
        let table: Vec<f32> = (0..1_usize << self.bits)
            .flat_map(|number| {
                let code: Vec<f32> = code(number).collect();
                own.iter().map(|weights| dot(&code, weights)).collect::<Vec<f32>>()
            })
            .collect();
        let best = |row: usize| {
            let left = left(row);
            let far = |sums: &[f32]| sums.iter().zip(&left).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
            let sums = table.chunks_exact(left.len()).enumerate();
            sums.map(|(number, sums)| (far(sums), number))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .map_or(0, |(_, number)| number)
        };
        (0..rows).flat_map(|row| code(best(row))).collect()
    }

    /// The shortest solution of `weights v = left`, by Kaczmarz's rows (1937) from zero.
    fn shortest(&self, left: &[f32]) -> Vec<f32> {
        let own = &self.weights[self.victim];
        let mut v = vec![0.0; self.bits];
        for _ in 0..200 {
            for (weights, left) in own.iter().zip(left) {
                let length: f32 = weights.iter().map(|w| w * w).sum();
                let miss = left - v.iter().zip(weights).map(|(v, w)| v * w).sum::<f32>();
                v.iter_mut().zip(weights).for_each(|(v, w)| *v += miss / length.max(1e-12) * w);
            }
        }
        v
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equations() -> Equations {
        Equations {
            classes: 3,
            victim: 1,
            bits: 4,
            weights: vec![
                vec![vec![0.5, -0.25, 0.125, 1.0], vec![0.0, 1.0, 0.5, 0.25]],
                vec![vec![0.31, -0.17, 0.53, 0.11], vec![0.23, 0.41, -0.07, 0.67]],
            ],
            offsets: vec![0.2, -0.1],
        }
    }

    /// Predictions of a linear model give a code away, exactly; rounded ones no longer.
    #[test]
    fn equations_are_solved() {
        let equations = equations();
        let own = vec![1.0, -1.0, -1.0, 1.0];
        for number in 0..16 {
            let code: Vec<f32> = (0..4).map(|bit| if number >> bit & 1 == 1 { 1.0 } else { -1.0 }).collect();
            let parts = [own.clone(), code.clone()];
            let output = |equation: usize| {
                let dot = |party: usize| -> f32 {
                    parts[party].iter().zip(&equations.weights[party][equation]).map(|(a, b)| a * b).sum()
                };
                equations.offsets[equation] + dot(0) + dot(1)
            };
            let predicted = probabilities(&[output(0), output(1), 0.0], 3);
            assert_eq!(equations.solve(&parts, &predicted, 1, false), code);
            let floats = equations.solve(&parts, &predicted, 1, true);
            for equation in 0..2 {
                let weights = &equations.weights[1][equation];
                let of = |code: &[f32]| code.iter().zip(weights).map(|(a, b)| a * b).sum::<f32>();
                assert!((of(&floats) - of(&code)).abs() < 1e-3, "{floats:?}");
            }
            let length = |code: &[f32]| code.iter().map(|v| v * v).sum::<f32>();
            assert!(length(&floats) <= length(&code) + 1e-3);
        }
    }
}
