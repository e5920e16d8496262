//! What a column of a table holds: numbers, or categories as positions in a dictionary.

use std::collections::HashMap;
use std::fmt;

use crate::encoding::treatment::{ColumnType, Missing, Treatment};
use crate::source::number::{CellFault, parse_number, parse_text};

/// Most categories of one column; a position among them is exact in an f32.
pub const MAX_CATEGORIES: usize = 1 << 20;

/// What a column of a table's matrix holds.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// Numbers; NaN where one is missing.
    Number,
    /// Positions in this list of categories, in the order of their first records; NaN where one is missing.
    Category(Vec<String>),
}

impl Content {
    /// In a word.
    pub fn kind(&self) -> ColumnType {
        match self {
            Self::Number => ColumnType::Number,
            Self::Category(_) => ColumnType::Category,
        }
    }
}

/// A column in the making: its type is declared, or decided by its first value and then fixed.
pub(crate) struct Column {
    name: String,
    missing: Missing,
    content: Option<Building>,
}

enum Building {
    Number,
    Category(HashMap<String, u32>),
}

impl Building {
    fn of(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Number => Self::Number,
            ColumnType::Category => Self::Category(HashMap::new()),
        }
    }
}

impl Column {
    pub(crate) fn new(name: &str, treatment: &Treatment) -> Self {
        let content = treatment.kind(name).map(Building::of);
        Self { name: name.to_owned(), missing: treatment.missing(name), content }
    }

    /// A column whose type is `kind`, unless another one is declared.
    #[cfg(feature = "sql")]
    pub(crate) fn of_kind(name: &str, kind: ColumnType, treatment: &Treatment) -> Self {
        let mut column = Self::new(name, treatment);
        column.content.get_or_insert_with(|| Building::of(kind));
        column
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the column holds, where that is decided.
    #[cfg(feature = "sql")]
    pub(crate) fn kind(&self) -> Option<ColumnType> {
        self.content.as_ref().map(|content| match content {
            Building::Number => ColumnType::Number,
            Building::Category(_) => ColumnType::Category,
        })
    }

    /// What the column holds, in words for an error.
    pub(crate) fn expected(&self) -> &'static str {
        match self.content {
            Some(Building::Category(_)) => "a category",
            Some(Building::Number) | None => "a number",
        }
    }

    /// A cell of text as a value of the matrix.
    pub(crate) fn push_cell(&mut self, cell: &[u8], treatment: &Treatment) -> Result<f32, CellFault> {
        let cell = cell.trim_ascii();
        if treatment.is_null(cell) {
            return self.push_missing();
        }
        match &self.content {
            None => match parse_number(cell) {
                Err(CellFault::NotANumber) => self.push_text(parse_text(cell)?),
                number => {
                    self.content = Some(Building::Number);
                    number
                }
            },
            Some(Building::Number) => parse_number(cell),
            Some(Building::Category(_)) => self.push_text(parse_text(cell)?),
        }
    }

    /// A number; in a column of categories its text is one.
    pub(crate) fn push_number(&mut self, number: f64) -> Result<f32, CellFault> {
        match self.content.get_or_insert_with(|| Building::of(ColumnType::Number)) {
            Building::Category(_) => self.push_text(&number.to_string()),
            Building::Number => {
                let value = number as f32;
                if value.is_finite() { Ok(value) } else { Err(CellFault::NotFinite) }
            }
        }
    }

    /// A number, or none where it is missing; NaN is missing where `null_values` says so.
    #[cfg(feature = "sql")]
    pub(crate) fn push_option(
        &mut self,
        number: Option<f64>,
        treatment: &Treatment,
    ) -> Result<f32, CellFault> {
        match number.filter(|number| !(number.is_nan() && treatment.is_null(b"NaN"))) {
            Some(number) => self.push_number(number),
            None => self.push_missing(),
        }
    }

    /// A missing value.
    pub(crate) fn push_missing(&self) -> Result<f32, CellFault> {
        match self.missing {
            Missing::Error => Err(CellFault::Empty),
            Missing::Fill => Ok(f32::NAN),
        }
    }

    /// A category.
    pub(crate) fn push_text(&mut self, text: &str) -> Result<f32, CellFault> {
        match self.content.get_or_insert_with(|| Building::of(ColumnType::Category)) {
            Building::Number => Err(CellFault::NotANumber),
            Building::Category(seen) => {
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

    /// What the column came to hold; a column without any value is one of numbers.
    pub(crate) fn finish(self) -> Content {
        match self.content {
            Some(Building::Category(seen)) => {
                let mut names = vec![String::new(); seen.len()];
                seen.into_iter().for_each(|(name, code)| names[code as usize] = name);
                Content::Category(names)
            }
            Some(Building::Number) | None => Content::Number,
        }
    }
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
        let mut column = Column::new("a", treatment);
        let values = cells.iter().map(|cell| column.push_cell(cell.as_bytes(), treatment)).collect();
        (values, column.finish())
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
    fn declared_types_and_markers_of_missing_values_come_first() {
        let types = toml::from_str("a = \"category\"").unwrap();
        let treatment = Treatment { types, null_values: vec!["NA".into()], ..Treatment::default() };
        let (values, content) = column(&treatment, &["2", "1", "2"]);
        assert_eq!(values, Ok(vec![0.0, 1.0, 0.0]));
        assert_eq!(content.kind(), ColumnType::Category);
        assert_eq!(column(&treatment, &["2", "NA"]).0, Err(CellFault::Empty));
        assert_eq!(format!("{content:?}"), "2 categories");
    }
}
