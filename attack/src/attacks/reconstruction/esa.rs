//! ESA (Luo et al. 2021, "Feature inference attack on model predictions in vertical federated learning"): a linear top
//! model's predictions are equations in the victim's code. Here the code is one of 2^d, and the one that fits best is
//! taken; of floats, the shortest solution. Solved codes are read by a regression that was fitted on auxiliary records'
//! ones.

use hashvfl_learning::Classifier;

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
        for (like, cut, name) in surfaces.repeated_cuts() {
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
    let known = equations.solve_rows(top, surface, predictions, context.auxiliary)?;
    let solved = equations.solve_rows(top, surface, predictions, context.targets)?;
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
    let mut found = Vec::with_capacity(solved.len() / bits);
    for (solved, truth) in solved.chunks_exact(bits).zip(truth.chunks_exact(bits)) {
        let right = solved.iter().zip(truth).filter(|(a, b)| a == b).count();
        found.push(right as f64 / bits as f64);
    }
    found
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
        let equations = classes.saturating_sub(1).max(1);
        let mut slopes = Vec::with_capacity(equations);
        for equation in 0..equations {
            let mut of = vec![0.0; classes];
            of[equation] = 1.0;
            if classes > 1 {
                of[classes - 1] -= 1.0;
            }
            // Of a linear model, the gradient of an output is its weights.
            slopes.push(top.pull(&zeros, 1, |_| of));
        }
        let weights = (0..parties).map(|party| slopes.iter().map(|of| of[party].clone()).collect()).collect();
        let last = if classes > 1 { offsets[classes - 1] } else { 0.0 };
        let offsets = offsets[..equations].iter().map(|offset| offset - last).collect();
        Self { classes, victim, bits, weights, offsets }
    }

    /// The victim's codes of `rows` as the predictions of `top` give them away.
    fn solve_rows(
        &self,
        top: &Classifier,
        surface: &AttackSurface,
        predictions: Knowledge,
        rows: &[u32],
    ) -> anyhow::Result<Vec<f32>> {
        let parts = surface.observed.gather_all(ObservedAt::Frozen, rows)?;
        let outputs = top.predict(&parts, rows.len());
        let mut predicted = probabilities(&outputs, outputs.len() / rows.len());
        if predictions == Knowledge::RoundedPredictions {
            predicted.iter_mut().for_each(|p| *p = (*p / ROUNDED).round() * ROUNDED);
        }
        let floats = surface.cut == CutKind::SimulatedFloats;
        Ok(self.solve(&parts, &predicted, rows.len(), floats))
    }

    /// The victim's codes [rows, bits] that give `predicted` [rows, classes] beside the others' `parts`.
    fn solve(&self, parts: &[Vec<f32>], predicted: &[f32], rows: usize, floats: bool) -> Vec<f32> {
        let predicted = predicted.chunks_exact(self.classes).take(rows).enumerate();
        let left = predicted.map(|(row, predicted)| self.unexplained(parts, predicted, row));
        if floats {
            return left.flat_map(|left| self.shortest(&left)).collect();
        }
        let table = self.sums_of_codes();
        left.flat_map(|left| code(nearest(&table, &left), self.bits)).collect()
    }

    /// What the victim's code must account for in each equation: what is `predicted` of the record in `row`, less what
    /// the others' `parts` account for.
    fn unexplained(&self, parts: &[Vec<f32>], predicted: &[f32], row: usize) -> Vec<f32> {
        let last = predicted[self.classes - 1].max(1e-12).ln();
        let mut left = Vec::with_capacity(self.offsets.len());
        for (equation, offset) in self.offsets.iter().enumerate() {
            let seen = match self.classes {
                1 => predicted[0],
                _ => predicted[equation].max(1e-12).ln() - last,
            };
            let others = (0..parts.len()).filter(|party| *party != self.victim);
            let known = others.map(|party| {
                dot(&parts[party][row * self.bits..][..self.bits], &self.weights[party][equation])
            });
            left.push(seen - offset - known.sum::<f32>());
        }
        left
    }

    /// What each of the victim's 2^d codes accounts for: [codes, equations].
    fn sums_of_codes(&self) -> Vec<f32> {
        let own = &self.weights[self.victim];
        let mut sums = Vec::with_capacity(own.len() << self.bits);
        for number in 0..1_usize << self.bits {
            let code: Vec<f32> = code(number, self.bits).collect();
            sums.extend(own.iter().map(|weights| dot(&code, weights)));
        }
        sums
    }

    /// The shortest solution of `weights v = left`, by Kaczmarz's rows (1937) from zero.
    fn shortest(&self, left: &[f32]) -> Vec<f32> {
        let own = &self.weights[self.victim];
        let mut v = vec![0.0; self.bits];
        for _ in 0..200 {
            for (weights, left) in own.iter().zip(left) {
                let length = dot(weights, weights);
                let miss = left - dot(&v, weights);
                v.iter_mut().zip(weights).for_each(|(v, w)| *v += miss / length.max(1e-12) * w);
            }
        }
        v
    }
}

/// The code whose bits are those of `number`.
fn code(number: usize, bits: usize) -> impl Iterator<Item = f32> {
    (0..bits).map(move |bit| if number >> bit & 1 == 1 { 1.0 } else { -1.0 })
}

/// The first row of `table` [rows, values] that is nearest to `left`.
fn nearest(table: &[f32], left: &[f32]) -> usize {
    let (mut nearest, mut least) = (0, f32::INFINITY);
    for (number, sums) in table.chunks_exact(left.len()).enumerate() {
        let far: f32 = sums.iter().zip(left).map(|(a, b)| (a - b).powi(2)).sum();
        if far < least {
            (nearest, least) = (number, far);
        }
    }
    nearest
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
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
            let code: Vec<f32> = code(number, 4).collect();
            let parts = [own.clone(), code.clone()];
            let mut outputs = equations.offsets.clone();
            for (equation, output) in outputs.iter_mut().enumerate() {
                for (part, weights) in parts.iter().zip(&equations.weights) {
                    *output += dot(part, &weights[equation]);
                }
            }
            let predicted = probabilities(&[outputs[0], outputs[1], 0.0], 3);
            assert_eq!(equations.solve(&parts, &predicted, 1, false), code);
            let floats = equations.solve(&parts, &predicted, 1, true);
            for equation in 0..2 {
                let weights = &equations.weights[1][equation];
                assert!((dot(&floats, weights) - dot(&code, weights)).abs() < 1e-3, "{floats:?}");
            }
            assert!(dot(&floats, &floats) <= dot(&code, &code) + 1e-3);
        }
    }
}
