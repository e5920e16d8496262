//! What every pass over a query's records does: ids are checked, and the fingerprint is taken.

use std::collections::HashSet;
use std::path::Path;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{RowConverter, SortField};
use hashvfl_core::Digest;
use sha2::{Digest as _, Sha256};

use super::{SqlColumns, SqlError, engine};
use crate::encoding::treatment::ColumnType;
use crate::error::TableError;
use crate::names;
use crate::source::number::parse_id;

/// Where errors that name a file say that columns are missing or too many.
pub(super) const RESULT: &str = "the query's result";

/// Hands every id to `each`, sorted, and returns the fingerprint of all that the query returned.
pub(crate) fn visit_ids<E: From<TableError>>(
    source: &SqlColumns,
    mut each: impl FnMut(&str) -> Result<(), E>,
) -> Result<Digest, E> {
    let mut records = QueryRecords::new(source.key());
    engine::visit(source, |batch| {
        // Ids that are missing or repeated fail at the end, with their count.
        records.push(batch)?.iter().flatten().try_for_each(&mut each)
    })?;
    Ok(records.finish()?)
}

/// The number of records that the query returns.
pub(crate) fn count(source: &SqlColumns) -> Result<u64, TableError> {
    engine::count(source)
}

/// Checks the columns of a result; the position of the ids.
pub(super) fn check(schema: &Schema, id: &str) -> Result<usize, SqlError> {
    let mut seen = HashSet::new();
    if !schema.fields().iter().all(|field| seen.insert(field.name())) {
        return Err(SqlError::SameName);
    }
    let all: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let at = names::find(Path::new(RESULT), &all, "id", id)
        .map_err(|error| SqlError::Query { reason: error.to_string() })?;
    for (position, field) in schema.fields().iter().enumerate() {
        let (column, found) = (field.name().clone(), field.data_type().to_string());
        match kind(field.data_type()) {
            None => return Err(SqlError::Type { column, found }),
            Some(_) if position == at && !is_id(field.data_type()) => {
                return Err(SqlError::IdType { column, found });
            }
            Some(_) => {}
        }
    }
    Ok(at)
}

/// What a column of this type holds; none where it is neither numbers nor texts.
pub(super) fn kind(data_type: &DataType) -> Option<ColumnType> {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(ColumnType::Category),
        DataType::Boolean | DataType::Null => Some(ColumnType::Number),
        DataType::Dictionary(_, values) => kind(values),
        number if number.is_numeric() => Some(ColumnType::Number),
        _ => None,
    }
}

fn is_id(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_id(values),
        other => other.is_integer() || kind(other) == Some(ColumnType::Category),
    }
}

/// A column as texts; nulls stay.
pub(super) fn texts(column: &ArrayRef) -> Result<StringArray, SqlError> {
    let texts = cast(column, &DataType::Utf8).map_err(|error| failed(&error))?;
    Ok(StringArray::from(texts.to_data()))
}

/// A failure of arrow's, whose words may hold values.
pub(super) fn failed(_: &ArrowError) -> SqlError {
    SqlError::Run { reason: "a value could not be brought to the form of its column".to_owned() }
}

/// A pass over records that are sorted by id.
pub(super) struct QueryRecords {
    id: String,
    last: Option<String>,
    count: u64,
    missing: u64,
    repeated: u64,
    rows: Option<RowConverter>,
    hasher: Sha256,
}

impl QueryRecords {
    pub(super) fn new(id: String) -> Self {
        Self { id, last: None, count: 0, missing: 0, repeated: 0, rows: None, hasher: Sha256::new() }
    }

    /// Takes a batch in; its ids.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<StringArray, TableError> {
        let at = check(&batch.schema(), &self.id)?;
        self.hash(batch).map_err(|error| failed(&error))?;
        let ids = texts(batch.column(at))?;
        self.count += ids.len() as u64;
        for id in &ids {
            match id.filter(|id| parse_id(id.as_bytes()).is_ok()) {
                None => self.missing += 1,
                Some(id) if self.last.as_deref() == Some(id) => self.repeated += 1,
                Some(id) => self.last = Some(id.to_owned()),
            }
        }
        Ok(ids)
    }

    /// Adds the records' canonical bytes: arrow's row format, which is the same however texts are held.
    fn hash(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        if self.rows.is_none() {
            let schema = batch.schema();
            for field in schema.fields() {
                self.hasher.update((field.name().len() as u64).to_le_bytes());
                self.hasher.update(field.name());
            }
            let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
            self.rows = Some(RowConverter::new(fields.collect())?);
        }
        let Some(converter) = &mut self.rows else { return Ok(()) };
        for row in &converter.convert_columns(batch.columns())? {
            let bytes: &[u8] = row.as_ref();
            self.hasher.update((bytes.len() as u64).to_le_bytes());
            self.hasher.update(bytes);
        }
        Ok(())
    }

    /// The fingerprint, when all records have an id of their own.
    pub(super) fn finish(self) -> Result<Digest, TableError> {
        let column = self.id.clone();
        Err(match self {
            Self { missing: 1.., .. } => SqlError::NoId { column, count: self.missing },
            Self { repeated: 1.., .. } => SqlError::RepeatedIds { column, count: self.repeated },
            Self { count: 0, .. } => SqlError::Empty,
            _ => return Ok(Digest(self.hasher.finalize().into())),
        }
        .into())
    }
}
