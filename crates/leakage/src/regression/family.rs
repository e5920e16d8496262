//! All kinds of regressions, each cross-validated on the same records.

use std::thread;

use super::folds::Folds;
use super::linear::{Features, cross_fit as cross_fit_linear};
use super::lookup::Lookup;
use super::network::MlpRegression;
use super::trees::BoostedTrees;
use super::{Constant, Examples, Predictor, draw_back};

/// One regression: what it makes of each part of the records that judge without that part, and, of any other record, the mean
/// of those (Krogh and Vedelsby 1995, "Neural network ensembles, cross validation, and active learning").
pub struct Candidate {
    /// Its kind.
    pub kind: &'static str,
    /// Outputs of the records that judge.
    pub on_judges: Vec<f32>,
    predictor: Box<dyn Predictor>,
}

impl Candidate {
    pub(super) fn new(kind: &'static str, on_judges: Vec<f32>, predictor: impl Predictor + 'static) -> Self {
        Self { kind, on_judges, predictor: Box::new(predictor) }
    }

    /// Outputs [rows, outputs] for inputs [rows, inputs].
    pub fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        self.predictor.predict(inputs, rows)
    }

    pub(super) fn into_predictor(self) -> Box<dyn Predictor> {
        self.predictor
    }
}

/// The mean of several.
struct Committee(Vec<Box<dyn Predictor>>);

impl Predictor for Committee {
    fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        let mut sum: Vec<f32> = Vec::new();
        for member in &self.0 {
            let guess = member.predict(inputs, rows);
            sum.resize(guess.len(), 0.0);
            sum.iter_mut().zip(guess).for_each(|(sum, value)| *sum += value);
        }
        sum.iter_mut().for_each(|sum| *sum /= self.0.len() as f32);
        sum
    }
}

const RIDGES: &[f64] = &[0.1, 3.0, 100.0, 3000.0];
/// Reaches of kernels, as multiples of the usual distance of two rows.
const REACHES: [f32; 2] = [0.4, 1.0];
const KERNEL_STRENGTHS: &[f64] = &[0.03, 0.3, 3.0];
/// Rows that serve as landmarks at most: fewer where several parts are left out, which multiply the work.
const LANDMARKS: usize = 600;
const LANDMARKS_OF_PARTS: usize = 400;
const QUICK_LANDMARKS: usize = 250;
const NETWORK: &[usize] = &[128, 128];
/// Updates of it at most.
const UPDATES: usize = 2_500;
/// Most inputs of which a table is made: of more, hardly two rows are equal.
const MOST_TABLE_INPUTS: usize = 24;
/// Fewest records from which networks and trees learn more than closed forms do.
const FEWEST_TO_LEARN: usize = 400;

/// How many kinds are fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Those in closed form, with few settings: no networks, no trees.
    Quick,
    /// The same and trees.
    Check,
    /// All.
    All,
}

/// Fits every kind on `examples`, of which the first ones are divided into `folds`.
pub fn cross_fit(examples: &Examples, folds: &Folds, seed: u64, effort: Effort) -> Vec<Candidate> {
    let mut candidates = vec![mean(examples, folds)];
    if examples.inputs_width() == 0 || folds.judges() < 2 {
        return candidates;
    }
    // Both halves take about as long, on a thread each.
    let learns = examples.rows >= FEWEST_TO_LEARN;
    let (has_trees, has_network) = (learns && effort != Effort::Quick, learns && effort == Effort::All);
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| {
            let mut first = kernels(examples, folds, seed, effort);
            if has_trees {
                first.push(trees(examples, folds, seed));
            }
            first
        });
        let mut second = ridges(examples, folds, seed, effort);
        if examples.discrete && examples.inputs_width() <= MOST_TABLE_INPUTS {
            second.push(by_parts("table", examples, folds, |part| {
                Box::new(Lookup::fit(&examples.pick(&folds.outside(part, examples.rows))))
            }));
        }
        if has_network {
            second.push(network(examples, folds, seed));
        }
        // Unwrap safety: a panic of the other thread is passed on.
        (first.join().expect("closed forms"), second)
    });
    candidates.extend(second);
    candidates.extend(first);
    let ranges = examples.output_ranges();
    candidates.iter_mut().for_each(|candidate| draw_back(&mut candidate.on_judges, &ranges));
    candidates
}

fn mean(examples: &Examples, folds: &Folds) -> Candidate {
    let mut on_judges = Vec::new();
    for part in folds.parts() {
        let outside = examples.pick(&folds.outside(part, examples.rows));
        on_judges.extend(outside.output_means().repeat(part.len()));
    }
    Candidate::new("mean", on_judges, Constant(examples.output_means()))
}

fn ridges(examples: &Examples, folds: &Folds, seed: u64, effort: Effort) -> Vec<Candidate> {
    let features = Features::inputs(examples, landmarks(folds, effort), seed);
    let strengths = if effort == Effort::All { RIDGES } else { &RIDGES[1..3] };
    cross_fit_linear(&features, examples, folds, strengths, "ridge")
}

