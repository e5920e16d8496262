//! Reading: the whole chain is checked before anything is handed out.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hashvfl_core::Digest;
use hashvfl_files::encryption::{check_file, is_protected};
use hashvfl_files::read_whole;
use parquet::data_type::{ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};

use crate::rows::RowGroup;
use crate::write::{HEAD_KEY, HEADER_KEY};
use crate::{RecordedKind, RecordedStep, TranscriptError, TranscriptHeader, VERSION, ValueEncoding, chain};

/// What one step showed of its records.
#[derive(Clone, PartialEq)]
pub struct Step {
    /// Its number.
    pub step: u64,
    /// What it was about.
    pub kind: RecordedKind,
    /// Row numbers of its records.
    pub records: Vec<u32>,
    /// How values are written.
    pub encoding: ValueEncoding,
    /// Each party's name and values, record after record, all of the same length.
    pub values: Vec<(String, Vec<u8>)>,
}

impl Step {
    /// Which step it is.
    pub(crate) fn recorded(&self) -> RecordedStep {
        RecordedStep { number: self.step, kind: self.kind }
    }
}

/// A transcript that has been read and whose chain holds.
pub struct Recording {
    /// What it says of itself.
    pub header: TranscriptHeader,
    /// The head of its chain.
    pub head: Digest,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

impl Recording {
    /// Reads a transcript; with `expected`, only the one of that head.
    ///
    /// # Errors
    /// If it is cut off, of another version or changed since it was written; the error names the step.
    pub fn read(path: &Path, expected: Option<Digest>) -> Result<Self, TranscriptError> {
        let format = |error: ParquetError| TranscriptError::format(path, error);
        let reader = open(path)?;
        let header_text = text(path, reader.as_ref(), HEADER_KEY)?;
        let header = read_header(path, &header_text)?;
        let head_text = text(path, reader.as_ref(), HEAD_KEY)?;
        let head = Digest::from_hex(&head_text)
            .ok_or_else(|| TranscriptError::format(path, "its head is not a SHA-256"))?;
        let mut checked =
            VerifiedSteps { path, link: TranscriptHeader::digest(&header_text), steps: Vec::new() };
        let mut open: Option<Open> = None;
        for index in 0..reader.num_row_groups() {
            let group = reader.get_row_group(index).map_err(format)?;
            let rows = RowGroup::read(group.as_ref()).map_err(format)?;
            for row in 0..rows.steps.len() {
                let cell = rows.cell(row).ok_or_else(|| {
                    TranscriptError::format(path, format_args!("row {row} is not a row of a transcript"))
                })?;
                if let Some(done) = open.take_if(|open| !open.goes_on_with(&cell)) {
                    checked.close(done)?;
                }
                open.get_or_insert_with(|| Open::begin(&cell)).add(&cell);
            }
        }
        if let Some(done) = open.take() {
            checked.close(done)?;
        }
        let last = checked.steps.last().map_or(0, |step| step.step);
        if checked.link != head {
            return Err(TranscriptError::Head { path: path.to_path_buf(), step: last });
        }
        match expected {
            Some(expected) if expected != head => Err(TranscriptError::Other {
                path: path.to_path_buf(),
                found: head_text,
                expected: expected.to_string(),
            }),
            _ => Ok(Self { header, head, steps: checked.steps }),
        }
    }
}

/// Opens a file. One that is encrypted is read into memory.
fn open(path: &Path) -> Result<Box<dyn FileReader>, TranscriptError> {
    let io = |source: io::Error| TranscriptError::Io { what: "read", path: path.to_path_buf(), source };
    let format = |error: ParquetError| TranscriptError::format(path, error);
    if is_protected(path) {
        let content = Bytes::from(read_whole(path).map_err(io)?);
        return Ok(Box::new(SerializedFileReader::new(content).map_err(format)?));
    }
    check_file(path).map_err(io)?;
    let file = File::open(path).map_err(io)?;
    Ok(Box::new(SerializedFileReader::new(file).map_err(format)?))
}

/// What a file says of itself under `key`.
fn text(path: &Path, reader: &dyn FileReader, key: &str) -> Result<String, TranscriptError> {
    let pairs = reader.metadata().file_metadata().key_value_metadata();
    let pair = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == key));
    pair.and_then(|pair| pair.value.clone())
        .ok_or_else(|| TranscriptError::format(path, format_args!("it has no {key}")))
}

/// When a transcript was begun, as its header says; `None` where the file is no transcript or does not say.
pub(crate) fn written(path: &Path) -> Option<SystemTime> {
    let reader = open(path).ok()?;
    let pairs = reader.metadata().file_metadata().key_value_metadata()?;
    let text = pairs.iter().find(|pair| pair.key == HEADER_KEY)?.value.as_deref()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(read_header(path, text).ok()?.written_s?))
}

