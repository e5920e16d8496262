//! Files that are no text with commas between cells: told by how they begin, and refused with what they are.

use std::io::{Cursor, Read};
use std::path::Path;

use crate::error::TableError;
use crate::source::input;

/// Bytes that are looked at.
const START: u64 = 4096;
const SHEET: &str = "open it in a spreadsheet and save the sheet as CSV (UTF-8, commas)";
const PACKED: &str = "unpack it; only gzip is read directly";

/// How files of other kinds begin, what they are, and what to do about them.
const KINDS: [(&[u8], &str, &str); 13] = [
    (b"PK\x03\x04", "a zip archive, as spreadsheets are (.xlsx, .ods)", SHEET),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet or other Office file (.xls)", SHEET),
    (b"PAR1", "a Parquet file", "name it with format = \"parquet\" (docs/reference/config.md)"),
    (b"\x93NUMPY", "a NumPy array", "name it with format = \"npy\" (docs/reference/config.md)"),
    (b"\x89PNG", "a PNG image", "name its folder with format = \"png\" (docs/reference/config.md)"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"ARROW1", "an Arrow or Feather file", "write the table as CSV"),
    (b"\x89HDF", "an HDF5 file", "write the table as CSV"),
    (b"%PDF", "a PDF document", "export the table as CSV"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", PACKED),
    (b"\xfd7zXZ", "packed by xz", PACKED),
    (b"BZh", "packed by bzip2", PACKED),
    (b"7z\xbc\xaf", "a 7z archive", PACKED),
];
/// What stands between cells elsewhere.
const SEPARATORS: [(u8, &str); 3] = [(b';', "semicolons"), (b'\t', "tabs"), (b'|', "bars")];

/// The bytes of the file at `path` as they were, unless they begin like no text with commas.
pub(crate) fn refuse(path: &Path, mut bytes: Box<dyn Read>) -> Result<Box<dyn Read>, TableError> {
    let mut start = Vec::new();
    bytes.by_ref().take(START).read_to_end(&mut start).map_err(|reason| input::read_error(path, reason))?;
    if let Some((what, remedy)) = other_kind(&start) {
        return Err(TableError::OtherKind { path: path.to_owned(), what, remedy });
    }
    if let Some(found) = other_separator(&start) {
        return Err(TableError::OtherSeparator { path: path.to_owned(), found });
    }
    Ok(Box::new(Cursor::new(start).chain(bytes)))
}

fn other_kind(start: &[u8]) -> Option<(&'static str, &'static str)> {
    let known = KINDS.iter().find(|(magic, ..)| start.starts_with(magic));
    if let Some((_, what, remedy)) = known.filter(|_| !is_text(start)) {
        return Some((what, remedy));
    }
    // Two zeros, the type of a value, and the number of dimensions.
    if let [0, 0, 8 | 9 | 11..=14, 1..=8, ..] = start {
        return Some((
            "an IDX file (MNIST's format of images and labels)",
            "name it with format = \"idx\" (docs/reference/config.md has a sample)",
        ));
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    match text {
        [b'<', b'!' | b'?' | b'h' | b't', ..] => {
            Some(("a page or document in HTML or XML", "export the table as CSV"))
        }
        [open @ (b'{' | b'['), rest @ ..] if begins_json(*open, rest.trim_ascii_start()) => Some((
            "JSON",
            "read JSON lines by a query, with format = \"sql\" (docs/how-to/sql.md), or write the table as CSV",
        )),
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', ..] => Some((
            "a CSV file that begins with a spreadsheet's `sep=` line, which is not a header",
            "remove that line, and save the file with commas between cells",
        )),
        [b'#', ..] if begins_with_comment(text) => Some((
            "a CSV file that begins with a comment, which is not a header",
            "remove the lines above the names of the columns",
        )),
        // A zero among text has a line, which the reader of the text tells.
        _ if start.contains(&0) && is_binary(start) => {
            Some(("not text: it contains zero bytes", "export the table as CSV in UTF-8"))
        }
        _ => None,
    }
}

/// Whether the first line has one cell, and the next one several.
fn begins_with_comment(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.contains(&b','));
    lines.next() == Some(false) && lines.next() == Some(true)
}

/// Whether it holds control characters that no text has, beside zeros: those are in a text of 16 bits a letter.
fn is_binary(start: &[u8]) -> bool {
    start.iter().any(|byte| *byte != 0 && byte.is_ascii_control() && !byte.is_ascii_whitespace())
}

