//! What was seen of one column.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use hashvfl_core::text::folded;

use super::markers::Markers;
use super::nines::Nines;
use super::{MOST_DISTINCT, NumberLikeText, Surveyed};
use crate::cell::{CellFault, MINUS, has_leading_zero, is_number, parse_number, parse_text};
use crate::encoding::content::FEW_NUMBERS;
use crate::encoding::treatment::ColumnType;
use crate::resolution::Resolution;
use crate::shape::{Shape, has_groups, unit};

/// Texts beside many numbers that are few: what stands for a missing value, and not names of something.
const FEW_TEXTS: usize = FEW_NUMBERS;
/// Units of one column's numbers, at most: with more, what stands behind the numbers is no unit.
const FEW_UNITS: usize = 3;

/// Counts of one column's cells.
pub(super) struct Tally {
    /// The column's name; what it says may stand among its values, where the first line is a record.
    name: String,
    empty: u64,
    numbers: u64,
    percents: u64,
    commas: u64,
    money: u64,
    dates: u64,
    /// Numbers with a unit.
    measures: u64,
    other_digits: u64,
    texts: u64,
    /// Those of the texts that are ranges or pairs of numbers.
    ranges: u64,
    leading_zeros: u64,
    first_text: u64,
    /// How often each marker came; those that came after the last of them are not in it.
    markers: Vec<u64>,
    fractions: bool,
    /// Numbers that could have a point between thousands, and whether a fraction tells that it stands before one.
    thousands: u64,
    decimals: bool,
    too_long: bool,
    nines: Nines,
    resolution: Resolution,
    pub(super) repeats_name: bool,
    /// The pattern of a name that has digits and is no number; `None` for other names.
    name_pattern: Option<String>,
    /// Whether a value is of that pattern.
    is_like_name: bool,
    /// Hashes of values, at most one more than [`MOST_DISTINCT`]; not of markers.
    seen: HashSet<u64>,
    /// Hashes of numbers, at most one more than [`FEW_NUMBERS`].
    seen_numbers: HashSet<u64>,
    /// Hashes of units, at most one more than [`FEW_UNITS`].
    units: HashSet<u64>,
    /// Distinct texts among the values that were seen, and hashes of them without regard to their spelling.
    distinct_texts: usize,
    spellings: HashSet<u64>,
}

