//! Epsilon of differential privacy in fixed point, so that sums are exact and never come out too small.

use std::fmt;

use serde::Deserialize;

const UNITS: f64 = 1e9;

/// A finite epsilon, in units of 1e-9, rounded up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "f64")]
pub struct Epsilon(u64);

impl Epsilon {
    /// Rounds `value` up; `None` if it is negative, infinite, no number, or above 1e9.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1e9).contains(&value).then(|| Self((value * UNITS).ceil() as u64))
    }

    /// From units of 1e-9.
    pub fn from_units(units: u64) -> Self {
        Self(units)
    }

    /// In units of 1e-9.
    pub fn units(self) -> u64 {
        self.0
    }

    /// The sum; it stays at the largest value rather than start again from 0.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left after `other` was taken back.
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl TryFrom<f64> for Epsilon {
    type Error = &'static str;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        Self::new(value).ok_or("epsilon must be a number from 0 to 1e9")
    }
}

impl fmt::Display for Epsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 as f64 / UNITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_never_too_small() {
        let small = Epsilon::new(1e-10).unwrap();
        assert_eq!(small.units(), 1, "rounded up");
        let tenth = Epsilon::new(0.1).unwrap();
        let sum = (0..10).fold(Epsilon::default(), |sum, _| sum.plus(tenth));
        assert!(sum >= Epsilon::new(1.0).unwrap());
        assert_eq!(sum.to_string(), "1");
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e10] {
            assert_eq!(Epsilon::new(bad), None);
        }
        assert_eq!(Epsilon::from_units(u64::MAX).plus(tenth).units(), u64::MAX);
    }
}
