//! Scores guesses of columns. Only this holds the truth of target records.

use std::collections::BTreeMap;
use std::ops::Range;

use hashvfl_data::Matrix;
use hashvfl_learning::top::loss::Labels;

use crate::evaluation::attributes::{Attribute, Decided};
use crate::evaluation::units::{GuessedColumns, Units};
use crate::metrics::{attribute, best, image, worst};
use crate::report::{Estimate, Metric, Metrics};
use hashvfl_leakage::metrics::{Bootstrap, error, proportion, ratio, reidentify};
use hashvfl_leakage::regression::column_means;

/// The truth of target records, and the references fitted on auxiliary records.
#[derive(Clone)]
pub struct Scorer {
    units: Units,
    /// [targets, width], in these units.
    truth: Vec<f32>,
    /// Means over auxiliary records.
    mean: Vec<f32>,
    /// Columns of a table that take few values.
    attributes: Vec<Attribute>,
    /// Their true values.
    values: Decided,
    mean_errors: Vec<f64>,
    class_errors: Option<Vec<f64>>,
    image: Option<[usize; 3]>,
    bootstrap: Bootstrap,
}

/// A guess that has been scored.
pub struct Scored {
    /// Its figures.
    pub metrics: Metrics,
    /// Squared error of each target.
    pub errors: Vec<f64>,
}

/// Mean and standard deviation of each column over `records`.
pub fn moments(matrix: &Matrix, records: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let values = matrix.gather(records);
    let mean = column_means(&values, matrix.cols(), records.len());
    let centred: Vec<f32> = values
        .chunks_exact(matrix.cols())
        .flat_map(|row| row.iter().zip(&mean).map(|(v, m)| (v - m).powi(2)))
        .collect();
    let deviation = column_means(&centred, matrix.cols(), records.len());
    (mean, deviation.into_iter().map(f32::sqrt).collect())
}

/// Mean of each column over `records`, and by what it is divided to be in standard deviations: one that is the same everywhere stays
/// as it is.
pub fn scales(matrix: &Matrix, records: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let (mean, mut deviation) = moments(matrix, records);
    deviation.iter_mut().filter(|deviation| **deviation < 1e-6).for_each(|deviation| *deviation = 1.0);
    (mean, deviation)
}

/// Least value and range.
pub fn span(values: &[f32]) -> (f32, f32) {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (low, (high - low).max(1e-6))
}

/// A party's columns as a model takes them, and what they are.
#[derive(Clone, Copy)]
pub struct VictimTable<'a> {
    /// The columns.
    pub columns: &'a Matrix,
    /// The table's column that each comes from.
    pub sources: &'a [String],
    /// Those that hold positions of categories.
    pub positions: &'a [usize],
    /// Channels, height and width, where they are an image.
    pub image: Option<[usize; 3]>,
}

impl Scorer {
    /// A scorer of `targets`. Of the records that the adversary `owned`, means, class means, scales and [`Units`] are over those of
    /// the same population; values are those of the others, too.
    pub fn new(table: VictimTable, labels: &Labels, owned: [&[u32]; 2], targets: &[u32], seed: u64) -> Self {
        let auxiliary = owned[0];
        let VictimTable { columns: matrix, sources, positions, image } = table;
        let (mean, deviation) = moments(matrix, auxiliary);
        let (units, attributes) = match image {
            Some(_) => {
                let (low, range) = span(&matrix.gather(auxiliary));
                (Units::of_pixels(matrix.cols(), low, range), Vec::new())
            }
            None => {
                let attributes = Attribute::of(matrix, sources, positions, owned);
                (Units::of_table(&deviation, &attributes), attributes)
            }
        };
        let truth = matrix.gather(targets);
        let fractions = units.fractions(matrix, auxiliary);
        let mut scorer = Self {
            truth: units.of(GuessedColumns { columns: &truth, likelihoods: &[] }),
            mean: units.of(GuessedColumns { columns: &mean, likelihoods: &fractions }),
            values: attributes.iter().map(|attribute| attribute.exactly(&truth, matrix.cols())).collect(),
            units,
            attributes,
            mean_errors: Vec::new(),
            class_errors: None,
            image,
            bootstrap: Bootstrap::new(seed),
        };
        scorer.mean_errors = scorer.squared(&scorer.mean.repeat(targets.len()));
        if let Labels::Classes { count, index } = labels {
            let class = |record: &u32| index[*record as usize] as usize;
            let mut means = Vec::with_capacity(*count);
            for wanted in 0..*count {
                let of_class = auxiliary.iter().copied().filter(|record| class(record) == wanted);
                means.push(scorer.mean_of(matrix, &of_class.collect::<Vec<u32>>()));
            }
            let guess: Vec<f32> = targets.iter().flat_map(|record| means[class(record)].clone()).collect();
            scorer.class_errors = Some(scorer.squared(&guess));
        }
        scorer
    }

