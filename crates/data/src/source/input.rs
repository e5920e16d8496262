//! Paths of files, and files as streams of bytes; gzip is decompressed.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::TableError;

const BUFFER_BYTES: usize = 1 << 16;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
pub(crate) const UTF_8_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
/// How texts of other encodings begin; UTF-32 first, since one of its marks begins with one of UTF-16.
const OTHER_MARKS: [(&[u8], &str); 4] = [
    (&[0xff, 0xfe, 0, 0], "UTF-32"),
    (&[0, 0, 0xfe, 0xff], "UTF-32"),
    (&[0xff, 0xfe], "UTF-16"),
    (&[0xfe, 0xff], "UTF-16"),
];

/// Opens a file, and decompresses it if it begins like gzip or its name ends in `.gz`.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, TableError> {
    let failed = |reason| TableError::Open { path: path.to_owned(), reason };
    let file = File::open(path).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    if kind.is_dir() {
        return Err(failed(std::io::Error::other("it is a folder, expected a file")));
    }
    if !kind.is_file() {
        return Err(failed(std::io::Error::other(
            "it is a pipe or a device, and tables are read more than once",
        )));
    }
    let mut bytes = BufReader::with_capacity(BUFFER_BYTES, file);
    let begins_like_gzip =
        bytes.fill_buf().map_err(|reason| read_error(path, reason))?.starts_with(&GZIP_MAGIC);
    let named_gzip = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    if begins_like_gzip || named_gzip {
        return Ok(Box::new(MultiGzDecoder::new(bytes)));
    }
    Ok(Box::new(bytes))
}

/// Opens a file of text without its byte-order mark.
pub(crate) fn open_text(path: &Path) -> Result<Box<dyn Read>, TableError> {
    let mut bytes = open(path)?;
    let mut start = Vec::new();
    bytes.by_ref().take(4).read_to_end(&mut start).map_err(|reason| read_error(path, reason))?;
    if let Some(&(_, found)) = OTHER_MARKS.iter().find(|(mark, _)| start.starts_with(mark)) {
        return Err(TableError::OtherEncoding { path: path.to_owned(), found });
    }
    if start.starts_with(&UTF_8_MARK) {
        start.drain(..UTF_8_MARK.len());
    }
    Ok(Box::new(Cursor::new(start).chain(bytes)))
}

/// Counts the lines of a file; a last one without a line break counts.
pub(crate) fn count_lines(path: &Path) -> Result<u64, TableError> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, open(path)?);
    let (mut lines, mut last) = (0, b'\n');
    loop {
        let chunk = reader.fill_buf().map_err(|reason| read_error(path, reason))?;
        let Some(&end) = chunk.last() else {
            return Ok(lines + u64::from(last != b'\n'));
        };
        lines += chunk.iter().filter(|&&byte| byte == b'\n').count() as u64;
        last = end;
        let consumed = chunk.len();
        reader.consume(consumed);
    }
}

/// Counts the lines of all files.
pub(crate) fn count_all_lines(paths: &[PathBuf]) -> Result<u64, TableError> {
    paths.iter().map(|path| count_lines(path)).sum()
}

/// Says of how many files the last line does not end, as it does in a file that was cut off. In gzip a cut is an error.
pub(crate) fn remark_on_ends(paths: &[PathBuf]) -> Result<Vec<String>, TableError> {
    let mut open_ended = 0;
    for path in paths {
        open_ended += usize::from(is_open_ended(path).map_err(|reason| read_error(path, reason))?);
    }
    Ok(told_of_open_ends(open_ended, paths.len()).into_iter().collect())
}

/// What to know where the last line of so many of `files` has no line break.
pub(crate) fn told_of_open_ends(open_ended: usize, files: usize) -> Option<String> {
    (open_ended > 0).then(|| {
        format!(
            "the last line of {open_ended} of {files} files has no line break, which may mean that a file was truncated: \
             check that it is complete"
        )
    })
}

fn is_open_ended(path: &Path) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    file.by_ref().take(2).read_to_end(&mut start)?;
    if start.is_empty() || start == GZIP_MAGIC {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != [b'\n'])
}

/// Puts `folder` before every relative path.
pub(crate) fn resolve(paths: &mut [PathBuf], folder: &Path) {
    for path in paths {
        *path = folder.join(&path);
    }
}

/// The error for a file that failed after it was opened.
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
        assert_eq!(count_lines(&path).unwrap(), 2);
        std::fs::write(&path, "id,a\n1,2").unwrap();
        assert_eq!(count_lines(&path).unwrap(), 2);
    }

    #[test]
    fn a_last_line_that_does_not_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        for (text, expected) in [("id\n1\n", 0), ("id\n1", 1), ("", 0)] {
            paths.iter().for_each(|path| std::fs::write(path, text).unwrap());
            let remarks = remark_on_ends(&paths).unwrap();
            assert_eq!(remarks.len(), expected);
            assert!(remarks.iter().all(|remark| remark.contains("2 of 2 files")), "{remarks:?}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = open(Path::new("/nowhere/a.csv")).err().unwrap().to_string();
        assert!(message.contains("cannot open /nowhere/a.csv"), "{message}");
        assert!(message.contains("check the path"), "an option may have named it: {message}");
    }

    #[cfg(unix)]
    #[test]
    fn what_can_be_read_only_once_is_refused() {
        let message = open(Path::new("/dev/null")).err().unwrap().to_string();
        assert!(message.contains("a pipe or a device"), "{message}");
    }

    #[test]
    fn a_folder_and_a_false_gz_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let message = count_lines(folder.path()).unwrap_err().to_string();
        assert!(message.contains("it is a folder"), "{message}");
        let path = folder.path().join("plain.gz");
        std::fs::write(&path, "id,a\n1,2\n").unwrap();
        assert!(matches!(count_lines(&path), Err(TableError::Read { .. })));
    }
}
