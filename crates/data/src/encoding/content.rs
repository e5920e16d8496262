//! What a column of a table holds: numbers, or categories as positions in a dictionary.

use std::collections::HashMap;
use std::fmt;

use crate::cell::{
    CellFault, MINUS, category_text, check_number, has_leading_zero, is_hidden, parse_number, parse_text,
};
use crate::encoding::treatment::{ColumnType, Faulty, Missing, Treatment};
use crate::error::{Location, TableError};
use crate::missing::stands_for_missing;
use crate::resolution::Resolution;
use crate::shape::is_quantity;
use crate::table::sink::RowSink;
use hashvfl_core::text::{counted, respelt};
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
    pub fn fault_at(&self, place: Location, fault: CellFault) -> TableError {
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
        // Zero is one number, with whatever sign.
        Ok(number as f32 + 0.0)
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

    /// What the column holds. A column without any value holds numbers. What a person is to know of it goes to the log: numbers
    /// that become equal in 32 bits, too few to refuse the column, codes that were taken for numbers, and categories that are
    /// written with numbers or in several spellings.
    ///
    /// # Errors
    /// When many of its numbers become equal in 32 bits, or nobody declared categories and most of what became such are numbers,
    /// and faults are refused.
    pub fn finish(self) -> Result<Content, TableError> {
        let (content, told) = self.finish_and_tell()?;
        told.iter().for_each(|told| warn!("{told}"));
        Ok(content)
    }

    /// The same, with what a person is to know.
    fn finish_and_tell(self) -> Result<(Content, Vec<String>), TableError> {
        match self.content {
            Some(Building::Category(seen)) => {
                let mut told = Vec::from_iter(told_of_hidden(&self.name, &seen));
                if self.faulty == Faulty::Refuse {
                    if self.inferred {
                        check_categories(&self.name, &seen)?;
                        told.extend(told_of_quantities(&self.name, &seen));
                        told.extend(told_of_missing(&self.name, &seen));
                    }
                    told.extend(told_of_spellings(&self.name, &seen));
                }
                let mut names = vec![String::new(); seen.len()];
                seen.into_iter().for_each(|(name, code)| names[code as usize] = name);
                Ok((Content::Category(names), told))
            }
            Some(Building::Number(ref resolution)) => match resolution.lost() {
                Some((distinct, left)) if self.faulty == Faulty::Refuse => {
                    Err(TableError::Collapsed { column: self.name, distinct, left })
                }
                _ => {
                    let rounding = resolution.rounding();
                    let rounding = rounding.map(|rounding| format!("column {:?}: {rounding}", self.name));
                    Ok((Content::Number, rounding.into_iter().chain(self.told_of_codes()).collect()))
                }
            },
            None => Ok((Content::Number, Vec::new())),
        }
    }

    /// What may be codes, where nobody said that they are numbers.
    fn told_of_codes(&self) -> Option<String> {
        let (name, count) = (&self.name, self.leading_zeros);
        (self.inferred && count > 0).then(|| {
            format!(
                "column {name:?} has {} with a leading 0; if they are codes rather than quantities, declare it a \
                 category in [types]",
                counted(count, "number")
            )
        })
    }
}

/// What `columns` hold, as [`ColumnBuilder::finish`] says it; `sink` hears what a person is to know.
pub(crate) fn finish_all(
    columns: impl IntoIterator<Item = ColumnBuilder>,
    sink: &mut dyn RowSink,
) -> Result<Vec<Content>, TableError> {
    let mut contents = Vec::new();
    for column in columns {
        let (content, told) = column.finish_and_tell()?;
        told.into_iter().for_each(|told| sink.tell(told));
        contents.push(content);
    }
    Ok(contents)
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
            "column {name:?}: {quantities} of {} categories look like ranges, pairs, percentages or dates, whose \
             order a category loses: write them as numbers, or declare the column a category in [types] to confirm",
            seen.len()
        )
    })
}

/// How many categories of a column that nobody declared usually stand for a missing value.
fn told_of_missing(name: &str, seen: &HashMap<String, u32>) -> Option<String> {
    let missing = seen.keys().filter(|text| stands_for_missing(text)).count();
    (missing > 0).then(|| {
        format!(
            "column {name:?}: {missing} of {} categories usually stand for a missing value, as NA and ? do: list them in \
             `null_values`, or declare the column a category in [types] to confirm",
            seen.len()
        )
    })
}

/// How many categories are another one in another spelling, as `TRUE`, `True` and `true` are.
fn told_of_spellings(name: &str, seen: &HashMap<String, u32>) -> Option<String> {
    let names: Vec<&String> = seen.keys().collect();
    let respelt = respelt(&names);
    (respelt > 0).then(|| {
        format!(
            "column {name:?}: {respelt} of {} categories differ from another one only in spelling, such as case and \
             spaces; write each in one way",
            names.len()
        )
    })
}

/// How many categories begin or end with what does not show. Within a text such characters may be right, as between the letters
/// of some scripts.
fn told_of_hidden(name: &str, seen: &HashMap<String, u32>) -> Option<String> {
    let hidden = seen.keys().filter(|text| text.starts_with(is_hidden) || text.ends_with(is_hidden)).count();
    (hidden > 0).then(|| {
        format!(
            "column {name:?}: {hidden} of {} categories begin or end with a character that does not show, such as a no-break \
             or a zero-width space: without it they are other categories; remove it",
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
mod tests;
