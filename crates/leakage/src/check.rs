//! The check of a party's own codes: what regressions that were fitted on some of its records guess of the columns of others,
//! from all that has left of these.
//!
//! It is an attack like those of a privacy report, so its result is a lower bound on what codes reveal to someone who has the
//! codes, and the columns and codes of other people, and nothing else.

use std::ops::Range;

use hashvfl_core::random::{shuffle, stream};

use crate::categories::indicators;
use crate::copied;
use crate::metrics::error::{column, neighbours, squared_errors};
use crate::metrics::reidentify::top1;
use crate::metrics::{Estimate, proportion, ratio};
use crate::regression::ensemble::Guesses;
use crate::regression::family::{Effort, cross_fit};
use crate::regression::folds::Folds;
use crate::regression::{Examples, column_means, kinds};

/// Records that are looked at, at most. Guesses are cross-validated, so each of them is scored.
pub const MOST_RECORDS: usize = 1_500;
/// With fewer records, the check says nothing.
pub const FEWEST_RECORDS: usize = 200;
/// Weight of the mean in a stack, beside which all else has to prove itself.
const MEAN: usize = 0;

/// What has left of some records, and the columns that it was made of.
pub struct ReleasedValues {
    /// [records, values]: of each code that left, the values of its latents.
    pub values: Vec<f32>,
    /// [records, columns], as the bottom model takes them.
    pub columns: Vec<f32>,
    /// Which of these columns hold positions of categories: what is guessed of them is the category.
    pub positions: Vec<usize>,
    /// How many records there are, in no order that tells anything.
    pub records: usize,
}

/// What codes tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Leakage {
    /// Fraction of the variance of the columns that guesses explain, each column in standard deviations, and of a category
    /// indicators of its values, together as one column.
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
    #[error("{0} records are too few to check what codes reveal: at least {FEWEST_RECORDS} are needed")]
    FewRecords(usize),
    /// No column varies.
    #[error("no column varies among the checked records, so what codes reveal cannot be measured")]
    NoColumn,
}

