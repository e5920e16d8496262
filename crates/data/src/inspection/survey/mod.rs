//! A look at every record of a CSV file: the types of its columns, and where values are missing, from which `init`
//! writes a first configuration.

mod first_line;
mod id;
mod markers;
mod nines;
mod tally;
mod task;

use std::fmt;
use std::path::{Path, PathBuf};

use hashvfl_core::text::counted;

use crate::encoding::content::FEW_NUMBERS;
use crate::encoding::treatment::{ColumnRules, ColumnType, Missing, Treatment};
use crate::error::TableError;
use crate::names::{self, looks_like_data};
use crate::source::csv::file::CsvFiles;
use crate::source::selection::check_names_differ;
use markers::Markers;
use tally::Tally;

pub use first_line::FirstLine;

/// Distinct values of a column are counted up to here.
pub const MOST_DISTINCT: usize = 10_000;
/// A column of more categories than this, and of one for every second record, is an id or free text.
const FEW_CATEGORIES: usize = 100;

/// What the owner of a table says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// The columns that are a record's id together; none: to be guessed.
    pub id: Vec<String>,
    /// Columns that are no id: the label, and what is not to be used.
    pub not_id: Vec<String>,
    /// Texts that stand for a missing value, beside usual ones.
    pub null_values: Vec<String>,
}

/// What the records of a CSV file say about its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The columns that are a record's id together: those named, or a guess; none where nothing tells.
    pub id: Vec<String>,
    /// Distinct values of the id, where that is one column and they are not more than [`MOST_DISTINCT`].
    pub ids: Option<usize>,
    /// Whether the first line holds the names of columns.
    pub first_line: FirstLine,
    /// Records in the file.
    pub records: u64,
    /// All columns but those of the id, in the file's order.
    pub columns: Vec<Surveyed>,
    /// Texts that stand for a missing value: those asked for, and usual ones among numbers.
    pub null_values: Vec<String>,
}

/// What the records say about one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// Its name.
    pub name: String,
    /// What it holds: numbers where every value is one.
    pub kind: ColumnType,
    /// Records without a value.
    pub missing: u64,
    /// Distinct values; `None` where they are more than [`MOST_DISTINCT`].
    pub distinct: Option<usize>,
    /// Whether every value is a whole number.
    pub whole: bool,
    /// Whether many of its numbers become equal in 32 bits.
    pub collapses: bool,
    /// Of numbers: records whose value is of digits and begins with 0, as codes do.
    pub leading_zeros: u64,
    /// Of a column of little else: records whose value is a range or a pair of numbers.
    pub ranges: u64,
    /// Of numbers that are whole or have a fraction of just three digits: how many have one. The point may stand between thousands.
    pub thousands: u64,
    /// Of numbers: how many consist of nines, as -999 does, and lie apart from all others.
    pub nines: u64,
    /// Distinct texts that are another one of them in another spelling: in case, white space, composed letters or characters
    /// that do not show.
    pub respelt: usize,
    /// What its values are to a person, where they are something else to a reader of tables.
    pub oddity: Option<NumberLikeText>,
}

/// Values that look like numbers or dates and are read as texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberLikeText {
    /// `12 %`.
    Percents,
    /// `1,234` or `1,5`.
    Commas,
    /// `$12`.
    Money,
    /// `70 kg` or `EUR 12`.
    Measures,
    /// Dates or times.
    Dates,
    /// Numbers in digits of another script.
    OtherDigits,
    /// Numbers, and some texts.
    Mixed {
        /// How many texts.
        texts: u64,
        /// On which line the first is.
        first_line: u64,
    },
}

/// What becomes of a column in a first configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnVerdict {
    /// It is trained on.
    Taken,
    /// It is of no use to a model: why, in a few words.
    Excluded(&'static str),
    /// Only its owner can say.
    Undecided(NumberLikeText),
}

impl fmt::Display for NumberLikeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percents => f.write_str("numbers with a percent sign"),
            Self::Commas => f.write_str("numbers with commas or other signs in them"),
            Self::Money => f.write_str("numbers with a currency sign"),
            Self::Measures => f.write_str("numbers with a unit"),
            Self::Dates => f.write_str("dates or times"),
            Self::OtherDigits => f.write_str("numbers in digits of another script than 0 to 9"),
            Self::Mixed { texts: 1, first_line } => write!(f, "numbers, but text on line {first_line}"),
            Self::Mixed { texts, first_line } => {
                write!(f, "numbers, but text in {texts} records, first on line {first_line}")
            }
        }
    }
}

impl Surveyed {
    /// What becomes of it where nobody says anything else.
    pub fn verdict(&self, records: u64) -> ColumnVerdict {
        let with_value = records - self.missing;
        match (self.oddity, self.distinct) {
            _ if self.name.is_empty() => ColumnVerdict::Excluded("it has no name"),
            _ if with_value == 0 => ColumnVerdict::Excluded("no value"),
            (_, Some(1)) if self.missing == 0 => ColumnVerdict::Excluded("the same in every record"),
            _ if self.collapses => {
                ColumnVerdict::Excluded("numbers that become equal in 32 bits, as ids and time stamps do")
            }
            (Some(NumberLikeText::Dates), _) => {
                ColumnVerdict::Excluded("dates or times; written as numbers they can be used")
            }
            (Some(oddity), _) => ColumnVerdict::Undecided(oddity),
            _ if self.is_free_text(with_value) => ColumnVerdict::Excluded("an id or free text"),
            _ => ColumnVerdict::Taken,
        }
    }

