//! Columns from predictions: what one who is given them, and not the codes, gets back (Luo et al. 2021, "Feature
//! inference attack on model predictions in vertical federated learning"). The adversary is the organisation with columns
//! of its own, which knows its own code.
//!
//! - **Conditional mean** given its own columns and the predictions.
//! - **GRNA**: a generator of the victim's columns from its own ones and noise, trained through the victim's encoder and
//!   the top model so that predictions come out right. It needs both models, and no auxiliary record.
//! - **ESA**: a linear top model's predictions are equations in the victim's code. Here the code is one of 2^d, and the
//!   one that fits best is taken; floats are had back as the shortest solution.

use std::time::Instant;

use anyhow::Context;
use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::normal::add_noise;
use hashvfl_core::random::stream;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::init::Init;
use hashvfl_learning::snapshot::to_host;
use hashvfl_learning::{Classifier, Encoder};

use crate::evaluation::context::{AttackContext, AttackOutcome};
use crate::evaluation::score::moments;
use crate::evaluation::victim::{AttackSurface, Findings, VictimContext};
use crate::evidence::knowledge::Fact;
use crate::evidence::observed::ObservedAt;
use crate::reconstruction::regression::{Examples, Regression};
use crate::reconstruction::substitute::Batches;
use crate::report::{CutKind, names};

/// Values of noise that the generator is given, and its draws whose mean is the guess.
const NOISE: usize = 8;
const DRAWS: u64 = 8;
/// Units of its hidden layers, its updates and rate.
const GENERATOR: &[usize] = &[128, 128];
const UPDATES: u64 = 1500;
const RATE: f64 = 2e-3;
/// Own columns count as spread by this at least: pixels that are nearly always white would be huge inputs.
const LEAST_DEVIATION: f32 = 0.1;
/// Weight of the penalty on columns far from their mean.
const PENALTY: f32 = 0.01;
/// Longest code that is looked for among all.
const MOST_BITS: usize = 16;

/// Probabilities of classes from outputs [rows, classes]; of one output, itself.
fn probabilities(outputs: &[f32], classes: usize) -> Vec<f32> {
    if classes == 1 {
        return outputs.to_vec();
    }
    let row = |row: &[f32]| {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = row.iter().map(|v| (v - most).exp()).collect();
        let sum: f32 = powers.iter().sum();
        powers.into_iter().map(move |power| power / sum)
    };
    outputs.chunks_exact(classes).flat_map(row).collect()
}

