//! What every pass over a query's records does: ids are checked, and the fingerprint is taken.

use datafusion::arrow::array::{Array, RecordBatch, StringArray};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{RowConverter, SortField};
use hashvfl_core::Digest;
use sha2::{Digest as _, Sha256};

use super::SqlError;
use super::columns::{check, failed, texts};
use crate::cell::parse_id;
use crate::error::TableError;

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

    /// Adds a batch, and returns its ids.
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

    /// Hashes the records in arrow's row format, which does not depend on how texts are stored.
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
