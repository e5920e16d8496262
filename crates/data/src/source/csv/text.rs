//! Checks the text of CSV files against RFC 4180 on its way to the parser. The parser itself accepts anything: a quote that
//! is never closed would silently swallow every record after it.

use std::fmt;
use std::io::{self, Cursor, Read};
use std::path::Path;

use csv::{ErrorKind, Reader, ReaderBuilder, Terminator};

use crate::error::{Counted, Location, TableError};
use crate::source::csv::foreign;
use crate::source::input;

/// The most lines of a quoted cell, which memory has to hold.
const MAX_CELL_LINES: u64 = 1000;

/// What is wrong with the text of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CsvFault {
    /// A quote within a cell that does not begin with one.
    QuoteInCell,
    /// Text after the closing quote of a cell.
    TextBehindQuote,
    /// A quoted cell that is still open at the end of the file.
    NeverClosed,
    /// A quoted cell over several lines, each of which could be a record.
    OverRecords,
    /// A quoted cell of more than 1000 lines.
    ManyLines,
    /// A name of a column with a line break.
    NameOfLines,
    /// A carriage return that no line feed follows.
    LoneReturn,
    /// A zero byte.
    ZeroByte,
}

impl fmt::Display for CsvFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QuoteInCell => {
                "a quote in a cell that does not begin with a quote; quote the whole cell and double each quote in it"
            }
            Self::TextBehindQuote => {
                "text after the closing quote of a cell; double each quote within a cell"
            }
            Self::NeverClosed => {
                "a quoted cell begins here and never ends; close its quote, or double a quote that is part of the text"
            }
            Self::OverRecords => {
                "a quoted cell begins here and spans lines that look like records; close its quote, or take line breaks out of the cell"
            }
            Self::ManyLines => {
                "a quoted cell begins here and has more than 1000 lines; close its quote, or take line breaks out of the cell"
            }
            Self::NameOfLines => {
                "a column's name spans several lines; close its quote, or write the header in one line"
            }
            Self::LoneReturn => {
                "a carriage return without a line feed; save the file with line feeds"
            }
            Self::ZeroByte => "a zero byte, so the file is not UTF-8 text; save it as UTF-8",
        })
    }
}

/// A fault and the line to which it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) line: u64,
    pub(crate) fault: CsvFault,
}

impl Broken {
    fn of(self, path: &Path) -> TableError {
        let place = Location { path: path.to_owned(), counted: Counted::Line, number: self.line };
        TableError::Format(Box::new(CsvTextError { place, fault: self.fault }))
    }
}

/// The text of a CSV file violates RFC 4180.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct CsvTextError {
    /// Where.
    pub place: Location,
    /// What is wrong.
    pub fault: CsvFault,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

impl std::error::Error for Broken {}

/// Opens a CSV file for reading its records, of which the header is the first. Text that violates RFC 4180 is an error, and
/// so is a file of another kind. Records may have different numbers of cells.
///
/// # Errors
/// When the file cannot be opened, or is no text with commas between its cells. Turn errors of the reader into ours by
/// [`csv_error`].
pub fn open_csv(path: &Path) -> Result<Reader<Box<dyn Read>>, TableError> {
    // A last line break is added (an empty line is ignored), so that every record ends in one and the reader's line tells
    // where it begins. `\r` is trimmed off the cells, since as part of the terminator it would make that line wrong.
    let bytes = foreign::refuse(path, input::open_text(path)?)?.chain(Cursor::new(b"\n"));
    let bytes: Box<dyn Read> = Box::new(CheckedReader { bytes, check: Check::new(b',') });
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).terminator(Terminator::Any(b'\n'));
    Ok(builder.from_reader(bytes))
}

/// Why reading the file at `path` failed.
pub fn csv_error(path: &Path, error: csv::Error) -> TableError {
    // The parser wraps an error of the bytes' reader in its own.
    let inner = match error.kind() {
        ErrorKind::Io(error) => error.get_ref(),
        _ => None,
    };
    match inner.and_then(|inner| inner.downcast_ref::<Broken>()) {
        Some(broken) => broken.of(path),
        None => input::read_error(path, error.into()),
    }
}

/// Checks a whole text, that of the file at `path`, as [`open_csv`] does.
pub(crate) fn check_text(path: &Path, text: &[u8]) -> Result<(), TableError> {
    let mut check = Check::new(b',');
    check.take(text).and_then(|()| check.finish()).map_err(|broken| broken.of(path))
}

/// Bytes that are checked as they pass.
struct CheckedReader<R> {
    bytes: R,
    check: Check,
}

impl<R: Read> Read for CheckedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        let checked = if count == 0 && !buffer.is_empty() {
            self.check.finish()
        } else {
            self.check.take(&buffer[..count])
        };
        checked.map_err(io::Error::other)?;
        Ok(count)
    }
}

/// Where the next byte is in relation to a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// After a quote in a quoted cell, which closes the cell or is the first of two.
    Quote,
    /// After the closing quote, and perhaps blanks.
    Behind,
}

