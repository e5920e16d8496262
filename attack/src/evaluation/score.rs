//! Scores guesses of columns. Only this holds the truth of target records.

use hashvfl_data::Matrix;
use hashvfl_learning::top::loss::Labels;

use crate::attacks::reconstruction::regression::column_means;
use crate::metrics::{Bootstrap, attribute, error, image, reidentify, worst};
use crate::report::{Estimate, Metric, Metrics};

/// Most values of a column for which balanced accuracy is reported.
pub const FEW_VALUES: usize = 10;

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
    /// Kept columns of a table that take few values, and those.
    levels: Vec<(usize, Vec<f32>)>,
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
    pub fn new(
        matrix: &Matrix,
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
            levels: Vec::new(),
            mean_errors: Vec::new(),
            class_errors: None,
            image,
            bootstrap: Bootstrap::new(seed),
        };
        scorer.truth = scorer.scaled(&matrix.gather(targets), matrix.cols());
        scorer.mean = scorer.scaled(&mean, matrix.cols());
        if image.is_none() {
            let (known, width) = (scorer.scaled(&matrix.gather(auxiliary), matrix.cols()), scorer.kept.len());
            let levels = |column| attribute::levels(&error::column(&known, width, column), FEW_VALUES);
            scorer.levels = (0..width).filter_map(|column| Some((column, levels(column)?))).collect();
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
            ..self.clone()
        }
    }

    /// Scores a guess [targets, columns].
    pub fn score(&self, guess: &[f32], columns: usize) -> Scored {
        let scaled = self.scaled(guess, columns);
        let errors = error::squared_errors(&self.truth, &scaled, self.kept.len());
        let few = errors.len().min(reidentify::CANDIDATES) * self.kept.len();
        let hits = reidentify::top1(&self.truth[..few], &scaled[..few], self.kept.len());
        let worst = |rows: &[usize]| {
            worst::worst_fraction(&pick(&errors, rows), &pick(&self.mean_errors, rows), worst::FRACTION)
        };
        let mut metrics = Metrics::from([
            (Metric::Mse, self.bootstrap.mean(&errors)),
            (Metric::Skill, self.bootstrap.skill(&errors, &self.mean_errors)),
            (Metric::Worst, self.bootstrap.estimate(errors.len(), worst)),
            (Metric::Top1, self.bootstrap.mean(&hits)),
        ]);
        if let Some(class_errors) = &self.class_errors {
            metrics.insert(Metric::SkillOverClass, self.bootstrap.skill(&errors, class_errors));
        }
        match self.image {
            None => self.put_columns(&scaled, &mut metrics),
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

    /// For tables: R2 of the column that is reconstructed best, and balanced accuracy over columns with few values.
    fn put_columns(&self, guess: &[f32], metrics: &mut Metrics) {
        let width = self.kept.len();
        let records = self.truth.len() / width;
        let best = error::column_r2(&self.truth, guess, &self.mean).into_iter().enumerate();
        let best = best.filter_map(|(column, r2)| Some((column, r2?))).max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((column, _)) = best {
            let truth = error::column(&self.truth, width, column);
            let reference = vec![self.mean[column]; records];
            let errors = error::squared_errors(&truth, &error::column(guess, width, column), 1);
            let reference = error::squared_errors(&truth, &reference, 1);
            metrics.insert(Metric::BestColumn, self.bootstrap.skill(&errors, &reference));
        }
        let few: Vec<(Vec<f32>, Vec<f32>, &[f32])> = self
            .levels
            .iter()
            .map(|(column, levels)| {
                let of = |values: &[f32]| error::column(values, width, *column);
                (of(&self.truth), of(guess), levels.as_slice())
            })
            .collect();
        if !few.is_empty() {
            let balanced = |rows: &[usize]| {
                let each = few.iter().map(|(truth, guess, levels)| {
                    attribute::balanced_accuracy(&pick(truth, rows), &pick(guess, rows), levels)
                });
                error::mean(&each.collect::<Vec<f64>>())
            };
            metrics.insert(Metric::Balanced, self.bootstrap.estimate(records, balanced));
        }
    }

    /// Balanced accuracy of a `guess` [targets] at a column that takes few values among auxiliary records; with `other`,
    /// what it gains over that guess. `None` for other columns.
    pub fn balanced(&self, column: usize, guess: &[f32], other: Option<&[f32]>) -> Option<Estimate> {
        let place = self.kept.iter().position(|kept| *kept == column)?;
        let (_, levels) = self.levels.iter().find(|(kept, _)| *kept == place)?;
        let truth = error::column(&self.truth, self.kept.len(), place);
        let scaled = |values: &[f32]| -> Vec<f32> {
            values.iter().map(|value| (value - self.low) * self.scale[place]).collect()
        };
        let (guess, other) = (scaled(guess), other.map(scaled));
        let figure = |guess: &[f32], rows: &[usize]| {
            attribute::balanced_accuracy(&pick(&truth, rows), &pick(guess, rows), levels)
        };
        let gain =
            |rows: &[usize]| figure(&guess, rows) - other.as_ref().map_or(0.0, |other| figure(other, rows));
        Some(self.bootstrap.estimate(truth.len(), gain))
    }

    /// What `errors` of the first targets gain over `other` on the same ones, in skill over the mean.
    pub fn gain(&self, errors: &[f64], other: &[f64]) -> Estimate {
        let same = errors.len();
        self.bootstrap.skill_gain(errors, &other[..same], &self.mean_errors[..same])
    }
}
