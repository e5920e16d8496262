//! Whether the first line of a table holds names or a record: its records tell.

use super::id::names_an_id;
use super::{NumberLikeText, Surveyed};
use crate::cell::is_number;
use crate::encoding::treatment::ColumnType;
use crate::missing::stands_for_missing;
use crate::shape::Shape;

/// What the first line of a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstLine {
    /// Names of columns.
    Names,
    /// Nothing tells.
    Unclear,
    /// A record: what stands in it is like what stands below.
    Record,
}

impl FirstLine {
    /// Of these columns. `repeats` says whether a column's name is one of its values, and `is_alike` whether some name has digits
    /// and is otherwise like a value below it, as ID-0001 is above ID-0002.
    pub(super) fn of(columns: &[Surveyed], repeats: &[bool], is_alike: bool, id: &[String]) -> Self {
        let numbers = columns.iter().filter(|column| is_number(&column.name)).count();
        let is_cell = |(column, repeats): (&Surveyed, &bool)| match column.kind {
            // A run of numbers are names of pixels.
            ColumnType::Number => numbers == 1 && is_number(&column.name),
            ColumnType::Category => *repeats && !column.name.is_empty() || looks_like(column),
        };
        if columns.iter().zip(repeats).any(is_cell) {
            return Self::Record;
        }
        let tells = id.iter().any(|name| names_an_id(name)) || columns.iter().any(is_named);
        if tells && !is_alike { Self::Names } else { Self::Unclear }
    }
}

/// Whether the name of a column of dates, percentages and the like is one of them.
fn looks_like(column: &Surveyed) -> bool {
    let shape = Shape::of(&column.name);
    match column.oddity {
        Some(NumberLikeText::Percents) => shape == Shape::Percent,
        Some(NumberLikeText::Commas) => shape == Shape::Comma,
        Some(NumberLikeText::Money) => shape == Shape::Money,
        Some(NumberLikeText::Measures) => shape == Shape::Measure,
        Some(NumberLikeText::Dates) => shape == Shape::Date,
        Some(NumberLikeText::OtherDigits) => shape == Shape::OtherDigits,
        Some(NumberLikeText::Mixed { .. }) => is_number(&column.name),
        None => false,
    }
}

/// Whether a column of numbers, or of what looks like them, has a name that is none.
fn is_named(column: &Surveyed) -> bool {
    // A text among mixed ones may be their first.
    let odd = column.oddity.is_some_and(|oddity| !matches!(oddity, NumberLikeText::Mixed { .. }));
    let numbers = column.kind == ColumnType::Number && column.distinct != Some(0) || odd;
    let name = column.name.as_str();
    numbers
        && !name.is_empty()
        && !stands_for_missing(name)
        && !is_abbreviation(name)
        && !is_number(name)
        && Shape::of(name) == Shape::Text
}

/// Whether it is of single letters with points, as `n.v.` and `k. A.` are, which stand for a missing value in many tongues.
fn is_abbreviation(name: &str) -> bool {
    let is_letter = |part: &str| {
        let mut letters = part.trim().chars();
        letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none()
    };
    name.ends_with('.') && name.split_terminator('.').all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hints, survey};

    fn first_line(text: &str) -> FirstLine {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        survey(&path, &Hints::default()).unwrap().first_line
    }

    #[test]
    fn records_tell_whether_the_first_line_holds_names() {
        for (text, expected) in [
            ("id,age\nk1,30\nk2,31\n", FirstLine::Names),
            ("customer,age\nanna,30\nbert,31\n", FirstLine::Names),
            ("customer_id,job\nk1,clerk\nk2,smith\n", FirstLine::Names),
            ("label,0,1,2\n7,0,0,255\n9,0,1,0\n", FirstLine::Names),
            ("when,who\n2024-01-01,anna\n2024-01-02,bert\n", FirstLine::Names),
            ("k1,30\nk2,31\nk3,30\n", FirstLine::Record),
            ("k1,clerk\nk2,smith\nk3,clerk\n", FirstLine::Record),
            ("k1,2024-01-01,x\nk2,2024-01-02,y\n", FirstLine::Record),
            ("k1,12%\nk2,13%\n", FirstLine::Record),
            ("anna,berlin\nbert,paris\n", FirstLine::Unclear),
            ("k1,NA\nk2,31\n", FirstLine::Unclear),
            ("ID-0001,NA\nID-0002,31\nID-0003,40\n", FirstLine::Unclear),
            ("ID-0001,town\nID-0002,31\nID-0003,40\n", FirstLine::Unclear),
            ("C000,n.v.,Leeds\nC001,5,York\nC002,6,York\n", FirstLine::Unclear),
            ("Ann,n.v.\nBob,5\nEve,6\n", FirstLine::Unclear),
            ("k9,Leeds\nk10,York\nk11,Hull\n", FirstLine::Unclear),
            ("patient,\u{2212}5\nk1,2\nk2,3\n", FirstLine::Record),
            ("id,q1,q2\nk1,5,7\nk2,6,8\n", FirstLine::Names),
            ("id,h.c.p\nk1,5\nk2,6\n", FirstLine::Names),
            ("C000,Ann Smith,Leeds\nC001,Bob Jones,York\n", FirstLine::Unclear),
            ("133,x0:0.45\n134,x0:0.10\n", FirstLine::Record),
            ("2019,Ann\n2020,Bob\n", FirstLine::Record),
            ("name,age\nAnn,7\n", FirstLine::Names),
            ("PassengerId,town\np1,rome\np2,paris\n", FirstLine::Names),
            ("customer_no_key,town\nk1,rome\nk2,paris\n", FirstLine::Names),
            ("David,rome\nBob,paris\n", FirstLine::Unclear),
            ("Key West,Ann\nBoise,Bob\n", FirstLine::Unclear),
        ] {
            assert_eq!(first_line(text), expected, "{text}");
        }
    }
}