/// The state of a check of a CSV file's text.
pub(crate) struct Check {
    delimiter: u8,
    at: At,
    /// Whether the last byte was a carriage return.
    returned: bool,
    line: u64,
    /// The line on which the record begins.
    record: u64,
    /// The line on which the last quoted cell begins.
    opened: u64,
    /// Delimiters of this line outside of quotes, and in cells that began on an earlier one.
    cuts: usize,
    /// Delimiters of this line in the quoted cell.
    quoted_cuts: usize,
    /// Delimiters of the header; `None` before its end.
    header: Option<usize>,
    /// Whether some earlier line of this record could be a record alone.
    could_be_record: bool,
    cells_of_lines: bool,
    /// Whether this line holds nothing but blanks so far.
    blank: bool,
}

impl Check {
    pub(crate) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            at: At::Start,
            returned: false,
            line: 1,
            record: 1,
            opened: 1,
            cuts: 0,
            quoted_cuts: 0,
            header: None,
            could_be_record: false,
            cells_of_lines: false,
            blank: true,
        }
    }

    /// Whether a cell so far has several lines.
    #[cfg(feature = "sql")]
    pub(crate) fn has_cells_of_lines(&self) -> bool {
        self.cells_of_lines
    }

    /// Whether the header has ended.
    #[cfg(feature = "sql")]
    pub(crate) fn has_header(&self) -> bool {
        self.header.is_some()
    }

    /// Checks the next bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        bytes.iter().try_for_each(|&byte| self.step(byte))
    }

    /// Checks that the file may end here.
    pub(crate) fn finish(&self) -> Result<(), Broken> {
        if self.at == At::Quoted { Err(self.of_cell(CsvFault::NeverClosed)) } else { Ok(()) }
    }

    fn step(&mut self, byte: u8) -> Result<(), Broken> {
        let quoted = self.at == At::Quoted;
        if std::mem::take(&mut self.returned) && !matches!(byte, b'\n' | b'\r') {
            return Err(self.here(CsvFault::LoneReturn));
        }
        self.blank &= byte.is_ascii_whitespace() && byte != self.delimiter;
        match byte {
            b'\n' => return self.end_line(),
            0 => return Err(self.here(CsvFault::ZeroByte)),
            b'\r' => self.returned = !quoted,
            b'"' => {
                self.at = match self.at {
                    At::Start => self.open(),
                    At::Quoted => At::Quote,
                    At::Quote => At::Quoted,
                    At::Plain => return Err(self.here(CsvFault::QuoteInCell)),
                    At::Behind => return Err(self.here(CsvFault::TextBehindQuote)),
                }
            }
            _ if byte == self.delimiter => self.cut(),
            _ => {
                self.at = match self.at {
                    At::Start | At::Plain => At::Plain,
                    At::Quoted => At::Quoted,
                    At::Quote | At::Behind if byte == b' ' || byte == b'\t' => At::Behind,
                    At::Quote | At::Behind => return Err(self.here(CsvFault::TextBehindQuote)),
                }
            }
        }
        Ok(())
    }

    fn open(&mut self) -> At {
        (self.opened, self.quoted_cuts) = (self.line, 0);
        At::Quoted
    }

    fn cut(&mut self) {
        if self.at == At::Quoted {
            self.quoted_cuts += 1;
        } else {
            self.close();
            self.cuts += 1;
            self.at = At::Start;
        }
    }

    /// Ends a cell. Delimiters within one that began on this line do not count.
    fn close(&mut self) {
        if matches!(self.at, At::Quote | At::Behind) && self.opened < self.line {
            self.cuts += self.quoted_cuts;
        }
        self.quoted_cuts = 0;
    }

    fn end_line(&mut self) -> Result<(), Broken> {
        let quoted = self.at == At::Quoted;
        let is_first = self.record == self.line;
        if quoted && self.header.is_none() {
            return Err(self.of_cell(CsvFault::NameOfLines));
        }
        if quoted && self.line - self.opened >= MAX_CELL_LINES {
            return Err(self.of_cell(CsvFault::ManyLines));
        }
        self.cells_of_lines |= quoted;
        if quoted {
            self.cuts += self.quoted_cuts;
        } else {
            self.close();
        }
        let like_record = self.header == Some(self.cuts);
        if !is_first && self.could_be_record && like_record {
            return Err(self.of_cell(CsvFault::OverRecords));
        }
        // The first line may hold a delimiter in its quoted cell, so that it is like no record: two lines behind it are as telling.
        self.could_be_record = like_record || self.could_be_record && !is_first;
        // Blank lines before the header are passed over, as the reader of records does.
        if self.header.is_none() && !self.blank {
            self.header = Some(self.cuts);
        }
        (self.cuts, self.quoted_cuts) = (0, 0);
        self.line += 1;
        self.blank = true;
        if !quoted {
            (self.record, self.at) = (self.line, At::Start);
        }
        Ok(())
    }

    fn here(&self, fault: CsvFault) -> Broken {
        Broken { line: self.line, fault }
    }

    fn of_cell(&self, fault: CsvFault) -> Broken {
        Broken { line: self.opened, fault }
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
