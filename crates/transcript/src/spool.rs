//! A transcript while its run goes on: steps in a file that grows, which a run that continues from a checkpoint shortens to
//! that checkpoint.
//!
//! ```text
//!  header as JSON, a line | step | step | ...      step: length (4 bytes), then what `Frame` holds
//! ```
//!
//! A Parquet file cannot be read before its end is written. So steps are kept here first, and become one when the run
//! ends ([`TranscriptSpool::finish`]).

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hashvfl_core::{Digest, PartyName};
use hashvfl_files::encryption::{GrowingFile, GrowingReader};
use serde::{Deserialize, Serialize};

use crate::{
    PARTS, RecordedBatches, RecordedKind, RecordedStep, Transcript, TranscriptError, TranscriptHeader,
    ValueEncoding, chain,
};

/// Bytes of one step at most: more than any step of a run holds.
const MAX_FRAME_BYTES: u32 = 1 << 30;
/// Bytes of the header at most.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// How much of a transcript there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranscriptMark {
    /// Bytes of header and steps.
    pub bytes: u64,
    /// The chain's head there.
    pub head: [u8; 32],
}

/// A transcript in the making that outlives its process.
pub struct TranscriptSpool {
    path: PathBuf,
    file: GrowingFile,
    bytes: u64,
    head: Digest,
}

impl TranscriptSpool {
    /// Where the steps of the transcript at `path` are while its run goes on.
    pub fn unfinished(path: &Path) -> PathBuf {
        path.with_extension("unfinished")
    }

    /// Begins the transcript that will be at `path`.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path, header: &TranscriptHeader) -> Result<Self, TranscriptError> {
        let unfinished = Self::unfinished(path);
        let file = GrowingFile::create(&unfinished).map_err(io("make", &unfinished))?;
        // Unwrap safety: a header is plain text.
        let text = serde_json::to_string(header).expect("a header is plain text");
        let mut spool =
            Self { path: path.to_path_buf(), file, bytes: 0, head: TranscriptHeader::digest(&text) };
        spool.append(format!("{text}\n").as_bytes())?;
        Ok(spool)
    }

    /// Goes on with the transcript that will be at `path`, from `mark`: what was kept after it is taken back.
    ///
    /// # Errors
    /// If the file is not there, or does not hold what it held at the mark.
    pub fn resume(path: &Path, mark: &TranscriptMark) -> Result<Self, TranscriptError> {
        let unfinished = Self::unfinished(path);
        if !unfinished.exists() {
            return Err(damaged(
                &unfinished,
                "it does not exist, for instance because transcript_days have passed",
            ));
        }
        let mut steps = Steps::open(&unfinished)?;
        let mut head = TranscriptHeader::digest(&steps.header_text);
        while steps.read < mark.bytes {
            let Some(frame) = steps.next()? else { break };
            head = frame.link(&head);
        }
        let end = steps.file.end().filter(|_| steps.read == mark.bytes && head.0 == mark.head);
        let end =
            end.ok_or_else(|| damaged(&unfinished, "it does not hold what it held at the checkpoint"))?;
        let file = GrowingFile::resume(&unfinished, end).map_err(io("shorten", &unfinished))?;
        Ok(Self { path: path.to_path_buf(), file, bytes: mark.bytes, head })
    }

    /// How much there is now, durably.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn mark(&mut self) -> Result<TranscriptMark, TranscriptError> {
        self.file.sync().map_err(io("write", &Self::unfinished(&self.path)))?;
        Ok(TranscriptMark { bytes: self.bytes, head: self.head.0 })
    }

    /// Keeps what one step shows of `records`, one batch a party.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn record(
        &mut self,
        step: RecordedStep,
        records: &[u32],
        parties: &[PartyName],
        batches: &RecordedBatches<'_>,
    ) -> Result<(), TranscriptError> {
        let (encoding, values) = batches.encoded();
        let (records, parties) = (records.to_vec(), parties.to_vec());
        let frame = Frame { step, records, encoding, parties, values };
        self.head = frame.link(&self.head);
        self.append(&frame.to_bytes())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), TranscriptError> {
        self.file.append(bytes).map_err(io("write", &Self::unfinished(&self.path)))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// The chain's head so far.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Writes the transcript. What it was made of stays, for a run that goes on after all: whoever knows that it has
    /// finished removes [`Self::unfinished`].
    ///
    /// # Errors
    /// If the disk is full or fails, or steps on disk are not those that were kept.
    pub fn finish(mut self) -> Result<(), TranscriptError> {
        self.mark()?;
        let unfinished = Self::unfinished(&self.path);
        let mut steps = Steps::open(&unfinished)?;
        let mut transcript = Transcript::create(&self.path, &steps.header()?)?;
        while let Some(Frame { step, records, encoding, parties, values }) = steps.next()? {
            transcript.keep(step, &records, encoding, &parties, values)?;
        }
        if transcript.head() != self.head {
            return Err(damaged(&unfinished, "its steps are not those that were recorded"));
        }
        transcript.finish()
    }
}

/// When the transcript in the file `unfinished` was begun, as its header says; `None` where it does not say.
pub(crate) fn begun(unfinished: &Path) -> Option<SystemTime> {
    let written_s = Steps::open(unfinished).ok()?.header().ok()?.written_s?;
    UNIX_EPOCH.checked_add(Duration::from_secs(written_s))
}

