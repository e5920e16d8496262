//! A party's settings for turning its columns into numbers.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use crate::encoding::scale::Preprocessing;
use crate::missing::{is_marked, is_marked_number};

/// Types of columns by name. A column without an entry gets its type from its first value.
pub type Types = BTreeMap<String, ColumnRules>;

/// How columns are turned into numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Treatment {
    /// How columns of numbers are scaled.
    pub preprocessing: Preprocessing,
    /// Scaled values beyond this many standard deviations are cut off there.
    pub clip: Option<f32>,
    /// Values below this quantile of the training rows, or above its complement, are cut off there, before scaling.
    pub clip_quantile: Option<f64>,
    /// Texts that stand for a missing value, as an empty cell does.
    pub null_values: Vec<String>,
    /// How a missing value is treated.
    pub missing: Missing,
    /// How values are treated that no training row had.
    pub unseen: Unseen,
    /// Types of columns, and what differs for one of them.
    pub types: Types,
    /// How a cell is treated that is not a value of its column.
    pub faulty: Faulty,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Numbers on a scale.
    Number,
    /// One of several values without an order; numbers too, as in codes.
    Category,
}

/// How a missing value is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// It is an error that names its place.
    #[default]
    Error,
    /// A missing number is filled in and flagged in a column of its own. A missing category is one more category.
    Fill,
}

/// How a cell is treated that is not a value of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Faulty {
    /// It is an error that names its place.
    #[default]
    Refuse,
    /// Its record is marked, and is the only one that cannot be used.
    Mark,
    /// Its record is noted, and used as if the cell were missing: for a party that has to answer about every record.
    Fill,
}

/// How a category is treated that no training row had, or a missing value in a column that missed none in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unseen {
    /// An error.
    Error,
    /// A category counts as none, as rare ones do. A missing number is filled in.
    #[default]
    Accept,
}

/// What is filled in for a missing number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fill {
    /// The mean of the training rows.
    #[default]
    Mean,
    /// Their median.
    Median,
}

/// The type of one column, as a word or as a table.
///
/// ```
/// use hashvfl_data::{ColumnType, Types};
///
/// let types: Types = toml::from_str(r#"
///     age = "number"
///     income = { kind = "number", missing = "fill", fill = "median" }
///     postcode = { kind = "category", embedding = 8, min_count = 10 }
/// "#).unwrap();
/// assert_eq!(types["postcode"].kind, ColumnType::Category);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnRules {
    /// What the column holds.
    pub kind: ColumnType,
    /// How a missing value is treated, if this column differs.
    pub missing: Option<Missing>,
    /// How values are treated that no training row had, if this column differs.
    pub unseen: Option<Unseen>,
    /// What is filled in for a missing number.
    pub fill: Fill,
    /// Width of the learned embedding of categories. 0 stands for one column of 0 and 1 per category. If absent, it is 0 for up
    /// to [`ONE_HOT_MOST`](crate::ONE_HOT_MOST) categories, otherwise 8.
    pub embedding: Option<usize>,
    /// Categories with fewer training rows count as rare.
    pub min_count: usize,
}

impl From<ColumnType> for ColumnRules {
    fn from(kind: ColumnType) -> Self {
        Self { kind, missing: None, unseen: None, fill: Fill::default(), embedding: None, min_count: 1 }
    }
}

impl Treatment {
    /// How a missing value of column `name` is treated.
    pub fn missing(&self, name: &str) -> Missing {
        self.types.get(name).and_then(|rules| rules.missing).unwrap_or(self.missing)
    }

    /// The same treatment, but with every missing value filled in.
    pub fn accepting_missing(&self) -> Self {
        let mut treatment = Self { missing: Missing::Fill, ..self.clone() };
        treatment.types.values_mut().for_each(|rules| rules.missing = None);
        treatment
    }

    /// How values are treated that no training row of column `name` had.
    pub(crate) fn unseen(&self, name: &str) -> Unseen {
        self.types.get(name).and_then(|rules| rules.unseen).unwrap_or(self.unseen)
    }

    /// The declared type of column `name`.
    pub(crate) fn kind(&self, name: &str) -> Option<ColumnType> {
        self.types.get(name).map(|rules| rules.kind)
    }

