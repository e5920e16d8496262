//! Scores guesses of columns. Only this holds the truth of target records.

use hashvfl_data::Matrix;
use hashvfl_learning::top::loss::Labels;

use crate::evaluation::attributes::{Attribute, Decided};
use crate::metrics::{attribute, best, image, worst};
use crate::report::{Estimate, Metric, Metrics};
use hashvfl_leakage::metrics::{Bootstrap, error, proportion, reidentify};
use hashvfl_leakage::regression::column_means;

/// The truth of target records, and the references fitted on auxiliary records.
#[derive(Clone)]
pub struct Scorer {
    /// [targets, kept columns], scaled.
    truth: Vec<f32>,
    kept: Vec<usize>,
    low: f32,
    scale: Vec<f32>,
    /// Means of kept columns over auxiliary records, scaled.
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

/// The values of some rows.
fn pick<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|row| values[*row]).collect()
}

/// Least value and range.
fn span(values: &[f32]) -> (f32, f32) {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (low, (high - low).max(1e-6))
}

impl Scorer {
    /// A scorer of `targets`; means, class means and scales are over `auxiliary`. Columns of a table count alike,
    /// in standard deviations; pixels are brought to 0 to 1 by the range of auxiliary records. A column that does not vary there is left out.
    /// `sources` names the table's column that each comes from.
    pub fn new(
        (matrix, sources): (&Matrix, &[String]),
        image: Option<[usize; 3]>,
        labels: &Labels,
        auxiliary: &[u32],
        targets: &[u32],
        seed: u64,
    ) -> Self {
        let (mean, deviation) = moments(matrix, auxiliary);
        let kept: Vec<usize> =
            (0..matrix.cols()).filter(|column| image.is_some() || deviation[*column] > 1e-6).collect();
        let (low, range) = if image.is_some() { span(&matrix.gather(auxiliary)) } else { (0.0, 1.0) };
        let scale: Vec<f32> = kept
            .iter()
            .map(|column| if image.is_some() { 1.0 / range } else { 1.0 / deviation[*column] })
            .collect();
        let mut scorer = Self {
            truth: Vec::new(),
            kept,
            low,
            scale,
            mean: Vec::new(),
            attributes: Vec::new(),
            values: Vec::new(),
            mean_errors: Vec::new(),
            class_errors: None,
            image,
            bootstrap: Bootstrap::new(seed),
        };
        scorer.truth = scorer.scaled(&matrix.gather(targets), matrix.cols());
        scorer.mean = scorer.scaled(&mean, matrix.cols());
        if image.is_none() {
            let truth = matrix.gather(targets);
            scorer.attributes = Attribute::of(matrix, sources, auxiliary);
            scorer.values = scorer.nearest(&truth, matrix.cols());
        }
        scorer.mean_errors = scorer.errors(&mean.repeat(targets.len()), matrix.cols());
        if let Labels::Classes { count, index } = labels {
            let class = |record: &u32| index[*record as usize] as usize;
            let means: Vec<Vec<f32>> = (0..*count)
                .map(|wanted| {
                    let of_class: Vec<u32> =
                        auxiliary.iter().copied().filter(|record| class(record) == wanted).collect();
                    if of_class.is_empty() { mean.clone() } else { moments(matrix, &of_class).0 }
                })
                .collect();
            let guess: Vec<f32> = targets.iter().flat_map(|record| means[class(record)].clone()).collect();
            scorer.class_errors = Some(scorer.errors(&guess, matrix.cols()));
        }
        scorer
    }

    fn scaled(&self, values: &[f32], columns: usize) -> Vec<f32> {
        let row = |row: &[f32]| -> Vec<f32> {
            self.kept
                .iter()
                .zip(&self.scale)
                .map(|(column, scale)| (row[*column] - self.low) * scale)
                .collect()
        };
        values.chunks_exact(columns).flat_map(row).collect()
    }

    fn errors(&self, guess: &[f32], columns: usize) -> Vec<f64> {
        error::squared_errors(&self.truth, &self.scaled(guess, columns), self.kept.len())
    }

    /// A scorer of the first `targets` alone.
    pub fn head(&self, targets: usize) -> Self {
        let targets = targets.min(self.mean_errors.len());
        Self {
            truth: self.truth[..targets * self.kept.len()].to_vec(),
            mean_errors: self.mean_errors[..targets].to_vec(),
            class_errors: self.class_errors.as_ref().map(|errors| errors[..targets].to_vec()),
            values: self.values.iter().map(|values| values[..targets].to_vec()).collect(),
            ..self.clone()
        }
    }