    /// The mean of auxiliary `records` in the units of the truth; of none, that of all of them.
    fn mean_of(&self, matrix: &Matrix, records: &[u32]) -> Vec<f32> {
        if records.is_empty() {
            return self.mean.clone();
        }
        let (mean, _) = moments(matrix, records);
        let likelihoods = self.units.fractions(matrix, records);
        self.units.of(GuessedColumns { columns: &mean, likelihoods: &likelihoods })
    }

    /// A guess in the units of the truth, of all targets or of the first ones. Whoever says no more of a category than a position
    /// is taken by that position's category, or as saying nothing, whichever is better for the attack.
    fn scaled(&self, guess: GuessedColumns) -> Vec<f32> {
        let (mut scaled, width) = (self.units.of(guess), self.units.width());
        if !guess.likelihoods.is_empty() {
            return scaled;
        }
        let truth = &self.truth[..scaled.len()];
        for (_, places) in self.units.places().into_iter().filter(|(_, places)| places.len() > 1) {
            let of_truth = error::neighbours(truth, width, &places);
            let nothing = self.mean[places.clone()].repeat(of_truth.len() / places.len());
            let squares = |guess: &[f32]| -> f64 {
                error::squared_errors(&of_truth, guess, places.len()).into_iter().sum()
            };
            if squares(&error::neighbours(&scaled, width, &places)) > squares(&nothing) {
                let rows = scaled.chunks_exact_mut(width);
                rows.for_each(|row| row[places.clone()].copy_from_slice(&self.mean[places.clone()]));
            }
        }
        scaled
    }

    /// Squared error of each target, where `scaled` is a guess in the units of the truth: a mean over columns.
    fn squared(&self, scaled: &[f32]) -> Vec<f64> {
        let width = self.units.width();
        let errors = error::squared_errors(&self.truth[..scaled.len()], scaled, width);
        let wider = width as f64 / self.units.counted() as f64;
        errors.into_iter().map(|error| error * wider).collect()
    }

    /// A scorer of the first `targets` alone.
    pub fn head(&self, targets: usize) -> Self {
        let targets = targets.min(self.mean_errors.len());
        Self {
            truth: self.truth[..targets * self.units.width()].to_vec(),
            mean_errors: self.mean_errors[..targets].to_vec(),
            class_errors: self.class_errors.as_ref().map(|errors| errors[..targets].to_vec()),
            values: self.values.iter().map(|values| values[..targets].to_vec()).collect(),
            ..self.clone()
        }
    }

    /// Scores a guess of all targets, of which values of attributes are `decided`: the nearest ones, where the attack does not
    /// say.
    pub fn score(&self, guess: GuessedColumns, decided: Option<&Decided>) -> Scored {
        let (scaled, width) = (self.scaled(guess), self.units.width());
        let errors = self.squared(&scaled);
        let few = errors.len().min(reidentify::CANDIDATES) * width;
        let hits = reidentify::top1(&self.truth[..few], &scaled[..few], width);
        let mut metrics = Metrics::from([
            (Metric::Mse, ratio::mean(&errors)),
            (Metric::Skill, ratio::skill(&errors, &self.mean_errors)),
            (Metric::Worst, worst::interval(&errors, &self.mean_errors, worst::HUNDREDTH)),
            (Metric::WorstTwentieth, worst::interval(&errors, &self.mean_errors, worst::TWENTIETH)),
            (Metric::Top1, proportion::of(&hits)),
        ]);
        if let Some(class_errors) = &self.class_errors {
            metrics.insert(Metric::SkillOverClass, ratio::skill(&errors, class_errors));
        }
        match self.image {
            None => {
                metrics.extend(self.best_of(&scaled).map(|(_, found)| (Metric::BestColumn, found)));
                match decided {
                    Some(decided) => self.put_values(decided, &mut metrics),
                    None => self.put_values(&self.nearest(guess.columns), &mut metrics),
                }
            }
            Some([1, height, width]) => self.put_image(&scaled, &errors, [height, width], &mut metrics),
            Some(_) => {}
        }
        Scored { metrics, errors }
    }

