//! A party's columns: the configuration that names them, and the table they become.

pub(crate) mod csv;
pub(crate) mod idx;
pub(crate) mod images;
pub(crate) mod input;
pub(crate) mod npy;
pub(crate) mod number;
pub(crate) mod png;
pub(crate) mod sql;

use std::fmt;
use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use serde::{Deserialize, Serialize};

use crate::encoding::content::Content;
use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::ids::key_columns::KeyColumns;
use crate::ids::order::fingerprint;
use crate::ids::source::IdsSource;
use crate::source::csv::file::CsvFiles;
use crate::source::input::count_all_lines;
use crate::source::sql::SqlColumns;
use crate::store::matrix::Matrix;
use crate::store::sink::{Frame, Sink};

/// Where a party's columns are, as in its configuration file; `format` chooses the kind.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum ColumnsSource {
    /// Text files, one record a line below a header; gzip is recognised.
    Csv(CsvColumns),
    /// Images in the IDX format of MNIST, one byte a pixel; gzip is recognised.
    Idx(ImageColumns),
    /// Folders of PNG images, grey or RGB, one record a file. A record's id is its file's path below the folder, without
    /// `.png`.
    Png(ImageColumns),
    /// Arrays of NumPy: `[records, columns]`, `[records, height, width]` or `[records, channels, height, width]`; gzip is
    /// recognised.
    Npy(ImageColumns),
    /// The records that a SQL query returns.
    Sql(SqlColumns),
}

/// Columns of CSV files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvColumns {
    /// The files, read one after the other; all have the same header.
    pub paths: Vec<PathBuf>,
    /// Name of the column with the record ids, or names of several.
    pub id: KeyColumns,
    /// Names of the columns to load, in this order; without it all but `id` and `ignore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Names of columns to leave out. A name that no column has is an error: with a misspelt
    /// one the column would be loaded.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// Says that the columns are pixels of an image, channel by channel and row by row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageShape>,
}

/// Pixels of images, or of NumPy values of records of any shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageColumns {
    /// The files, read one after the other; all hold images of the same size. Of PNG the folders, each read in the order
    /// of its files' names.
    pub paths: Vec<PathBuf>,
    /// The part of each image to load; without it the whole image. Only where records are images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
}

/// A rectangle of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Rows of pixels above it.
    pub top: usize,
    /// Pixels to the left of it.
    pub left: usize,
    /// Rows of pixels in it.
    pub height: usize,
    /// Pixels in each of its rows.
    pub width: usize,
}

/// The shape of an image whose pixels are columns: `[channels, height, width]`, row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// Channels: 1 for grey, 3 for colour.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
}

/// A party's records as they were read: one id and one row of values each.
#[derive(Clone, PartialEq)]
pub struct Table {
    /// The record ids, one a row, each once.
    pub ids: Vec<String>,
    /// The columns' names, one a column of `matrix`.
    pub names: Vec<String>,
    /// What each column holds.
    pub contents: Vec<Content>,
    /// The values: `[ids.len(), names.len()]`; NaN where one is missing.
    pub matrix: Matrix,
    /// Set when the columns are an image's pixels; its product is then `names.len()`.
    pub image: Option<ImageShape>,
}

impl ColumnsSource {
    /// The files that hold the records; of folders of images the folders; none for a query, which is no list of files.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Self::Csv(csv) => &csv.paths,
            Self::Idx(idx) => &idx.paths,
            Self::Png(png) => &png.paths,
            Self::Npy(npy) => &npy.paths,
            Self::Sql(_) => &[],
        }
    }

    /// Lines of the text files, their headers and empty ones among them; none of other sources.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn lines(&self) -> Result<Option<u64>, TableError> {
        match self {
            Self::Csv(csv) => count_all_lines(&csv.paths).map(Some),
            _ => Ok(None),
        }
    }

    /// Columns of text files that are neither ids nor among the `loaded` ones; none of other sources.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn excluded(&self, loaded: usize) -> Result<Option<usize>, TableError> {
        match self {
            Self::Csv(csv) => {
                let all = CsvFiles::open(&csv.paths)?.names().len();
                Ok(Some(all.saturating_sub(csv.id.names().len() + loaded)))
            }
            _ => Ok(None),
        }
    }

    /// Where the ids of the records are.
    pub fn ids(&self) -> IdsSource {
        match self {
            Self::Csv(csv) => IdsSource::Csv { paths: csv.paths.clone(), id: csv.id.clone() },
            Self::Idx(idx) => IdsSource::Idx { paths: idx.paths.clone(), dimensions: 3 },
            Self::Png(png) => IdsSource::Png { paths: png.paths.clone() },
            Self::Npy(npy) => IdsSource::Npy { paths: npy.paths.clone() },
            Self::Sql(sql) => IdsSource::Sql(sql.clone()),
        }
    }

    /// Hands every id to `each`, in the table's order, and returns the source's fingerprint: SHA-256 of the files, or of
    /// all that the query returned. [`crate::load_in_order`] finds the same one while nothing has changed.
    ///
    /// # Errors
    /// As [`IdsSource::visit`].
    pub fn visit_ids<E: From<TableError>>(
        &self,
        each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<Digest, E> {
        if let Self::Sql(sql) = self {
            return sql::visit_ids(sql, each);
        }
        self.ids().visit(each)?;
        Ok(fingerprint(self.files())?)
    }

    /// Makes relative paths relative to `folder`, usually that of the configuration file.
    pub fn resolve(&mut self, folder: &Path) {
        let paths = match self {
            Self::Csv(csv) => &mut csv.paths,
            Self::Idx(idx) => &mut idx.paths,
            Self::Png(png) => &mut png.paths,
            Self::Npy(npy) => &mut npy.paths,
            Self::Sql(sql) => return sql.resolve(folder),
        };
        resolve(paths, folder);
    }
}