    /// Whether a cell of this text, without the spaces around it, is a missing value.
    pub(crate) fn is_null(&self, text: &[u8]) -> bool {
        if self.null_values.is_empty() && text.first().is_some_and(u8::is_ascii_graphic) {
            return false;
        }
        std::str::from_utf8(text).is_ok_and(|text| {
            // White space of any kind is none.
            text.trim().is_empty() || self.null_values.iter().any(|marker| is_marked(marker, text))
        })
    }

    /// Whether a number that no text stands for in its file is a missing value.
    pub(crate) fn is_null_number(&self, number: f64) -> bool {
        self.null_values.iter().any(|marker| is_marked_number(marker, number))
    }
}

/// The table form of [`ColumnRules`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Detailed {
    kind: ColumnType,
    missing: Option<Missing>,
    unseen: Option<Unseen>,
    fill: Option<Fill>,
    embedding: Option<usize>,
    min_count: Option<usize>,
}

/// Largest width of an embedding.
const MAX_EMBEDDING: usize = 256;

impl<'de> Deserialize<'de> for ColumnRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl<'de> Visitor<'de> for Word {
            type Value = ColumnRules;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"number\", \"category\" or a table with `kind`")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<ColumnRules, E> {
                let kind = ColumnType::deserialize(de::value::StrDeserializer::<E>::new(word))?;
                Ok(kind.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ColumnRules, A::Error> {
                let table = Detailed::deserialize(MapAccessDeserializer::new(map))?;
                table.checked().map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(Word)
    }
}

impl Detailed {
    fn checked(self) -> Result<ColumnRules, String> {
        let Self { kind, missing, unseen, fill, embedding, min_count } = self;
        if kind == ColumnType::Number && (embedding.is_some() || min_count.is_some()) {
            return Err("embedding and min_count are only for kind = \"category\"".into());
        }
        if kind == ColumnType::Category && fill.is_some() {
            return Err(
                "fill is only for kind = \"number\": a missing category becomes a category of its own".into(),
            );
        }
        if embedding.is_some_and(|width| width > MAX_EMBEDDING) {
            return Err(format!("embedding must be 0 to {MAX_EMBEDDING}"));
        }
        let min_count = min_count.unwrap_or(1);
        Ok(ColumnRules {
            missing,
            unseen,
            fill: fill.unwrap_or_default(),
            embedding,
            min_count,
            ..kind.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_type_does_not_know_is_refused_by_name() {
        for (text, expected) in [
            ("a = \"text\"", "unknown variant `text`"),
            ("a = 3", "a table with `kind`"),
            ("a = { kind = \"number\", fil = \"mean\" }", "unknown field `fil`"),
            ("a = { missing = \"fill\" }", "missing field `kind`"),
            ("a = { kind = \"number\", embedding = 3 }", "for kind = \"category\""),
            ("a = { kind = \"category\", fill = \"mean\" }", "for kind = \"number\""),
            ("a = { kind = \"category\", embedding = 300 }", "0 to 256"),
        ] {
            let message = toml::from_str::<Types>(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn a_column_s_own_rules_come_first() {
        let types =
            toml::from_str("a = { kind = \"number\", missing = \"fill\", unseen = \"error\" }").unwrap();
        let treatment = Treatment { types, null_values: vec!["NA".into()], ..Treatment::default() };
        assert_eq!((treatment.missing("a"), treatment.missing("b")), (Missing::Fill, Missing::Error));
        assert_eq!((treatment.unseen("a"), treatment.unseen("b")), (Unseen::Error, Unseen::Accept));
        assert!(treatment.is_null(b"") && treatment.is_null(b"NA") && !treatment.is_null(b"0"));
    }

    #[test]
    fn a_number_that_stands_for_a_missing_value_does_so_however_it_is_written() {
        let null_values = ["-999", "9.5", "1e20"].map(str::to_owned).to_vec();
        let treatment = Treatment { null_values, ..Treatment::default() };
        for text in ["-999", "-999.0", "-999.00", "9.5", "9.50", "1e+20", "\u{a0}", ""] {
            assert!(treatment.is_null(text.as_bytes()), "{text}");
        }
        for text in ["999", "-9990", "-999.5", "09.5", "-0999", "1e21"] {
            assert!(!treatment.is_null(text.as_bytes()), "{text}");
        }
        assert!(treatment.is_null_number(-999.0) && treatment.is_null_number(f64::from(1e20_f32)));
        assert!(!treatment.is_null_number(999.0) && !Treatment::default().is_null_number(-999.0));
        assert!(Treatment::default().is_null("\u{a0}".as_bytes()) && !treatment.is_null(b"\xff"));
    }
}