/// One step.
struct Frame {
    step: RecordedStep,
    records: Vec<u32>,
    encoding: ValueEncoding,
    parties: Vec<PartyName>,
    values: Vec<Vec<u8>>,
}

impl Frame {
    fn link(&self, before: &Digest) -> Digest {
        let values = self.parties.iter().map(PartyName::as_str).zip(self.values.iter().map(Vec::as_slice));
        chain::link(before, self.step, &self.records, self.encoding, values)
    }

    /// With the length in front.
    fn to_bytes(&self) -> Vec<u8> {
        let (kind, epoch) = match self.step.kind {
            RecordedKind::Batch { epoch } => (0, epoch),
            RecordedKind::Gradient { epoch } => (1, epoch),
            // Unwrap safety: the table holds every part.
            RecordedKind::Part(part) => {
                (2 + PARTS.iter().position(|(other, _)| *other == part).expect("a part") as u8, 0)
            }
        };
        let mut bytes = vec![0; 4];
        bytes.extend(self.step.number.to_le_bytes());
        bytes.extend([kind, u8::from(self.encoding == ValueEncoding::F32)]);
        bytes.extend(epoch.to_le_bytes());
        bytes.extend((self.records.len() as u32).to_le_bytes());
        bytes.extend(self.records.iter().flat_map(|record| record.to_le_bytes()));
        bytes.extend((self.parties.len() as u32).to_le_bytes());
        for (party, values) in self.parties.iter().zip(&self.values) {
            for part in [party.as_str().as_bytes(), values] {
                bytes.extend((part.len() as u32).to_le_bytes());
                bytes.extend(part);
            }
        }
        let length = (bytes.len() - 4) as u32;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// What [`Self::to_bytes`] wrote behind the length; `None` where the bytes are damaged.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let step_number = u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
        let [kind, encoding] = take(&mut rest, 2)?.try_into().ok()?;
        let epoch = number(&mut rest)?;
        let kind = match kind {
            0 => RecordedKind::Batch { epoch },
            1 => RecordedKind::Gradient { epoch },
            part if epoch == 0 => RecordedKind::Part(PARTS.get(usize::from(part) - 2)?.0),
            _ => return None,
        };
        let encoding = match encoding {
            0 => ValueEncoding::Bits,
            1 => ValueEncoding::F32,
            _ => return None,
        };
        let count = number(&mut rest)? as usize;
        let records = take(&mut rest, count.checked_mul(4)?)?;
        let records = records.chunks_exact(4).map(|r| u32::from_le_bytes([r[0], r[1], r[2], r[3]])).collect();
        let (mut parties, mut values) = (Vec::new(), Vec::new());
        for _ in 0..number(&mut rest)? {
            let name = number(&mut rest)? as usize;
            let name = std::str::from_utf8(take(&mut rest, name)?).ok()?;
            parties.push(PartyName::new(name).ok()?);
            let length = number(&mut rest)? as usize;
            values.push(take(&mut rest, length)?.to_vec());
        }
        let step = RecordedStep { number: step_number, kind };
        rest.is_empty().then_some(Self { step, records, encoding, parties, values })
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))
}

/// The steps of an unfinished file, in order.
struct Steps {
    path: PathBuf,
    file: GrowingReader,
    header_text: String,
    /// Bytes so far.
    read: u64,
}

impl Steps {
    fn open(path: &Path) -> Result<Self, TranscriptError> {
        let mut file = GrowingReader::open(path).map_err(io("read", path))?;
        let mut line = Vec::new();
        let read =
            (&mut file).take(MAX_HEADER_BYTES).read_until(b'\n', &mut line).map_err(io("read", path))?;
        let ended = line.pop() == Some(b'\n');
        let text = String::from_utf8(line).ok().filter(|_| ended);
        let header_text = text.ok_or_else(|| damaged(path, "it has no header"))?;
        Ok(Self { path: path.to_path_buf(), file, header_text, read: read as u64 })
    }

    fn header(&self) -> Result<TranscriptHeader, TranscriptError> {
        serde_json::from_str(&self.header_text).map_err(|_| damaged(&self.path, "its header cannot be read"))
    }

    /// The next step; `None` at the end.
    fn next(&mut self) -> Result<Option<Frame>, TranscriptError> {
        let mut length = [0; 4];
        if self.file.fill_buf().map_err(io("read", &self.path))?.is_empty() {
            return Ok(None);
        }
        let cut = |_| damaged(&self.path, "it is truncated");
        self.file.read_exact(&mut length).map_err(cut)?;
        let length = u32::from_le_bytes(length);
        if length > MAX_FRAME_BYTES {
            return Err(damaged(&self.path, "a step is longer than a step can be"));
        }
        // As much as there is: a damaged length allocates nothing that is not in the file.
        let mut bytes = Vec::new();
        let found =
            (&mut self.file).take(length.into()).read_to_end(&mut bytes).map_err(io("read", &self.path))?;
        let frame = Frame::from_bytes(&bytes).filter(|_| found == length as usize);
        self.read += 4 + u64::from(length);
        frame.map(Some).ok_or_else(|| damaged(&self.path, "a step in it cannot be read"))
    }
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TranscriptError {
    let path = path.to_path_buf();
    move |source| TranscriptError::Io { what, path, source }
}

fn damaged(path: &Path, reason: &str) -> TranscriptError {
    TranscriptError::Growing { path: path.to_path_buf(), reason: reason.to_string() }
}
