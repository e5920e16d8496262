//! Why a table could not be loaded, and where: file, line and column, never the cell itself.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use hashvfl_core::text;

use crate::cell::CellFault;
use crate::limits::{MAX_COLUMNS, MAX_ROWS, MAX_VALUES};

/// How two ids that look alike can differ, in a few words for a person.
pub const WAYS_OF_WRITING: &str = "ids are compared character by character: 7, 7.0 and 007 are three different ids, and so \
                                   are a, A and `a b`";

/// What may be wrong where a record has another number of cells than a header of so many.
fn missed_comma(header: usize) -> &'static str {
    match header {
        1 => "a line above the names of the columns, such as a title, or a missing or unquoted comma",
        _ => "a missing or unquoted comma",
    }
}

/// How the records of a file are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// By the line on which a record begins; the header is line 1.
    Line,
    /// By its number among the file's records, from 1.
    Record,
}

/// Where a record is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// What is counted.
    pub counted: Counted,
    /// The line or record, from 1.
    pub number: u64,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = match self.counted {
            Counted::Line => "line",
            Counted::Record => "record",
        };
        write!(f, "{}, {counted} {}", self.path.display(), self.number)
    }
}

/// The same without a copy of the path, for each record that is read.
#[derive(Clone, Copy)]
pub(crate) struct LocationRef<'a> {
    pub(crate) path: &'a Path,
    pub(crate) counted: Counted,
    pub(crate) number: u64,
}

impl LocationRef<'_> {
    /// The place, for an error.
    pub(crate) fn place(self) -> Location {
        Location { path: self.path.to_owned(), counted: self.counted, number: self.number }
    }
}

