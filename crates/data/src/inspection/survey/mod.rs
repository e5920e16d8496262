//! A look at every record of a CSV file: the types of its columns, and where values are missing, from which `init`
//! writes a first configuration.

mod date;
mod first_line;
pub(crate) mod shape;
mod tally;
mod task;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::cell::MISSING;
use crate::encoding::content::FEW_NUMBERS;
use crate::encoding::treatment::{ColumnRules, ColumnType, Missing, Treatment};
use crate::error::TableError;
use crate::names::{self, looks_like_data};
use crate::source::csv::file::CsvFiles;
use crate::source::csv::header::guess_id;
use crate::source::selection::check_names_differ;
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
    /// Texts that stand for a missing value, beside usual ones.
    pub null_values: Vec<String>,
}

/// What the records of a CSV file say about its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The columns that are a record's id together: those named, or a guess.
    pub id: Vec<String>,
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
    /// Distinct texts that are another one of them in another spelling: in case, white space, composed letters or characters
    /// that do not show.
    pub respelt: usize,
    /// What its values are to a person, where they are something else to a reader of tables.
    pub oddity: Option<Oddity>,
}

/// Values that look like numbers or dates and are read as texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
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
pub enum Verdict {
    /// It is trained on.
    Taken,
    /// It is of no use to a model: why, in a few words.
    Excluded(&'static str),
    /// Only its owner can say.
    Undecided(Oddity),
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percents => f.write_str("numbers with a percent sign"),
            Self::Commas => f.write_str("numbers with commas or other signs in them"),
            Self::Money => f.write_str("numbers with a sign of money"),
            Self::Measures => f.write_str("numbers with a unit"),
            Self::Dates => f.write_str("dates or times"),
            Self::Mixed { texts: 1, first_line } => write!(f, "numbers, and text on line {first_line}"),
            Self::Mixed { texts, first_line } => {
                write!(f, "numbers, and text in {texts} records, first on line {first_line}")
            }
        }
    }
}

