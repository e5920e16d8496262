//! Which records of a run's calibration part (`run.calibration_fraction`) do what, at the coordinator and at a party alike:
//! half of them fit detectors, a fifth puts their scores on one scale, the rest calibrates.

use hashvfl_core::limits::MAX_BATCH_ROWS;

use super::conformal::rows_needed;
use crate::error::DetectorError;

/// The fraction of the records on which detectors are fitted.
const FIT: f64 = 0.5;
/// The fraction of the records that give scores their scale.
const SCALE: f64 = 0.2;
/// The fewest records of which half fit a network, and a fifth give a scale.
const LEAST: usize = 200;

/// Calibrating rows that decide on flags below which that is told: the flagged fraction then varies by about half of itself.
const DECIDING: usize = 5;

/// Normal records by what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalibrationSplit<T> {
    /// Detectors are fitted on these.
    pub fit: T,
    /// These put the scores of several detectors on one scale.
    pub scale: T,
    /// These turn scores into p-values.
    pub calibrate: T,
}

impl<T> CalibrationSplit<T> {
    /// The split of what `convert` makes of each part.
    pub fn map<U>(self, mut convert: impl FnMut(T) -> U) -> CalibrationSplit<U> {
        CalibrationSplit {
            fit: convert(self.fit),
            scale: convert(self.scale),
            calibrate: convert(self.calibrate),
        }
    }

    /// The split of what `convert` makes of each part.
    ///
    /// # Errors
    /// The first error of `convert`.
    pub fn try_map<U, E>(self, mut convert: impl FnMut(T) -> Result<U, E>) -> Result<CalibrationSplit<U>, E> {
        Ok(CalibrationSplit {
            fit: convert(self.fit)?,
            scale: convert(self.scale)?,
            calibrate: convert(self.calibrate)?,
        })
    }

    /// The split of references to each part.
    pub fn as_ref(&self) -> CalibrationSplit<&T> {
        CalibrationSplit { fit: &self.fit, scale: &self.scale, calibrate: &self.calibrate }
    }
}

impl<'a> CalibrationSplit<&'a [u32]> {
    /// Splits the rows of a calibration part.
    pub fn of(rows: &'a [u32]) -> Self {
        let (fit, rest) = rows.split_at(count(rows, FIT));
        let (scale, calibrate) = rest.split_at(count(rows, SCALE).min(rest.len()));
        Self { fit, scale, calibrate }
    }
}

/// The rows that calibrate what several sides say, of which each party sends p-values: those that calibrate, as many of them
/// as fit into one message. More would tell no level that anybody asks for.
pub fn shared_calibration(rows: &[u32]) -> &[u32] {
    let calibrate = CalibrationSplit::of(rows).calibrate;
    &calibrate[..calibrate.len().min(MAX_BATCH_ROWS)]
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

/// What is to be said where so few rows calibrate that flags at `level` hang on a handful of them; `None` where they do not,
/// or where [`check`] refuses the part.
pub fn resolution(rows: &[u32], level: f64) -> Option<String> {
    let (records, calibrating) = (rows.len(), CalibrationSplit::of(rows).calibrate.len());
    let least = 1.0 / (calibrating + 1) as f64;
    // The shift keeps 0.01 * 100 from becoming 0 by rounding.
    let deciding = (level / least + 1e-9).floor() as usize;
    if deciding == 0 || deciding >= DECIDING {
        return None;
    }
    let enough = (DECIDING as f64 / level - 1.0 - 1e-9).ceil();
    let of_all = (enough / (1.0 - FIT - SCALE)).ceil();
    Some(format!(
        "only {calibrating} of the {records} records of the calibration part calibrate, so no p-value is below \
         {least:.4}, and flags at level {level} depend on the {deciding} strangest of them: the flagged fraction will \
         vary a lot from run to run. Use at least {of_all} records (run.calibration_fraction), or a level of {:.2}",
        (DECIDING as f64 * least * 100.0).ceil() / 100.0
    ))
}

/// Checks that a calibration part is large enough to fit detectors and to tell `level`.
///
/// # Errors
/// With the number of records that are needed.
pub fn check(rows: &[u32], level: f64) -> Result<(), DetectorError> {
    let (records, found, needed) =
        (rows.len(), CalibrationSplit::of(rows).calibrate.len(), rows_needed(level));
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
        let CalibrationSplit { fit, scale, calibrate } = CalibrationSplit::of(&rows);
        assert_eq!([fit.len(), scale.len(), calibrate.len()], [104, 42, 62]);
        assert_eq!([fit, scale, calibrate].concat(), rows);
        assert_eq!(
            CalibrationSplit::of(&[]),
            CalibrationSplit { fit: &[][..], scale: &[][..], calibrate: &[][..] }
        );
        assert!(check(&rows, 0.02).is_ok());
        let error = check(&rows, 0.01).unwrap_err().to_string();
        assert!(
            error.contains("needs 99 calibrating records, but only 62 of the calibration part's 208"),
            "{error}"
        );
        assert!(error.contains("has at least 330 records"), "{error}");
        assert_eq!(shared_calibration(&rows), calibrate);
        assert!(matches!(check(&rows[..150], 0.2), Err(DetectorError::TooFewRows { needed: 200, .. })));
    }

    #[test]
    fn a_level_on_which_few_rows_decide_is_told_with_what_would_be_enough() {
        let rows: Vec<u32> = (0..968).collect();
        let told = resolution(&rows, 0.01).unwrap();
        assert!(told.starts_with("only 290 of the 968 records of the calibration part calibrate"), "{told}");
        assert!(
            told.contains("no p-value is below 0.0034, and flags at level 0.01 depend on the 2 strangest"),
            "{told}"
        );
        assert!(told.contains("at least 1664 records"), "{told}");
        assert!(told.contains("a level of 0.02"), "{told}");
        assert_eq!(resolution(&rows, 0.05), None);
        assert_eq!(resolution(&rows[..50], 0.01), None, "refused, not warned of");
    }
}
