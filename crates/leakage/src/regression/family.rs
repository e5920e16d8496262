//! All kinds of regressions, each cross-validated on the same records.

use std::ops::Range;

use super::folds::Folds;
use super::linear::{Features, cross_fit as cross_fit_linear};
use super::lookup::Lookup;
use super::network::MlpRegression;
use super::trees::BoostedTrees;
use super::{Constant, Examples, Predictor, draw_back};
use crate::cores::on_all_cores;

/// One regression: what it makes of each part of the records that judge without that part, and, of any other record, the mean
/// of those (Krogh and Vedelsby 1995, "Neural network ensembles, cross validation, and active learning").
pub struct Candidate {
    /// Its kind.
    pub kind: &'static str,
    /// Outputs of the records that judge.
    pub on_judges: Vec<f32>,
    predictor: Box<dyn Predictor>,
    /// How it is fitted on all records; none of those that are already.
    learner: Option<Learner>,
}

impl Candidate {
    /// One whose predictor knows all records.
    pub(super) fn new(kind: &'static str, on_judges: Vec<f32>, predictor: impl Predictor + 'static) -> Self {
        Self { kind, on_judges, predictor: Box::new(predictor), learner: None }
    }

    /// Outputs [rows, outputs] for inputs [rows, inputs].
    pub fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        self.predictor.predict(inputs, rows)
    }

    pub(super) fn into_predictor(self) -> Box<dyn Predictor> {
        self.predictor
    }
}

/// A kind that is fitted on one list of records after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Learner {
    Table,
    Trees,
    Network,
}

impl Learner {
    fn kind(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Trees => "boosted trees",
            Self::Network => "network",
        }
    }

    /// Fitted on `train` until it predicts `stop` no better; a table takes no steps.
    fn fit(self, train: &Examples, stop: &Examples, seed: u64) -> Box<dyn Predictor> {
        match self {
            Self::Table => Box::new(Lookup::fit(train)),
            Self::Trees => Box::new(BoostedTrees::fit(train, stop, seed)),
            Self::Network => Box::new(MlpRegression::fit(train, stop, NETWORK, UPDATES, seed)),
        }
    }

    /// Without `part`, some records of which say when to stop.
    fn fit_without(
        self,
        part: &Range<usize>,
        examples: &Examples,
        folds: &Folds,
        seed: u64,
    ) -> Box<dyn Predictor> {
        let (stop, fitted) = match self {
            Self::Table => (Vec::new(), folds.outside(part, examples.rows)),
            Self::Trees | Self::Network => folds.stopping(part, examples.rows),
        };
        self.fit(&examples.pick(&fitted), &examples.pick(&stop), seed)
    }

    /// On all records but those that say when to stop, which are as many as before and judges now.
    fn fit_on_all(self, part: &Range<usize>, examples: &Examples, seed: u64) -> Box<dyn Predictor> {
        let count = if self == Self::Table { 0 } else { (part.len() / 2).max(1) };
        let (stop, fitted): (Vec<u32>, Vec<u32>) = (0..examples.rows as u32)
            .partition(|row| (part.start..part.start + count).contains(&(*row as usize)));
        self.fit(&examples.pick(&fitted), &examples.pick(&stop), seed)
    }
}