impl Surveyed {
    /// What becomes of it where nobody says anything else.
    pub fn verdict(&self, records: u64) -> Verdict {
        let with_value = records - self.missing;
        match (self.oddity, self.distinct) {
            _ if self.name.is_empty() => Verdict::Excluded("it has no name"),
            _ if with_value == 0 => Verdict::Excluded("no value"),
            (_, Some(1)) if self.missing == 0 => Verdict::Excluded("the same in every record"),
            _ if self.collapses => {
                Verdict::Excluded("numbers that become equal in 32 bits, as ids and time stamps do")
            }
            (Some(Oddity::Dates), _) => {
                Verdict::Excluded("dates or times; written as numbers they can be used")
            }
            (Some(oddity), _) => Verdict::Undecided(oddity),
            _ if self.is_free_text(with_value) => Verdict::Excluded("an id or free text"),
            _ => Verdict::Taken,
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
            remarks
                .push(format!("{} of them begin with 0: \"category\" if they are codes", self.leading_zeros));
        } else if let Some(distinct) = self.distinct.filter(|_| self.may_be_codes()) {
            remarks.push(format!("{distinct} whole numbers: \"category\" if they are codes"));
        }
        if self.ranges > 0 {
            remarks.push(format!("{} ranges or pairs of numbers, whose order is lost", self.ranges));
        }
        if self.respelt > 0 {
            remarks.push(format!(
                "{} of them differ from another in spelling alone, such as case and spaces",
                self.respelt
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
    let id = if hints.id.is_empty() { vec![guess_id(files.names())] } else { hints.id.clone() };
    for name in &id {
        names::find(path, files.names(), "id", name)?;
    }
    let (markers, asked) = (markers(&hints.null_values), hints.null_values.len());
    let mut tallies: Vec<Tally> = files.names().iter().map(|name| Tally::new(name, markers.len())).collect();
    let mut records = 0;
    files.visit(|spot, record| {
        records += 1;
        for ((tally, number), cell) in tallies.iter_mut().zip(1..).zip(record) {
            let counted = tally.count(cell.trim_ascii(), spot.number, &markers, asked);
            counted.map_err(|_| TableError::NotText { place: spot.place(), number })?;
        }
        Ok::<(), TableError>(())
    })?;

    let is_used = |marker: usize| marker < asked || tallies.iter().any(|tally| tally.is_numbers_but(marker));
    let used: Vec<bool> = (0..markers.len()).map(is_used).collect();
    let columns: Vec<Surveyed> = tallies.iter().map(|tally| tally.column(&used)).collect();
    let repeats: Vec<bool> = tallies.iter().map(|tally| tally.repeats_name).collect();
    let is_alike = tallies.iter().any(Tally::is_like_name);
    let first_line = match looks_like_data(files.names()) {
        true => FirstLine::Record,
        false => FirstLine::of(&columns, &repeats, is_alike, &id),
    };
    let columns = columns.into_iter().filter(|column| !id.contains(&column.name)).collect();
    let null_values = markers.into_iter().zip(used).filter(|(_, used)| *used).map(|(text, _)| text).collect();
    Ok(Survey { id, first_line, records, columns, null_values })
}

/// Texts that may stand for a missing value: those asked for, and usual ones.
fn markers(null_values: &[String]) -> Vec<String> {
    let usual =
        MISSING.iter().map(|marker| (*marker).to_owned()).filter(|marker| !null_values.contains(marker));
    null_values.iter().cloned().chain(usual).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ColumnsSource, load_as};

    fn survey_text(text: &str) -> Result<Survey, TableError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let survey = survey(&path, &Hints::default())?;
        // What was found must be what loads.
        let source: ColumnsSource =
            toml::from_str(&format!("format = \"csv\"\npaths = [{path:?}]\nid = {:?}", survey.id)).unwrap();
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
        let verdicts: Vec<_> = survey.columns.iter().map(|column| column.verdict(survey.records)).collect();
        let expected = [
            Verdict::Excluded("an id or free text"),
            Verdict::Excluded("the same in every record"),
            Verdict::Excluded("no value"),
            Verdict::Taken,
            Verdict::Taken,
        ];
        assert_eq!(verdicts, expected);
        let rows: String = (0..=MOST_DISTINCT).map(|row| format!("{row},n{row}\n")).collect();
        let many = survey_text(&format!("id,name\n{rows}")).unwrap();
        assert_eq!(
            (many.columns[0].distinct, many.columns[0].verdict(many.records)),
            (None, Verdict::Excluded("an id or free text"))
        );
    }

    #[test]
    fn numbers_that_people_write_otherwise_are_not_decided_in_silence() {
        let rows: String = (0..250)
            .map(|row| {
                let error = if row == 7 { "#DIV/0!".to_owned() } else { format!("{}.5", row / 7) };
                let word = if row == 200 { "see file".to_owned() } else { format!("{row}") };
                let (day, sum) = (1 + row % 28, 1000 + row);
                format!(
                    "k{row},{error},{word},\"1,{row:03}\",\"{row},{}\",{}%,2024-01-{day:02},${sum},{}\n",
                    row % 7,
                    row % 30,
                    ["1", "2", "3+"][row % 3],
                )
            })
            .collect();
        let survey =
            survey_text(&format!("id,error,word,thousands,comma,percent,day,sum,rooms\n{rows}")).unwrap();
        let verdicts: Vec<_> = survey.columns.iter().map(|column| column.verdict(survey.records)).collect();
        let expected = [
            Verdict::Taken,
            Verdict::Undecided(Oddity::Mixed { texts: 1, first_line: 202 }),
            Verdict::Undecided(Oddity::Commas),
            Verdict::Undecided(Oddity::Commas),
            Verdict::Undecided(Oddity::Percents),
            Verdict::Excluded("dates or times; written as numbers they can be used"),
            Verdict::Undecided(Oddity::Money),
            Verdict::Taken,
        ];
        assert_eq!(verdicts, expected);
        assert_eq!((survey.columns[0].missing, survey.null_values), (1, vec!["#DIV/0!".to_owned()]));
    }

    #[test]
    fn many_numbers_beside_few_texts_and_numbers_with_a_unit_are_not_decided() {
        let rows: String = (0..500)
            .map(|row| {
                let income =
                    if row % 5 < 2 { (100 + row * 7 % 400).to_string() } else { "not stated".to_owned() };
                let house = format!("{}{}", row % 90, ["a", "b", "c", "d", "e"][row % 5]);
                format!(
                    "k{row},{income},{} kg,EUR {},{} months,{house},{}/{},{}:{},\u{a0}{},{row}.5\n",
                    40 + row % 60,
                    row % 80,
                    36 + 24 * (row % 2),
                    100 + row % 60,
                    60 + row % 40,
                    row % 5,
                    1 + row % 3,
                    row % 90,
                )
            })
            .collect();
        let survey =
            survey_text(&format!("id,income,weight,fee,term,house,pressure,ratio,spend,a\n{rows}")).unwrap();
        let verdicts: Vec<_> = survey.columns.iter().map(|column| column.verdict(survey.records)).collect();
        let expected = [
            Verdict::Undecided(Oddity::Mixed { texts: 300, first_line: 4 }),
            Verdict::Undecided(Oddity::Measures),
            Verdict::Undecided(Oddity::Measures),
            Verdict::Taken,
            Verdict::Taken,
            Verdict::Taken,
            Verdict::Taken,
            Verdict::Taken,
            Verdict::Taken,
        ];
        assert_eq!(verdicts, expected);
        let ranges: Vec<u64> = survey.columns.iter().map(|column| column.ranges).collect();
        assert_eq!(ranges, [0, 0, 0, 0, 0, 500, 500, 0, 0], "pressure and ratio are pairs");
        assert_eq!(survey.columns[5].remarks(), ["500 ranges or pairs of numbers, whose order is lost"]);
        let kinds: Vec<_> = survey.columns[3..].iter().map(|column| column.kind).collect();
        let (number, category) = (ColumnType::Number, ColumnType::Category);
        assert_eq!(kinds, [category, category, category, category, number, number]);
    }

    #[test]
    fn codes_that_begin_with_0_and_texts_in_several_spellings_are_told() {
        let rows: String = (0..60)
            .map(|row| format!("k{row},{:03},{},{row}.5\n", row * 7, ["M", "m", "F", "f"][row % 4]))
            .collect();
        let survey = survey_text(&format!("id,zip,sex,a\n{rows}")).unwrap();
        let remarks: Vec<_> = survey.columns.iter().map(Surveyed::remarks).collect();
        assert_eq!(remarks[0], ["15 of them begin with 0: \"category\" if they are codes"]);
        assert_eq!(remarks[1], ["2 of them differ from another in spelling alone, such as case and spaces"]);
        assert!(remarks[2].is_empty(), "{remarks:?}");
    }

    #[test]
    fn what_its_owner_calls_missing_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let rows: String =
            (0..40).map(|row| format!("k{row},{}\n", if row == 3 { "see file" } else { "7" })).collect();
        std::fs::write(&path, format!("id,a\n{rows}")).unwrap();
        let found =
            survey(&path, &Hints { null_values: vec!["see file".to_owned()], ..Hints::default() }).unwrap();
        assert_eq!((found.columns[0].kind, found.columns[0].missing), (ColumnType::Number, 1));
        assert_eq!(found.null_values, ["see file"]);
        let hints = Hints { null_values: vec!["7".to_owned()], ..Hints::default() };
        std::fs::write(&path, "id,a\nk1,7\nk2,7.0\nk3,8\nk4,9\n").unwrap();
        let found = survey(&path, &hints).unwrap();
        assert_eq!(
            (found.columns[0].kind, found.columns[0].missing),
            (ColumnType::Number, 2),
            "numbers, too"
        );
    }

    #[test]
    fn numbers_are_told_apart_by_their_value() {
        let survey = survey_text("id,a\n1,1\n2,1.0\n3,+1\n4,2\n").unwrap();
        assert_eq!(survey.columns[0].distinct, Some(2));
    }

    #[test]
    fn ids_and_time_stamps_are_no_numbers_of_32_bits() {
        let rows: String = (0..200)
            .map(|row| format!("k{row},{},90071992547409{row:03},{row}\n", 1_700_000_000 + row))
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, format!("id,since,account,a\n{rows}")).unwrap();
        let survey = survey(&path, &Hints::default()).unwrap();
        let verdicts: Vec<_> = survey.columns.iter().map(|column| column.verdict(survey.records)).collect();
        let reason = "numbers that become equal in 32 bits, as ids and time stamps do";
        assert_eq!(verdicts, [Verdict::Excluded(reason), Verdict::Excluded(reason), Verdict::Taken]);
    }

    #[test]
    fn a_first_line_that_may_be_a_record_is_refused() {
        let check = |text: &str| survey_text(text)?.check_first_line(Path::new("a.csv"));
        for text in [
            "C000,Ann Smith,Leeds\nC001,Bob Jones,York\n",
            "Ann,NA\nBob,7\n",
            "133,x0:0.45\n134,x0:0.10\n",
            "2019,Ann\n2020,Bob\n",
        ] {
            let message = check(text).unwrap_err().to_string();
            assert!(message.contains("first line"), "{message}");
            assert!(!message.contains("Ann") && !message.contains("x0"), "{message}");
        }
        for text in ["name,age\nAnn,7\n", "customer_id,town\nC1,Leeds\nC2,York\n"] {
            assert!(check(text).is_ok(), "{text}");
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
