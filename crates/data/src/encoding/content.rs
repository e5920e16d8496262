//! What a column of a table holds: numbers, or categories as positions in a dictionary.

use std::collections::HashMap;
use std::fmt;

use crate::cell::{
    CellFault, MINUS, category_text, check_number, has_leading_zero, parse_number, parse_text,
};
use crate::encoding::treatment::{ColumnType, Faulty, Missing, Treatment};
use crate::error::{Place, TableError};
use crate::inspection::survey::shape::is_quantity;
use crate::resolution::Resolution;
use tracing::warn;

/// Most categories of one column; a position among them is exact in an f32.
pub const MAX_CATEGORIES: usize = 1 << 20;
/// Numbers of no more values than this may be codes.
pub(crate) const FEW_NUMBERS: usize = 12;

/// Stands in a table's matrix for a cell that is not a value of its column, if only its record is to be refused. It is a
/// NaN with bits of its own, so it is not taken for a missing value.
pub(crate) const FAULTY: f32 = f32::from_bits(0x7fc0_0bad);

/// Whether a value of a table's matrix stands for such a cell.
pub(crate) fn is_faulty(value: f32) -> bool {
    value.to_bits() == FAULTY.to_bits()
}

/// What a column of a table's matrix holds.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// Numbers; NaN where one is missing.
    Number,
    /// Positions in this list of categories, in the order of their first records; NaN where one is missing.
    Category(Vec<String>),
}

impl Content {
    /// The type of the column.
    pub fn kind(&self) -> ColumnType {
        match self {
            Self::Number => ColumnType::Number,
            Self::Category(_) => ColumnType::Category,
        }
    }
}

/// Turns the cells of a column into values of a matrix, for a [`RowSource`](crate::RowSource). The column's type is declared, or
/// decided by its first value and then fixed.
///
/// ```
/// use hashvfl_data::{ColumnBuilder, Content, Treatment};
///
/// let treatment = Treatment::default();
/// let mut job = ColumnBuilder::new("job", &treatment);
/// assert_eq!(job.push_cell(b"clerk", &treatment), Ok(0.0));
/// assert_eq!(job.push_cell(b"cook", &treatment), Ok(1.0));
/// assert_eq!(job.finish().unwrap(), Content::Category(vec!["clerk".into(), "cook".into()]));
/// ```
pub struct ColumnBuilder {
    name: String,
    missing: Missing,
    faulty: Faulty,
    content: Option<Building>,
    /// Whether nobody declared what it holds: its first value decided, or the texts that it is stored as.
    inferred: bool,
    /// Numbers that were written as digits with a 0 before them.
    leading_zeros: u64,
}

enum Building {
    Number(Box<Resolution>),
    Category(HashMap<String, u32>),
}

impl Building {
    fn of(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Number => Self::Number(Box::default()),
            ColumnType::Category => Self::Category(HashMap::new()),
        }
    }
}

impl ColumnBuilder {
    /// A column of this name, whose type is that of its first value, unless one is declared.
    pub fn new(name: &str, treatment: &Treatment) -> Self {
        let content = treatment.kind(name).map(Building::of);
        let (missing, faulty) = (treatment.missing(name), treatment.faulty);
        Self {
            name: name.to_owned(),
            missing,
            faulty,
            inferred: content.is_none(),
            content,
            leading_zeros: 0,
        }
    }

    /// A column whose type is `kind`, unless another one is declared.
    pub fn of_kind(name: &str, kind: ColumnType, treatment: &Treatment) -> Self {
        let mut column = Self::new(name, treatment);
        column.content.get_or_insert_with(|| Building::of(kind));
        // A kind of texts says nothing of what the texts are.
        column.inferred &= kind == ColumnType::Category;
        column
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the column holds; `None` before that is decided.
    pub fn kind(&self) -> Option<ColumnType> {
        self.content.as_ref().map(|content| match content {
            Building::Number(_) => ColumnType::Number,
            Building::Category(_) => ColumnType::Category,
        })
    }

    /// What the column holds, in words for an error.
    pub fn expected(&self) -> &'static str {
        match self.content {
            Some(Building::Category(_)) => "a category",
            Some(Building::Number(_)) | None => "a number",
        }
    }

    /// The error about a cell of the column, whose record is at `place`.
    pub fn fault_at(&self, place: Place, fault: CellFault) -> TableError {
        TableError::Cell { place, column: self.name.clone(), expected: self.expected(), fault }
    }

    /// A cell of text as a value of the matrix; an empty one is missing.
    ///
    /// # Errors
    /// When it is no value of the column, and faults are refused.
    pub fn push_cell(&mut self, cell: &[u8], treatment: &Treatment) -> Result<f32, CellFault> {
        let value = self.cell(cell.trim_ascii(), treatment);
        self.or_mark(value)
    }

