//! From files to numbers: what a party or the coordinator reads before training.
//!
//! A party loads a [`Table`] (record ids and an f32 [`Matrix`] of numbers and categories) from the files that a
//! [`ColumnsSource`] names; the coordinator loads [`LabelTable`] from a [`LabelsSource`]. An [`Encoding`], fitted on
//! training rows only, then fills in what is missing, brings numbers to a common scale and categories to numbers.
//!
//! This crate knows nothing of models, peers or the network. Nothing it loads may leave it in
//! words: no error message and no `Debug` output holds a cell, a record id or a label; errors
//! name the file, the line and the column instead.

mod contents;
mod csv_text;
mod encoding;
mod error;
mod ids;
mod inspection;
mod labels;
mod limits;
mod names;
mod parquet_ids;
mod resolution;
mod source;
mod store;

pub use csv_text::{CsvFault, csv_error, open_csv};
pub use encoding::content::{Content, MAX_CATEGORIES};
pub use encoding::preprocess::{PreprocessError, Preprocessing, Preprocessor};
pub use encoding::ranges::Ranges;
pub use encoding::treatment::{ColumnRules, ColumnType, Faulty, Fill, Missing, Treatment, Types, Unseen};
pub use encoding::{Embedded, Encoding, Noted, ONE_HOT_MOST};
pub use error::{Place, TableError};
pub use ids::key_columns::KeyColumns;
pub use ids::list::{WAYS_OF_WRITING, read_found, written_otherwise};
pub use ids::order::{Names, Order, fingerprint};
pub use ids::source::IdsSource;
pub use inspection::first_config::{fill, quoted, quoted_list};
pub use inspection::survey::{FirstLine, Hints, MOST_DISTINCT, Oddity, Survey, Surveyed, Verdict, survey};
pub use inspection::{Figures, Inspected, Inspection, Pixels, Spread};
pub use labels::target::Target;
pub use labels::{CsvLabels, IdxLabels, LabelError, LabelTable, LabelsSource, load_labels};
pub use limits::{MAX_CLASSES, MAX_COLUMNS, MAX_ROWS, MAX_VALUES};
pub use source::idx::format::IdxError;
pub use source::images::ImageError;
pub use source::npy::format::NpyError;
pub use source::number::CellFault;
pub use source::png::folder::PngError;
pub use source::sql::{ClusterAddress, ClusterTls, SqlColumns, SqlError, SqlFormat, SqlTable};
pub use source::{ColumnsSource, Crop, CsvColumns, ImageColumns, ImageShape, Table, load, load_as};
pub use store::cache::beside;
pub use store::matrix::{Matrix, MatrixError};
pub use store::{Cached, Columns, RecordStore, load_in_order};
