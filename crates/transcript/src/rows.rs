//! Rows of the file, column by column.

use parquet::data_type::ByteArray;

/// A row group, or what becomes one.
#[derive(Default)]
pub(crate) struct RowGroup {
    pub steps: Vec<i64>,
    pub kinds: Vec<ByteArray>,
    pub epochs: Vec<i32>,
    pub records: Vec<i64>,
    pub parties: Vec<ByteArray>,
    pub encodings: Vec<ByteArray>,
    pub values: Vec<ByteArray>,
    pub chains: Vec<ByteArray>,
}