    /// A number as a value of the matrix; in a column of categories its text is one.
    ///
    /// # Errors
    /// When it is not finite in 32 bits, and faults are refused.
    pub fn push_number(&mut self, number: f64) -> Result<f32, CellFault> {
        let value = match self.content.get_or_insert_with(|| Building::of(ColumnType::Number)) {
            Building::Category(_) if number.is_finite() => self.category(&number.to_string()),
            Building::Category(_) => Err(CellFault::NotFinite),
            Building::Number(_) => self.number(number),
        };
        self.or_mark(value)
    }

    /// A number, or none where it is missing; one that `null_values` lists is, NaN among them.
    pub(crate) fn push_option(
        &mut self,
        number: Option<f64>,
        treatment: &Treatment,
    ) -> Result<f32, CellFault> {
        match number.filter(|number| !treatment.is_null_number(*number)) {
            Some(number) => self.push_number(number),
            None => self.push_missing(),
        }
    }

    /// A missing value.
    ///
    /// # Errors
    /// Where the column may miss none.
    pub fn push_missing(&self) -> Result<f32, CellFault> {
        self.or_mark(self.missing())
    }

    /// The value, or for a fault the mark of a record that is to be refused, if faults are marked.
    fn or_mark(&self, value: Result<f32, CellFault>) -> Result<f32, CellFault> {
        match self.faulty {
            Faulty::Refuse => value,
            Faulty::Mark | Faulty::Fill => Ok(value.unwrap_or(FAULTY)),
        }
    }

    fn cell(&mut self, cell: &[u8], treatment: &Treatment) -> Result<f32, CellFault> {
        if treatment.is_null(cell) {
            return self.missing();
        }
        match &self.content {
            None => match parse_number(cell) {
                Err(CellFault::NotANumber) => self.category(parse_text(cell)?),
                number => {
                    self.content = Some(Building::of(ColumnType::Number));
                    self.leading_zeros += u64::from(has_leading_zero(cell));
                    self.number(number?)
                }
            },
            Some(Building::Number(_)) => {
                self.leading_zeros += u64::from(has_leading_zero(cell));
                self.number(parse_number(cell)?)
            }
            Some(Building::Category(_)) => self.category(parse_text(cell)?),
        }
    }

    fn missing(&self) -> Result<f32, CellFault> {
        match self.missing {
            Missing::Error => Err(CellFault::Empty),
            Missing::Fill => Ok(f32::NAN),
        }
    }

    fn number(&mut self, number: f64) -> Result<f32, CellFault> {
        let number = check_number(number)?;
        if let Some(Building::Number(resolution)) = &mut self.content {
            resolution.see(number);
        }
        Ok(number as f32)
    }

    fn category(&mut self, text: &str) -> Result<f32, CellFault> {
        match self.content.get_or_insert_with(|| Building::of(ColumnType::Category)) {
            Building::Number(_) => Err(CellFault::NotANumber),
            Building::Category(seen) => {
                let text = category_text(text);
                if let Some(code) = seen.get(text) {
                    return Ok(*code as f32);
                }
                if seen.len() == MAX_CATEGORIES {
                    return Err(CellFault::TooManyCategories);
                }
                let code = seen.len() as u32; // below MAX_CATEGORIES
                seen.insert(text.to_owned(), code);
                Ok(code as f32)
            }
        }
    }

    /// Warns of what may be codes, where nobody said that they are numbers.
    fn warn_of_codes(&self) {
        if self.inferred && self.leading_zeros > 0 {
            let (name, count) = (&self.name, self.leading_zeros);
            warn!(
                "column {name:?}: {count} numbers begin with 0; if they are codes, declare it a category in [types]"
            );
        }
    }

    /// What the column holds. A column without any value holds numbers. Numbers that become equal in 32 bits, too few to
    /// refuse the column, are told in the log, and so are codes that were taken for numbers.
    ///
    /// # Errors
    /// When many of its numbers become equal in 32 bits, or nobody declared categories and most of what became such are numbers,
    /// and faults are refused.
    pub fn finish(self) -> Result<Content, TableError> {
        match self.content {
            Some(Building::Category(seen)) => {
                if self.inferred && self.faulty == Faulty::Refuse {
                    check_categories(&self.name, &seen)?;
                    if let Some(told) = told_of_quantities(&self.name, &seen) {
                        warn!("{told}");
                    }
                }
                let mut names = vec![String::new(); seen.len()];
                seen.into_iter().for_each(|(name, code)| names[code as usize] = name);
                Ok(Content::Category(names))
            }
            Some(Building::Number(ref resolution)) => match resolution.lost() {
                Some((distinct, left)) if self.faulty == Faulty::Refuse => {
                    Err(TableError::Collapsed { column: self.name, distinct, left })
                }
                _ => {
                    if let Some(rounding) = resolution.rounding() {
                        warn!("column {:?}: {rounding}", self.name);
                    }
                    self.warn_of_codes();
                    Ok(Content::Number)
                }
            },
            None => Ok(Content::Number),
        }
    }
}

