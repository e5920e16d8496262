//! One value of a column: what it means, its number and its text.

use std::fmt::Write;

use parquet::data_type::{ByteArray, FixedLenByteArray};

use crate::cell::{CellFault, WHOLE, parse_id};
use crate::encoding::content::ColumnBuilder;
use crate::encoding::treatment::{ColumnType, Treatment};
use crate::source::parquet::meaning::Meaning;

/// A value of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Missing,
    Truth(bool),
    Whole(i128),
    /// `units` of the last one of `scale` decimal places.
    Decimal {
        units: i128,
        scale: u32,
    },
    Float(f32),
    Double(f64),
    Text(&'a [u8]),
}

impl Value<'_> {
    /// The number, if 64 bits of a float certainly hold it.
    fn number(self) -> Option<f64> {
        match self {
            Self::Truth(truth) => Some(f64::from(u8::from(truth))),
            Self::Whole(whole) => Some(whole as f64).filter(|number| number.abs() < WHOLE),
            Self::Float(number) => Some(f64::from(number)),
            Self::Double(number) => Some(number),
            Self::Missing | Self::Decimal { .. } | Self::Text(_) => None,
        }
    }

    /// The text as in a CSV file; empty if the value is missing. `buffer` is for texts of numbers.
    pub(crate) fn text<'t>(&'t self, buffer: &'t mut String) -> &'t [u8] {
        buffer.clear();
        let written = match *self {
            Self::Missing => Ok(()),
            Self::Text(bytes) => return bytes,
            Self::Truth(truth) => write!(buffer, "{truth}"),
            Self::Whole(whole) => write!(buffer, "{whole}"),
            Self::Decimal { units, scale } => write_decimal(buffer, units, scale),
            // With an exponent, since its digits would look like an exact whole number.
            Self::Float(number) if f64::from(number).abs() < WHOLE => write!(buffer, "{number}"),
            Self::Float(number) => write!(buffer, "{number:e}"),
            Self::Double(number) if number.abs() < WHOLE => write!(buffer, "{number}"),
            Self::Double(number) => write!(buffer, "{number:e}"),
        };
        debug_assert!(written.is_ok(), "a string takes all that is written");
        buffer.as_bytes()
    }

    /// Adds the value to `column`, and returns what stands for it in the matrix.
    pub(crate) fn push(
        &self,
        column: &mut ColumnBuilder,
        treatment: &Treatment,
        buffer: &mut String,
    ) -> Result<f32, CellFault> {
        match self.number() {
            // What is no finite number is no category either.
            Some(number) if column.kind() == Some(ColumnType::Number) || !number.is_finite() => {
                if !treatment.null_values.is_empty() && treatment.is_null(self.text(buffer)) {
                    return column.push_missing();
                }
                column.push_number(number)
            }
            _ => column.push_cell(self.text(buffer), treatment),
        }
    }

    /// The text of an id.
    pub(crate) fn id<'t>(&'t self, buffer: &'t mut String) -> Result<&'t str, CellFault> {
        parse_id(self.text(buffer))
    }
}

fn write_decimal(buffer: &mut String, units: i128, scale: u32) -> std::fmt::Result {
    let (places, sign) = (scale as usize, if units < 0 { "-" } else { "" });
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let point = if places > 0 { "." } else { "" };
    write!(buffer, "{sign}{whole}{point}{fraction}")
}

/// A value as a file stores it.
pub(crate) trait Stored {
    /// What it stands for in a column of this meaning.
    fn value(&self, meaning: Meaning) -> Value<'_>;
}

impl Stored for bool {
    fn value(&self, _: Meaning) -> Value<'_> {
        Value::Truth(*self)
    }
}

impl Stored for i32 {
    fn value(&self, meaning: Meaning) -> Value<'_> {
        match meaning {
            Meaning::Unsigned => Value::Whole(self.cast_unsigned().into()),
            _ => whole((*self).into(), meaning),
        }
    }
}

impl Stored for i64 {
    fn value(&self, meaning: Meaning) -> Value<'_> {
        match meaning {
            Meaning::Unsigned => Value::Whole(self.cast_unsigned().into()),
            _ => whole((*self).into(), meaning),
        }
    }
}

impl Stored for f32 {
    fn value(&self, _: Meaning) -> Value<'_> {
        Value::Float(*self)
    }
}

impl Stored for f64 {
    fn value(&self, _: Meaning) -> Value<'_> {
        Value::Double(*self)
    }
}

impl Stored for ByteArray {
    fn value(&self, _: Meaning) -> Value<'_> {
        Value::Text(self.data())
    }
}

/// A decimal, in big-endian bytes of two's complement, 16 at most.
impl Stored for FixedLenByteArray {
    fn value(&self, meaning: Meaning) -> Value<'_> {
        let bytes = self.data();
        let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
        let units = bytes
            .iter()
            .fold(if is_negative { -1 } else { 0 }, |units: i128, byte| (units << 8) | i128::from(*byte));
        whole(units, meaning)
    }
}

fn whole<'a>(units: i128, meaning: Meaning) -> Value<'a> {
    match meaning {
        Meaning::Decimal(scale) if scale > 0 => Value::Decimal { units, scale },
        _ => Value::Whole(units),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_csv() {
        let mut buffer = String::new();
        for (value, expected) in [
            (Value::Missing, ""),
            (Value::Truth(true), "true"),
            (Value::Whole(-7), "-7"),
            (Value::Decimal { units: 1250, scale: 2 }, "12.50"),
            (Value::Decimal { units: -5, scale: 3 }, "-0.005"),
            (Value::Float(0.1), "0.1"),
            (Value::Double(1.0), "1"),
            (Value::Double(1.152921504606847e18), "1.152921504606847e18"),
            (Value::Text(b"a b"), "a b"),
        ] {
            assert_eq!(value.text(&mut buffer), expected.as_bytes());
        }
    }

    #[test]
    fn decimals_that_lose_digits_are_refused() {
        let treatment = Treatment::default();
        let push = |units: i128, scale: u32| {
            let mut column = ColumnBuilder::of_kind("a", ColumnType::Number, &treatment);
            Value::Decimal { units, scale }.push(&mut column, &treatment, &mut String::new())
        };
        for units in [1_000_000_000_000_000_000_100, 1_000_000_000_000_000_000_050] {
            assert_eq!(push(units, 2), Err(CellFault::TooManyDigits), "{units}");
        }
        assert_eq!(push(1_000_000_000_000_000_000_000, 2), Ok(1e19));
        assert_eq!(push(1250, 2), Ok(12.5));
    }

    #[test]
    fn decimals_in_bytes_keep_their_sign() {
        for (bytes, expected) in [
            (vec![0x04, 0xd2], 1234),
            (vec![0xff, 0xfe], -2),
            (vec![0; 16], 0),
            (i128::MIN.to_be_bytes().to_vec(), i128::MIN),
        ] {
            let stored = FixedLenByteArray::from(bytes);
            assert_eq!(stored.value(Meaning::Decimal(1)), Value::Decimal { units: expected, scale: 1 });
        }
    }
}
