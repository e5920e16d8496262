//! Records as the coordinator sees them.

use crate::codes::Codes;
use crate::codes::centres::Centres;
use crate::error::DetectorError;
use crate::values::MatrixView;

/// Records that the coordinator scores.
#[derive(Clone, Copy)]
pub struct CoordinatorRows<'a> {
    /// All parties' codes.
    pub codes: &'a Codes,
    /// The class that the top model predicts for each record; 0 for all records in a regression.
    pub classes: &'a [u32],
    /// The top model's features, which are its last hidden layer: `[rows, features]`.
    pub features: MatrixView<'a>,
}

impl<'a> CoordinatorRows<'a> {
    /// Puts the parts together.
    ///
    /// # Errors
    /// If the parts have different numbers of records.
    pub fn new(
        codes: &'a Codes,
        classes: &'a [u32],
        features: MatrixView<'a>,
    ) -> Result<Self, DetectorError> {
        DetectorError::same_rows("classes", codes.rows(), classes.len())?;
        DetectorError::same_rows("features", codes.rows(), features.rows())?;
        Ok(Self { codes, classes, features })
    }

    /// One more than the largest class.
    pub(crate) fn class_count(&self) -> usize {
        self.classes.iter().max().map_or(1, |most| *most as usize + 1)
    }
}

/// Normal records that fit the coordinator's detectors, with what a run knows beside them.
#[derive(Clone, Copy)]
pub struct CoordinatorNormal<'a> {
    /// The records.
    pub rows: CoordinatorRows<'a>,
    /// The target codes of training, one per class, each of +1.0 and -1.0; `None` where training had none.
    pub targets: Option<&'a [Vec<f32>]>,
    /// Codes of synthetic inputs, which each party drew evenly over the ranges of its columns.
    pub synthetic: Option<&'a Codes>,
}

impl<'a> From<CoordinatorRows<'a>> for CoordinatorNormal<'a> {
    /// The records alone.
    fn from(rows: CoordinatorRows<'a>) -> Self {
        Self { rows, targets: None, synthetic: None }
    }
}

impl CoordinatorNormal<'_> {
    /// The number of records.
    pub fn rows(&self) -> usize {
        self.rows.codes.rows()
    }

    /// The code of each class: the target code of training, or else the majority of the class's normal codes.
    ///
    /// # Errors
    /// If target codes are longer or shorter than the parties' codes.
    pub(crate) fn centres(&self) -> Result<Centres, DetectorError> {
        let CoordinatorRows { codes, classes, .. } = self.rows;
        match self.targets {
            Some(targets) => Centres::of_targets(targets, codes.lengths()),
            None => Ok(Centres::of_majority(codes, classes, self.rows.class_count())),
        }
    }
}