    /// For grey images: structural similarity and peak signal-to-noise ratio.
    fn put_image(&self, guess: &[f32], errors: &[f64], [height, width]: [usize; 2], metrics: &mut Metrics) {
        let pixels = height * width;
        let pairs = self.truth.chunks_exact(pixels).zip(guess.chunks_exact(pixels));
        let similar: Vec<f64> = pairs.filter_map(|(t, g)| image::ssim(t, g, height, width)).collect();
        if similar.len() == errors.len() {
            metrics.insert(Metric::Ssim, self.bootstrap.mean(&similar));
        }
        metrics.insert(Metric::Psnr, image::peak_signal(errors));
    }

    /// Squared error of the mean, for each target.
    pub fn reference(&self) -> &[f64] {
        &self.mean_errors
    }

    /// Pixels as they are shown, 0 to 1.
    pub fn grey(&self, pixels: &[f32]) -> Vec<f32> {
        let scaled = self.units.of(GuessedColumns { columns: pixels, likelihoods: &[] });
        scaled.into_iter().map(|value| value.clamp(0.0, 1.0)).collect()
    }

    /// For tables: the column of a guess of all targets that is reconstructed best, and its R2.
    pub fn best_column(&self, guess: GuessedColumns) -> Option<(usize, Estimate)> {
        self.best_of(&self.scaled(guess))
    }

    /// The same of a guess in the units of the truth.
    fn best_of(&self, scaled: &[f32]) -> Option<(usize, Estimate)> {
        if self.image.is_some() {
            return None;
        }
        let (columns, places): (Vec<usize>, Vec<Range<usize>>) = self.units.places().into_iter().unzip();
        let (place, found) = best::best_column(&self.truth, scaled, &self.mean, &places)?;
        Some((columns[place], found))
    }

    /// For tables: the fraction of the variance of each column that a guess explains, of all targets or of the first ones;
    /// nothing of a column that does not vary among them.
    pub fn explained(&self, guess: GuessedColumns) -> BTreeMap<usize, Estimate> {
        let mut explained = BTreeMap::new();
        if self.image.is_some() {
            return explained;
        }
        let (scaled, width) = (self.scaled(guess), self.units.width());
        let truth = &self.truth[..scaled.len()];
        for (column, places) in self.units.places() {
            let (of_truth, each) = (error::neighbours(truth, width, &places), places.len());
            let mean = self.mean[places.clone()].repeat(of_truth.len() / each);
            let errors = error::squared_errors(&of_truth, &error::neighbours(&scaled, width, &places), each);
            let found = ratio::skill(&errors, &error::squared_errors(&of_truth, &mean, each));
            if found.is_finite() {
                explained.insert(column, found);
            }
        }
        explained
    }

    /// For tables: how many columns with few values are right, and in how many records all of them.
    fn put_values(&self, decided: &Decided, metrics: &mut Metrics) {
        if self.attributes.is_empty() {
            return;
        }
        let records = self.mean_errors.len();
        let (mut right, mut whole) = (vec![0.0; records], vec![1.0; records]);
        for (truth, guess) in self.values.iter().zip(decided) {
            for (record, hit) in attribute::hits(truth, guess).into_iter().enumerate() {
                right[record] += hit / self.values.len() as f64;
                whole[record] *= hit;
            }
        }
        metrics.insert(Metric::Right, self.bootstrap.mean(&right));
        metrics.insert(Metric::AllRight, proportion::of(&whole));
    }

    /// Levels nearest to a guess [targets, columns].
    fn nearest(&self, columns: &[f32]) -> Decided {
        let width = columns.len() / self.mean_errors.len().max(1);
        self.attributes.iter().map(|attribute| attribute.nearest(columns, width)).collect()
    }

    /// Columns of a table that take few values.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// How often each target's value of an attribute is `guess`ed right: 1 or 0.
    pub fn hits(&self, attribute: usize, guess: &[usize]) -> Vec<f64> {
        attribute::hits(&self.values[attribute], guess)
    }

