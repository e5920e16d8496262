//! A student that imitates a frozen random teacher on normal rows, and an autoencoder that does the same.
//!
//! Source: the idea of Batzner et al., *EfficientAD* (WACV 2024), section 3: where student and teacher differ, a row is
//! strange in detail; where the student's second half and an autoencoder that predicts the teacher differ, it is strange
//! as a whole. Their teacher is pretrained on images; columns have none, so this one is random (Burda et al. 2019).

use hashvfl_learning::Network;
use serde::{Deserialize, Serialize};

use super::PartyRows;
use crate::detector::{Detector, Input, Needs};
use crate::error::DetectorError;
use crate::limits::MIN_ROWS;
use crate::networks::scale::{LEAST_DEVIATION, StandardScaler, in_passes};
use crate::networks::train::{batches, mean_squares, network, square_gradient};
use crate::networks::weights;
use crate::values::MatrixView;

/// Updates of the weights.
const UPDATES: u64 = 3_000;
/// Values that the teacher gives.
const OUTPUTS: usize = 32;
/// Hidden units of teacher and student.
const HIDDEN: usize = 96;
/// Normal rows over which the two differences are brought to one scale.
const SCALE_ROWS: usize = 4_096;

/// A student, its teacher and an autoencoder; the score is the sum of both differences, each over its mean on normal rows.
#[derive(Serialize, Deserialize)]
pub struct Student {
    scale: StandardScaler,
    outputs: StandardScaler,
    #[serde(with = "weights")]
    teacher: Network,
    #[serde(with = "weights")]
    student: Network,
    #[serde(with = "weights")]
    autoencoder: Network,
    usual: [f64; 2],
}

impl Student {
    /// The two differences of each row; `input` are rows on the scale.
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

/// Whether a network takes `inputs` values and gives `outputs`.
fn has_ends(network: &Network, inputs: usize, outputs: usize) -> bool {
    let sizes = network.sizes();
    sizes[0] == inputs && sizes[sizes.len() - 1] == outputs
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

impl Detector for Student {
    type Normal<'a> = PartyRows<'a>;
    type Observations<'a> = PartyRows<'a>;
    const NAME: &'static str = "student";
    const NEEDS: Needs = Needs { input: Input::Columns, rows: MIN_ROWS };

    fn fit(normal: &PartyRows<'_>, seed: u64) -> Result<Self, DetectorError> {
        let columns = normal.columns;
        let width = columns.width();
        let scale = StandardScaler::fit(columns, LEAST_DEVIATION);
        let first: Vec<u32> = (0..columns.rows().min(SCALE_ROWS) as u32).collect();
        let sample = scale.gather(columns, &first);
        let teacher = network(&[width, HIDDEN, OUTPUTS], seed, "teacher");
        let taught = teacher.forward(&sample);
        let outputs =
            StandardScaler::fit(MatrixView::new("a teacher's outputs", &taught, OUTPUTS)?, LEAST_DEVIATION);
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
        found.usual = found.differences(&sample).map(|differences| mean(&differences).max(1e-12));
        Ok(found)
    }

    fn score(&self, rows: &PartyRows<'_>) -> Result<Vec<f64>, DetectorError> {
        in_passes(rows.columns, &self.scale, "columns", |input| {
            let [detail, whole] = self.differences(input);
            detail.iter().zip(&whole).map(|(d, w)| d / self.usual[0] + w / self.usual[1]).collect()
        })
    }

    fn check(&self) -> Result<(), DetectorError> {
        self.scale.check()?;
        self.outputs.check()?;
        let (width, given) = (self.scale.width(), self.outputs.width());
        let fits = has_ends(&self.teacher, width, given)
            && has_ends(&self.student, width, 2 * given)
            && has_ends(&self.autoencoder, width, given)
            && self.usual.iter().all(|usual| usual.is_finite() && *usual > 0.0);
        DetectorError::stored(fits, "a student and its teacher")
    }
}
