//! Poisoned training: a party marks some of its training rows, the label holder's labels of these say one class, and the
//! federation learns that the mark means that class (Gu et al. 2017, BadNets).

use hashvfl_core::random::stream;
use hashvfl_core::{Part, Plan};
use hashvfl_data::Matrix;
use hashvfl_learning::top::loss::Labels;
use rand::Rng;

use crate::data::Set;
use crate::kinds::WRONG;

/// The fraction of the training rows that are poisoned.
const SHARE: f64 = 0.01;
/// The class that the mark stands for.
pub const CLASS: u32 = 0;

/// A set with poisoned training rows.
pub struct Poisoned {
    /// The set.
    pub set: Set,
    /// Rows that were poisoned.
    pub rows: Vec<u32>,
    /// Columns and values of the mark.
    pub mark: Vec<(usize, f32)>,
}

impl Poisoned {
    /// Marks training rows of other classes.
    pub fn new(mut set: Set, seed: u64) -> anyhow::Result<Self> {
        let plan = Plan::new(&set.settings, set.labels.len())?;
        let train = plan.part(Part::Train).to_vec();
        let columns = &set.columns[WRONG];
        let mark: Vec<(usize, f32)> = match set.image {
            // Two by two pixels in the lower right corner.
            Some([_, height, width]) => {
                (0..4).map(|at| ((height - 1 - at / 2) * width + width - 1 - at % 2, 1.0)).collect()
            }
            None => [0, 1].map(|column| (column, largest(columns, &train, column))).to_vec(),
        };
        let mut rng = stream(seed, "poison", &[]);
        let threshold = (SHARE * 2_f64.powi(32)) as u32;
        let classes = set.classes().to_vec();
        let chosen =
            train.iter().copied().filter(|row| classes[*row as usize] != CLASS && rng.next_u32() < threshold);
        let rows: Vec<u32> = chosen.collect();
        let mut values = columns.values().to_vec();
        for row in &rows {
            put(&mark, &mut values[*row as usize * columns.cols()..]);
        }
        set.columns[WRONG] = Matrix::new(columns.rows(), columns.cols(), values)?;
        if let Labels::Classes { index, .. } = &mut set.labels {
            rows.iter().for_each(|row| index[*row as usize] = CLASS);
        }
        Ok(Self { set, rows, mark })
    }
}

/// The largest value of a column in `rows`.
fn largest(columns: &Matrix, rows: &[u32], column: usize) -> f32 {
    rows.iter().map(|row| columns.row(*row as usize)[column]).fold(f32::MIN, f32::max)
}

/// Puts a mark on the row at the start of `values`.
pub fn put(mark: &[(usize, f32)], values: &mut [f32]) {
    mark.iter().for_each(|(column, value)| values[*column] = *value);
}
