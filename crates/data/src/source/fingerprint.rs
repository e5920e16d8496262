//! SHA-256 of the files of a source, by which a change is noticed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::TableError;
use crate::source::input;
use crate::source::png::folder;

const BUFFER_BYTES: usize = 1 << 16;

/// SHA-256 over the bytes of all files of a source, in their order; of folders of images over names and files.
///
/// # Errors
/// When a file cannot be read.
pub fn fingerprint(paths: &[PathBuf]) -> Result<Digest, TableError> {
    let mut digests = Vec::with_capacity(paths.len());
    for path in paths {
        digests.push(if path.is_dir() { digest_of_folder(path)? } else { digest_of_file(path)? });
    }
    Ok(Digest::of_parts(digests.iter().map(|digest| digest.0.as_slice())))
}

fn digest_of_folder(path: &PathBuf) -> Result<Digest, TableError> {
    let mut parts = Vec::new();
    for file in folder::list(std::slice::from_ref(path))? {
        parts.extend([file.id.as_bytes().to_vec(), digest_of_file(&file.path)?.0.to_vec()]);
    }
    Ok(Digest::of_parts(parts.iter().map(Vec::as_slice)))
}

fn digest_of_file(path: &Path) -> Result<Digest, TableError> {
    let mut file = File::open(path).map_err(|reason| TableError::Open { path: path.to_owned(), reason })?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer).map_err(|reason| input::read_error(path, reason))? {
            0 => return Ok(Digest(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}