/// Fails where numbers became categories of a column that nobody declared to be of such: for a text beside them, or stored as
/// texts. Fewer of them than [`FEW_NUMBERS`] may be codes, unless one has a typesetter's minus.
fn check_categories(name: &str, seen: &HashMap<String, u32>) -> Result<(), TableError> {
    let is_number = |text: &&String| parse_number(text.as_bytes()).is_ok();
    let numbers = seen.keys().filter(is_number).count();
    let below_zero = seen.keys().filter(is_number).any(|text| text.starts_with(MINUS));
    let texts = seen.len() - numbers;
    if (numbers > FEW_NUMBERS || below_zero) && numbers >= texts {
        return Err(TableError::Mixed { column: name.to_owned(), numbers, texts });
    }
    Ok(())
}

/// What to know of a column that nobody declared, where most of what became its categories is written with numbers.
fn told_of_quantities(name: &str, seen: &HashMap<String, u32>) -> Option<String> {
    let numbers = seen.keys().filter(|text| parse_number(text.as_bytes()).is_ok()).count();
    let quantities = seen.keys().filter(|text| is_quantity(text)).count();
    (quantities > 0 && 2 * (numbers + quantities) >= seen.len()).then(|| {
        format!(
            "column {name:?}: {quantities} of {} categories are ranges, pairs, percentages, dates or the like, whose order is lost: \
             write them as numbers, or declare the column a category in [types]",
            seen.len()
        )
    })
}