/// Why a table could not be loaded. Messages name places and columns, never values or ids.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The configuration names no file.
    #[error("`paths` is empty; list at least one file")]
    NoPaths,
    /// A file is missing or not readable.
    #[error("cannot open {}: {reason}; check the path and the file's permissions", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: io::Error,
    },
    /// A file opened and then failed, for instance a damaged gzip file.
    #[error("cannot read all of {}: {reason}; the file may be damaged", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's or decompressor's reason.
        reason: io::Error,
    },
    /// The file is text in another encoding, such as UTF-16, as spreadsheets write "Unicode text".
    #[error("{} is {found}, expected UTF-8; save it as UTF-8", path.display())]
    OtherEncoding {
        /// The file.
        path: PathBuf,
        /// The encoding.
        found: &'static str,
    },
    /// The header is repeated among the records.
    #[error("{place}: the header is repeated, as happens when files are concatenated; remove this line")]
    HeaderAgain {
        /// Where.
        place: Location,
    },
    /// A byte-order mark within a file, where a record begins.
    #[error("{place}: a byte-order mark, as happens when files are concatenated; remove these three bytes")]
    MarkWithin {
        /// Where.
        place: Location,
    },
    /// The configuration names a column that the header lacks.
    #[error("{} has no column {name:?}, which `{setting}` names; {help}", path.display())]
    UnknownColumn {
        /// The file.
        path: PathBuf,
        /// The setting that names the column.
        setting: &'static str,
        /// The name, as configured.
        name: String,
        /// Where close names are: never a name, since without a header they are cells.
        help: String,
    },
    /// A file is of another kind than text with commas.
    #[error("{} is {what}, but a CSV file with commas was expected; {remedy}", path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Cells are not separated by commas.
    #[error(
        "the first line of {} has {found} between its cells instead of commas; save the file as CSV with commas \
         between cells and points as decimal separators", path.display()
    )]
    OtherSeparator {
        /// The file.
        path: PathBuf,
        /// What stands between cells.
        found: &'static str,
    },
    /// The first line holds numbers, so that it is probably a record.
    #[error(
        "the first line of {} looks like a record, but must be a header with the column names; add a header as the \
         first line (names that are numbers must count up: 0, 1, 2)",
        path.display()
    )]
    HeaderLooksLikeData {
        /// The file.
        path: PathBuf,
    },
    /// Nothing tells which column holds the ids.
    #[error(
        "no column of {} has the name of an id, as id, customer_id and customerId are: name the column of record ids with --id",
        path.display()
    )]
    NoIdNamed {
        /// The file.
        path: PathBuf,
    },
    /// Nothing tells whether the first line names columns.
    #[error(
        "cannot tell whether the first line of {} is a header or a record: it has no typical id name, and no word above a \
         column of numbers; if it is a header, pass --header; else write one above it", path.display()
    )]
    HeaderUnclear {
        /// The file.
        path: PathBuf,
    },
    /// A cell is not UTF-8.
    #[error("{place}, column {number} (from 1): bytes that are not UTF-8; save the file as UTF-8")]
    NotText {
        /// Where.
        place: Location,
        /// Which column, counted from 1.
        number: usize,
    },
    /// A column's name is not UTF-8.
    #[error("the name of column {number} of {} is not UTF-8; save the file as UTF-8", path.display())]
    HeaderText {
        /// The file.
        path: PathBuf,
        /// Which column, counted from 1.
        number: usize,
    },
    /// Two columns have one name.
    #[error(
        "columns {first} and {second} of {} have the same name; rename one of them in the header", path.display()
    )]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The first such column, counted from 1.
        first: usize,
        /// The next such column, counted from 1.
        second: usize,
    },
    /// A column to be loaded has no name (an exported row number, often).
    #[error(
        "column {number} of {} has no name; name it in the header, or exclude it by adding \"\" to `ignore`", path.display()
    )]
    UnnamedColumn {
        /// The file.
        path: PathBuf,
        /// Which column, counted from 1.
        number: usize,
    },
    /// A later file of `paths` has another header than the first.
    #[error(
        "the header of {} is not that of {}: column {number} differs ({found} columns, expected \
         {expected}); files in `paths` must have the same columns in the same order",
        path.display(), first.display()
    )]
    HeaderDiffers {
        /// The file.
        path: PathBuf,
        /// The file whose header counts.
        first: PathBuf,
        /// The first column that differs, counted from 1.
        number: usize,
        /// Columns in the first file.
        expected: usize,
        /// Columns in this file.
        found: usize,
    },
    /// The settings `id`, `columns` and `ignore` contradict each other.
    #[error("column {name:?} {problem}; name it once, in one of `id`, `columns` and `ignore`")]
    ColumnNamedTwice {
        /// The name, as configured.
        name: String,
        /// Which settings name it.
        problem: &'static str,
    },
    /// Nothing but ids (and ignored columns) remains.
    #[error(
        "{} has no column left to load after `id` and `ignore`; at least one is needed", path.display()
    )]
    NoColumns {
        /// The file.
        path: PathBuf,
    },
    /// There is a header and nothing below, or nothing at all.
    #[error("{} holds no records; check that this is the right file", path.display())]
    Empty {
        /// The first file.
        path: PathBuf,
    },
    /// A record has another number of cells than the header.
    #[error(
        "{place}: {}, but the header has {expected}; look for {}", text::counted(.found, "cell"), missed_comma(*expected)
    )]
    Ragged {
        /// Where.
        place: Location,
        /// Cells in the header.
        expected: usize,
        /// Cells in the record.
        found: usize,
    },
    /// A cell is not a value of its column's type.
    #[error("{place}, column {column:?}: expected {expected}, found {fault}; {}", fault.remedy())]
    Cell {
        /// Where.
        place: Location,
        /// The column's name.
        column: String,
        /// What the column holds.
        expected: &'static str,
        /// What is wrong with the cell.
        fault: CellFault,
    },
    /// Numbers of a column are too close together for 32 bits.
    #[error(
        "column {column:?}: {distinct} distinct numbers become {left} in 32 bits, as identifiers and time stamps do; subtract \
         a constant from them, declare the column a category in [types], or list it in `ignore`"
    )]
    Collapsed {
        /// The column's name.
        column: String,
        /// Distinct numbers that were seen.
        distinct: usize,
        /// How many of them are left.
        left: usize,
    },
    /// Numbers would become categories: a column's first value is a text and most of its others are not, or they are stored as
    /// texts.
    #[error(
        "column {column:?} holds {} and {}, so each number would become a category; add texts that stand for a missing \
         value to `null_values`, or declare the column's type in [types]",
        text::counted(.numbers, "distinct number"), text::counted(.texts, "distinct text")
    )]
    Mixed {
        /// The column's name.
        column: String,
        /// Distinct numbers.
        numbers: usize,
        /// Distinct texts.
        texts: usize,
    },
    /// A record has no usable id.
    #[error("{place}, column {column:?}: expected a record id, found {fault}; every record needs one")]
    BadId {
        /// Where.
        place: Location,
        /// The id column's name.
        column: String,
        /// What is wrong with the cell.
        fault: CellFault,
    },
    /// A list names no record.
    #[error("{} holds no ids, expected one in each line: nothing was done", path.display())]
    NoIds {
        /// The list.
        path: PathBuf,
    },
    /// A list names records that are unknown.
    #[error(
        "{} not among the known records, the first at {first}; {otherwise} of them match in another spelling \
         ({WAYS_OF_WRITING}). Nothing was done; correct the list", text::counted(.count, "id")
    )]
    UnknownIds {
        /// How many.
        count: u64,
        /// How many of them are there in another way of writing.
        otherwise: u64,
        /// Where the first is.
        first: Location,
    },
    /// Some ids occur more than once.
    #[error(
        "{} with the id of an earlier record; the first pair is at {first} and {second}; keep one record per id",
        text::counted(.count, "record")
    )]
    DuplicateIds {
        /// How many records repeat an earlier id.
        count: u64,
        /// Where the first repeated id occurs first.
        first: Location,
        /// Where it occurs again.
        second: Location,
    },
    /// A file is not an order file, or is damaged.
    #[error("{} is not a valid order file ({reason}): restore it from a backup, or align again", path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The files are not those that the holders agreed on.
    #[error(
        "the records of the table have changed since {} was written; align again, or restore them",
        order.display()
    )]
    ChangedSince {
        /// The order file.
        order: PathBuf,
    },
    /// Records of the agreed order are not in the table.
    #[error(
        "the table lacks {lacking} of the {agreed} records that the holders agreed on; align again, or restore the files"
    )]
    LacksRecords {
        /// How many it lacks.
        lacking: usize,
        /// How many there are.
        agreed: usize,
    },
    /// The table is beyond this crate's limits.
    #[error(
        "with {}, the table has {rows} rows and {columns} columns, but at most {MAX_ROWS} rows, {MAX_COLUMNS} columns \
         and {MAX_VALUES} values are allowed; select fewer columns or split the records",
        path.display()
    )]
    TooLarge {
        /// The file that goes over the limit.
        path: PathBuf,
        /// Rows, up to and with this file.
        rows: u64,
        /// Columns to load.
        columns: u64,
    },
    /// Memory does not hold the table.
    #[error(
        "not enough memory for a table of {values} values of 4 bytes each; use `cache`, fewer columns or a larger \
         machine"
    )]
    OutOfMemory {
        /// Values asked for.
        values: u64,
    },
    /// A cache cannot be written or read.
    #[error(
        "cannot use the cache {}: {reason}; check its folder and the free disk space, or remove it", path.display()
    )]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file was written while it was read.
    #[error(
        "{}, or another file of the table, changed while it was read; try again when nothing writes to them",
        path.display()
    )]
    ChangedWhileRead {
        /// The first file.
        path: PathBuf,
    },
    /// `cache` is set for a source that cannot be cached.
    #[error(
        "`cache` is only for tables of format \"csv\", \"parquet\" and \"sql\"; images and arrays are read into \
         memory: remove it"
    )]
    NotCached,
    /// Another file has the cache's name.
    #[error(
        "cache = {path:?} already exists and is not a cache, so it was not overwritten: choose another file"
    )]
    NoCache {
        /// The file.
        path: PathBuf,
    },
    /// `image` does not fit the columns.
    #[error(
        "`image` has {channels} channels of {height} x {width} pixels, whose product must equal the {columns} loaded \
         columns; correct `image`, `columns` or `ignore`"
    )]
    ImageShape {
        /// Channels, as configured.
        channels: usize,
        /// Rows of pixels, as configured.
        height: usize,
        /// Pixels in a row, as configured.
        width: usize,
        /// Columns that are loaded.
        columns: usize,
    },
    /// A source handed on another number of values than its ids and columns need.
    #[error(
        "read {values} values for {ids} records of {columns} columns; a file may have changed meanwhile: try again \
         when nothing writes to it"
    )]
    Shape {
        /// Ids of records.
        ids: usize,
        /// Columns of each.
        columns: usize,
        /// Values of all.
        values: usize,
    },
    /// An error of one format's reader, such as [`SqlError`](crate::SqlError) or [`NpyError`](crate::NpyError).
    #[error(transparent)]
    Format(Box<dyn std::error::Error + Send + Sync>),
    /// Stops the reading of records, since their receiver wants no more of them. No caller sees it.
    #[error("the reading was stopped")]
    Stopped,
}
