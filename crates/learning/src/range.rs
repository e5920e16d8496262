//! Ranges of settings that models share.

use std::fmt::Display;

/// A setting outside its range; `key` is relative to its table.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key} must be {expected}, not {found}")]
pub struct RangeError {
    key: &'static str,
    expected: &'static str,
    /// As it is written in a config.
    found: String,
}

fn require(
    holds: bool,
    key: &'static str,
    expected: &'static str,
    found: impl Display,
) -> Result<(), RangeError> {
    if holds { Ok(()) } else { Err(RangeError { key, expected, found: found.to_string() }) }
}

/// From 0 to below 1.
pub(crate) fn fraction(key: &'static str, value: f32) -> Result<(), RangeError> {
    require((0.0..1.0).contains(&value), key, "from 0 to below 1", value)
}

/// Above 0, at most 1.
pub(crate) fn positive_fraction(key: &'static str, value: f32) -> Result<(), RangeError> {
    require(value > 0.0 && value <= 1.0, key, "above 0 and at most 1", value)
}

/// Finite, 0 or more.
pub(crate) fn at_least_zero(key: &'static str, value: f32) -> Result<(), RangeError> {
    require(value.is_finite() && value >= 0.0, key, "finite and 0 or more", value)
}

/// Finite, and not below `least`: the value that `expected` names.
pub(crate) fn at_least(
    key: &'static str,
    value: f32,
    least: f32,
    expected: &'static str,
) -> Result<(), RangeError> {
    require(value.is_finite() && value >= least, key, expected, value)
}

/// Finite, above 0.
pub(crate) fn above_zero(key: &'static str, value: f64) -> Result<(), RangeError> {
    require(value.is_finite() && value > 0.0, key, "finite and above 0", value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_what_is_no_number() {
        assert!(fraction("a", 0.0).is_ok() && fraction("a", 1.0).is_err());
        assert!(positive_fraction("a", 1.0).is_ok() && positive_fraction("a", 0.0).is_err());
        assert!(fraction("a", f32::NAN).is_err() && positive_fraction("a", f32::NAN).is_err());
        assert!(at_least_zero("a", 0.0).is_ok() && at_least_zero("a", f32::INFINITY).is_err());
        assert!(above_zero("a", 0.0).is_err() && above_zero("a", f64::NAN).is_err());
        assert_eq!(
            fraction("dropout", 1.5).unwrap_err().to_string(),
            "dropout must be from 0 to below 1, not 1.5"
        );
        assert!(at_least("a", 0.3, 0.3, "b").is_ok() && at_least("a", f32::NAN, 0.0, "b").is_err());
        assert_eq!(
            at_least("a", 0.1, 0.3, "at least b").unwrap_err().to_string(),
            "a must be at least b, not 0.1"
        );
    }
}