/// Shows no category: they are private data.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => f.write_str("numbers"),
            Self::Category(names) => write!(f, "{} categories", names.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(treatment: &Treatment, cells: &[&str]) -> (Result<Vec<f32>, CellFault>, Content) {
        let mut column = ColumnBuilder::new("a", treatment);
        let values = cells.iter().map(|cell| column.push_cell(cell.as_bytes(), treatment)).collect();
        (values, column.finish().unwrap())
    }

    #[test]
    fn the_first_value_decides_the_type() {
        let treatment = Treatment { missing: Missing::Fill, ..Treatment::default() };
        let (values, content) = column(&treatment, &["", " 2 ", "3"]);
        assert!(values.unwrap()[0].is_nan());
        assert_eq!(content, Content::Number);
        let (values, content) = column(&treatment, &["b", "7", "b"]);
        assert_eq!(values, Ok(vec![0.0, 1.0, 0.0]));
        assert_eq!(content, Content::Category(vec!["b".into(), "7".into()]));
        assert_eq!(column(&treatment, &["7", "b"]).0, Err(CellFault::NotANumber));
        assert_eq!(column(&treatment, &["inf"]).0, Err(CellFault::NotFinite));
    }

    #[test]
    fn one_text_at_the_top_makes_no_categories_of_numbers_in_silence() {
        let treatment = Treatment::default();
        let finish = |treatment: &Treatment, first: &str| {
            let mut column = ColumnBuilder::new("a", treatment);
            column.push_cell(first.as_bytes(), treatment).unwrap();
            for row in 0..40 {
                column.push_cell(row.to_string().as_bytes(), treatment).unwrap();
            }
            column.finish()
        };
        let message = finish(&treatment, "secret").unwrap_err().to_string();
        assert!(message.contains("column \"a\" holds 40 distinct numbers and 1 texts"), "{message}");
        assert!(message.contains("[types]") && !message.contains("secret"), "{message}");
        let types = toml::from_str("a = \"category\"").unwrap();
        assert!(finish(&Treatment { types, ..Treatment::default() }, "secret").is_ok());
    }

    #[test]
    fn categories_that_are_written_with_numbers_are_told() {
        let told = |cells: &[&str]| {
            let seen = cells.iter().zip(0..).map(|(cell, code)| ((*cell).to_owned(), code)).collect();
            told_of_quantities("a", &seen)
        };
        for cells in
            [&["18-25", "26-35", "65+"][..], &["1", "2", "3+"], &["5 %", "7 %"], &["2024-01-31", "clerk"]]
        {
            let message = told(cells).unwrap();
            assert!(message.contains("column \"a\"") && message.contains("[types]"), "{message}");
            assert!(!message.contains("18") && !message.contains("clerk"), "{message}");
        }
        assert!(told(&["18-25", "26-35"]).unwrap().contains("2 of 2 categories"));
        assert_eq!(told(&["clerk", "cook", "7"]), None);
        assert_eq!(told(&["1-2", "north", "south"]), None);
    }

    #[test]
    fn numbers_that_are_stored_as_texts_make_no_categories_in_silence() {
        let finish = |kind: ColumnType, treatment: &Treatment, cells: &[String]| {
            let mut column = ColumnBuilder::of_kind("a", kind, treatment);
            for cell in cells {
                column.push_cell(cell.as_bytes(), treatment).unwrap();
            }
            column.finish()
        };
        let many: Vec<String> = (0..13).map(|row| format!("{row}.5")).collect();
        let below_zero: Vec<String> = (1..4).map(|row| format!("\u{2212}{row}")).collect();
        let codes: Vec<String> = (1..4).map(|row| row.to_string()).collect();
        let plain = Treatment::default();
        for cells in [&many, &below_zero] {
            let message = finish(ColumnType::Category, &plain, cells).unwrap_err().to_string();
            assert!(message.contains("and 0 texts") && message.contains("[types]"), "{message}");
            assert!(finish(ColumnType::Number, &plain, cells).is_ok());
            let types = toml::from_str("a = \"category\"").unwrap();
            assert!(
                finish(ColumnType::Category, &Treatment { types, ..Treatment::default() }, cells).is_ok()
            );
            let marked = Treatment { faulty: Faulty::Mark, ..Treatment::default() };
            assert!(finish(ColumnType::Category, &marked, cells).is_ok(), "a trained model fixed the type");
        }
        assert!(finish(ColumnType::Category, &plain, &codes).is_ok());
    }

    #[test]
    fn a_number_that_is_none_is_no_category() {
        let types = toml::from_str("a = \"category\"").unwrap();
        let treatment = Treatment { types, ..Treatment::default() };
        let mut column = ColumnBuilder::new("a", &treatment);
        assert_eq!(column.push_number(f64::NAN), Err(CellFault::NotFinite));
        assert_eq!(column.push_number(2.0), Ok(0.0));
    }

    #[test]
    fn declared_types_and_markers_of_missing_values_come_first() {
        let types = toml::from_str("a = \"category\"").unwrap();
        let treatment = Treatment { types, null_values: vec!["NA".into()], ..Treatment::default() };
        let (values, content) = column(&treatment, &["2", "1", "2"]);
        assert_eq!(values, Ok(vec![0.0, 1.0, 0.0]));
        assert_eq!(content.kind(), ColumnType::Category);
        assert_eq!(column(&treatment, &["2", "NA"]).0, Err(CellFault::Empty));
        assert_eq!(format!("{content:?}"), "2 categories");
    }

    #[test]
    fn numbers_that_fall_together_in_32_bits_are_refused_and_named() {
        let treatment = Treatment::default();
        let pushed = |from: f64, treatment: &Treatment| {
            let mut column = ColumnBuilder::new("since", treatment);
            for second in 0..100 {
                let cell = (from + f64::from(second)).to_string();
                column.push_cell(cell.as_bytes(), treatment).unwrap();
            }
            column.finish()
        };
        let message = pushed(1.7e9, &treatment).unwrap_err().to_string();
        assert!(message.contains("\"since\": 100 distinct numbers become 2 in 32 bits"), "{message}");
        assert!(!message.contains("1700"), "{message}");
        assert!(pushed(1.7e7, &treatment).is_err() && pushed(1.6e7, &treatment).is_ok());
        let types = toml::from_str("since = \"category\"").unwrap();
        assert!(pushed(1.7e9, &Treatment { types, ..treatment }).is_ok());
    }

    #[test]
    fn a_number_is_one_category_however_it_is_written() {
        let types = toml::from_str("a = \"category\"").unwrap();
        let treatment = Treatment { types, ..Treatment::default() };
        let (values, content) = column(&treatment, &["1.0", "1", "01", "+1", "x"]);
        assert_eq!(values, Ok(vec![0.0, 0.0, 1.0, 0.0, 2.0]));
        assert_eq!(content, Content::Category(vec!["1".into(), "01".into(), "x".into()]));
    }

    #[test]
    fn what_is_marked_is_no_missing_value() {
        let treatment = Treatment { faulty: Faulty::Mark, ..Treatment::default() };
        let (values, _) = column(&treatment, &["1", "", "x"]);
        let faulty: Vec<bool> = values.unwrap().into_iter().map(is_faulty).collect();
        assert_eq!(faulty, [false, true, true]);
        let filled = Treatment { missing: Missing::Fill, ..treatment };
        let missing = column(&filled, &["1", ""]).0.unwrap()[1];
        assert!(missing.is_nan() && !is_faulty(missing));
    }
}
