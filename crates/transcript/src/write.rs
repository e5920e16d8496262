//! Writing: a file that gets its name when it is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashvfl_core::{Digest, PartyName};
use hashvfl_files::WholeFile;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::rows::RowGroup;
use crate::{RecordedBatches, RecordedStep, TranscriptError, TranscriptHeader, ValueEncoding, chain};

const SCHEMA: &str = "message transcript {
    REQUIRED INT64 step;
    REQUIRED BYTE_ARRAY kind (STRING);
    REQUIRED INT32 epoch;
    REQUIRED INT64 record;
    REQUIRED BYTE_ARRAY party (STRING);
    REQUIRED BYTE_ARRAY encoding (STRING);
    REQUIRED BYTE_ARRAY value;
    REQUIRED BYTE_ARRAY chain;
}";
/// Rows that are kept in memory before they are written as a row group.
const GROUP_ROWS: usize = 1 << 17;
pub(crate) const HEADER_KEY: &str = "hashvfl.header";
pub(crate) const HEAD_KEY: &str = "hashvfl.head";

/// A transcript in the making.
pub struct Transcript {
    path: PathBuf,
    writer: SerializedFileWriter<WholeFile>,
    rows: RowGroup,
    head: Digest,
}

impl Transcript {
    /// Begins a file at `path`.
    pub fn create(path: &Path, header: &TranscriptHeader) -> Result<Self, TranscriptError> {
        let file = WholeFile::create(path)?;
        // Unwrap safety: the schema is a constant and a header is plain text, and a test writes them.
        let schema = Arc::new(parse_message_type(SCHEMA).expect("a valid schema"));
        let text = serde_json::to_string(header).expect("a header is plain text");
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(vec![KeyValue::new(HEADER_KEY.to_string(), text.clone())]))
            .build();
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties))
            .map_err(|source| TranscriptError::Write { path: path.to_path_buf(), source })?;
        let head = TranscriptHeader::digest(&text);
        Ok(Self { path: path.to_path_buf(), writer, rows: RowGroup::default(), head })
    }

    /// Keeps what one step shows of `records`, one batch a party.
    pub fn record(
        &mut self,
        step: RecordedStep,
        records: &[u32],
        parties: &[PartyName],
        batches: &RecordedBatches<'_>,
    ) -> Result<(), TranscriptError> {
        let (encoding, values) = batches.encoded();
        self.keep(step, records, encoding, parties, values)
    }

    pub(crate) fn keep(
        &mut self,
        step: RecordedStep,
        records: &[u32],
        encoding: ValueEncoding,
        parties: &[PartyName],
        batches: Vec<Vec<u8>>,
    ) -> Result<(), TranscriptError> {
        let values = parties.iter().map(PartyName::as_str).zip(batches.iter().map(Vec::as_slice));
        self.head = chain::link(&self.head, step, records, encoding, values);
        let (name, epoch) = step.kind.columns();
        let (kind, encoding) = (ByteArray::from(name), ByteArray::from(encoding.name()));
        let link = ByteArray::from(self.head.0.to_vec());
        for (party, batch) in parties.iter().zip(&batches) {
            let party = ByteArray::from(party.as_str());
            let width = batch.len() / records.len().max(1);
            for (record, value) in records.iter().zip(batch.chunks_exact(width.max(1))) {
                self.rows.steps.push(step.number as i64);
                self.rows.kinds.push(kind.clone());
                self.rows.epochs.push(epoch);
                self.rows.records.push(i64::from(*record));
                self.rows.parties.push(party.clone());
                self.rows.encodings.push(encoding.clone());
                self.rows.values.push(ByteArray::from(value.to_vec()));
                self.rows.chains.push(link.clone());
            }
        }
        if self.rows.steps.len() >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    /// The chain's head so far.
    pub fn head(&self) -> Digest {
        self.head
    }

    fn flush(&mut self) -> Result<(), TranscriptError> {
        let rows = std::mem::take(&mut self.rows);
        write_group(&mut self.writer, &rows)
            .map_err(|source| TranscriptError::Write { path: self.path.clone(), source })
    }

    /// Closes the file and gives it its name.
    pub fn finish(mut self) -> Result<(), TranscriptError> {
        self.flush()?;
        self.writer.append_key_value_metadata(KeyValue::new(HEAD_KEY.to_string(), self.head.to_string()));
        let file =
            self.writer.into_inner().map_err(|source| TranscriptError::Write { path: self.path, source })?;
        Ok(file.finish()?)
    }
}

fn write_group(writer: &mut SerializedFileWriter<WholeFile>, rows: &RowGroup) -> Result<(), ParquetError> {
    if rows.steps.is_empty() {
        return Ok(());
    }
    let mut group = writer.next_row_group()?;
    macro_rules! column {
        ($type:ty, $values:expr) => {
            if let Some(mut column) = group.next_column()? {
                column.typed::<$type>().write_batch($values, None, None)?;
                column.close()?;
            }
        };
    }
    column!(Int64Type, &rows.steps);
    column!(ByteArrayType, &rows.kinds);
    column!(Int32Type, &rows.epochs);
    column!(Int64Type, &rows.records);
    column!(ByteArrayType, &rows.parties);
    column!(ByteArrayType, &rows.encodings);
    column!(ByteArrayType, &rows.values);
    column!(ByteArrayType, &rows.chains);
    group.close()?;
    Ok(())
}
