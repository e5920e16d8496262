//! Files as streams of bytes, decompressed on the way when they are gzip.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::TableError;

const BUFFER_BYTES: usize = 1 << 16;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Opens a file; it is gzip when it begins like gzip or its name ends in `.gz`.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, TableError> {
    let file = File::open(path).map_err(|reason| TableError::Open { path: path.to_owned(), reason })?;
    let mut bytes = BufReader::with_capacity(BUFFER_BYTES, file);
    let begins_like_gzip =
        bytes.fill_buf().map_err(|reason| read_error(path, reason))?.starts_with(&GZIP_MAGIC);
    let named_gzip = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    if begins_like_gzip || named_gzip {
        return Ok(Box::new(MultiGzDecoder::new(bytes)));
    }
    Ok(Box::new(bytes))
}

/// Counts the lines of a file, as an upper bound of its records.
pub(crate) fn count_lines(path: &Path) -> Result<u64, TableError> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, open(path)?);
    let mut lines = 1;
    loop {
        let chunk = reader.fill_buf().map_err(|reason| read_error(path, reason))?;
        if chunk.is_empty() {
            return Ok(lines);
        }
        lines += chunk.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let consumed = chunk.len();
        reader.consume(consumed);
    }
}

/// A failure after the file was opened.
pub(crate) fn read_error(path: &Path, reason: std::io::Error) -> TableError {
    TableError::Read { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn gzip_is_known_by_its_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        let mut encoder = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
        encoder.write_all(b"id,a\n1,2\n").unwrap();
        encoder.finish().unwrap();
        let mut text = String::new();
        open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "id,a\n1,2\n");
        assert_eq!(count_lines(&path).unwrap(), 3);
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = open(Path::new("/nowhere/a.csv")).err().unwrap().to_string();
        assert!(message.contains("cannot open /nowhere/a.csv"), "{message}");
        assert!(message.contains("check `paths`"), "{message}");
    }

    #[test]
    fn a_folder_and_a_false_gz_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(count_lines(folder.path()), Err(TableError::Read { .. })));
        let path = folder.path().join("plain.gz");
        std::fs::write(&path, "id,a\n1,2\n").unwrap();
        assert!(matches!(count_lines(&path), Err(TableError::Read { .. })));
    }
}
