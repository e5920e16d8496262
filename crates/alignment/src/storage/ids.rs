//! The ids of the own records, as the table has them: one after another, each behind its length, and the SHA-256 of all of
//! it at the end.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use hashvfl_files::sha256_of_next;
use sha2::{Digest as _, Sha256};

use crate::error::AlignmentError;
use crate::storage::files::{Whole, unread};

const DIGEST_BYTES: usize = 32;

/// The file in the making.
pub struct WholeIds {
    file: Whole,
    hasher: Sha256,
    /// Where the next id will lie.
    end: u64,
}

impl WholeIds {
    /// Begins the file.
    pub fn create(path: &Path) -> Result<Self, AlignmentError> {
        Ok(Self { file: Whole::create(path)?, hasher: Sha256::new(), end: 0 })
    }

    /// Appends an id; where it lies. `None` for one that is too long for any table.
    pub fn put(&mut self, id: &str) -> Result<Option<u64>, AlignmentError> {
        let Ok(length) = u32::try_from(id.len()) else { return Ok(None) };
        for bytes in [length.to_le_bytes().as_slice(), id.as_bytes()] {
            self.hasher.update(bytes);
            self.file.put(bytes)?;
        }
        let place = self.end;
        self.end += 4 + u64::from(length);
        Ok(Some(place))
    }

    /// Gives the file its name.
    pub fn finish(mut self) -> Result<(), AlignmentError> {
        let digest: [u8; DIGEST_BYTES] = self.hasher.finalize().into();
        self.file.put(&digest)?;
        self.file.finish()
    }
}

/// The file, to read ids at their places.
pub struct Ids {
    file: File,
    path: PathBuf,
}

impl Ids {
    /// Opens the file, and compares all of it to its digest.
    pub fn open(path: &Path) -> Result<Self, AlignmentError> {
        let mut file = File::open(path).map_err(AlignmentError::io("read", path))?;
        let length = file.metadata().map_err(AlignmentError::io("read", path))?.len();
        let found = sha256_of_next(&mut file, length.saturating_sub(DIGEST_BYTES as u64));
        let found = found.map_err(unread(path))?;
        let mut digest = [0; DIGEST_BYTES];
        file.read_exact(&mut digest).map_err(unread(path))?;
        if digest == found {
            Ok(Self { file, path: path.to_path_buf() })
        } else {
            Err(AlignmentError::Damaged(path.to_path_buf()))
        }
    }

    /// The id at a place.
    pub fn read(&mut self, place: u64) -> Result<String, AlignmentError> {
        let (mut length, mut id) = ([0; 4], Vec::new());
        let read = self.file.seek(SeekFrom::Start(place)).and_then(|_| {
            self.file.read_exact(&mut length)?;
            id.resize(u32::from_le_bytes(length) as usize, 0);
            self.file.read_exact(&mut id)
        });
        read.map_err(unread(&self.path))?;
        String::from_utf8(id).map_err(|_| AlignmentError::Damaged(self.path.clone()))
    }
}