    /// Balanced accuracy of a `guess` [targets] at an attribute.
    pub fn balanced(&self, attribute: usize, guess: &[usize]) -> Estimate {
        attribute::balanced_accuracy(&self.values[attribute], &self.hits(attribute, guess))
    }

    /// Squared error of each target of a guess.
    pub fn errors_of(&self, guess: GuessedColumns) -> Vec<f64> {
        self.squared(&self.scaled(guess))
    }

    /// What `errors` of the first targets gain over `other` on the same ones, in skill over the mean.
    pub fn gain(&self, errors: &[f64], other: &[f64]) -> Estimate {
        let same = errors.len();
        ratio::skill_gain(errors, &other[..same], &self.mean_errors[..same])
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{shuffle, stream};

    use super::*;

    const CATEGORIES: u32 = 100;

    /// A number, and positions of a hundred categories, whose names stand in a random order; every other record has the first
    /// category. Beside them the category of each record, by number.
    fn table(records: u32) -> (Matrix, Vec<u32>, Vec<f32>) {
        let mut order: Vec<u32> = (1..=CATEGORIES).collect();
        shuffle(&mut order, &mut stream(3, "score test", &[]));
        let category = |record: u32| if record.is_multiple_of(2) { 0 } else { record * 37 % CATEGORIES };
        let (mut values, mut categories) = (Vec::new(), Vec::new());
        for record in 0..records {
            categories.push(category(record));
            values.extend([(record % 9) as f32, order[category(record) as usize] as f32]);
        }
        (
            Matrix::new(records as usize, 2, values).unwrap(),
            categories,
            order.iter().map(|at| *at as f32).collect(),
        )
    }

    /// Who knows whether a record has the most common category knows next to nothing of its position, and much of the category.
    #[test]
    fn a_category_is_scored_by_category_whatever_the_order_of_names() {
        let (matrix, categories, order) = table(1_200);
        let sources = ["number", "code"].map(String::from);
        let table = VictimTable { columns: &matrix, sources: &sources, positions: &[1], image: None };
        let (auxiliary, targets): (Vec<u32>, Vec<u32>) = (0..1_200).partition(|record| *record < 600);
        let labels = Labels::Real(vec![0.0; 1_200]);
        let scorer = Scorer::new(table, &labels, [&auxiliary, &[]], &targets, 1);
        let [code] = scorer.attributes().iter().filter(|a| a.is_position()).collect::<Vec<_>>()[..] else {
            panic!("one column of positions")
        };
        let mut first = Vec::new();
        code.indicate(&[0.0, order[0]], &mut first);
        // Of the others, how common each category is among them.
        let others: Vec<f32> = code
            .fractions
            .iter()
            .zip(&first)
            .map(|(fraction, first)| if *first > 0.0 { 0.0 } else { fraction / 0.5 })
            .collect();
        let truth = matrix.gather(&targets);
        let (mut columns, mut likelihoods) = (Vec::new(), Vec::new());
        for record in &targets {
            let is_first = categories[*record as usize] == 0;
            columns.extend([4.0, if is_first { order[0] } else { 50.5 }]);
            likelihoods.extend(if is_first { &first } else { &others });
        }
        let guess = GuessedColumns { columns: &columns, likelihoods: &likelihoods };
        let found = scorer.explained(guess);
        assert!(found[&1].value > 0.35 && found[&0].value.abs() < 0.02, "{found:?}");
        let scored = scorer.score(guess, None);
        // One column of two, whichever of its categories are told.
        let skill = scored.metrics[&Metric::Skill].value;
        assert!((skill - found[&1].value / 2.0).abs() < 0.03, "{skill} {found:?}");
        assert_eq!(scorer.best_column(guess).unwrap().0, 1);
        assert_eq!(scored.errors, scorer.errors_of(guess));
        // All of it, by category and by position, and nothing by a position that is no more than the middle of all.
        let exact = scorer.explained(GuessedColumns { columns: &truth, likelihoods: &[] });
        assert_eq!((exact[&0].value, exact[&1].value), (1.0, 1.0));
        let middle = [4.0, 50.4].repeat(targets.len());
        let found = scorer.explained(GuessedColumns { columns: &middle, likelihoods: &[] });
        assert!(found[&1].value.abs() < 1e-9, "{found:?}");
    }
}