/// Puts `folder` before every relative path.
pub(crate) fn resolve(paths: &mut [PathBuf], folder: &Path) {
    for path in paths {
        *path = folder.join(&path);
    }
}

/// Loads the columns that `source` names, in one pass that holds the matrix once.
///
/// CSV files are read a first time to count their lines, so that the matrix is allocated once.
/// The ids of IDX and NumPy records are their numbers, from "0", counted on from file to file; those of PNG images
/// are the files' names. Records of a query are sorted by the bytes of their ids' text.
///
/// # Errors
/// When a file is missing, damaged or beyond the limits, a setting names a column that is not
/// there, a cell is missing or no value of its column's type, or an id is missing or repeated. No error shows a
/// cell.
pub fn load(source: &ColumnsSource) -> Result<Table, TableError> {
    load_as(source, &Treatment::default())
}

/// The same with types of columns and what a missing value is, as `treatment` says.
///
/// # Errors
/// As [`load`].
pub fn load_as(source: &ColumnsSource, treatment: &Treatment) -> Result<Table, TableError> {
    match source {
        ColumnsSource::Csv(csv) => csv::load(csv, treatment),
        ColumnsSource::Idx(idx) => idx::load(idx),
        ColumnsSource::Png(png) => png::load(png),
        ColumnsSource::Npy(npy) => npy::load(npy, treatment),
        ColumnsSource::Sql(sql) => Ok(sql::load(sql, treatment)?.0),
    }
}

/// The same with the source's fingerprint, see [`ColumnsSource::visit_ids`].
///
/// # Errors
/// As [`load`].
pub(crate) fn load_fingerprinted(
    source: &ColumnsSource,
    treatment: &Treatment,
) -> Result<(Table, Digest), TableError> {
    if let ColumnsSource::Sql(sql) = source {
        return sql::load(sql, treatment);
    }
    Ok((load_as(source, treatment)?, fingerprint(source.files())?))
}

/// Reads what `source` names in a stream into `sink`; of a query its fingerprint, too.
pub(crate) fn read_into(
    source: &ColumnsSource,
    treatment: &Treatment,
    sink: &mut dyn Sink,
) -> Result<(Frame, Option<Digest>), TableError> {
    match source {
        ColumnsSource::Csv(csv) => Ok((csv::read(csv, treatment, sink)?, None)),
        ColumnsSource::Sql(sql) => sql::read(sql, treatment, sink).map(|(frame, found)| (frame, Some(found))),
        ColumnsSource::Idx(_) | ColumnsSource::Png(_) | ColumnsSource::Npy(_) => Err(TableError::NotCached),
    }
}

/// Shows sizes only: ids and values are private data.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("matrix", &self.matrix)
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ColumnsSource, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_configuration_survives_a_round_trip() {
        for text in [
            "format = \"csv\"\npaths = [\"a.csv\"]\nid = \"id\"\n\
             image = { channels = 1, height = 2, width = 3 }",
            "format = \"csv\"\npaths = [\"a.csv\"]\nid = \"id\"\ncolumns = [\"a\"]\nignore = [\"y\"]",
            "format = \"idx\"\npaths = [\"a.gz\"]",
            "format = \"png\"\npaths = [\"faces\"]\ncrop = { top = 0, left = 0, height = 1, width = 1 }",
            "format = \"npy\"\npaths = [\"a.npy\"]",
        ] {
            let source = parse(text).unwrap();
            let again = parse(&toml::to_string(&source).unwrap()).unwrap();
            assert_eq!(source, again);
        }
    }

    #[test]
    fn what_a_format_does_not_know_is_refused() {
        for text in [
            "format = \"csv\"\npaths = []\nid = \"id\"\nignored = [\"y\"]",
            "format = \"idx\"\npaths = []\nid = \"id\"",
            "format = \"idx\"\npaths = []\ncrop = { top = 0, left = 0, height = 1, w = 1 }",
            "format = \"parquet\"\npaths = []",
            "format = \"csv\"\npaths = []",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_relative_paths_are_resolved() {
        let mut source = parse("format = \"csv\"\nid = \"id\"\npaths = [\"a.csv\", \"/b.csv\"]").unwrap();
        source.resolve(Path::new("/etc/party"));
        let ColumnsSource::Csv(csv) = source else {
            panic!("expected csv");
        };
        assert_eq!(csv.paths, [Path::new("/etc/party/a.csv"), Path::new("/b.csv")]);
    }

    #[test]
    fn debug_shows_no_id() {
        let table = Table {
            ids: vec!["secret".to_owned()],
            names: vec!["a".to_owned()],
            contents: vec![Content::Number],
            matrix: Matrix::new(1, 1, vec![17.0]).unwrap(),
            image: None,
        };
        let shown = format!("{table:?}");
        assert!(!shown.contains("secret") && !shown.contains("17"), "{shown}");
    }
}
