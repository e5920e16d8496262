//! The coordinator's labels: the configuration that names them, and each record's target.

pub(crate) mod classes;
pub(crate) mod target;

use std::fmt;
use std::path::{Path, PathBuf};

use hashvfl_core::Task;
use serde::{Deserialize, Serialize};

use crate::error::{Place, TableError};
use crate::ids::IdColumn;
use crate::ids::key_columns::KeyColumns;
use crate::ids::source::IdsSource;
use crate::labels::target::{Target, TargetColumn};
use crate::limits::{MAX_CLASSES, check_size};
use crate::names;
use crate::source::csv::file::CsvFiles;
use crate::source::idx::format::IdxFile;
use crate::source::input::count_all_lines;
use crate::source::number::CellFault;
use crate::source::resolve;

/// Where the labels are, as in the coordinator's configuration; `format` chooses the kind.
///
/// ```
/// use hashvfl_data::LabelsSource;
///
/// let source: LabelsSource = toml::from_str(r#"
///     format = "csv"
///     paths = ["labels.csv"]
///     id = "customer_id"
///     column = "defaulted"
/// "#).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum LabelsSource {
    /// A column of CSV files; gzip is recognised.
    Csv(CsvLabels),
    /// IDX files with one byte a label; gzip is recognised.
    Idx(IdxLabels),
}

/// Labels in a column of CSV files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvLabels {
    /// The files, read one after the other; all have the same header.
    pub paths: Vec<PathBuf>,
    /// Name of the column with the record ids, or names of several.
    pub id: KeyColumns,
    /// Name of the column with the labels.
    pub column: String,
}

/// Labels in IDX files; the record ids are the records' numbers, from "0".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdxLabels {
    /// The files, read one after the other.
    pub paths: Vec<PathBuf>,
}

/// The records' ids and targets.
#[derive(Clone, PartialEq)]
pub struct LabelTable {
    /// The record ids, each once.
    pub ids: Vec<String>,
    /// One target for each id.
    pub target: Target,
    /// What a person is to be told of how they were read.
    pub note: Option<String>,
}

/// Why labels could not be loaded. Messages name places and columns, never labels or ids.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// A file or its header, ids or shape are at fault.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Records have no label.
    #[error(
        "{count} records have no label in column {column:?}, the first at {first}: an empty cell, or a text that stands for a \
         missing value, as NA, None and ? do; remove these records, or give a class of that name another one"
    )]
    Missing {
        /// How many.
        count: u64,
        /// The label column's name.
        column: String,
        /// Where the first is.
        first: Place,
    },
    /// The numbers to predict are too close together for 32 bits.
    #[error(
        "the labels: {distinct} distinct numbers become {left} in 32 bits, as those of time stamps and far from zero; subtract \
         a constant from them in the file"
    )]
    Collapsed {
        /// Distinct numbers that were seen.
        distinct: usize,
        /// How many of them are left.
        left: usize,
    },
    /// A label is no number.
    #[error("{place}, column {column:?}: expected {expected}, found {fault}; correct the file, or `task`")]
    Value {
        /// Where.
        place: Place,
        /// The label column's name.
        column: String,
        /// What the task needs.
        expected: &'static str,
        /// What is wrong with the cell.
        fault: CellFault,
    },
    /// There are more classes than a model here can have.
    #[error(
        "{place}, column {column:?}: more than {MAX_CLASSES} classes; if the label is a number to \
         predict, set task = \"regression\""
    )]
    TooManyClasses {
        /// Where the first class too many is.
        place: Place,
        /// The label column's name.
        column: String,
    },
    /// The number of classes does not fit the task.
    #[error("the labels have {found} classes, expected {expected}; correct `column` or `task`")]
    ClassCount {
        /// What the task needs.
        expected: &'static str,
        /// Classes in the files.
        found: usize,
    },
    /// `id` and `column` name the same column.
    #[error("column {name:?} is named by `id` and by `column`; name the column of the labels")]
    LabelIsId {
        /// The name, as configured.
        name: String,
    },
}

