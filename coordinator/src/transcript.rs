//! The transcript: every code that the coordinator ever saw, as a Parquet file for attacks and audits.
//!
//! One row a record, party and step: `step`, `kind` ("batch", or the part that was encoded), `epoch` (from 0, -1
//! outside training), `record` (the row number), `party`, `code` (packed bits, least significant first). Codes
//! are as private as columns until an attack on them has shown otherwise: the file's mode is 0600.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashvfl_core::{PackedCodes, Part, PartyName, Rows};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

const SCHEMA: &str = "message transcript {
    REQUIRED INT64 step;
    REQUIRED BYTE_ARRAY kind (STRING);
    REQUIRED INT32 epoch;
    REQUIRED INT64 record;
    REQUIRED BYTE_ARRAY party (STRING);
    REQUIRED BYTE_ARRAY code;
}";
/// Rows that are kept in memory before they are written as a row group.
const GROUP_ROWS: usize = 1 << 17;

/// Why a transcript cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// The file system said no.
    #[error("cannot write the transcript {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The Parquet writer said no.
    #[error("cannot write the transcript {path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
}

#[derive(Default)]
struct Rowset {
    steps: Vec<i64>,
    kinds: Vec<ByteArray>,
    epochs: Vec<i32>,
    records: Vec<i64>,
    parties: Vec<ByteArray>,
    codes: Vec<ByteArray>,
}

/// A transcript in the making: a temporary file that gets its name when it is whole.
pub struct Transcript {
    path: PathBuf,
    temporary: PathBuf,
    parties: Vec<ByteArray>,
    writer: Option<SerializedFileWriter<File>>,
    rows: Rowset,
}

impl Transcript {
    /// Begins a file at `path` for codes of `parties`, in that order.
    pub fn create(path: &Path, parties: &[PartyName]) -> Result<Self, TranscriptError> {
        let temporary = path.with_extension("tmp");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let file = options
            .open(&temporary)
            .map_err(|source| TranscriptError::Io { path: temporary.clone(), source })?;
        // Unwrap safety: the schema is a constant, and a test writes with it.
        let schema = Arc::new(parse_message_type(SCHEMA).expect("a valid schema"));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties))
            .map_err(|source| TranscriptError::Parquet { path: temporary.clone(), source })?;
        Ok(Self {
            path: path.to_path_buf(),
            temporary,
            parties: parties.iter().map(|party| ByteArray::from(party.as_str())).collect(),
            writer: Some(writer),
            rows: Rowset::default(),
        })
    }

    /// Keeps the codes of one step, one batch a party, of the records `numbers`.
    pub fn record(
        &mut self,
        step: u64,
        rows: Rows,
        numbers: &[u32],
        codes: &[PackedCodes],
    ) -> Result<(), TranscriptError> {
        let (kind, epoch) = match rows {
            Rows::Batch { epoch, .. } => ("batch", epoch as i32),
            Rows::Chunk { part, .. } => (part_name(part), -1),
        };
        let kind = ByteArray::from(kind);
        for (party, batch) in self.parties.iter().zip(codes) {
            for (index, number) in numbers.iter().enumerate() {
                self.rows.steps.push(step as i64);
                self.rows.kinds.push(kind.clone());
                self.rows.epochs.push(epoch);
                self.rows.records.push(i64::from(*number));
                self.rows.parties.push(party.clone());
                self.rows.codes.push(ByteArray::from(batch.row_bytes(index)));
            }
        }
        if self.rows.steps.len() >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), TranscriptError> {
        let rows = std::mem::take(&mut self.rows);
        let Some(writer) = &mut self.writer else { return Ok(()) };
        write_group(writer, &rows)
            .map_err(|source| TranscriptError::Parquet { path: self.temporary.clone(), source })
    }

    /// Closes the file and gives it its name.
    pub fn finish(mut self) -> Result<(), TranscriptError> {
        self.flush()?;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.close().map_err(|source| TranscriptError::Parquet { path: self.temporary.clone(), source })?;
        fs::rename(&self.temporary, &self.path)
            .map_err(|source| TranscriptError::Io { path: self.path.clone(), source })
    }
}

// A run that fails leaves no half transcript.
impl Drop for Transcript {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn part_name(part: Part) -> &'static str {
    match part {
        Part::Train => "train",
        Part::Validation => "validation",
        Part::Test => "test",
        Part::CohortTrain => "cohort-train",
        Part::CohortValidation => "cohort-validation",
    }
}

fn write_group(writer: &mut SerializedFileWriter<File>, rows: &Rowset) -> Result<(), ParquetError> {
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
    column!(ByteArrayType, &rows.codes);
    group.close()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::*;

    #[test]
    fn a_transcript_is_read_back_and_a_broken_off_one_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("transcript.parquet");
        let parties = ["bank", "telecom"].map(|name| PartyName::new(name).unwrap());
        let codes = |first| PackedCodes::pack(&[first, -1.0, 1.0, 1.0, 1.0, -1.0], 3).unwrap();
        let rows = Rows::Batch { epoch: 2, batch: 0 };

        let mut broken = Transcript::create(&path, &parties).unwrap();
        broken.record(7, rows, &[5, 9], &[codes(1.0), codes(-1.0)]).unwrap();
        drop(broken);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let mut whole = Transcript::create(&path, &parties).unwrap();
        whole.record(7, rows, &[5, 9], &[codes(1.0), codes(-1.0)]).unwrap();
        whole
            .record(8, Rows::Chunk { part: Part::Test, chunk: 0 }, &[1, 2], &[codes(1.0), codes(1.0)])
            .unwrap();
        whole.finish().unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let read: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.len(), 8);
        let first = &read[0];
        assert_eq!((first.get_long(0).unwrap(), first.get_string(1).unwrap().as_str()), (7, "batch"));
        assert_eq!((first.get_int(2).unwrap(), first.get_long(3).unwrap()), (2, 5));
        assert_eq!(
            (first.get_string(4).unwrap().as_str(), first.get_bytes(5).unwrap().data()),
            ("bank", &[5_u8][..])
        );
        assert_eq!(read[2].get_bytes(5).unwrap().data(), [4]);
        assert_eq!((read[7].get_int(2).unwrap(), read[7].get_string(1).unwrap().as_str()), (-1, "test"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