impl Leakage {
    /// Measures what `released` tells, by regressions in closed form alone or, in up to ten times the time, with boosted trees
    /// and a copy of the encoder too. The same `seed` gives the same figures.
    ///
    /// # Errors
    /// If there are too few records, or no column varies among them.
    pub fn measure(released: &ReleasedValues, effort: Effort, seed: u64) -> Result<Self, CannotTell> {
        let records = released.records;
        if records < FEWEST_RECORDS {
            return Err(CannotTell::FewRecords(records));
        }
        let Targets { values: truth, width: outputs, of_columns: blocks } = Targets::of(released);
        if blocks.is_empty() {
            return Err(CannotTell::NoColumn);
        }
        let mut order: Vec<u32> = (0..records as u32).collect();
        shuffle(&mut order, &mut stream(seed, "leakage order", &[]));
        let discrete = released.values.iter().all(|value| [-1.0, 0.0, 1.0].contains(value));
        let all = Examples { inputs: released.values.clone(), outputs: truth, rows: records, discrete };
        let examples = all.pick(&order);
        let candidates = cross_fit(&examples, &Folds::of_all(records), seed, effort);
        let views: Vec<&[f32]> = candidates.iter().map(|candidate| &candidate.on_judges[..]).collect();
        let truth = &examples.outputs[..];
        let guesses = Guesses { views: &views, truth, outputs, scored: outputs };
        let together: Vec<Range<usize>> = blocks.iter().map(|(_, block)| block.clone()).collect();
        let mixture = guesses.stack_blocks(&together, &[MEAN], 1.0);
        let guess = mixture.mix(&views);
        let mut reidentified = proportion::of(&top1(truth, &guess, outputs));
        if effort != Effort::Quick {
            let by_copy = proportion::of(&copied::hits(truth, &examples.inputs, records, seed));
            reidentified = if by_copy.value > reidentified.value { by_copy } else { reidentified };
        }
        let (errors, reference) =
            (squared_errors(truth, &guess, outputs), squared_errors(truth, views[MEAN], outputs));
        let width = released.columns.len() / records;
        let mut of_columns = vec![Estimate { value: 0.0, low: 0.0, high: 0.0 }; width];
        for (place, block) in blocks {
            let of = |table: &[f32]| neighbours(table, outputs, &block);
            let (truth, guess, mean) = (of(truth), of(&guess), of(views[MEAN]));
            let each = block.len();
            of_columns[place] =
                ratio::skill(&squared_errors(&truth, &guess, each), &squared_errors(&truth, &mean, each));
        }
        Ok(Self {
            explained: ratio::skill(&errors, &reference),
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

/// What is guessed of each record.
struct Targets {
    /// [records, width].
    values: Vec<f32>,
    width: usize,
    /// Of each column that varies, its place, and where that stands which is guessed of it.
    of_columns: Vec<(usize, Range<usize>)>,
}

impl Targets {
    fn of(released: &ReleasedValues) -> Self {
        let records = released.records;
        let width = released.columns.len() / records;
        let (mut blocks, mut of_columns, mut end) = (Vec::new(), Vec::new(), 0);
        for place in 0..width {
            let values = column(&released.columns, width, place);
            let block = match released.positions.contains(&place) {
                true => indicators(&values),
                false => standardised(&values),
            };
            let Some(block) = block else { continue };
            let each = block.len() / records;
            of_columns.push((place, end..end + each));
            end += each;
            blocks.push((block, each));
        }
        let mut values = Vec::with_capacity(records * end);
        for record in 0..records {
            blocks
                .iter()
                .for_each(|(block, each)| values.extend_from_slice(&block[record * each..][..*each]));
        }
        Self { values, width: end, of_columns }
    }
}

/// A column at mean 0 and variance 1; `None` if it does not vary.
fn standardised(values: &[f32]) -> Option<Vec<f32>> {
    let [mean] = column_means(values, 1, values.len())[..] else { return None };
    let squares: Vec<f32> = values.iter().map(|value| (value - mean).powi(2)).collect();
    let variance = column_means(&squares, 1, values.len()).into_iter().find(|variance| *variance > 1e-12)?;
    Some(values.iter().map(|value| (value - mean) / variance.sqrt()).collect())
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::uniform;

    use super::*;

    const COLUMNS: usize = 6;

    /// Columns, and codes of eight signs each: `leak` copies the sign of that many columns, the others are noise.
    fn released(records: usize, leak: usize, passes: u64) -> ReleasedValues {
        released_of(COLUMNS, records, leak, passes)
    }

    /// The same of so many columns.
    fn released_of(width: usize, records: usize, leak: usize, passes: u64) -> ReleasedValues {
        let mut rng = stream(7, "leakage test", &[]);
        let mut draw = || 2.0 * uniform(&mut rng) - 1.0;
        let columns: Vec<f32> = (0..records * width).map(|_| draw()).collect();
        let mut values = Vec::new();
        for row in columns.chunks_exact(width) {
            for _ in 0..passes {
                values.extend((0..8).map(|bit| if bit < leak { row[bit] } else { draw() }.signum()));
            }
        }
        ReleasedValues { values, columns, positions: Vec::new(), records }
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
        let coded = ReleasedValues { values, columns, positions: Vec::new(), records: 400 };
        let [plain, copied] = [Effort::Quick, Effort::Check]
            .map(|effort| Leakage::measure(&coded, effort, 1).unwrap().reidentified);
        assert!(copied.value > 1.1 * plain.value, "{copied:?} {plain:?}");
    }

    /// A category of a hundred values beside a number, and codes of `signs`. `common` of the records have the first value, the
    /// others any value alike. Names stand in a random order, and that of the first value in the middle.
    fn of_category(
        records: usize,
        common: f32,
        order: u64,
        signs: &dyn Fn(usize) -> Vec<f32>,
    ) -> ReleasedValues {
        const VALUES: usize = 100;
        let mut rng = stream(order, "leakage test, order", &[]);
        let mut position: Vec<u32> = (1..=VALUES as u32).collect();
        shuffle(&mut position, &mut rng);
        let middle = position.iter().position(|position| *position == 50).unwrap();
        position.swap(0, middle);
        let mut draw = || uniform(&mut rng);
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        for _ in 0..records {
            let value = if draw() < common { 0 } else { ((draw() * VALUES as f32) as usize).min(VALUES - 1) };
            columns.extend([position[value] as f32, draw()]);
            values.extend(signs(value));
            values.extend((0..2).map(|_| (draw() - 0.5).signum()));
        }
        ReleasedValues { values, columns, positions: vec![0], records }
    }

    fn sign(set: bool) -> f32 {
        if set { 1.0 } else { -1.0 }
    }

    /// One bit says whether a record has the most common value, whose position is as far up as the others' are on average: it
    /// tells nothing of positions as numbers, and much of the category.
    #[test]
    fn a_category_that_is_told_is_found_whatever_the_order_of_names() {
        for order in [1, 2] {
            let told = of_category(1_000, 0.3, order, &|value| vec![sign(value == 0)]);
            let found = Leakage::measure(&told, Effort::Quick, 1).unwrap();
            assert!((0.35..0.6).contains(&found.of_columns[0].value), "{found:?}");
            assert_eq!(found.most_exposed(), Some(0));
            let half = found.of_columns[0].value / 2.0;
            assert!((found.explained.value - half).abs() < 0.03, "one column of two: {found:?}");
            let numbers = ReleasedValues { positions: Vec::new(), ..told };
            let found = Leakage::measure(&numbers, Effort::Quick, 1).unwrap();
            assert!(found.of_columns[0].high < 0.05, "{found:?}");
        }
    }

    #[test]
    fn codes_that_name_a_category_of_a_hundred_values_are_found_and_those_of_others_are_not() {
        let name = |value: usize| -> Vec<f32> { (0..7).map(|bit| sign(value >> bit & 1 == 1)).collect() };
        let mut named = of_category(MOST_RECORDS, 0.0, 3, &name);
        let found = Leakage::measure(&named, Effort::Quick, 1).unwrap();
        assert!(found.of_columns[0].low > 0.5 && found.of_columns[1].high < 0.05, "{found:?}");
        named.values.rotate_left(9 * 17);
        let found = Leakage::measure(&named, Effort::Quick, 1).unwrap();
        assert!(found.of_columns[0].high < 0.05, "{found:?}");
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
}
