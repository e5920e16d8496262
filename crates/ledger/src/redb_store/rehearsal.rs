//! A ledger's file that can be written to and stays as it is: what is written is kept in memory.
//!
//! Opening a ledger checks all of it and repairs what a killed process left, which writes. A check does the same on this.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

use super::locks::locks_of;

const PAGE: u64 = 4096;

/// A file, with what was written over it.
#[derive(Debug)]
pub struct Rehearsal<B> {
    file: B,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    /// Bytes of the file that count: what was cut off once does not come back.
    file_bytes: u64,
    bytes: u64,
    /// Whole pages, by their number.
    pages: BTreeMap<u64, Vec<u8>>,
}

impl<B: StorageBackend> Rehearsal<B> {
    /// Nothing is written over `file` yet.
    pub fn new(file: B) -> io::Result<Self> {
        let bytes = file.len()?;
        let over = Mutex::new(Over { file_bytes: bytes, bytes, pages: BTreeMap::new() });
        Ok(Self { file, over })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page as the file has it; zeros behind its end.
    fn page(&self, number: u64, file_bytes: u64) -> io::Result<Vec<u8>> {
        let mut page = vec![0; PAGE as usize];
        let there = file_bytes.saturating_sub(number * PAGE).min(PAGE) as usize;
        if there > 0 {
            self.file.read(number * PAGE, &mut page[..there])?;
        }
        Ok(page)
    }
}

impl<B: StorageBackend> StorageBackend for Rehearsal<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.over();
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= over.bytes);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut at = offset;
        while at < end {
            let (number, from) = (at / PAGE, (at % PAGE) as usize);
            let until = ((number + 1) * PAGE).min(end);
            let count = (until - at) as usize;
            let to = &mut out[(at - offset) as usize..][..count];
            match over.pages.get(&number) {
                Some(page) => to.copy_from_slice(&page[from..from + count]),
                None => to.copy_from_slice(&self.page(number, over.file_bytes)?[from..from + count]),
            }
            at = until;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.over();
        (over.bytes, over.file_bytes) = (len, over.file_bytes.min(len));
        over.pages.retain(|number, _| number * PAGE < len);
        if let Some(page) = over.pages.get_mut(&(len / PAGE)) {
            page[(len % PAGE) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        let mut rest = data;
        let mut at = offset;
        while !rest.is_empty() {
            let (number, from) = (at / PAGE, (at % PAGE) as usize);
            let count = rest.len().min(PAGE as usize - from);
            if !over.pages.contains_key(&number) {
                let page = self.page(number, over.file_bytes)?;
                over.pages.insert(number, page);
            }
            let (now, later) = rest.split_at(count);
            if let Some(page) = over.pages.get_mut(&number) {
                page[from..from + count].copy_from_slice(now);
            }
            (rest, at) = (later, at + count as u64);
        }
        over.bytes = over.bytes.max(at);
        Ok(())
    }

    locks_of!(file);
}
