//! Where columns, labels and ids are: the formats that a configuration may name. Each format's module holds its
//! configuration and its readers; this file ties them in, with one line per format and setting.

pub(crate) mod counted;
pub(crate) mod csv;
pub(crate) mod fingerprint;
pub(crate) mod idx;
pub(crate) mod images;
pub(crate) mod input;
pub(crate) mod npy;
pub(crate) mod parquet;
pub(crate) mod png;
pub(crate) mod row_source;
pub(crate) mod selection;
pub(crate) mod sql;

use std::ops::{Deref, DerefMut};
use std::path::Path;

use hashvfl_core::Task;
use serde::{Deserialize, Serialize};

use crate::ids::id_source::IdSource;
use crate::ids::key_columns::KeyColumns;
use crate::labels::error::LabelError;
use crate::labels::{LabelSource, LabelTable};
use crate::source::csv::CsvColumns;
use crate::source::csv::ids::CsvIds;
use crate::source::csv::labels::CsvLabels;
use crate::source::idx::{IdxColumns, IdxIds, IdxLabels};
use crate::source::npy::NpyColumns;
use crate::source::parquet::ParquetColumns;
use crate::source::parquet::ids::ParquetIds;
use crate::source::parquet::labels::ParquetLabels;
use crate::source::png::PngColumns;
use crate::source::row_source::RowSource;
use crate::source::sql::SqlColumns;

/// An enum of configurations, in which `format` chooses one, and which stands for the source that this one is: it
/// dereferences to the trait. The name of a format is that of its variant in lower case.
macro_rules! formats {
    ($(#[$about:meta])* $name:ident: $reader:ident { $($(#[$format_about:meta])* $format:ident($config:ty),)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "format", rename_all = "lowercase")]
        pub enum $name {
            $($(#[$format_about])* $format($config),)+
        }

        impl Deref for $name {
            type Target = dyn $reader;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$format(source) => source,)+
                }
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut Self::Target {
                match self {
                    $(Self::$format(source) => source,)+
                }
            }
        }
    };
}

formats! {
    /// Where a party's columns are, as in its configuration file.
    ///
    /// ```
    /// use hashvfl_data::ColumnsSource;
    ///
    /// let table: ColumnsSource = toml::from_str(r#"
    ///     format = "csv"
    ///     paths = ["2024.csv", "2025.csv.gz"]   # one below the other; the same header in each
    ///     id = "customer_id"
    ///     ignore = ["name", "y"]                # every other column is loaded
    /// "#).unwrap();
    /// let left_half: ColumnsSource = toml::from_str(r#"
    ///     format = "idx"
    ///     paths = ["train-images-idx3-ubyte.gz"]
    ///     crop = { top = 0, left = 0, height = 28, width = 14 }
    /// "#).unwrap();
    /// ```
    ColumnsSource: RowSource {
        /// Text files, one record per line below a header; gzip is recognised.
        Csv(CsvColumns),
        /// Images in the IDX format of MNIST, one byte per pixel; gzip is recognised.
        Idx(IdxColumns),
        /// Folders of PNG images, grey or RGB, one record per file.
        Png(PngColumns),
        /// Arrays of NumPy; gzip is recognised.
        Npy(NpyColumns),
        /// Parquet files.
        Parquet(ParquetColumns),
        /// The records that a SQL query returns.
        Sql(SqlColumns),
    }
}

formats! {
    /// Where the labels are, as in the coordinator's configuration.
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
    LabelsSource: LabelSource {
        /// A column of CSV files; gzip is recognised.
        Csv(CsvLabels),
        /// IDX files with one byte per label; gzip is recognised.
        Idx(IdxLabels),
        /// A column of Parquet files.
        Parquet(ParquetLabels),
    }
}

formats! {
    /// Where record ids are, as in a configuration file.
    ///
    /// ```
    /// use hashvfl_data::IdsSource;
    ///
    /// let source: IdsSource = toml::from_str(r#"
    ///     format = "parquet"
    ///     paths = ["customers.parquet"]
    ///     id = "customer_id"
    /// "#).unwrap();
    /// ```
    IdsSource: IdSource {
        /// A column of text files, or several; gzip is recognised.
        Csv(CsvIds),
        /// A column of Parquet files, or several, of texts or whole numbers.
        Parquet(ParquetIds),
        /// IDX files: the ids are the records' numbers, from "0", counted on from file to file.
        Idx(IdxIds),
    }
}

impl IdsSource {
    /// The ids in the column or columns `id` of one file: Parquet where its name ends so, text otherwise.
    pub fn of_file(path: &Path, id: impl Into<KeyColumns>) -> Self {
        let (paths, id) = (vec![path.to_owned()], id.into());
        let parquet = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
        if parquet { Self::Parquet(ParquetIds { paths, id }) } else { Self::Csv(CsvIds { paths, id }) }
    }
}

/// Loads the labels that `source` names, for `task`.
///
/// # Errors
/// As [`LabelSource::read`].
pub fn load_labels(source: &LabelsSource, task: Task) -> Result<LabelTable, LabelError> {
    source.read(task)
}

#[cfg(test)]
mod tests;
