//! Sorting more records than memory holds: runs are sorted, put in files without a name, and merged. Each run is compared to
//! its digest as it is read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::error::AlignmentError;

/// Bytes of a run's buffers.
const BUFFER_BYTES: usize = 1 << 16;

/// What is wrong with a run that is not what was written.
const CHANGED: &str = "it is damaged; run the same command again, which repeats the sorting";

/// Collects records of `N` bytes and gives them back in the order of their bytes.
pub struct Sorter<const N: usize> {
    folder: PathBuf,
    room: usize,
    buffer: Vec<[u8; N]>,
    /// Each with its SHA-256.
    runs: Vec<(File, [u8; 32])>,
}

impl<const N: usize> Sorter<N> {
    /// A sorter that holds at most `memory_bytes` of records; its files lie in `folder`, and vanish with the process.
    pub fn new(folder: &Path, memory_bytes: usize) -> Self {
        let room = (memory_bytes / N).max(1024);
        Self { folder: folder.to_path_buf(), room, buffer: Vec::new(), runs: Vec::new() }
    }

    /// Adds a record.
    pub fn push(&mut self, record: [u8; N]) -> Result<(), AlignmentError> {
        if self.buffer.capacity() == 0 {
            // Once and no more: growing by doubling would hold three halves of the room for a while.
            self.buffer.reserve_exact(self.room);
        }
        self.buffer.push(record);
        if self.buffer.len() == self.room { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), AlignmentError> {
        let error = || AlignmentError::io("write a sorted run in", &self.folder);
        self.buffer.par_sort_unstable();
        let file = tempfile::tempfile_in(&self.folder).map_err(error())?;
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut hasher = Sha256::new();
        for record in &self.buffer {
            hasher.update(record);
            writer.write_all(record).map_err(error())?;
        }
        let mut file = writer.into_inner().map_err(|reason| error()(reason.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(error())?;
        self.runs.push((file, hasher.finalize().into()));
        self.buffer.clear();
        Ok(())
    }

    /// Hands all records to `each`, in order.
    pub fn finish<E: From<AlignmentError>>(
        mut self,
        mut each: impl FnMut([u8; N]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.runs.is_empty() {
            self.buffer.par_sort_unstable();
            return self.buffer.iter().try_for_each(|record| each(*record));
        }
        if !self.buffer.is_empty() {
            self.spill()?;
        }
        self.buffer = Vec::new();
        let mut runs: Vec<Run<N>> =
            self.runs.drain(..).map(|(file, digest)| Run::new(file, digest)).collect();
        let error = |reason| E::from(AlignmentError::io("read a sorted run in", &self.folder)(reason));
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (index, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next().map_err(error)?.map(|record| Reverse((record, index))));
        }
        while let Some(Reverse((record, index))) = heads.pop() {
            each(record)?;
            heads.extend(runs[index].next().map_err(error)?.map(|record| Reverse((record, index))));
        }
        Ok(())
    }
}

struct Run<const N: usize> {
    reader: BufReader<File>,
    hasher: Sha256,
    /// That of all its records.
    digest: [u8; 32],
}

impl<const N: usize> Run<N> {
    fn new(file: File, digest: [u8; 32]) -> Self {
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Self { reader, hasher: Sha256::new(), digest }
    }

    /// The next record; at the end none, if all of them are those that were written.
    fn next(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut record = [0; N];
        match self.reader.read_exact(&mut record) {
            Ok(()) => {
                self.hasher.update(record);
                Ok(Some(record))
            }
            Err(reason) if reason.kind() == ErrorKind::UnexpectedEof => {
                let found: [u8; 32] = std::mem::take(&mut self.hasher).finalize().into();
                let changed = || io::Error::new(ErrorKind::InvalidData, CHANGED);
                if found == self.digest { Ok(None) } else { Err(changed()) }
            }
            Err(reason) => Err(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_runs_gives_the_same_order() {
        let folder = tempfile::tempdir().unwrap();
        let record = |n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes();
        let mut expected: Vec<[u8; 4]> = (0..10_000).map(record).collect();
        expected.sort_unstable();
        for memory in [1, 4 * 2500, 4 * 10_000, 1 << 20] {
            let mut sorter = Sorter::<4>::new(folder.path(), memory);
            (0..10_000).for_each(|n| sorter.push(record(n)).unwrap());
            let mut found = Vec::new();
            sorter
                .finish::<AlignmentError>(|record| {
                    found.push(record);
                    Ok(())
                })
                .unwrap();
            assert_eq!(found, expected, "{memory}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_changed_bit_of_a_run_is_found_before_the_sorting_ends() {
        let folder = tempfile::tempdir().unwrap();
        for place in [0, 3_000, 8_191] {
            let mut sorter = Sorter::<4>::new(folder.path(), 1);
            (0..5_000_u32).for_each(|n| sorter.push(n.to_be_bytes()).unwrap());
            let (file, _) = &mut sorter.runs[1];
            let mut byte = [0];
            file.seek(SeekFrom::Start(place % 4_096)).unwrap();
            file.read_exact(&mut byte).unwrap();
            file.seek(SeekFrom::Start(place % 4_096)).unwrap();
            file.write_all(&[byte[0] ^ 1]).unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            let error = sorter.finish::<AlignmentError>(|_| Ok(())).unwrap_err().to_string();
            assert!(error.contains("cannot read a sorted run in") && error.contains("damaged"), "{error}");
        }
    }
}