    /// Scores a guess [targets, columns], of which values of attributes are `decided`: the nearest ones, where the attack
    /// does not say.
    pub fn score(&self, guess: &[f32], columns: usize, decided: Option<&Decided>) -> Scored {
        let scaled = self.scaled(guess, columns);
        let errors = error::squared_errors(&self.truth, &scaled, self.kept.len());
        let few = errors.len().min(reidentify::CANDIDATES) * self.kept.len();
        let hits = reidentify::top1(&self.truth[..few], &scaled[..few], self.kept.len());
        let mut metrics = Metrics::from([
            (Metric::Mse, self.bootstrap.mean(&errors)),
            (Metric::Skill, self.bootstrap.skill(&errors, &self.mean_errors)),
            (Metric::Worst, worst::interval(&errors, &self.mean_errors)),
            (Metric::Top1, proportion::of(&hits)),
        ]);
        if let Some(class_errors) = &self.class_errors {
            metrics.insert(Metric::SkillOverClass, self.bootstrap.skill(&errors, class_errors));
        }
        match self.image {
            None => {
                metrics.extend(self.best_of(&scaled).map(|(_, found)| (Metric::BestColumn, found)));
                match decided {
                    Some(decided) => self.put_values(decided, &mut metrics),
                    None => self.put_values(&self.nearest(guess, columns), &mut metrics),
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
        let peak = |rows: &[usize]| image::psnr(error::mean(&pick(errors, rows)));
        metrics.insert(Metric::Psnr, self.bootstrap.estimate(errors.len(), peak));
    }

    /// Squared error of the mean, for each target.
    pub fn reference(&self) -> &[f64] {
        &self.mean_errors
    }

    /// Pixels as they are shown, 0 to 1.
    pub fn grey(&self, pixels: &[f32]) -> Vec<f32> {
        self.scaled(pixels, pixels.len()).into_iter().map(|value| value.clamp(0.0, 1.0)).collect()
    }

    /// For tables: the column of a `guess` [targets, columns] that is reconstructed best, and its R2.
    pub fn best_column(&self, guess: &[f32], columns: usize) -> Option<(usize, Estimate)> {
        let (place, found) = self.best_of(&self.scaled(guess, columns))?;
        Some((self.kept[place], found))
    }

    /// The same of a scaled guess, by its place among the kept columns.
    fn best_of(&self, guess: &[f32]) -> Option<(usize, Estimate)> {
        if self.image.is_some() {
            return None;
        }
        best::best_column(&self.truth, guess, &self.mean, self.bootstrap)
    }

    /// For tables: the fraction of the variance of each of the `columns` that a `guess` [targets, columns] explains, of all targets or
    /// of the first ones; nothing of a column that does not vary among them.
    pub fn explained(&self, guess: &[f32], columns: usize) -> Vec<Option<Estimate>> {
        let mut explained = vec![None; columns];
        if self.image.is_some() {
            return explained;
        }
        let (scaled, width) = (self.scaled(guess, columns), self.kept.len());
        let truth = &self.truth[..scaled.len()];
        for (place, kept) in self.kept.iter().enumerate() {
            let truth = error::column(truth, width, place);
            let mean = vec![self.mean[place]; truth.len()];
            let errors = error::squared_errors(&truth, &error::column(&scaled, width, place), 1);
            let found = self.bootstrap.skill(&errors, &error::squared_errors(&truth, &mean, 1));
            let finite = [found.value, found.low, found.high].iter().all(|figure| figure.is_finite());
            explained[*kept] = Some(found).filter(|_| finite);
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

    /// Levels nearest to a table [records, columns].
    fn nearest(&self, table: &[f32], columns: usize) -> Decided {
        self.attributes.iter().map(|attribute| attribute.nearest(table, columns)).collect()
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

    /// Squared error of each target, where the columns are guessed as `guess` [targets, columns].
    pub fn errors_of(&self, guess: &[f32], columns: usize) -> Vec<f64> {
        self.errors(guess, columns)
    }

    /// What `errors` of the first targets gain over `other` on the same ones, in skill over the mean.
    pub fn gain(&self, errors: &[f64], other: &[f64]) -> Estimate {
        let same = errors.len();
        self.bootstrap.skill_gain(errors, &other[..same], &self.mean_errors[..same])
    }
}
