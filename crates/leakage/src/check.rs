//! The check of a party's own codes: what regressions that were fitted on some of its records guess of the columns of others,
//! from all that has left of these.
//!
//! It is an attack like those of a privacy report, so what it finds is what codes tell at least: to whoever has codes, and
//! columns of other people with their codes, and nothing else.

use std::ops::Range;

use hashvfl_core::random::{shuffle, stream};

use crate::copied;
use crate::metrics::error::{column, skill, squared_errors};
use crate::metrics::reidentify::top1;
use crate::metrics::{Bootstrap, Estimate, proportion};
use crate::regression::ensemble::Guesses;
use crate::regression::family::{Effort, cross_fit};
use crate::regression::folds::Folds;
use crate::regression::{Examples, column_means, kinds};

/// Records that are looked at, at most. Guesses are cross-validated, so each of them is scored.
pub const MOST_RECORDS: usize = 1_500;
/// Fewer records do not tell what codes do.
pub const FEWEST_RECORDS: usize = 200;
/// Weight of the mean in a stack, beside which all else has to prove itself.
const MEAN: usize = 0;

/// What has left of some records, and the columns that it was made of.
pub struct Released {
    /// [records, values]: of each code that left, the values of its latents.
    pub values: Vec<f32>,
    /// [records, columns], as the bottom model takes them.
    pub columns: Vec<f32>,
    /// How many records there are, in no order that tells anything.
    pub records: usize,
}

/// What codes tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Leakage {
    /// Fraction of the variance of the columns that guesses explain, each column in standard deviations.
    pub explained: Estimate,
    /// The same of each column; 0 of one that does not vary.
    pub of_columns: Vec<Estimate>,
    /// Fraction of the records to which their codes point among all: whose guess is nearer to their own columns than to those of
    /// any other record, or whose code a copy of the encoder finds likeliest by their own columns; the greater of both.
    pub reidentified: Estimate,
    /// Records among which each was looked for.
    pub records: usize,
    /// The regressions that counted, and how much.
    pub kinds: String,
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotTell {
    /// There are too few records.
    #[error("{0} records are too few to check codes by: {FEWEST_RECORDS} are needed")]
    FewRecords(usize),
    /// No column varies.
    #[error("no column varies among the records by which codes are checked")]
    NoColumn,
}

impl Leakage {
    /// Measures what `released` tells, by regressions in closed form alone or, in up to ten times the time, with boosted trees
    /// and a copy of the encoder too. The same `seed` gives the same figures.
    ///
    /// # Errors
    /// If there are too few records, or no column varies among them.
    pub fn measure(released: &Released, effort: Effort, seed: u64) -> Result<Self, CannotTell> {
        let records = released.records;
        if records < FEWEST_RECORDS {
            return Err(CannotTell::FewRecords(records));
        }
        let width = released.columns.len() / records;
        let (truth, varying) = standardised(&released.columns, width, records);
        if varying.is_empty() {
            return Err(CannotTell::NoColumn);
        }
        let outputs = varying.len();
        let mut order: Vec<u32> = (0..records as u32).collect();
        shuffle(&mut order, &mut stream(seed, "leakage order", &[]));
        let discrete = released.values.iter().all(|value| [-1.0, 0.0, 1.0].contains(value));
        let all = Examples { inputs: released.values.clone(), outputs: truth, rows: records, discrete };
        let examples = all.pick(&order);
        let candidates = cross_fit(&examples, &Folds::of_all(records), seed, effort);
        let views: Vec<&[f32]> = candidates.iter().map(|candidate| &candidate.on_judges[..]).collect();
        let truth = &examples.outputs[..];
        let blocks: Vec<Range<usize>> = (0..outputs).map(|output| output..output + 1).collect();
        let guesses = Guesses { views: &views, truth, outputs, scored: outputs };
        let mixture = guesses.stack_blocks(&blocks, &[MEAN], 1.0);
        let guess = mixture.mix(&views);
        let mut reidentified = proportion::of(&top1(truth, &guess, outputs));
        if effort != Effort::Quick {
            let by_copy = proportion::of(&copied::hits(truth, &examples.inputs, records, seed));
            reidentified = if by_copy.value > reidentified.value { by_copy } else { reidentified };
        }
        let bootstrap = Bootstrap::new(seed);
        let (errors, reference) =
            (squared_errors(truth, &guess, outputs), squared_errors(truth, views[MEAN], outputs));
        let mut of_columns = vec![Estimate { value: 0.0, low: 0.0, high: 0.0 }; width];
        for (index, place) in varying.into_iter().enumerate() {
            let of = |table: &[f32]| column(table, outputs, index);
            let (truth, guess, mean) = (of(truth), of(&guess), of(views[MEAN]));
            let (errors, reference) = (squared_errors(&truth, &guess, 1), squared_errors(&truth, &mean, 1));
            of_columns[place] = of_column(&errors, &reference);
        }
        Ok(Self {
            explained: bootstrap.skill(&errors, &reference),
            of_columns,
            reidentified,
            records,
            kinds: kinds(candidates.iter().map(|candidate| candidate.kind).zip(mixture.shares(outputs))),
        })
    }

