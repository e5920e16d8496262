//! Surveys every record of a CSV file: the types of its columns and their missing values. `party init` writes a first
//! configuration from it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use csv::ByteRecord;

use crate::cell::{CellFault, parse_number, parse_text, stands_for_missing};
use crate::encoding::treatment::{ColumnRules, ColumnType, Missing, Treatment};
use crate::error::{Spot, TableError};
use crate::resolution::Resolution;
use crate::source::csv::file::CsvFiles;
use crate::source::csv::header::{Header, header_of, names_an_id};
use crate::source::selection::check_names_differ;

/// Distinct values of a column are counted up to this number.
pub const MOST_DISTINCT: usize = 10_000;
/// A column of more categories than this, and of one for every second record, is an id or free text.
const FEW_CATEGORIES: usize = 100;
/// Texts that usually stand for a missing value.
const MARKERS: [&str; 12] =
    ["NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "Null", "null", "None", "?", "-"];

/// What the records of a CSV file say about its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The header.
    pub header: Header,
    /// Records in the file.
    pub records: u64,
    /// All columns but the id, in the file's order.
    pub columns: Vec<Surveyed>,
    /// Texts that stand for a missing value among numbers.
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
}

impl Surveyed {
    /// Why a column should be left out, in a few words; `None` if it can be trained on.
    pub fn unfit(&self, records: u64) -> Option<&'static str> {
        let with_value = records - self.missing;
        match (self.kind, self.distinct) {
            _ if with_value == 0 => Some("no value"),
            (_, Some(1)) if self.missing == 0 => Some("the same in every record"),
            _ if self.collapses => Some("numbers that become equal in 32 bits, as ids and time stamps do"),
            (ColumnType::Category, None) => Some("an id or free text"),
            (ColumnType::Category, Some(distinct))
                if distinct > FEW_CATEGORIES && distinct as u64 > with_value / 2 =>
            {
                Some("an id or free text")
            }
            _ => None,
        }
    }
}

impl Survey {
    /// The treatment under which every column loads: types as found, missing values filled in.
    pub fn treatment(&self) -> Treatment {
        let columns = self.columns.iter();
        Treatment {
            types: columns.map(|column| (column.name.clone(), ColumnRules::from(column.kind))).collect(),
            null_values: self.null_values.clone(),
            missing: Missing::Fill,
            ..Treatment::default()
        }
    }
}

/// Reads every record of a CSV file, in memory for no more than [`MOST_DISTINCT`] values of a column.
///
/// # Errors
/// When the file is missing, empty or damaged, begins with what may be a record instead of names, or two columns have one
/// name.
pub fn survey(path: &Path) -> Result<Survey, TableError> {
    let paths: [PathBuf; 1] = [path.to_owned()];
    let files = CsvFiles::open(&paths)?;
    let header = header_of(path, files.names().to_vec())?;
    check_names_differ(path, files.names())?;
    let mut tallies: Vec<Tally> = files.names().iter().map(|_| Tally::default()).collect();
    let mut records = 0;
    files.visit(|spot, record| {
        records += 1;
        count(&mut tallies, spot, record)
    })?;

    if !names_are_evident(files.names(), &tallies) {
        return Err(TableError::HeaderUnclear { path: path.to_owned() });
    }
    let mut null_values = Vec::with_capacity(MARKERS.len());
    for marker in 0..MARKERS.len() {
        null_values.push(tallies.iter().any(|tally| tally.is_numbers_but(marker)));
    }
    let columns = files.names().iter().zip(&tallies).filter(|(name, _)| **name != header.id);
    let columns = columns.map(|(name, tally)| tally.column(name, &null_values)).collect();
    let null_values = MARKERS
        .iter()
        .zip(null_values)
        .filter(|(_, used)| *used)
        .map(|(text, _)| (*text).to_owned())
        .collect();
    Ok(Survey { header, records, columns, null_values })
}