fn read_header(path: &Path, text: &str) -> Result<TranscriptHeader, TranscriptError> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let format = |error: serde_json::Error| TranscriptError::format(path, error);
    let Version { version: found } = serde_json::from_str(text).map_err(format)?;
    if found != VERSION {
        return Err(TranscriptError::Version { path: path.into(), found, expected: VERSION });
    }
    serde_json::from_str(text).map_err(format)
}

/// The steps whose chain has been found to hold.
struct VerifiedSteps<'a> {
    path: &'a Path,
    link: Digest,
    steps: Vec<Step>,
}

impl VerifiedSteps<'_> {
    fn close(&mut self, Open { step, chain, same_records, .. }: Open) -> Result<(), TranscriptError> {
        let values = step.values.iter().map(|(party, bytes)| (party.as_str(), bytes.as_slice()));
        self.link = chain::link(&self.link, step.recorded(), &step.records, step.encoding, values);
        if self.link != chain || !same_records {
            return Err(TranscriptError::Chain { path: self.path.to_path_buf(), step: step.step });
        }
        self.steps.push(step);
        Ok(())
    }
}

/// A step whose rows are being read.
struct Open {
    step: Step,
    chain: Digest,
    /// Rows read of the last party.
    rows: usize,
    /// Whether every party's rows name the records that the first one's do.
    same_records: bool,
}

impl Open {
    fn begin(cell: &Cell) -> Self {
        let (records, values) = (Vec::new(), Vec::new());
        let step = Step { step: cell.step, kind: cell.kind, records, encoding: cell.encoding, values };
        Self { step, chain: cell.chain, rows: 0, same_records: true }
    }

    fn goes_on_with(&self, cell: &Cell) -> bool {
        let of = |step: &Step| (step.step, step.kind, step.encoding);
        of(&self.step) == (cell.step, cell.kind, cell.encoding) && self.chain == cell.chain
    }

    fn add(&mut self, cell: &Cell) {
        let Step { records, values, .. } = &mut self.step;
        if values.last().is_none_or(|(party, _)| party != cell.party) {
            self.same_records &= values.is_empty() || self.rows == records.len();
            values.push((cell.party.to_string(), Vec::new()));
            self.rows = 0;
        }
        if values.len() == 1 {
            records.push(cell.record);
        } else {
            self.same_records &= records.get(self.rows) == Some(&cell.record);
        }
        self.rows += 1;
        if let Some((_, bytes)) = values.last_mut() {
            bytes.extend_from_slice(cell.value);
        }
    }
}

/// One row.
struct Cell<'a> {
    step: u64,
    kind: RecordedKind,
    record: u32,
    party: &'a str,
    encoding: ValueEncoding,
    value: &'a [u8],
    chain: Digest,
}

impl RowGroup {
    fn read(group: &dyn RowGroupReader) -> Result<Self, ParquetError> {
        let count = usize::try_from(group.metadata().num_rows())
            .map_err(|_| ParquetError::General("a negative number of rows".into()))?;
        Ok(Self {
            steps: column::<Int64Type>(group, 0, count)?,
            kinds: column::<ByteArrayType>(group, 1, count)?,
            epochs: column::<Int32Type>(group, 2, count)?,
            records: column::<Int64Type>(group, 3, count)?,
            parties: column::<ByteArrayType>(group, 4, count)?,
            encodings: column::<ByteArrayType>(group, 5, count)?,
            values: column::<ByteArrayType>(group, 6, count)?,
            chains: column::<ByteArrayType>(group, 7, count)?,
        })
    }

    fn cell(&self, row: usize) -> Option<Cell<'_>> {
        Some(Cell {
            step: u64::try_from(self.steps[row]).ok()?,
            kind: RecordedKind::parse(self.kinds[row].as_utf8().ok()?, self.epochs[row])?,
            record: u32::try_from(self.records[row]).ok()?,
            party: self.parties[row].as_utf8().ok()?,
            encoding: ValueEncoding::parse(self.encodings[row].as_utf8().ok()?)?,
            value: self.values[row].data(),
            chain: Digest::from_slice(self.chains[row].data())?,
        })
    }
}

fn column<T: DataType>(
    group: &dyn RowGroupReader,
    index: usize,
    count: usize,
) -> Result<Vec<T::T>, ParquetError> {
    let mut reader = parquet::column::reader::get_typed_column_reader::<T>(group.get_column_reader(index)?);
    let mut values = Vec::new();
    while values.len() < count {
        let (records, ..) = reader.read_records(count - values.len(), None, None, &mut values)?;
        if records == 0 {
            return Err(ParquetError::General("a column ends before the others".into()));
        }
    }
    Ok(values)
}