impl Tally {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            empty: 0,
            numbers: 0,
            percents: 0,
            commas: 0,
            money: 0,
            dates: 0,
            measures: 0,
            other_digits: 0,
            texts: 0,
            ranges: 0,
            leading_zeros: 0,
            first_text: 0,
            markers: Vec::new(),
            fractions: false,
            thousands: 0,
            decimals: false,
            too_long: false,
            nines: Nines::default(),
            resolution: Resolution::default(),
            repeats_name: false,
            name_pattern: name_pattern(name),
            is_like_name: false,
            seen: HashSet::new(),
            seen_numbers: HashSet::new(),
            units: HashSet::new(),
            distinct_texts: 0,
            spellings: HashSet::new(),
        }
    }

    /// Counts a cell, without the spaces around it, of the record that begins on `line`.
    pub(super) fn count(&mut self, cell: &[u8], line: u64, markers: &mut Markers) -> Result<(), CellFault> {
        let text = match parse_text(cell) {
            Ok(text) if !text.trim().is_empty() => text,
            Ok(_) | Err(CellFault::Empty) => {
                self.empty += 1;
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        let number = parse_number(cell);
        self.repeats_name |= text == self.name;
        if let Some(pattern) = self.name_pattern.as_deref().filter(|_| !self.is_like_name) {
            self.is_like_name = pattern.chars().eq(letters_and_digits(text));
        }
        if let Some(marker) = markers.find(text, number.is_ok()) {
            if self.markers.len() <= marker {
                self.markers.resize(marker + 1, 0);
            }
            self.markers[marker] += 1;
            return Ok(());
        }
        if number == Err(CellFault::NotANumber) {
            self.count_text(text, line);
        } else {
            self.count_number(number, text);
        }
        Ok(())
    }

    fn count_number(&mut self, number: Result<f64, CellFault>, text: &str) {
        self.numbers += 1;
        if text.contains('.') {
            let could_be = could_be_thousands(text);
            self.thousands += u64::from(could_be);
            self.decimals |= !could_be;
        }
        self.leading_zeros += u64::from(has_leading_zero(text.as_bytes()));
        let value = match number {
            Ok(number) => {
                self.fractions |= number.fract() != 0.0;
                self.nines.see(number);
                self.resolution.see(number);
                hash((number + 0.0).to_bits())
            }
            // What is not finite is a number to be complained of when the table is loaded.
            Err(fault) => {
                self.too_long |= fault == CellFault::TooManyDigits;
                hash(text)
            }
        };
        insert(&mut self.seen_numbers, value, FEW_NUMBERS);
        insert(&mut self.seen, value, MOST_DISTINCT);
    }

    fn count_text(&mut self, text: &str, line: u64) {
        match Shape::of(text) {
            Shape::Percent => self.percents += 1,
            Shape::Comma => self.commas += 1,
            Shape::Money => self.money += 1,
            Shape::Date => self.dates += 1,
            Shape::Measure => {
                self.measures += 1;
                insert(&mut self.units, hash(unit(text)), FEW_UNITS);
            }
            Shape::OtherDigits => self.other_digits += 1,
            Shape::Range => {
                self.ranges += 1;
                self.texts += 1;
            }
            Shape::Text => self.texts += 1,
        }
        if self.first_text == 0 {
            self.first_text = line;
        }
        if insert(&mut self.seen, hash(text), MOST_DISTINCT) {
            self.distinct_texts += 1;
            self.spellings.insert(hash(folded(text)));
        }
    }

    /// Whether its name has digits and is otherwise like one of its values.
    pub(super) fn is_like_name(&self) -> bool {
        self.is_like_name
    }

    /// Cells that have a value and are no number.
    fn odd(&self) -> u64 {
        let written = self.percents + self.commas + self.money + self.measures + self.other_digits;
        written + self.dates + self.texts
    }

    /// Whether the column holds this marker and otherwise only numbers.
    pub(super) fn is_numbers_but(&self, marker: usize) -> bool {
        self.markers.get(marker).is_some_and(|count| *count > 0) && self.numbers > 0 && self.odd() == 0
    }

    /// What its values are to a person, where they are not what they are to a reader of tables.
    fn oddity(&self) -> Option<NumberLikeText> {
        let odd = self.odd();
        let values = self.numbers + odd;
        let half = |count: u64| 2 * count >= values;
        if odd == 0 {
            return None;
        }
        if half(self.dates) {
            return Some(NumberLikeText::Dates);
        }
        if half(self.other_digits) {
            return Some(NumberLikeText::OtherDigits);
        }
        // A few measures are names of something: 36 months and 60 months.
        let are_measures = self.units.len() <= FEW_UNITS && self.seen.len() > FEW_NUMBERS;
        let measures = if are_measures { self.measures } else { 0 };
        let written = self.percents + self.commas + self.money + measures;
        if written > 0 && (half(written) || written == odd) {
            return Some(match written {
                _ if 2 * self.percents >= written => NumberLikeText::Percents,
                _ if 2 * self.commas >= written => NumberLikeText::Commas,
                _ if 2 * measures >= written => NumberLikeText::Measures,
                _ => NumberLikeText::Money,
            });
        }
        let several = self.seen_numbers.len() > FEW_NUMBERS;
        let few = half(self.numbers + written) || self.distinct_texts <= FEW_TEXTS;
        (several && few).then_some(NumberLikeText::Mixed { texts: odd, first_line: self.first_text })
    }

    /// What was found; `null_values` says which markers stand for a missing value.
    pub(super) fn column(&self, null_values: &[bool]) -> Surveyed {
        let of = |null: bool| self.markers.iter().zip(null_values).filter(move |(_, is)| **is == null);
        let missing = self.empty + of(true).map(|(count, _)| count).sum::<u64>();
        let categories = of(false).filter(|(count, _)| **count > 0).count();
        let distinct = self.seen.len() + categories;
        let are_ranges = 2 * (self.ranges + self.numbers) >= self.numbers + self.odd();
        // Where all have one, they are decimals of one precision.
        let are_thousands = !self.decimals && self.thousands < self.numbers;
        let kind = if self.odd() == 0 && categories == 0 { ColumnType::Number } else { ColumnType::Category };
        Surveyed {
            name: self.name.clone(),
            kind,
            missing,
            distinct: (distinct <= MOST_DISTINCT).then_some(distinct),
            whole: kind == ColumnType::Number && !self.fractions,
            collapses: kind == ColumnType::Number && (self.too_long || self.resolution.lost().is_some()),
            leading_zeros: if kind == ColumnType::Number { self.leading_zeros } else { 0 },
            ranges: if are_ranges { self.ranges } else { 0 },
            thousands: if kind == ColumnType::Number && are_thousands { self.thousands } else { 0 },
            nines: if kind == ColumnType::Number { self.nines.apart() } else { 0 },
            respelt: self.distinct_texts - self.spellings.len(),
            oddity: self.oddity(),
        }
    }
}

/// Whether a number is written as one with points between thousands could be: 1.234 or -12.500.
fn could_be_thousands(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['+', '-', MINUS]);
    !unsigned.starts_with('0') && has_groups(unsigned, '.')
}

/// The pattern of a name that has digits and is no number.
fn name_pattern(name: &str) -> Option<String> {
    let has_digits = name.bytes().any(|byte| byte.is_ascii_digit());
    (has_digits && !is_number(name)).then(|| letters_and_digits(name).collect())
}

/// The text with a zero for each run of digits, in small letters: `ID-0001` and `id-7` are alike.
fn letters_and_digits(text: &str) -> impl Iterator<Item = char> {
    let mut within = false;
    text.chars().filter_map(move |letter| {
        let was_within = std::mem::replace(&mut within, letter.is_ascii_digit());
        match (was_within, within) {
            (true, true) => None,
            (false, true) => Some('0'),
            (_, false) => Some(letter.to_ascii_lowercase()),
        }
    })
}

/// Takes in a value where there are not more than `most` already; whether it is a new one.
fn insert(seen: &mut HashSet<u64>, value: u64, most: usize) -> bool {
    seen.len() <= most && seen.insert(value)
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