    /// The column of which most is explained.
    pub fn most_exposed(&self) -> Option<usize> {
        let of = |index: &usize| self.of_columns[*index].value;
        (0..self.of_columns.len()).max_by(|a, b| of(a).total_cmp(&of(b)))
    }
}

/// Those columns that vary, [records, columns], at mean 0 and variance 1, and which ones they are.
fn standardised(columns: &[f32], width: usize, records: usize) -> (Vec<f32>, Vec<usize>) {
    let mean = column_means(columns, width, records);
    let squares: Vec<f32> = columns
        .chunks_exact(width.max(1))
        .flat_map(|row| row.iter().zip(&mean).map(|(value, mean)| (value - mean).powi(2)))
        .collect();
    let variance = column_means(&squares, width, records);
    let varying: Vec<usize> = (0..width).filter(|index| variance[*index] > 1e-12).collect();
    let mut table = Vec::with_capacity(records * varying.len());
    for row in columns.chunks_exact(width.max(1)) {
        table.extend(varying.iter().map(|index| (row[*index] - mean[*index]) / variance[*index].sqrt()));
    }
    (table, varying)
}

/// The skill of a column with an interval by the normal approximation of a ratio of sums, which takes a thousandth of the time of
/// a bootstrap.
fn of_column(errors: &[f64], reference: &[f64]) -> Estimate {
    let value = skill(errors, reference);
    let scale = reference.iter().sum::<f64>();
    let left = 1.0 - value;
    let squares: f64 = errors.iter().zip(reference).map(|(e, r)| (e - left * r).powi(2)).sum();
    let reach = proportion::REACH * squares.sqrt() / scale;
    Estimate { value, low: value - reach, high: value + reach }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::uniform;

    use super::*;

    const COLUMNS: usize = 6;

    /// Columns, and codes of eight signs each: `leak` copies the sign of that many columns, the others are noise.
    fn released(records: usize, leak: usize, passes: u64) -> Released {
        released_of(COLUMNS, records, leak, passes)
    }

    /// The same of so many columns.
    fn released_of(width: usize, records: usize, leak: usize, passes: u64) -> Released {
        let mut rng = stream(7, "leakage test", &[]);
        let mut draw = || 2.0 * uniform(&mut rng) - 1.0;
        let columns: Vec<f32> = (0..records * width).map(|_| draw()).collect();
        let mut values = Vec::new();
        for row in columns.chunks_exact(width) {
            for _ in 0..passes {
                values.extend((0..8).map(|bit| if bit < leak { row[bit] } else { draw() }.signum()));
            }
        }
        Released { values, columns, records }
    }

    #[test]
    fn a_planted_leak_is_found_and_codes_of_others_tell_nothing() {
        let leaky = released(600, COLUMNS, 1);
        let found = Leakage::measure(&leaky, Effort::Check, 1).unwrap();
        // The sign of an even value explains three quarters of its variance.
        assert!(found.explained.low < 0.75 && 0.75 < found.explained.high, "{found:?}");
        assert!(found.of_columns.iter().all(|column| (column.value - 0.75).abs() < 0.06), "{found:?}");
        assert!(found.reidentified.value > 0.03, "{found:?}");
        let mut shuffled = leaky;
        shuffled.values.rotate_left(8 * 17);
        let found = Leakage::measure(&shuffled, Effort::Check, 1).unwrap();
        assert!(found.explained.high < 0.02 && found.explained.value > -0.02, "{found:?}");
        assert!(found.reidentified.value < 0.01, "{found:?}");
    }

    #[test]
    fn the_column_that_leaks_is_named() {
        let found = Leakage::measure(&released(400, 1, 3), Effort::Check, 2).unwrap();
        assert_eq!(found.most_exposed(), Some(0));
        assert!((found.of_columns[0].value - 0.75).abs() < 0.08, "{found:?}");
        assert!(found.of_columns[1..].iter().all(|column| column.high < 0.06), "{found:?}");
    }

    /// The sign of a column explains three quarters of it, however many columns and releases tell nothing.
    #[test]
    fn one_column_that_is_told_is_found_among_a_hundred_that_are_not() {
        let found = Leakage::measure(&released_of(100, MOST_RECORDS, 1, 16), Effort::Quick, 3).unwrap();
        assert_eq!(found.most_exposed(), Some(0));
        let first = found.of_columns[0];
        assert!(first.value >= 0.55 && first.high < 0.9, "{first:?}");
        let others = found.of_columns[1..].iter().map(|column| column.value).fold(0.0, f64::max);
        assert!(others < 0.05, "{others}");
        // A hundredth of the whole.
        assert!(found.explained.value < 0.02, "{found:?}");
    }

    #[test]
    fn a_copy_of_the_encoder_names_more_records_than_guessed_columns_do() {
        const WIDTH: usize = 10;
        let mut rng = stream(5, "leakage test", &[]);
        let mut draw = || 2.0 * uniform(&mut rng) - 1.0;
        let mixing: Vec<f32> = (0..16 * WIDTH).map(|_| draw()).collect();
        let columns: Vec<f32> = (0..400 * WIDTH).map(|_| draw()).collect();
        let mut values = Vec::new();
        for row in columns.chunks_exact(WIDTH) {
            for mixing in mixing.chunks_exact(WIDTH) {
                values
                    .push(row.iter().zip(mixing).map(|(value, weight)| value * weight).sum::<f32>().signum());
            }
        }
        let coded = Released { values, columns, records: 400 };
        let [plain, copied] = [Effort::Quick, Effort::Check]
            .map(|effort| Leakage::measure(&coded, effort, 1).unwrap().reidentified);
        assert!(copied.value > 1.1 * plain.value, "{copied:?} {plain:?}");
    }

    #[test]
    fn what_cannot_be_told_is_no_figure() {
        let few = Leakage::measure(&released(FEWEST_RECORDS - 1, 3, 1), Effort::Check, 0).unwrap_err();
        assert_eq!(few, CannotTell::FewRecords(FEWEST_RECORDS - 1));
        let mut constant = released(300, 0, 1);
        constant.columns.fill(2.0);
        assert_eq!(Leakage::measure(&constant, Effort::Check, 0), Err(CannotTell::NoColumn));
        // A column that does not vary beside others.
        let mut one = released(300, 2, 1);
        one.columns.iter_mut().skip(5).step_by(COLUMNS).for_each(|value| *value = 3.0);
        let found = Leakage::measure(&one, Effort::Check, 0).unwrap();
        assert_eq!(found.of_columns[5].value, 0.0);
    }

    /// The two kinds of intervals agree.
    #[test]
    fn a_columns_interval_is_that_of_the_bootstrap() {
        let mut rng = stream(3, "leakage test", &[]);
        let reference: Vec<f64> = (0..800).map(|_| f64::from(uniform(&mut rng))).collect();
        let errors: Vec<f64> = reference.iter().map(|r| r * f64::from(uniform(&mut rng))).collect();
        let (fast, slow) = (of_column(&errors, &reference), Bootstrap::new(1).skill(&errors, &reference));
        assert_eq!(fast.value, slow.value);
        assert!(
            (fast.low - slow.low).abs() < 0.01 && (fast.high - slow.high).abs() < 0.01,
            "{fast:?} {slow:?}"
        );
    }
}
