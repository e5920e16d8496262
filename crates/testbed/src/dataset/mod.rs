//! The data sets of benchmarks and examples: what each party holds of the records, and their labels, as the files have them.
//!
//! Nothing is reordered here. A [`Split`] says which record of the files stands at which row of a run.

mod credit_default;
mod lists;
mod sources;
mod split;

use std::path::Path;

use hashvfl_core::Task;
use hashvfl_data::Matrix;
use hashvfl_learning::top::loss::Labels;

pub use credit_default::{RAW_GUEST, RAW_HOST, credit_default_raw};
pub use lists::{adult, kdd99, read_cells};
pub use sources::{Classes, Sources, csv};
pub use split::Split;

use crate::digits::Digits;

/// What one party holds.
pub struct PartyColumns {
    /// The party.
    pub name: &'static str,
    /// Its columns, in the order of the files.
    pub matrix: Matrix,
    /// Channels, height and width, where the columns are an image.
    pub image: Option<[usize; 3]>,
}

/// Records, cut into columns, and their labels.
pub struct Dataset {
    /// What each party holds.
    pub parties: Vec<PartyColumns>,
    /// The class of each record.
    pub classes: Vec<u32>,
    /// The number of classes.
    pub class_count: usize,
    /// What is predicted.
    pub task: Task,
}

impl Dataset {
    /// The number of records.
    pub fn records(&self) -> usize {
        self.classes.len()
    }

    /// The labels of the records of `order`, in that order.
    pub fn labels(&self, order: &[u32]) -> Labels {
        let index = order.iter().map(|record| self.classes[*record as usize]).collect();
        Labels::Classes { count: self.class_count, index }
    }

    /// The labels of all records, in the order of the files.
    pub fn all_labels(&self) -> Labels {
        Labels::Classes { count: self.class_count, index: self.classes.clone() }
    }
}

/// Digits of 8 x 8 pixels from 0 to 16, left and right halves; they come with the program.
pub fn digits() -> Dataset {
    let digits = Digits::load();
    let (class_count, classes) = (Digits::CLASSES, digits.classes().to_vec());
    let [left, right] = digits.halves;
    let image = Some(Digits::HALF_SHAPE);
    Dataset {
        parties: vec![
            PartyColumns { name: "left", matrix: left, image },
            PartyColumns { name: "right", matrix: right, image },
        ],
        classes,
        class_count,
        task: Task::Multiclass,
    }
}

/// The tables of [`Sources::credit_default`].
///
/// # Errors
/// If a file is missing or damaged.
pub fn credit_default(folder: &Path) -> anyhow::Result<Dataset> {
    Sources::credit_default(folder)?.load()
}

/// The tables of [`Sources::vehicle`].
///
/// # Errors
/// If a file is missing or damaged.
pub fn vehicle(folder: &Path) -> anyhow::Result<Dataset> {
    Sources::vehicle(folder)?.load()
}

/// The tables of [`Sources::mnist`].
///
/// # Errors
/// If a file is missing or damaged.
pub fn mnist(folder: &Path) -> anyhow::Result<Dataset> {
    Sources::mnist(folder)?.load()
}
