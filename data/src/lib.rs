//! From files to numbers: what a party or the coordinator reads before training.
//!
//! A party loads a [`Table`] (record ids and an f32 [`Matrix`]) from the files that a
//! [`ColumnsSource`] names; the coordinator loads [`Labels`] from a [`LabelsSource`].
//! [`Standardizer`] then brings columns to a common scale, fitted on training rows only.
//!
//! This crate knows nothing of models, peers or the network. Nothing it loads may leave it in
//! words: no error message and no `Debug` output holds a cell, a record id or a label; errors
//! name the file, the line and the column instead.

mod classes;
mod csv_file;
mod csv_table;
mod error;
mod header;
mod id_list;
mod ids;
mod idx;
mod idx_table;
mod input;
mod labels;
mod limits;
mod matrix;
mod names;
mod number;
mod preprocess;
mod quantile;
mod record_ids;
mod source;
mod table_ids;
mod target;

pub use error::{Place, TableError};
pub use header::{Header, describe};
pub use id_list::read_rows;
pub use idx::IdxError;
pub use labels::{CsvLabels, IdxLabels, LabelError, Labels, LabelsSource, load_labels};
pub use limits::{MAX_CLASSES, MAX_COLUMNS, MAX_ROWS, MAX_VALUES};
pub use matrix::{Matrix, MatrixError};
pub use number::CellFault;
pub use preprocess::{PreprocessError, Preprocessing, Preprocessor, Standardizer};
pub use quantile::Quantiles;
pub use record_ids::IdsSource;
pub use source::{ColumnsSource, Crop, CsvColumns, IdxColumns, ImageShape, Table, load};
pub use table_ids::{ids_of_columns, ids_of_labels};
pub use target::Target;