/// Candidates that know all their examples: where one part alone was left out, what was fitted without it knows a fifth less than
/// there is. So it is fitted once more, after it has been judged; the judges of one part choose nothing any more.
pub fn refit(candidates: Vec<(Candidate, &Examples)>, folds: &Folds, seed: u64) -> Vec<Candidate> {
    let [part] = folds.parts() else {
        return candidates.into_iter().map(|(candidate, _)| candidate).collect();
    };
    let learners: Vec<(Option<Learner>, &Examples)> =
        candidates.iter().map(|(candidate, examples)| (candidate.learner, *examples)).collect();
    let fitted = on_all_cores(&learners, |(learner, examples)| {
        learner.map(|learner| learner.fit_on_all(part, examples, seed))
    });
    let mut all = Vec::with_capacity(candidates.len());
    for ((candidate, _), fitted) in candidates.into_iter().zip(fitted) {
        let predictor = fitted.unwrap_or(candidate.predictor);
        all.push(Candidate { predictor, ..candidate });
    }
    all
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
    let mut forms = vec![ClosedForm::Ridge];
    let reaches = if effort == Effort::All { &REACHES[..] } else { &REACHES[1..] };
    forms.extend(reaches.iter().copied().map(ClosedForm::Kernel));
    let mut closed = on_all_cores(&forms, |form| form.cross_fit(examples, folds, seed, effort)).into_iter();
    let (learns, mut learners) = (examples.rows >= FEWEST_TO_LEARN, Vec::new());
    if examples.discrete && examples.inputs_width() <= MOST_TABLE_INPUTS {
        learners.push(Learner::Table);
    }
    if learns && effort == Effort::All {
        learners.push(Learner::Network);
    }
    if learns && effort != Effort::Quick {
        learners.push(Learner::Trees);
    }
    let learned = by_parts(&learners, examples, folds, seed);
    let (trees, others): (Vec<Candidate>, Vec<Candidate>) =
        learned.into_iter().partition(|candidate| candidate.learner == Some(Learner::Trees));
    candidates.extend(closed.next().into_iter().flatten());
    candidates.extend(others);
    candidates.extend(closed.flatten());
    candidates.extend(trees);
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

/// Regressions in closed form.
#[derive(Debug, Clone, Copy)]
enum ClosedForm {
    /// On the inputs.
    Ridge,
    /// On a kernel of this reach.
    Kernel(f32),
}

impl ClosedForm {
    /// One for each strength.
    fn cross_fit(self, examples: &Examples, folds: &Folds, seed: u64, effort: Effort) -> Vec<Candidate> {
        let (landmarks, all) = (landmarks(folds, effort), effort == Effort::All);
        match self {
            Self::Ridge => {
                let strengths = if all { RIDGES } else { &RIDGES[1..3] };
                let features = Features::inputs(examples, landmarks, seed);
                cross_fit_linear(&features, examples, folds, strengths, "ridge")
            }
            Self::Kernel(reach) => {
                let strengths = if all { KERNEL_STRENGTHS } else { &KERNEL_STRENGTHS[1..2] };
                let features = Features::gaussian(examples, reach, landmarks, seed);
                cross_fit_linear(&features, examples, folds, strengths, "kernel ridge")
            }
        }
    }
}

fn landmarks(folds: &Folds, effort: Effort) -> usize {
    match effort {
        Effort::Quick | Effort::Check => QUICK_LANDMARKS,
        Effort::All if folds.parts().len() > 1 => LANDMARKS_OF_PARTS,
        Effort::All => LANDMARKS,
    }
}

/// What each of `learners` makes without each part.
fn by_parts(learners: &[Learner], examples: &Examples, folds: &Folds, seed: u64) -> Vec<Candidate> {
    let width = examples.inputs_width();
    let mut pairs: Vec<(Learner, &Range<usize>)> = Vec::new();
    for learner in learners {
        pairs.extend(folds.parts().iter().map(|part| (*learner, part)));
    }
    let fitted = on_all_cores(&pairs, |(learner, part)| {
        let predictor = learner.fit_without(part, examples, folds, seed);
        let inputs = &examples.inputs[part.start * width..part.end * width];
        (predictor.predict(inputs, part.len()), predictor)
    });
    let (mut fitted, mut candidates) = (fitted.into_iter(), Vec::new());
    for learner in learners {
        let (on_judges, members): (Vec<Vec<f32>>, Vec<Box<dyn Predictor>>) =
            fitted.by_ref().take(folds.parts().len()).unzip();
        let committee = Candidate::new(learner.kind(), on_judges.concat(), Committee(members));
        candidates.push(Candidate { learner: Some(*learner), ..committee });
    }
    candidates
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

    /// Where one part alone was left out, all kinds learn from its records before they guess those of others.
    #[test]
    fn the_records_that_judged_are_learned_from() {
        let rows = 1_600;
        let mut known = table(rows, 1.0, 5);
        let folds = Folds::new(rows);
        let [part] = folds.parts() else { panic!("{folds:?}") };
        // The judges alone have this input, and this output.
        known.inputs[..part.end * 16].fill(1.0);
        known.outputs[..part.end * OUTPUTS].fill(5.0);
        let asked = [1.0; 16];
        let candidates = cross_fit(&known, &folds, 3, Effort::Check);
        let first = |candidates: &[Candidate]| -> Vec<(&'static str, f32)> {
            candidates.iter().map(|c| (c.kind, c.predict(&asked, 1)[0])).collect()
        };
        let before = first(&candidates);
        let pairs = candidates.into_iter().map(|candidate| (candidate, &known)).collect();
        let after = first(&refit(pairs, &folds, 3));
        for ((kind, before), (same, after)) in before.into_iter().zip(after) {
            assert_eq!(kind, same);
            match kind {
                "table" | "boosted trees" => assert!(before < 2.0 && after > 3.5, "{kind}: {before} {after}"),
                // Closed forms and the mean are fitted on all in any case.
                "ridge" | "kernel ridge" => assert!(after == before && after > 3.0, "{kind}: {after}"),
                _ => assert_eq!(before, after),
            }
        }
    }
}