fn kernels(examples: &Examples, folds: &Folds, seed: u64, effort: Effort) -> Vec<Candidate> {
    let (reaches, strengths) = match effort {
        Effort::Quick | Effort::Check => (&REACHES[1..], &KERNEL_STRENGTHS[1..2]),
        Effort::All => (&REACHES[..], KERNEL_STRENGTHS),
    };
    let mut candidates = Vec::new();
    for reach in reaches {
        let features = Features::gaussian(examples, *reach, landmarks(folds, effort), seed);
        candidates.extend(cross_fit_linear(&features, examples, folds, strengths, "kernel ridge"));
    }
    candidates
}

fn landmarks(folds: &Folds, effort: Effort) -> usize {
    match effort {
        Effort::Quick | Effort::Check => QUICK_LANDMARKS,
        Effort::All if folds.parts().len() > 1 => LANDMARKS_OF_PARTS,
        Effort::All => LANDMARKS,
    }
}

fn trees(examples: &Examples, folds: &Folds, seed: u64) -> Candidate {
    by_parts("boosted trees", examples, folds, |part| {
        let (stop, fitted) = folds.stopping(part, examples.rows);
        Box::new(BoostedTrees::fit(&examples.pick(&fitted), &examples.pick(&stop), seed))
    })
}

fn network(examples: &Examples, folds: &Folds, seed: u64) -> Candidate {
    by_parts("network", examples, folds, |part| {
        let (stop, fitted) = folds.stopping(part, examples.rows);
        Box::new(MlpRegression::fit(&examples.pick(&fitted), &examples.pick(&stop), NETWORK, UPDATES, seed))
    })
}

/// What `fit` makes without each part.
fn by_parts(
    kind: &'static str,
    examples: &Examples,
    folds: &Folds,
    fit: impl Fn(&std::ops::Range<usize>) -> Box<dyn Predictor>,
) -> Candidate {
    let width = examples.inputs_width();
    let (mut on_judges, mut fitted) = (Vec::new(), Vec::new());
    for part in folds.parts() {
        let predictor = fit(part);
        on_judges
            .extend(predictor.predict(&examples.inputs[part.start * width..part.end * width], part.len()));
        fitted.push(predictor);
    }
    Candidate::new(kind, on_judges, Committee(fitted))
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{stream, uniform};

    use super::*;
    use crate::regression::ensemble::{Guesses, mix};

    const OUTPUTS: usize = 4;

    /// Sixteen signs, of which the first ones say as much of four outputs as `signal` says, and the outputs' noise.
    fn table(rows: usize, signal: f32, seed: u64) -> Examples {
        let mut rng = stream(seed, "test", &[]);
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let signs: Vec<f32> = (0..16).map(|_| if uniform(&mut rng) < 0.5 { 1.0 } else { -1.0 }).collect();
            for output in 0..OUTPUTS {
                let noise: f32 = (0..3).map(|_| 2.0 * uniform(&mut rng) - 1.0).sum();
                outputs.push(signal * (signs[output] + signs[output] * signs[output + 4]) / 1.5 + noise);
            }
            inputs.extend(signs);
        }
        Examples { inputs, outputs, rows, discrete: true }
    }

    /// Skill, over the mean, that inputs bring at fresh records to who has `rows` records.
    fn skill(rows: usize, signal: f32, seed: u64) -> f64 {
        let (known, asked) = (table(rows, signal, seed), table(2_000, signal, seed + 1_000));
        let folds = Folds::new(rows);
        let candidates = cross_fit(&known, &folds, seed, Effort::All);
        let views: Vec<&[f32]> = candidates.iter().map(|candidate| &candidate.on_judges[..]).collect();
        let truth = &known.outputs[..folds.judges() * OUTPUTS];
        let guesses = Guesses { views: &views, truth, outputs: OUTPUTS, scored: OUTPUTS };
        let weights = guesses.stack_beside(&[0], 1.0);
        let asked_of: Vec<Vec<f32>> =
            candidates.iter().map(|candidate| candidate.predict(&asked.inputs, asked.rows)).collect();
        let views: Vec<&[f32]> = asked_of.iter().map(Vec::as_slice).collect();
        let error = |guess: &[f32]| -> f64 {
            asked.outputs.iter().zip(guess).map(|(t, g)| f64::from(t - g).powi(2)).sum()
        };
        1.0 - error(&mix(&views, &weights)) / error(views[0])
    }

    /// Signs that say nothing are chosen by chance alone, and cost next to nothing where they are, however few records choose.
    #[test]
    fn what_says_nothing_costs_nothing() {
        for rows in [20, 60, 180] {
            let mut all = Vec::new();
            for seed in 0..30 {
                all.push(skill(rows, 0.0, seed));
            }
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let worst = all.iter().copied().fold(0.0, f64::min);
            println!("{rows} records: mean {mean:.4}, worst {worst:.4}");
            assert!(mean > -0.005 - 0.2 / rows as f64, "{rows} records: {mean}, {all:?}");
            assert!(worst > -0.6 / (rows as f64).sqrt(), "{rows} records: {worst}");
        }
    }

    #[test]
    fn what_says_much_is_used() {
        // All that can be had is 0.47, half of it by who knows which signs belong together.
        let (few, many) = (skill(60, 1.0, 1), skill(1_000, 1.0, 2));
        assert!(few > 0.1 && many > 0.35, "{few} {many}");
    }
}
