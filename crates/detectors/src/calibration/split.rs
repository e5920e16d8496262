//! Which records of a run's calibration part (`run.calibration_fraction`) do what, at the coordinator and at a party alike:
//! half of them fit detectors, a fifth puts their scores on one scale, the rest calibrates.

use super::conformal::rows_needed;
use crate::error::DetectorError;

/// The fraction of the records on which detectors are fitted.
const FIT: f64 = 0.5;
/// The fraction of the records that give scores their scale.
const SCALE: f64 = 0.2;
/// The fewest records of which half fit a network, and a fifth give a scale.
const LEAST: usize = 200;

/// Normal records by what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split<T> {
    /// Detectors are fitted on these.
    pub fit: T,
    /// These put the scores of several detectors on one scale.
    pub scale: T,
    /// These turn scores into p-values.
    pub calibrate: T,
}

impl<T> Split<T> {
    /// The split of what `convert` makes of each part.
    pub fn map<U>(self, mut convert: impl FnMut(T) -> U) -> Split<U> {
        Split { fit: convert(self.fit), scale: convert(self.scale), calibrate: convert(self.calibrate) }
    }

    /// The split of what `convert` makes of each part.
    ///
    /// # Errors
    /// The first error of `convert`.
    pub fn try_map<U, E>(self, mut convert: impl FnMut(T) -> Result<U, E>) -> Result<Split<U>, E> {
        Ok(Split {
            fit: convert(self.fit)?,
            scale: convert(self.scale)?,
            calibrate: convert(self.calibrate)?,
        })
    }

    /// The split of references to each part.
    pub fn as_ref(&self) -> Split<&T> {
        Split { fit: &self.fit, scale: &self.scale, calibrate: &self.calibrate }
    }
}

impl<'a> Split<&'a [u32]> {
    /// Splits the rows of a calibration part.
    pub fn of(rows: &'a [u32]) -> Self {
        let (fit, rest) = rows.split_at(count(rows, FIT));
        let (scale, calibrate) = rest.split_at(count(rows, SCALE).min(rest.len()));
        Self { fit, scale, calibrate }
    }
}

fn count(rows: &[u32], fraction: f64) -> usize {
    (rows.len() as f64 * fraction).round() as usize
}

/// The fewest records that can fit detectors, and with which a p-value can be `level` or less.
pub fn records_needed(level: f64) -> usize {
    let calibrating = rows_needed(level) as f64 / (1.0 - FIT - SCALE);
    // The shift keeps what rounding adds from becoming a record.
    ((calibrating - 1e-9).ceil() as usize).max(LEAST)
}

/// Checks that a calibration part is large enough to fit detectors and to tell `level`.
///
/// # Errors
/// With the number of records that are needed.
pub fn check(rows: &[u32], level: f64) -> Result<(), DetectorError> {
    let (records, found, needed) = (rows.len(), Split::of(rows).calibrate.len(), rows_needed(level));
    if found < needed {
        let of_all = records_needed(level);
        return Err(DetectorError::Part { level, needed, found, records, of_all });
    }
    DetectorError::rows("fitting detectors on run.calibration_fraction", LEAST, records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_one_part_and_few_rows_are_refused_with_what_is_needed() {
        let rows: Vec<u32> = (0..208).collect();
        let Split { fit, scale, calibrate } = Split::of(&rows);
        assert_eq!([fit.len(), scale.len(), calibrate.len()], [104, 42, 62]);
        assert_eq!([fit, scale, calibrate].concat(), rows);
        assert_eq!(Split::of(&[]), Split { fit: &[][..], scale: &[][..], calibrate: &[][..] });
        assert!(check(&rows, 0.02).is_ok());
        let error = check(&rows, 0.01).unwrap_err().to_string();
        assert!(error.contains("needs 99 calibration records, and 62 of the 208"), "{error}");
        assert!(error.contains("at least 330 records"), "{error}");
        assert!(matches!(check(&rows[..150], 0.2), Err(DetectorError::TooFewRows { needed: 200, .. })));
    }
}
