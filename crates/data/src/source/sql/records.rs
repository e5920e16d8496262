//! What every pass over a query's records does: ids are checked, and the fingerprint is taken. A table that is served goes on
//! without records that have no id of their own.

use datafusion::arrow::array::{Array, RecordBatch, StringArray};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{RowConverter, SortField};
use hashvfl_core::Digest;
use hashvfl_core::records::composite_id;
use hashvfl_core::text::counted;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::columns::{check, failed, texts};
use super::{SqlColumns, SqlError};
use crate::cell::parse_id;
use crate::encoding::content::FAULTY;
use crate::error::TableError;
use crate::ids::marked::tell;
use crate::table::sink::RowSink;

/// A pass over records that are sorted by id.
pub(super) struct QueryRecords {
    id: String,
    /// Columns that are an id together.
    key_columns: usize,
    last: Option<String>,
    count: u64,
    missing: u64,
    repeated: u64,
    /// Ids with white space around a part of them.
    padded: u64,
    rows: Option<RowConverter>,
    hasher: Sha256,
}

impl QueryRecords {
    pub(super) fn new(source: &SqlColumns) -> Self {
        Self {
            id: source.key(),
            key_columns: source.id.names().len(),
            last: None,
            count: 0,
            missing: 0,
            repeated: 0,
            padded: 0,
            rows: None,
            hasher: Sha256::new(),
        }
    }

    /// Adds a batch, and returns its ids.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<StringArray, TableError> {
        let at = check(&batch.schema(), &self.id)?;
        self.hash(batch).map_err(|error| failed(&error))?;
        let ids = texts(batch.column(at))?;
        self.count += ids.len() as u64;
        for id in &ids {
            self.padded += u64::from(id.is_some_and(|id| is_padded(id, self.key_columns)));
            match usable(id) {
                None => self.missing += 1,
                Some(id) if self.last.as_deref() == Some(id) => self.repeated += 1,
                Some(id) => self.last = Some(id.to_owned()),
            }
        }
        Ok(ids)
    }

    /// The error about a record without an id.
    pub(super) fn no_id(&self) -> TableError {
        SqlError::RecordWithoutId { column: self.id.clone() }.into()
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
        match self {
            Self { missing: 1.., .. } => Err(SqlError::NoId { column, count: self.missing }.into()),
            Self { repeated: 1.., .. } => Err(SqlError::RepeatedIds { column, count: self.repeated }.into()),
            _ => self.finish_any(),
        }
    }

    /// The fingerprint, whatever the ids are.
    pub(super) fn finish_any(self) -> Result<Digest, TableError> {
        if let Some(told) = self.told_of_padding() {
            warn!("{told}");
        }
        match self.count {
            0 => Err(SqlError::Empty.into()),
            _ => Ok(Digest(self.hasher.finalize().into())),
        }
    }

    /// What to know of ids that other formats would read without the white space around them.
    fn told_of_padding(&self) -> Option<String> {
        (self.padded > 0).then(|| {
            format!(
                "the query returned {} with white space around the id or a part of it, which counts here and in no other format: \
                 if the column is padded, use btrim",
                counted(self.padded, "record")
            )
        })
    }
}

/// Whether an id of so many columns has white space around a part of it.
fn is_padded(id: &str, key_columns: usize) -> bool {
    let is_padded = |part: &str| part.trim_ascii() != part;
    composite_id::split(id, key_columns).is_some_and(|parts| parts.into_iter().any(is_padded))
}

/// The id, where it can be one.
pub(super) fn usable(id: Option<&str>) -> Option<&str> {
    id.filter(|id| parse_id(id.as_bytes()).is_ok())
}

/// Records of a table that is served, sorted by id, on their way to a sink. One without an id is skipped; of several that share
/// an id the first is marked, since nobody knows which of them is meant, and the others are skipped.
#[derive(Default)]
pub(super) struct ServedRows {
    /// The ids of the rows that were handed on or wait.
    ids: Vec<String>,
    /// The row of the last id, which waits until the next id is known.
    waiting: Vec<f32>,
    /// Whether the last id came more than once.
    is_repeated: bool,
    without: u64,
    repeats: u64,
    shared: u64,
}

impl ServedRows {
    /// How many rows there are so far.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Adds a record.
    pub(super) fn push(
        &mut self,
        id: Option<&str>,
        row: &[f32],
        sink: &mut dyn RowSink,
    ) -> Result<(), TableError> {
        let Some(id) = usable(id) else {
            self.without += 1;
            return Ok(());
        };
        if self.ids.last().is_some_and(|last| last == id) {
            self.repeats += if self.is_repeated { 1 } else { 2 };
            self.shared += u64::from(!self.is_repeated);
            self.is_repeated = true;
            self.waiting.fill(FAULTY);
            return Ok(());
        }
        self.hand_on(sink)?;
        self.ids.push(id.to_owned());
        self.waiting.extend_from_slice(row);
        self.is_repeated = false;
        Ok(())
    }

    fn hand_on(&mut self, sink: &mut dyn RowSink) -> Result<(), TableError> {
        if !self.ids.is_empty() {
            sink.push(&self.waiting)?;
        }
        self.waiting.clear();
        Ok(())
    }

    /// Hands on the last row, says once what was found, in numbers only, and returns the ids.
    pub(super) fn finish(mut self, sink: &mut dyn RowSink) -> Result<Vec<String>, TableError> {
        self.hand_on(sink)?;
        tell(self.without, self.repeats, self.shared, sink);
        Ok(self.ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_an_id_or_a_part_of_it_is_seen() {
        for (id, key_columns, expected) in [
            ("k1", 1, false),
            ("k1 ", 1, true),
            (" k 1", 1, true),
            ("k 1", 1, false),
            ("5:north1:7", 2, false),
            ("6:north 1:7", 2, true),
            ("5:north2: 7", 2, true),
            ("7 ", 2, false),
        ] {
            assert_eq!(is_padded(id, key_columns), expected, "{id:?}");
        }
    }
}