/// Whether it may be the beginning of a text.
fn is_text(start: &[u8]) -> bool {
    let utf8 = std::str::from_utf8(start).map_or_else(|error| error.error_len().is_none(), |_| true);
    utf8 && start.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}

/// Whether `rest` goes on as an object or a list does, and not as the name of a column in brackets.
fn begins_json(open: u8, rest: &[u8]) -> bool {
    match open {
        b'{' => matches!(rest, [b'"' | b'}', ..]),
        _ => matches!(rest, [b'{' | b'[' | b']', ..]),
    }
}

/// What separates the cells of the first line, where that is not commas.
fn other_separator(start: &[u8]) -> Option<&'static str> {
    let mut quoted = false;
    let mut commas = 0;
    let mut others = [0; SEPARATORS.len()];
    for &byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            b',' if !quoted => commas += 1,
            _ if !quoted => {
                for (count, (separator, _)) in others.iter_mut().zip(SEPARATORS) {
                    *count += u32::from(byte == separator);
                }
            }
            _ => {}
        }
    }
    let most = others.iter().max().copied().filter(|most| *most > commas)?;
    others.iter().position(|count| *count == most).map(|at| SEPARATORS[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hints, survey};

    fn message(name: &str, bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        survey(&path, &Hints::default()).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn a_file_of_another_kind_is_named_with_what_to_do() {
        for (name, bytes, kind, remedy) in [
            (
                "book.xlsx",
                &b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0\xff\xfe"[..],
                ".xlsx, .ods",
                "save the sheet as CSV",
            ),
            ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", ".xls", "save the sheet as CSV"),
            (
                "train-images",
                b"\0\0\x08\x03\0\0\0\x01\0\0\0\x1c\0\0\0\x1c\xff\xff",
                "an IDX file",
                "format = \"idx\"",
            ),
            ("a.parquet", b"PAR1\x15\x04", "a Parquet file", "format = \"parquet\""),
            ("a.npy", b"\x93NUMPY\x01\0v\0{'descr'", "a NumPy array", "format = \"npy\""),
            ("wide.csv", b"\xff\xfei\0d\0,\0a\0", "UTF-16", "UTF-8"),
            ("wider.csv", b"\xff\xfe\0\0i\0\0\0", "UTF-32", "UTF-8"),
            ("turned.csv", b"\0\0\xfe\xff\0\0\0i", "UTF-32", "UTF-8"),
            ("page.csv", b"<!DOCTYPE html>", "HTML", "export"),
            ("lines.json", b"{\"id\": 1, \"a\": 2}\n", "JSON", "format = \"sql\""),
            ("sep.csv", b"sep=,\r\nid,age\r\nk1,30\r\n", "`sep=`", "remove that line"),
            ("marked.csv", b"\xef\xbb\xbfsep=;\nid;age\n", "`sep=`", "remove that line"),
            ("binary", b"id,a\0\x01", "zero bytes", "UTF-8"),
            ("note.csv", b"# made on Monday\nid,a\nk1,1\n", "a comment", "remove the lines above"),
            ("title.csv", b"Report of May\nid,a\nk1,1\n", "but the header has 1", "a line above the names"),
        ] {
            let message = message(name, bytes);
            assert!(
                message.contains(name) && message.contains(kind) && message.contains(remedy),
                "{message}"
            );
        }
    }

    #[test]
    fn other_separators_than_commas_are_named() {
        for (text, expected) in [
            ("id;age;rate\nk1;30;1,5\n", "semicolons"),
            ("id;age\nk1;30\n", "semicolons"),
            ("id\tage\nk1\t30\n", "tabs"),
            ("id|age\nk1|30\n", "bars"),
            ("\"id\";\"sum, in euro\";\"b\"\nk1;2;3\n", "semicolons"),
        ] {
            let message = message("a.csv", text.as_bytes());
            assert!(message.contains(expected) && message.contains("instead of commas"), "{message}");
        }
        for text in [
            "#id,a\nk1,1\n",
            "#\n1\n",
            "id,\"a;b;c;d\"\n1,2\n",
            "id\n1\n",
            "id,a;b,c\n1,2,3\n",
            "PAR1,BZh\n1,2\n",
            "{a},[b]\n",
        ] {
            assert_eq!(other_separator(text.as_bytes()), None, "{text}");
            assert_eq!(other_kind(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_read_is_the_whole_file() {
        let text: String = (0..5_000).map(|row| format!("k{row},{row}\n")).collect();
        let bytes = refuse(Path::new("a.csv"), Box::new(Cursor::new(text.clone().into_bytes()))).unwrap();
        let mut read = String::new();
        { bytes }.read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
    }
}
