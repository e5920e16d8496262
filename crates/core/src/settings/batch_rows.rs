//! Most records of a training batch: a number, or what fits the records of the run.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Batches of an epoch that [`BatchRows::Auto`] is after.
const BATCHES: usize = 50;
/// Records of such a batch: fewer are noise, more are few updates.
const LEAST_ROWS: usize = 16;
/// The most of them.
const MOST_ROWS: usize = 128;

/// Most records of a training batch. Settings are equal at all sides, and what they mean never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchRows {
    /// A fiftieth of the training records, but 16 at least and 128 at most: few records need small batches to be learned
    /// from often enough.
    Auto,
    /// So many.
    Rows(usize),
}

impl BatchRows {
    /// How many they are in a run that learns from `training` records.
    pub fn of(self, training: usize) -> usize {
        match self {
            Self::Auto => (training / BATCHES).clamp(LEAST_ROWS, MOST_ROWS),
            Self::Rows(rows) => rows,
        }
    }

    /// The most that they can be.
    pub fn most(self) -> usize {
        self.of(usize::MAX)
    }
}

impl From<usize> for BatchRows {
    fn from(rows: usize) -> Self {
        Self::Rows(rows)
    }
}

impl fmt::Display for BatchRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str(AUTO),
            Self::Rows(rows) => rows.fmt(f),
        }
    }
}

/// The word for [`BatchRows::Auto`].
const AUTO: &str = "auto";

impl Serialize for BatchRows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            Self::Rows(rows) => rows.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for BatchRows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrAuto)
    }
}

struct NumberOrAuto;

impl de::Visitor<'_> for NumberOrAuto {
    type Value = BatchRows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or \"auto\"")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<BatchRows, E> {
        if word == AUTO {
            Ok(BatchRows::Auto)
        } else {
            Err(E::invalid_value(de::Unexpected::Str(word), &self))
        }
    }

    fn visit_i64<E: de::Error>(self, rows: i64) -> Result<BatchRows, E> {
        let unsigned =
            usize::try_from(rows).map_err(|_| E::invalid_value(de::Unexpected::Signed(rows), &self))?;
        Ok(BatchRows::Rows(unsigned))
    }

    fn visit_u64<E: de::Error>(self, rows: u64) -> Result<BatchRows, E> {
        let fitting =
            usize::try_from(rows).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(rows), &self))?;
        Ok(BatchRows::Rows(fitting))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, I64Deserializer, StrDeserializer};

    use super::*;

    #[test]
    fn few_records_have_small_batches() {
        let found = [0, 318, 799, 2160, 6399, 6400, usize::MAX].map(|training| BatchRows::Auto.of(training));
        assert_eq!(found, [16, 16, 16, 43, 127, 128, 128]);
        assert_eq!(
            (BatchRows::Auto.most(), BatchRows::Rows(7).most(), BatchRows::from(7).of(1000)),
            (128, 7, 7)
        );
    }

    #[test]
    fn it_is_a_number_or_a_word() {
        let of_word = |word: &'static str| {
            let word: StrDeserializer<'_, Error> = word.into_deserializer();
            BatchRows::deserialize(word).map_err(|error| error.to_string())
        };
        let of_number = |number: i64| {
            let number: I64Deserializer<Error> = number.into_deserializer();
            BatchRows::deserialize(number).map_err(|error| error.to_string())
        };
        assert_eq!((of_word("auto"), of_number(64)), (Ok(BatchRows::Auto), Ok(BatchRows::Rows(64))));
        for refused in [of_word("many"), of_number(-1)] {
            assert!(refused.unwrap_err().contains("a whole number or \"auto\""));
        }
        let texts = [BatchRows::Auto, BatchRows::Rows(64)].map(|rows| serde_json::to_string(&rows).unwrap());
        assert_eq!(texts, ["\"auto\"", "64"]);
        assert_eq!(format!("{} {}", BatchRows::Auto, BatchRows::Rows(64)), "auto 64");
    }
}
