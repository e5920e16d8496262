//! From files to numbers: what a party or the coordinator reads before training.
//!
//! A party loads a [`Table`] (record ids and an f32 [`Matrix`] of numbers and categories) from a [`RowSource`]; the
//! coordinator loads a [`LabelTable`] from a [`LabelSource`]. A configuration names one of those that are built in, as a
//! [`ColumnsSource`] or [`LabelsSource`]. An [`Encoding`], fitted on training rows only, then fills in what is missing, brings
//! numbers to a common scale and categories to numbers.
//!
//! This crate knows nothing of models, peers or the network. Nothing it loads may leave it in
//! words: no error message and no `Debug` output holds a cell, a record id or a label; errors
//! name the file, the line and the column instead.

mod cell;
mod date;
mod encoding;
mod error;
mod ids;
mod inspection;
mod labels;
mod limits;
mod missing;
mod names;
mod resolution;
mod shape;
mod source;
mod store;
mod table;

pub use cell::CellFault;
pub use encoding::content::{ColumnBuilder, Content, MAX_CATEGORIES};
pub use encoding::error::PreprocessError;
pub use encoding::fit::ONE_HOT_MOST;
pub use encoding::preprocess::Preprocessor;
pub use encoding::ranges::Ranges;
pub use encoding::row_encoder::EncodingNotes;
pub use encoding::scale::Preprocessing;
pub use encoding::treatment::{ColumnRules, ColumnType, Faulty, Fill, Missing, Treatment, Types, Unseen};
pub use encoding::{EmbeddedColumn, Encoding};
pub use error::{Counted, Location, TableError, WAYS_OF_WRITING};
pub use ids::id_source::IdSource;
pub use ids::key_columns::KeyColumns;
pub use ids::list::{read_found, written_otherwise};
pub use ids::order::{Order, RecordNames};
pub use ids::remarks::remarks_on_ids;
pub use inspection::first_config::{fill, preset_of, quoted, quoted_list};
pub use inspection::survey::{
    ColumnVerdict, FirstLine, Hints, MOST_DISTINCT, NumberLikeText, Survey, Surveyed, survey,
};
pub use inspection::{ColumnFigures, Inspected, Inspection, NumberSummary, Pixels};
pub use labels::error::LabelError;
pub use labels::target::Target;
pub use labels::{LabelSource, LabelTable};
pub use limits::{MAX_CLASSES, MAX_COLUMNS, MAX_ROWS, MAX_VALUES};
pub use source::counted::RecordCountError;
pub use source::csv::CsvColumns;
pub use source::csv::ids::CsvIds;
pub use source::csv::labels::CsvLabels;
pub use source::csv::numbered::load_numbered;
pub use source::csv::text::{CsvFault, CsvTextError, csv_error, open_csv};
pub use source::fingerprint::fingerprint;
pub use source::idx::format::IdxError;
pub use source::idx::{IdxColumns, IdxIds, IdxLabels};
pub use source::images::{Crop, ImageError};
pub use source::npy::NpyColumns;
pub use source::npy::format::NpyError;
pub use source::parquet::ParquetColumns;
pub use source::parquet::error::ParquetFileError;
pub use source::parquet::ids::ParquetIds;
pub use source::parquet::labels::ParquetLabels;
pub use source::png::PngColumns;
pub use source::png::folder::PngError;
pub use source::row_source::{RowSource, load, load_as};
pub use source::sql::{ClusterAddress, ClusterTls, SqlColumns, SqlError, SqlFormat, SqlTable};
pub use source::{ColumnsSource, IdsSource, LabelsSource, load_labels};
pub use store::cache::beside;
pub use store::{Cached, EncodedColumns, RecordStore, load_in_order};
pub use table::matrix::{Matrix, MatrixError};
pub use table::sink::{Frame, RowSink};
pub use table::{ImageShape, PixelValues, Table};
