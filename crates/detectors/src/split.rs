//! Which records of a run's calibration part (`run.calibration_fraction`) do what, at the coordinator and at a party alike:
//! half of them fit detectors, a fifth puts their scores on one scale, the rest calibrates.

use crate::calibration::conformal::rows_needed;
use crate::error::DetectorError;

/// Share of the records on which detectors are fitted, and on which their scales are.
const SHARES: [f64; 2] = [0.5, 0.2];
/// Records of which half are enough for a network, and a fifth for a scale.
const LEAST: usize = 200;

/// The rows that fit detectors, that give their scales, and that calibrate.
pub fn split(rows: &[u32]) -> [&[u32]; 3] {
    let at = |share: f64| (rows.len() as f64 * share).round() as usize;
    let (fit, rest) = rows.split_at(at(SHARES[0]));
    let (scale, calibrate) = rest.split_at(at(SHARES[1]).min(rest.len()));
    [fit, scale, calibrate]
}

/// The fewest records that are enough to fit detectors, and with which a p-value can be `level` or less.
pub fn records_needed(level: f64) -> usize {
    let calibrating = rows_needed(level) as f64 / (1.0 - SHARES[0] - SHARES[1]);
    // The shift keeps what rounding adds from becoming a record.
    ((calibrating - 1e-9).ceil() as usize).max(LEAST)
}

/// Refuses a calibration part that is too small for detectors, or to tell `level`.
///
/// # Errors
/// With the number of records that are needed.
pub fn check(rows: &[u32], level: f64) -> Result<(), DetectorError> {
    let (records, found, needed) = (rows.len(), split(rows)[2].len(), rows_needed(level));
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
        let parts = split(&rows);
        assert_eq!((parts.map(<[u32]>::len), parts.concat()), ([104, 42, 62], rows.clone()));
        assert!(split(&[]).iter().all(|part| part.is_empty()));
        assert!(check(&rows, 0.02).is_ok());
        let error = check(&rows, 0.01).unwrap_err().to_string();
        assert!(error.contains("needs 99 calibration records, and 62 of the 208"), "{error}");
        assert!(error.contains("at least 330 records"), "{error}");
        assert!(matches!(check(&rows[..150], 0.2), Err(DetectorError::TooFewRows { needed: 200, .. })));
    }
}