impl LabelsSource {
    /// The files that hold the labels.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Self::Csv(csv) => &csv.paths,
            Self::Idx(idx) => &idx.paths,
        }
    }

    /// Lines of the text files, their headers and empty ones among them; none of other files.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn lines(&self) -> Result<Option<u64>, TableError> {
        match self {
            Self::Csv(csv) => count_all_lines(&csv.paths).map(Some),
            Self::Idx(_) => Ok(None),
        }
    }

    /// Makes relative paths relative to `folder`, usually that of the configuration file.
    pub fn resolve(&mut self, folder: &Path) {
        let paths = match self {
            Self::Csv(csv) => &mut csv.paths,
            Self::Idx(idx) => &mut idx.paths,
        };
        resolve(paths, folder);
    }

    /// Where the ids of the labelled records are.
    pub fn ids(&self) -> IdsSource {
        match self {
            Self::Csv(csv) => IdsSource::Csv { paths: csv.paths.clone(), id: csv.id.clone() },
            Self::Idx(idx) => IdsSource::Idx { paths: idx.paths.clone(), dimensions: 1 },
        }
    }
}

/// Loads the labels that `source` names, for `task`.
///
/// # Errors
/// When a file is missing, damaged or beyond the limits, a column is not there, an id is missing
/// or repeated, a label is missing or (in a regression) no finite number, there are more than
/// [`MAX_CLASSES`] classes, exactly two are needed for a binary task and others found, or fewer
/// than two. No error shows a label.
pub fn load_labels(source: &LabelsSource, task: Task) -> Result<LabelTable, LabelError> {
    match source {
        LabelsSource::Csv(csv) => load_csv(csv, task),
        LabelsSource::Idx(idx) => load_idx(idx, task),
    }
}

fn load_csv(source: &CsvLabels, task: Task) -> Result<LabelTable, LabelError> {
    let files = CsvFiles::open(&source.paths)?;
    let key = source.id.find(&files)?;
    let label_at = names::find(files.first_path(), files.names(), "column", &source.column)?;
    files.check_names_differ()?;
    if key.holds(label_at) {
        return Err(LabelError::LabelIsId { name: source.column.clone() });
    }
    let mut ids = IdColumn::default();
    let mut target = TargetColumn::new(task);
    let (mut count, mut first) = (0, None);
    files.visit(|spot, record| {
        ids.push(spot, &key.read(spot, record)?);
        let column = || source.column.clone();
        match target.push(&record[label_at]) {
            Ok(true) => Ok(()),
            Err(CellFault::Empty) => {
                count += 1;
                first.get_or_insert_with(|| spot.place());
                Ok(())
            }
            Ok(false) => Err(LabelError::TooManyClasses { place: spot.place(), column: column() }),
            Err(fault) => Err(LabelError::Value {
                place: spot.place(),
                column: column(),
                expected: target.expected(),
                fault,
            }),
        }
    })?;
    if let Some(first) = first {
        return Err(LabelError::Missing { count, column: source.column.clone(), first });
    }
    Ok(LabelTable { ids: ids.finish()?, note: target.note(), target: target.finish(task)? })
}

fn load_idx(source: &IdxLabels, task: Task) -> Result<LabelTable, LabelError> {
    let first_path = source.paths.first().ok_or(TableError::NoPaths)?;
    let mut target = TargetColumn::new(task);
    let mut rows: u64 = 0;
    for path in &source.paths {
        let mut file = IdxFile::open(path, 1)?;
        rows += file.records();
        check_size(path, rows, 1)?;
        let mut label = [0];
        while file.next_record(&mut label)? {
            target.push_byte(label[0]);
        }
    }
    if rows == 0 {
        return Err(LabelError::Table(TableError::Empty { path: first_path.clone() }));
    }
    let ids = (0..rows).map(|row| row.to_string()).collect();
    Ok(LabelTable { ids, note: target.note(), target: target.finish(task)? })
}

/// Shows sizes only: ids and labels are private data.
impl fmt::Debug for LabelTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Labels({:?})", self.target)
    }
}

#[cfg(test)]
mod tests;