/// Whether the first line can only be a header: a name is that of an id, or is a word above numbers.
fn names_are_evident(names: &[String], tallies: &[Tally]) -> bool {
    names
        .iter()
        .zip(tallies)
        .any(|(name, tally)| names_an_id(name) || is_word(name) && tally.numbers > 0 && tally.texts == 0)
}

/// Whether a name is neither a number nor a text that stands for a missing value.
fn is_word(name: &str) -> bool {
    !name.is_empty()
        && parse_number(name.as_bytes()) == Err(CellFault::NotANumber)
        && !stands_for_missing(name)
}

fn count(tallies: &mut [Tally], spot: Spot<'_>, record: &ByteRecord) -> Result<(), TableError> {
    for ((tally, number), cell) in tallies.iter_mut().zip(1..).zip(record) {
        let counted = tally.count(cell.trim_ascii());
        counted.map_err(|_| TableError::NotText { place: spot.place(), number })?;
    }
    Ok(())
}

/// What was seen of one column.
#[derive(Default)]
struct Tally {
    empty: u64,
    numbers: u64,
    texts: u64,
    markers: [u64; MARKERS.len()],
    fractions: bool,
    too_long: bool,
    resolution: Resolution,
    /// Hashes of values, at most one more than [`MOST_DISTINCT`]; not of markers.
    seen: HashSet<u64>,
}

impl Tally {
    fn count(&mut self, cell: &[u8]) -> Result<(), CellFault> {
        if cell.is_empty() {
            self.empty += 1;
            return Ok(());
        }
        let text = parse_text(cell)?;
        if let Some(marker) = MARKERS.iter().position(|marker| *marker == text) {
            self.markers[marker] += 1;
            return Ok(());
        }
        match parse_number(cell) {
            Err(CellFault::NotANumber) => self.texts += 1,
            Ok(number) => {
                self.numbers += 1;
                self.fractions |= number.fract() != 0.0;
                self.resolution.see(number);
            }
            // A number that is not finite is refused when the table is loaded.
            Err(fault) => {
                self.numbers += 1;
                self.too_long |= fault == CellFault::TooManyDigits;
            }
        }
        if self.seen.len() <= MOST_DISTINCT {
            let mut hasher = DefaultHasher::new();
            cell.hash(&mut hasher);
            self.seen.insert(hasher.finish());
        }
        Ok(())
    }

    /// Whether the column holds this marker and, apart from markers, only numbers.
    fn is_numbers_but(&self, marker: usize) -> bool {
        self.markers[marker] > 0 && self.numbers > 0 && self.texts == 0
    }