    /// Whether they are categories of which most records have one of their own.
    pub fn is_free_text(&self, with_value: u64) -> bool {
        let many = self
            .distinct
            .is_none_or(|distinct| distinct > FEW_CATEGORIES && distinct as u64 > with_value / 2);
        self.kind == ColumnType::Category && many
    }

    /// What its owner is to look at: codes that were taken for numbers, and one text in several spellings.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.leading_zeros > 0 {
            remarks.push(format!(
                "{} of them with a leading 0: use \"category\" if they are codes",
                self.leading_zeros
            ));
        } else if let Some(distinct) = self.distinct.filter(|_| self.may_be_codes()) {
            let numbers = counted(distinct, "whole number");
            remarks.push(format!("{numbers}: use \"category\" if they are codes"));
        }
        remarks.extend(self.remarks_on_numbers());
        if self.ranges > 0 {
            remarks.push(format!(
                "{} with ranges or pairs of numbers, whose order is lost",
                counted(self.ranges, "value")
            ));
        }
        if self.respelt > 0 {
            remarks.push(format!(
                "{} of them differ from another only in spelling, such as case and spaces",
                self.respelt
            ));
        }
        remarks
    }

    /// What its owner is to look at where its numbers are quantities: points between thousands, and stand-ins for a missing
    /// value.
    pub fn remarks_on_numbers(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.thousands > 0 {
            remarks.push(format!(
                "{} of them have a fraction of three digits, and all others none: if that point stands between thousands, write them \
                 without it",
                self.thousands
            ));
        } else if self.nines > 0 {
            remarks.push(format!(
                "{} of them consist of nines, as -999 does, and lie far from all others: if they stand for a missing value, say so \
                 (`null_values`, which `party init` takes as --null)",
                self.nines
            ));
        }
        remarks
    }

    /// Whether they are whole numbers of so few values that they may be codes.
    fn may_be_codes(&self) -> bool {
        self.whole && self.distinct.is_some_and(|distinct| distinct <= FEW_NUMBERS)
    }
}

impl Survey {
    /// Fails where the first line is a record or may be one: names may be shown and written, cells must not.
    ///
    /// # Errors
    /// If so.
    pub fn check_first_line(&self, path: &Path) -> Result<(), TableError> {
        let path = path.to_owned();
        match self.first_line {
            FirstLine::Names => Ok(()),
            FirstLine::Record => Err(TableError::HeaderLooksLikeData { path }),
            FirstLine::Unclear => Err(TableError::HeaderUnclear { path }),
        }
    }

    /// Fails where no column is named as the id and none is likely to be one.
    ///
    /// # Errors
    /// If so.
    pub fn check_id(&self, path: &Path) -> Result<(), TableError> {
        if self.id.is_empty() { Err(TableError::NoIdNamed { path: path.to_owned() }) } else { Ok(()) }
    }

    /// The treatment under which every column loads: types as found, missing values filled in.
    pub fn treatment(&self) -> Treatment {
        let rules = |column: &Surveyed| (column.name.clone(), ColumnRules::from(column.kind));
        Treatment {
            types: self.columns.iter().map(rules).collect(),
            null_values: self.null_values.clone(),
            missing: Missing::Fill,
            ..Treatment::default()
        }
    }
}

/// Reads every record of a CSV file, in memory for no more than [`MOST_DISTINCT`] values of a column.
///
/// # Errors
/// When the file is missing, empty, damaged or of another kind, lacks a column that is hinted at, or two columns have one
/// name.
pub fn survey(path: &Path, hints: &Hints) -> Result<Survey, TableError> {
    let paths: [PathBuf; 1] = [path.to_owned()];
    let files = CsvFiles::open(&paths)?;
    check_names_differ(path, files.names())?;
    for name in &hints.id {
        names::find(path, files.names(), "id", name)?;
    }
    let mut markers = Markers::new(&hints.null_values);
    let mut tallies: Vec<Tally> = files.names().iter().map(|name| Tally::new(name)).collect();
    let mut records = 0;
    files.visit(|spot, record| {
        records += 1;
        for ((tally, number), cell) in tallies.iter_mut().zip(1..).zip(record) {
            let counted = tally.count(cell.trim_ascii(), spot.number, &mut markers);
            counted.map_err(|_| TableError::NotText { place: spot.place(), number })?;
        }
        Ok::<(), TableError>(())
    })?;

    let is_used = |at: usize| markers.is_asked(at) || tallies.iter().any(|tally| tally.is_numbers_but(at));
    let used: Vec<bool> = (0..markers.len()).map(is_used).collect();
    let columns: Vec<Surveyed> = tallies.iter().map(|tally| tally.column(&used)).collect();
    let id: Vec<String> = match hints.id.is_empty() {
        true => id::guess(&columns, records, &hints.not_id).into_iter().collect(),
        false => hints.id.clone(),
    };
    let ids = match id.as_slice() {
        [name] => columns.iter().find(|column| column.name == *name).and_then(|column| column.distinct),
        _ => None,
    };
    let repeats: Vec<bool> = tallies.iter().map(|tally| tally.repeats_name).collect();
    let is_alike = tallies.iter().any(Tally::is_like_name);
    let first_line = match looks_like_data(files.names()) {
        true => FirstLine::Record,
        false => FirstLine::of(&columns, &repeats, is_alike, &id),
    };
    let columns = columns.into_iter().filter(|column| !id.contains(&column.name)).collect();
    Ok(Survey { id, ids, first_line, records, columns, null_values: markers.into_used(&used) })
}

#[cfg(test)]
mod tests;
