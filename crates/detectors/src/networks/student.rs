//! A student that imitates a frozen random teacher on normal rows, and an autoencoder that does the same.
//!
//! Source: the idea of Batzner et al., *EfficientAD* (WACV 2024), section 3: where student and teacher differ, a row is
//! strange in detail; where the student's second half and an autoencoder that predicts the teacher differ, it is strange
//! as a whole. Their teacher is pretrained on images; columns have none, so this one is random (Burda et al. 2019).

use hashvfl_learning::Network;
use serde::{Deserialize, Serialize};

use super::train::{Scale, batches, in_passes, mean_squares, network, square_gradient, stored};
use crate::error::DetectorError;
use crate::rows::PartyRows;
use crate::{Detector, Score};

/// Updates of the weights.
const UPDATES: u64 = 3_000;
/// Values that the teacher gives.
const OUTPUTS: usize = 32;
/// Hidden units of teacher and student.
const HIDDEN: usize = 96;
/// Least deviation of a column, see [`Scale::fit`].
const LEAST: f64 = 0.1;
/// Normal rows over which the two differences are brought to one scale.
const SCALE_ROWS: usize = 4_096;

/// Both differences, each over its mean on normal rows.
#[derive(Serialize, Deserialize)]
pub struct Student {
    scale: Scale,
    outputs: Scale,
    #[serde(with = "stored")]
    teacher: Network,
    #[serde(with = "stored")]
    student: Network,
    #[serde(with = "stored")]
    autoencoder: Network,
    usual: [f64; 2],
}

impl Student {
    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        self.scale.check()?;
        self.outputs.check()?;
        let (width, given) = (self.scale.width(), self.outputs.width());
        let runs = |network: &Network, outputs: usize| {
            let sizes = network.sizes();
            sizes[0] == width && sizes[sizes.len() - 1] == outputs
        };
        let fits = runs(&self.teacher, given)
            && runs(&self.student, 2 * given)
            && runs(&self.autoencoder, given)
            && self.usual.iter().all(|usual| usual.is_finite() && *usual > 0.0);
        DetectorError::stored(fits, "a student and its teacher")
    }

    /// The two differences of rows on the scale.
    fn differences(&self, input: &[f32]) -> [Vec<f64>; 2] {
        let given = self.outputs.width();
        let taught = self.outputs.apply(&self.teacher.forward(input));
        let [imitated, predicted] = halves(&self.student.forward(input), given);
        let whole = self.autoencoder.forward(input);
        [mean_squares(&imitated, &taught, given), mean_squares(&predicted, &whole, given)]
    }
}

/// The two halves of each row of `2 * width` values.
fn halves(values: &[f32], width: usize) -> [Vec<f32>; 2] {
    [0, width].map(|start| {
        values.chunks_exact(2 * width).flat_map(|row| row[start..start + width].to_vec()).collect()
    })
}

/// Rows of two halves of `width` values each.
fn joined(one: &[f32], other: &[f32], width: usize) -> Vec<f32> {
    one.chunks_exact(width).zip(other.chunks_exact(width)).flat_map(|(a, b)| [a, b].concat()).collect()
}

impl Detector<PartyRows<'_>> for Student {
    fn fit(normal: &PartyRows<'_>, seed: u64) -> Result<Self, DetectorError> {
        let columns = normal.columns;
        columns.check_fits("a student and its teacher")?;
        let width = columns.width();
        let scale = Scale::fit(columns, LEAST);
        let first: Vec<u32> = (0..columns.rows().min(SCALE_ROWS) as u32).collect();
        let sample = scale.gather(columns, &first);
        let teacher = network(&[width, HIDDEN, OUTPUTS], seed, "teacher");
        let taught = teacher.forward(&sample);
        let outputs = Scale::fit(crate::rows::Values::new("a teacher's outputs", &taught, OUTPUTS)?, LEAST);
        let narrow = (width / 3).clamp(2, 16);
        let mut found = Self {
            student: network(&[width, HIDDEN, HIDDEN, 2 * OUTPUTS], seed, "student"),
            autoencoder: network(&[width, HIDDEN, narrow, HIDDEN, OUTPUTS], seed, "teacher's autoencoder"),
            scale,
            outputs,
            teacher,
            usual: [1.0; 2],
        };
        batches(columns.rows(), UPDATES, seed, |rows, rate| {
            let input = found.scale.gather(columns, rows);
            let taught = found.outputs.apply(&found.teacher.forward(&input));
            let mut whole = Vec::new();
            found.autoencoder.learn(&input, rate, |output| {
                whole = output.to_vec();
                square_gradient(output, &taught, rows.len())
            });
            let wanted = joined(&taught, &whole, OUTPUTS);
            found.student.learn(&input, rate, |output| square_gradient(output, &wanted, rows.len()));
        });
        let mean = |values: &Vec<f64>| (values.iter().sum::<f64>() / values.len().max(1) as f64).max(1e-12);
        found.usual = found.differences(&sample).each_ref().map(mean);
        Ok(found)
    }
}

impl Score<PartyRows<'_>> for Student {
    fn score(&self, rows: &PartyRows<'_>) -> Result<Vec<f64>, DetectorError> {
        in_passes(rows.columns, &self.scale, "columns", |input| {
            let [detail, whole] = self.differences(input);
            detail.iter().zip(&whole).map(|(d, w)| d / self.usual[0] + w / self.usual[1]).collect()
        })
    }
}