    fn column(&self, name: &str, null_values: &[bool]) -> Surveyed {
        let (mut missing, mut categories) = (self.empty, 0);
        for (count, is_null) in self.markers.iter().zip(null_values) {
            if *is_null {
                missing += count;
            } else if *count > 0 {
                categories += 1;
            }
        }
        let distinct = self.seen.len() + categories;
        let kind = if self.texts == 0 && categories == 0 { ColumnType::Number } else { ColumnType::Category };
        Surveyed {
            name: name.to_owned(),
            kind,
            missing,
            distinct: (distinct <= MOST_DISTINCT).then_some(distinct),
            whole: kind == ColumnType::Number && !self.fractions,
            collapses: kind == ColumnType::Number && (self.too_long || self.resolution.lost().is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ColumnsSource, load_as};

    fn survey_text(text: &str) -> Result<Survey, TableError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let survey = survey(&path)?;
        // What was found must be what loads.
        let source: ColumnsSource =
            toml::from_str(&format!("format = \"csv\"\npaths = [{path:?}]\nid = {:?}", survey.header.id))
                .unwrap();
        let table = load_as(&source, &survey.treatment())?;
        assert_eq!(table.ids.len() as u64, survey.records);
        for (column, found) in survey.columns.iter().zip(&table.contents) {
            assert_eq!(found.kind(), column.kind, "{}", column.name);
        }
        Ok(survey)
    }

    #[test]
    fn all_records_decide_and_not_the_first() {
        let survey = survey_text(
            "id,age,job,code,rate,pay,none\n\
             k1,30,,1,0.5,NA,\n\
             k2,,7,2,1,3,\n\
             k3,41,clerk,1,2,-,\n",
        )
        .unwrap();
        let found: Vec<_> = survey
            .columns
            .iter()
            .map(|column| (column.name.as_str(), column.kind, column.missing, column.distinct, column.whole))
            .collect();
        let (number, category) = (ColumnType::Number, ColumnType::Category);
        assert_eq!(
            found,
            [
                ("age", number, 1, Some(2), true),
                ("job", category, 1, Some(2), false),
                ("code", number, 0, Some(2), true),
                ("rate", number, 0, Some(3), false),
                ("pay", number, 2, Some(1), true),
                ("none", number, 3, Some(0), true),
            ]
        );
        assert_eq!((survey.records, survey.null_values), (3, vec!["NA".to_owned(), "-".to_owned()]));
    }

    #[test]
    fn a_marker_among_texts_is_a_category_unless_numbers_lack_it() {
        let alone = survey_text("id,job\n1,?\n2,clerk\n3,?\n").unwrap();
        assert_eq!(
            (alone.columns[0].missing, alone.columns[0].distinct, alone.null_values.len()),
            (0, Some(2), 0)
        );
        let beside = survey_text("id,job,pay\n1,?,?\n2,clerk,7\n3,?,8\n").unwrap();
        assert_eq!((beside.columns[0].missing, beside.columns[0].distinct), (2, Some(1)));
        assert_eq!(beside.null_values, ["?"]);
    }

    #[test]
    fn what_is_no_use_to_a_model_is_told() {
        let rows: String = (0..400).map(|row| format!("{row},name {row},x,,{},{row}.5\n", row % 3)).collect();
        let survey = survey_text(&format!("id,name,same,none,code,value\n{rows}")).unwrap();
        let unfit: Vec<_> = survey.columns.iter().map(|column| column.unfit(survey.records)).collect();
        let expected =
            [Some("an id or free text"), Some("the same in every record"), Some("no value"), None, None];
        assert_eq!(unfit, expected);
        let rows: String = (0..=MOST_DISTINCT).map(|row| format!("{row},n{row}\n")).collect();
        let many = survey_text(&format!("id,name\n{rows}")).unwrap();
        assert_eq!(
            (many.columns[0].distinct, many.columns[0].unfit(many.records)),
            (None, Some("an id or free text"))
        );
    }

    #[test]
    fn ids_and_time_stamps_are_no_numbers_of_32_bits() {
        let rows: String = (0..200)
            .map(|row| format!("k{row},{},90071992547409{row:03},{row}\n", 1_700_000_000 + row))
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, format!("id,since,account,a\n{rows}")).unwrap();
        let survey = survey(&path).unwrap();
        let unfit: Vec<bool> =
            survey.columns.iter().map(|column| column.unfit(survey.records).is_some()).collect();
        assert_eq!(unfit, [true, true, false]);
    }

    #[test]
    fn a_first_line_that_may_be_a_record_is_refused() {
        for text in [
            "C000,Ann Smith,Leeds\nC001,Bob Jones,York\n",
            "Ann,NA\nBob,7\n",
            "133,x0:0.45\n134,x0:0.10\n",
            "2019,Ann\n2020,Bob\n",
        ] {
            let message = survey_text(text).unwrap_err().to_string();
            assert!(message.contains("first line"), "{message}");
            assert!(!message.contains("Ann") && !message.contains("x0"), "{message}");
        }
        for text in ["name,age\nAnn,7\n", "customer_id,town\nC1,Leeds\nC2,York\n"] {
            assert!(survey_text(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn faults_show_no_cell() {
        for text in ["39,clerk,77516\n", "id,a,a\n1,77516,3\n", "id,a\n1\n", "id,a\n"] {
            let message = survey_text(text).unwrap_err().to_string();
            assert!(!message.contains("77516"), "{message}");
        }
    }
}
