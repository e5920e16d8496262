//! Why labels could not be loaded.

use hashvfl_core::text;

use crate::cell::CellFault;
use crate::error::{Location, TableError};
use crate::limits::MAX_CLASSES;

/// Why labels could not be loaded. Messages name places and columns, never labels or ids.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// A file, its header, its ids or its shape is at fault.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Records have no label.
    #[error(
        "{} without a label in column {column:?}, the first at {first}: the cell is empty or holds a text that stands \
         for a missing value, such as NA, None or ?; remove these records, or rename the class if that text is a \
         class name", text::counted(.count, "record")
    )]
    Missing {
        /// How many.
        count: u64,
        /// The label column's name.
        column: String,
        /// Where the first is.
        first: Location,
    },
    /// The numbers to predict are too close together for 32 bits.
    #[error(
        "the labels: {distinct} distinct numbers become {left} in 32 bits, as time stamps and numbers far from zero do; subtract \
         a constant from them in the file"
    )]
    Collapsed {
        /// Distinct numbers that were seen.
        distinct: usize,
        /// How many of them are left.
        left: usize,
    },
    /// The numbers to predict are too small for 32 bits.
    #[error(
        "the labels: all numbers are nearer to 0 than 1.2e-38, where 32 bits hold few of their digits; multiply them by a constant \
         in the file"
    )]
    TooSmall,
    /// A label does not fit the task.
    #[error("{place}, column {column:?}: expected {expected}, found {fault}; correct the file, or `task`")]
    Value {
        /// Where.
        place: Location,
        /// The label column's name.
        column: String,
        /// What the task needs.
        expected: &'static str,
        /// What is wrong with the cell.
        fault: CellFault,
    },
    /// There are more than [`MAX_CLASSES`] classes.
    #[error(
        "{place}, column {column:?}: more than {MAX_CLASSES} classes; if the label is a number to \
         predict, set task = \"regression\""
    )]
    TooManyClasses {
        /// Where the first class too many is.
        place: Location,
        /// The label column's name.
        column: String,
    },
    /// The number of classes does not fit the task.
    #[error(
        "the labels have {}, but need {expected}; correct `column` or `task`", text::counted(.found, "class")
    )]
    ClassCount {
        /// What the task needs.
        expected: &'static str,
        /// Classes in the files.
        found: usize,
    },
    /// `id` and `column` name the same column.
    #[error("`id` and `column` both name {name:?}; set `column` to the label column")]
    LabelIsId {
        /// The name, as configured.
        name: String,
    },
}
