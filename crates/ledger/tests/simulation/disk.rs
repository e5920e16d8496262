//! A disk that processes write to and that outlives them: what was not forced to it is lost, in part, where the machine loses
//! power, and a process can be made to die at any of its writes.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use hashvfl_core::random::below;
use rand::rngs::ChaCha8Rng;
use redb::StorageBackend;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug)]
enum Write {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Default)]
struct Contents {
    /// As processes see it.
    current: Vec<u8>,
    /// As it is after a loss of power.
    stable: Vec<u8>,
    unsynced: Vec<Write>,
    /// Writes and syncs until the process dies that does them.
    left: Option<u32>,
    dead: bool,
    /// A planted fault: nothing is forced to the disk.
    never_syncs: bool,
}

/// The file of a ledger.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<Contents>>);

fn write(to: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Length(length) => to.resize(*length, 0),
        Write::Bytes(at, bytes) => {
            to.resize(to.len().max(at + bytes.len()), 0);
            to[*at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

impl Disk {
    /// One that never forces anything to the disk, where that is `never`.
    pub fn new(never_syncs: bool) -> Self {
        Self(Arc::new(Mutex::new(Contents { never_syncs, ..Contents::default() })))
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap()
    }

    /// Lets the process die after so many more writes and syncs.
    pub fn die_after(&self, writes: u32) {
        self.contents().left = Some(writes);
    }

    /// The process that has it open is dead: it writes nothing more.
    pub fn kill(&self) {
        self.contents().dead = true;
    }

    /// Whether it is.
    pub fn is_dead(&self) -> bool {
        self.contents().dead
    }

    /// The next process may open it.
    pub fn revive(&self) {
        let mut contents = self.contents();
        (contents.dead, contents.left) = (false, None);
    }

    /// The machine loses power: of what was not forced to the disk, any sectors may be there and others not.
    pub fn lose_power(&self, rng: &mut ChaCha8Rng) {
        let mut contents = self.contents();
        for unsynced in std::mem::take(&mut contents.unsynced) {
            match unsynced {
                Write::Length(_) => {
                    if below(rng, 2) == 0 {
                        write(&mut contents.stable, &unsynced);
                    }
                }
                Write::Bytes(at, bytes) => {
                    for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                        if below(rng, 2) == 0 {
                            write(&mut contents.stable, &Write::Bytes(at + index * SECTOR, sector.to_vec()));
                        }
                    }
                }
            }
        }
        contents.current = contents.stable.clone();
    }

    /// What processes see.
    pub fn bytes(&self) -> Vec<u8> {
        self.contents().current.clone()
    }

    /// A disk of these bytes.
    pub fn of(bytes: Vec<u8>) -> Self {
        let (current, stable) = (bytes.clone(), bytes);
        Self(Arc::new(Mutex::new(Contents { current, stable, ..Contents::default() })))
    }

    /// The same content on another disk, to be looked at.
    pub fn copy(&self) -> Self {
        Self::of(self.bytes())
    }

    /// Counts a write; the error is that of a process that has died.
    fn count(contents: &mut Contents) -> io::Result<()> {
        if contents.left == Some(0) {
            contents.dead = true;
        }
        contents.left = contents.left.map(|left| left.saturating_sub(1));
        if contents.dead { Err(io::Error::other("the process is dead")) } else { Ok(()) }
    }

    fn do_write(&self, done: Write) -> io::Result<()> {
        let mut contents = self.contents();
        Self::count(&mut contents)?;
        write(&mut contents.current, &done);
        contents.unsynced.push(done);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.contents().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (contents, at) = (self.contents(), offset as usize);
        let bytes = contents.current.get(at..at + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| io::Error::other("beyond the end"))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.do_write(Write::Length(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut contents = self.contents();
        Self::count(&mut contents)?;
        if !contents.never_syncs {
            for synced in std::mem::take(&mut contents.unsynced) {
                write(&mut contents.stable, &synced);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.do_write(Write::Bytes(offset as usize, data.to_vec()))
    }
}
