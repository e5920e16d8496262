//! From files to numbers: what a party or the coordinator reads before training.
//!
//! A party loads a [`Table`] (record ids and an f32 [`Matrix`] of numbers and categories) from the files that a
//! [`ColumnsSource`] names; the coordinator loads [`Labels`] from a [`LabelsSource`]. An [`Encoding`], fitted on
//! training rows only, then fills in what is missing, brings numbers to a common scale and categories to numbers.
//!
//! This crate knows nothing of models, peers or the network. Nothing it loads may leave it in
//! words: no error message and no `Debug` output holds a cell, a record id or a label; errors
//! name the file, the line and the column instead.

mod cache;
mod classes;
mod content;
mod contents;
mod csv_file;
mod csv_table;
mod csv_text;
mod encoding;
mod error;
mod first_config;
mod foreign;
mod header;
mod id_list;
mod ids;
mod idx;
mod idx_table;
mod images;
mod input;
mod inspection;
mod key_columns;
mod labels;
mod limits;
mod matrix;
mod names;
mod npy;
mod npy_table;
mod number;
mod order;
mod parquet_ids;
mod png_folder;
mod png_table;
mod preprocess;
mod quantile;
mod ranges;
mod record_ids;
mod records;
mod resolution;
mod row_encoder;
mod scale;
mod sink;
mod source;
mod sql;
mod survey;
mod target;
mod treatment;

pub use cache::beside;
pub use content::{Content, MAX_CATEGORIES};
pub use csv_text::{CsvFault, csv_error, open_csv};
pub use encoding::{Embedded, Encoding, Noted, ONE_HOT_MOST};
pub use error::{Place, TableError};
pub use first_config::{fill, quoted, quoted_list};
pub use id_list::{WAYS_OF_WRITING, read_found, written_otherwise};
pub use idx::IdxError;
pub use images::ImageError;
pub use inspection::{Figures, Inspected, Inspection, Pixels, Spread};
pub use key_columns::KeyColumns;
pub use labels::{CsvLabels, IdxLabels, LabelError, Labels, LabelsSource, load_labels};
pub use limits::{MAX_CLASSES, MAX_COLUMNS, MAX_ROWS, MAX_VALUES};
pub use matrix::{Matrix, MatrixError};
pub use npy::NpyError;
pub use number::CellFault;
pub use order::{Names, Order, fingerprint};
pub use png_folder::PngError;
pub use preprocess::{PreprocessError, Preprocessing, Preprocessor};
pub use ranges::Ranges;
pub use record_ids::IdsSource;
pub use records::{Cached, Columns, Records, load_in_order};
pub use source::{ColumnsSource, Crop, CsvColumns, ImageColumns, ImageShape, Table, load, load_as};
pub use sql::{ClusterAddress, ClusterTls, SqlColumns, SqlError, SqlFormat, SqlTable};
pub use survey::{FirstLine, Hints, MOST_DISTINCT, Oddity, Survey, Surveyed, Verdict, survey};
pub use target::Target;
pub use treatment::{ColumnRules, Faulty, Fill, Kind, Missing, Treatment, Types, Unseen};
