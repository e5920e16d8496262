//! The coordinator's labels: what every format of them can do, and each record's target.

pub(crate) mod classes;
pub(crate) mod column;
pub(crate) mod error;
pub(crate) mod target;

use std::fmt::{self, Debug};
use std::path::{Path, PathBuf};

use hashvfl_core::Task;

use crate::error::TableError;
use crate::ids::id_source::IdSource;
use crate::labels::error::LabelError;
use crate::labels::target::Target;

/// A source of labels.
pub trait LabelSource: Debug {
    /// The files that hold the labels.
    fn files(&self) -> &[PathBuf];

    /// Makes relative paths relative to `folder`, usually that of the configuration file.
    fn resolve(&mut self, folder: &Path);

    /// The number of lines of text files, including headers and empty lines; `None` for other files.
    ///
    /// # Errors
    /// When a file cannot be read.
    fn lines(&self) -> Result<Option<u64>, TableError>;

    /// What a person is to know of the files beside their labels, in words without a cell: what looks cut off.
    ///
    /// # Errors
    /// When a file cannot be read.
    fn remarks(&self) -> Result<Vec<String>, TableError>;

    /// Where the ids of the labelled records are.
    fn ids(&self) -> Box<dyn IdSource>;

    /// Reads the labels for `task`.
    ///
    /// # Errors
    /// When a file is missing, damaged or beyond the limits, a column is not there, an id is missing
    /// or repeated, a label is missing or (in a regression) no finite number, there are more than
    /// [`MAX_CLASSES`](crate::MAX_CLASSES) classes, exactly two are needed for a binary task and others found, or fewer
    /// than two. No error shows a label.
    fn read(&self, task: Task) -> Result<LabelTable, LabelError>;
}

/// The records' ids and targets.
#[derive(Clone, PartialEq)]
pub struct LabelTable {
    /// The record ids, each once.
    pub ids: Vec<String>,
    /// One target for each id.
    pub target: Target,
    /// A remark for a person on how they were read.
    pub note: Option<String>,
}

/// Shows sizes only: ids and labels are private data.
impl fmt::Debug for LabelTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Labels({:?})", self.target)
    }
}

#[cfg(test)]
mod tests;