impl VictimContext<'_> {
    /// All that predictions alone give, where there is an organisation with columns of its own and the cut's models are
    /// there.
    pub fn predictions(&self, attackable: &AttackSurface, findings: &mut Findings) -> anyhow::Result<()> {
        let (Some(own), Some(top)) = (self.own, attackable.top) else { return Ok(()) };
        let attack_context = self.frozen_context(attackable);
        let began = Instant::now();
        let parts = |rows: &[u32]| {
            let seen = |party| attackable.observed.gather(party, ObservedAt::Frozen, rows);
            (0..attackable.observed.parties.len()).map(seen).collect::<anyhow::Result<Vec<_>>>()
        };
        let predicted = |rows: &[u32]| -> anyhow::Result<Vec<f32>> {
            let outputs = top.predict(&parts(rows)?, rows.len());
            Ok(probabilities(&outputs, outputs.len() / rows.len()))
        };
        let (known, seen) = (predicted(attack_context.auxiliary)?, predicted(attack_context.targets)?);
        if attackable.cut == CutKind::Codes {
            findings.keep(attack_context.conditional_mean(&[Fact::OwnColumns])?);
        }
        let inputs = |rows: &[u32], predicted: &[f32]| {
            let each = predicted.len() / rows.len();
            let own = own.gather(rows);
            let width = own.len() / rows.len();
            let row = |row: usize| {
                let columns = own[row * width..][..width].iter();
                columns.chain(&predicted[row * each..][..each]).copied()
            };
            (0..rows.len()).flat_map(row).collect::<Vec<f32>>()
        };
        let examples = Examples {
            inputs: inputs(attack_context.auxiliary, &known),
            outputs: self.owner.columns.gather(attack_context.auxiliary),
            rows: attack_context.auxiliary.len(),
            discrete: false,
        };
        let regression = Regression::fit(&examples, self.config.seed);
        let guess = regression.predict(&inputs(attack_context.targets, &seen), attack_context.targets.len());
        let note = format!("regression chosen on held-out auxiliary records: {}", regression.kind);
        let name = "conditional mean given predictions";
        let numbers = seen.len() / attack_context.targets.len();
        findings.keep(from_prediction(&attack_context, (name, vec![]), guess, (note, numbers), began));

        if let Some(encoder) = attackable.encoders.get(self.victim) {
            let began = Instant::now();
            let targets = attack_context.searched();
            let seen = &seen[..targets.len() * numbers];
            let guess = self.generated((&attack_context, encoder, top), targets, &parts(targets)?, seen)?;
            let note = format!(
                "{UPDATES} updates of a generator through both models, no auxiliary record but for means"
            );
            let known = vec!["weights".into(), "top model".into()];
            findings.keep(from_prediction(&attack_context, ("GRNA", known), guess, (note, numbers), began));
        }
        Ok(())
    }

    /// What GRNA's generator makes of `targets`, whose predictions were `seen`.
    fn generated(
        &self,
        (attack_context, encoder, top): (&AttackContext, &Encoder, &Classifier),
        targets: &[u32],
        parts: &[Vec<f32>],
        seen: &[f32],
    ) -> anyhow::Result<Vec<f32>> {
        let own = self.own.context("an organisation with columns of its own")?;
        let (own_mean, own_deviation) = moments(own, targets);
        let (mean, deviation) = moments(attack_context.columns, attack_context.auxiliary);
        let (classes, bits) = (seen.len() / targets.len(), encoder.bits());
        let device = Device::flex().autodiff();
        let mut init = Init::new(stream(self.config.seed, "generator", &[]), &device);
        let mut generator: Mlp =
            MlpConfig { hidden: GENERATOR.to_vec() }.init(own.cols() + NOISE, mean.len(), &mut init)?;
        let plain = Device::flex();
        let tensor = |values: Vec<f32>, rows: usize| {
            let width = values.len() / rows.max(1);
            Tensor::<2>::from_data(TensorData::new(values, [rows, width]), &plain)
        };
        let inputs = |rows: &[u32], draw: u64| {
            let mut noise = vec![0.0; rows.len() * NOISE];
            add_noise(&mut noise, 1.0, &mut stream(self.config.seed, "generator noise", &[draw]));
            let columns = own.gather(rows);
            let scales = own_mean.iter().zip(&own_deviation);
            let row = |(columns, noise): (&[f32], &[f32])| {
                let standard =
                    columns.iter().zip(scales.clone()).map(|(v, (m, d))| (v - m) / d.max(LEAST_DEVIATION));
                standard.chain(noise.iter().copied()).collect::<Vec<f32>>()
            };
            columns
                .chunks_exact(own.cols())
                .zip(noise.chunks_exact(NOISE))
                .flat_map(row)
                .collect::<Vec<f32>>()
        };
        let (shift, scale) = (tensor(mean, 1), tensor(deviation, 1));
        let mut adam = Adam::new(AdamConfig::default());
        let places: Vec<u32> = (0..targets.len() as u32).collect();
        let mut batches = Batches::new(&places, self.config.seed);
        for update in 0..UPDATES {
            let batch = batches.draw();
            let count = batch.len();
            let rows: Vec<u32> = batch.iter().map(|place| targets[*place as usize]).collect();
            let pick = |values: &[f32], width: usize| -> Vec<f32> {
                batch.iter().flat_map(|place| &values[*place as usize * width..][..width]).copied().collect()
            };
            let wanted = pick(seen, classes);
            let mut codes: Vec<Vec<f32>> = parts.iter().map(|part| pick(part, bits)).collect();
            let (z, trace) = generator.forward(tensor(inputs(&rows, update), count), &mut Dropout::off());
            let columns = z.clone() * scale.clone() + shift.clone();
            let pulled = encoder.pull(columns, |values| {
                // The sign's gradient is taken as one.
                codes[self.victim] = attack_context.at_cut(to_host(values));
                let mut pulls = top.pull(&codes, count, |outputs| {
                    let guess = probabilities(outputs, classes);
                    guess.iter().zip(&wanted).map(|(guess, wanted)| (guess - wanted) / count as f32).collect()
                });
                tensor(pulls.swap_remove(self.victim), count)
            });
            let cells = (count * scale.dims()[1]) as f32;
            let gradient = pulled * scale.clone() + z.mul_scalar(2.0 * PENALTY / cells);
            let mut gradients = generator.backward_weights(trace, gradient);
            generator = adam.update(generator, &mut gradients, RATE);
        }
        let draw = |draw: u64| {
            let input = tensor(inputs(targets, UPDATES + draw), targets.len());
            generator.forward(input, &mut Dropout::off()).0
        };
        let sum = (1..DRAWS).fold(draw(0), |sum, next| sum + draw(next));
        Ok(to_host(sum.div_scalar(DRAWS as f32) * scale + shift))
    }

    /// Solves the equations of a linear top model of `attackable`, from predictions that were rounded to `step` or not;
    /// solved codes are read by a regression that was fitted on auxiliary records' ones. Nothing if codes are too long.
    pub fn equations(&self, attackable: &AttackSurface, step: f32) -> anyhow::Result<Option<AttackOutcome>> {
        let (Some(_), Some(top)) = (self.own, attackable.top) else { return Ok(None) };
        let bits = attackable.observed.width;
        if attackable.cut != CutKind::SimulatedFloats && bits > MOST_BITS {
            return Ok(None);
        }
        let began = Instant::now();
        let attack_context = self.frozen_context(attackable);
        let equations = Equations::of(top, attackable.observed.parties.len(), bits, self.victim);
        let solve = |rows: &[u32]| -> anyhow::Result<Vec<f32>> {
            let seen = |party| attackable.observed.gather(party, ObservedAt::Frozen, rows);
            let parts =
                (0..attackable.observed.parties.len()).map(seen).collect::<anyhow::Result<Vec<_>>>()?;
            let outputs = top.predict(&parts, rows.len());
            let mut predicted = probabilities(&outputs, outputs.len() / rows.len());
            if step > 0.0 {
                predicted.iter_mut().for_each(|p| *p = (*p / step).round() * step);
            }
            Ok(equations.solve(&parts, &predicted, rows.len(), attackable.cut == CutKind::SimulatedFloats))
        };
        let (known, solved) = (solve(attack_context.auxiliary)?, solve(attack_context.targets)?);
        let examples = Examples {
            inputs: known,
            outputs: attack_context.columns.gather(attack_context.auxiliary),
            rows: attack_context.auxiliary.len(),
            discrete: attackable.cut != CutKind::SimulatedFloats,
        };
        let regression = Regression::fit(&examples, self.config.seed);
        let guess = regression.predict(&solved, attack_context.targets.len());
        let truth = attackable.observed.gather(self.victim, ObservedAt::Frozen, attack_context.targets)?;
        let exact = if step > 0.0 { format!("rounded to {step}") } else { "exact".to_string() };
        let note =
            format!("a linear top model, predictions {exact}; solved codes are read by: {}", regression.kind);
        let known = vec!["top model".to_string(), format!("predictions {exact}")];
        let numbers = equations.classes;
        let mut attacked = from_prediction(&attack_context, ("ESA", known), guess, (note, numbers), began);
        if attackable.cut != CutKind::SimulatedFloats {
            let right = |(solved, truth): (&[f32], &[f32])| {
                solved.iter().zip(truth).filter(|(a, b)| a == b).count() as f64 / bits as f64
            };
            let shares: Vec<f64> =
                solved.chunks_exact(bits).zip(truth.chunks_exact(bits)).map(right).collect();
            let shares = crate::metrics::Bootstrap::new(self.config.seed).mean(&shares);
            attacked.result.metrics.insert(names::BITS.into(), shares);
        }
        Ok(Some(attacked))
    }
}

/// A guess of columns from predictions of so many numbers.
fn from_prediction(
    attack_context: &AttackContext,
    (attack, more): (&str, Vec<String>),
    guess: Vec<f32>,
    (note, numbers): (String, usize),
    began: Instant,
) -> AttackOutcome {
    let knowledge = [vec!["own columns".to_string()], more].concat();
    let mut attacked = attack_context.attacked(attack, (knowledge, 1), guess, Some(note), began);
    attacked.result.defence = names::predictions_of(&attacked.result.defence);
    attacked.result.cut = CutKind::Predictions;
    attacked.result.bits = 32 * numbers as u64;
    attacked
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

    #[test]
    fn probabilities_sum_to_one() {
        let found = probabilities(&[0.0, 0.0, 1000.0, 0.0], 2);
        assert_eq!(found, [0.5, 0.5, 1.0, 0.0]);
        assert_eq!(probabilities(&[3.0], 1), [3.0]);
    }
}
