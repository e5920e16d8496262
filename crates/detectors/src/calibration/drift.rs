//! Scores over time: have the inputs changed for good, or are there single odd rows?
//!
//! Source: Vovk et al., *Retrain or not retrain: conformal test martingales for change-point detection* (COPA 2021),
//! the simple jumper. At each row it bets that p-values are no longer uniform. For exchangeable rows the probability that the
//! capital ever exceeds 1/a is at most a (Ville's inequality). A single odd row multiplies the capital by at most 1.5, so it
//! raises a flag and never an alarm; a lasting change makes the capital grow from row to row.

use hashvfl_core::random::stream;
use rand::Rng;
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::conformal::rows_needed;
use super::tail::check_scores;
use crate::error::DetectorError;

/// Bets: against low p-values, none, for them.
const BETS: [f64; 3] = [-1.0, 0.0, 1.0];
/// The fraction of the capital that moves to other bets at each row.
const JUMP: f64 = 0.01;
/// Intervals into which scores fall.
const INTERVALS: usize = 256;

/// The monitor's answer after a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriftState {
    /// Nothing odd.
    Steady,
    /// This row is odd; the inputs as a whole show no change.
    OddRow,
    /// The inputs have changed for good: look for the cause, or calibrate anew.
    Drift,
}

/// Watches scores in the order of time.
///
/// Scores fall into intervals between the scores of reference rows. A row is compared with calibration rows and all rows
/// before it, so p-values of exchangeable rows are independent and uniform, and memory does not grow.
pub struct DriftMonitor {
    edges: Vec<f64>,
    /// Rows in each interval so far, calibration rows included.
    counts: Vec<u64>,
    rows: u64,
    level: f64,
    alarm: f64,
    /// The fraction of the capital on each bet; their sum is 1.
    fractions: [f64; 3],
    log_capital: f64,
    drifted: bool,
    rng: ChaCha8Rng,
}

impl DriftMonitor {
    /// A monitor that flags single rows at `level`, above 0 and below 1. The probability that it ever raises a false alarm
    /// is at most `alarm`. `reference` and `calibration` are scores of different normal rows.
    ///
    /// # Errors
    /// If a number is out of range, scores are not finite, or the calibration rows cannot tell the level.
    pub fn new(
        reference: &[f64],
        calibration: &[f64],
        level: f64,
        alarm: f64,
        seed: u64,
    ) -> Result<Self, DetectorError> {
        DetectorError::fraction("level", level)?;
        DetectorError::fraction("alarm", alarm)?;
        check_scores(reference)?;
        check_scores(calibration)?;
        DetectorError::rows("the drift monitor's reference", 2, reference.len())?;
        let (needed, found) = (rows_needed(level), calibration.len());
        if found < needed {
            return Err(DetectorError::Level { level, needed, found, per_class: false });
        }
        let edges = edges(reference);
        let mut monitor = Self {
            counts: vec![0; edges.len() + 1],
            edges,
            rows: 0,
            level,
            alarm,
            fractions: [1.0 / 3.0; 3],
            log_capital: 0.0,
            drifted: false,
            rng: stream(seed, "drift monitor", &[]),
        };
        for score in calibration {
            let interval = monitor.interval(*score);
            monitor.counts[interval] += 1;
        }
        monitor.rows = calibration.len() as u64;
        Ok(monitor)
    }

    fn interval(&self, score: f64) -> usize {
        self.edges.partition_point(|edge| *edge < score)
    }

    /// Takes the next row's score. [`DriftState::Drift`] stays until [`Self::restart`].
    pub fn observe(&mut self, score: f64) -> DriftState {
        let interval = self.interval(score);
        let above: u64 = self.counts[interval + 1..].iter().sum();
        // A random place among equal scores, which makes p-values of exchangeable rows uniform.
        let draw = (self.rng.next_u64() >> 11) as f64 / 2_f64.powi(53);
        let p_value = (above as f64 + draw * (self.counts[interval] + 1) as f64) / (self.rows + 1) as f64;
        self.counts[interval] += 1;
        self.rows += 1;
        self.bet(p_value);
        self.drifted |= self.log_capital >= -self.alarm.ln();
        match (self.drifted, p_value <= self.level) {
            (true, _) => DriftState::Drift,
            (false, true) => DriftState::OddRow,
            (false, false) => DriftState::Steady,
        }
    }

    fn bet(&mut self, p_value: f64) {
        for (fraction, bet) in self.fractions.iter_mut().zip(BETS) {
            let moved = (1.0 - JUMP) * *fraction + JUMP / 3.0;
            *fraction = moved * (1.0 + bet * (p_value - 0.5));
        }
        let sum: f64 = self.fractions.iter().sum();
        self.fractions.iter_mut().for_each(|fraction| *fraction /= sum);
        self.log_capital += sum.ln();
    }

    /// The natural logarithm of the capital, which is 1 at the start; a large capital speaks against normal rows.
    pub fn log_capital(&self) -> f64 {
        self.log_capital
    }

    /// Begins anew, with the rows so far as calibration rows.
    pub fn restart(&mut self) {
        (self.fractions, self.log_capital, self.drifted) = ([1.0 / 3.0; 3], 0.0, false);
    }
}

/// Where the intervals of scores begin. Odd rows are told apart at the upper end, so every high score of the reference is an
/// edge there.
fn edges(reference: &[f64]) -> Vec<f64> {
    let mut sorted = reference.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let fine = sorted.len().saturating_sub(INTERVALS / 2);
    let mut edges: Vec<f64> = (0..INTERVALS / 2).map(|at| sorted[at * fine / (INTERVALS / 2)]).collect();
    edges.extend(&sorted[fine..]);
    edges.dedup();
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(count: usize, seed: u64) -> Vec<f64> {
        let mut rng = stream(seed, "scores", &[]);
        (0..count).map(|_| f64::from(rng.next_u32()) / 2_f64.powi(32)).collect()
    }

    fn monitor(seed: u64) -> DriftMonitor {
        DriftMonitor::new(&scores(500, seed), &scores(500, seed + 1000), 0.01, 0.001, seed).unwrap()
    }

    #[test]
    fn normal_rows_raise_no_alarm_and_few_flags() {
        let (mut alarms, mut odd) = (0, 0);
        for seed in 0..100 {
            let mut monitor = monitor(seed);
            let states: Vec<DriftState> =
                scores(2000, seed + 5000).into_iter().map(|score| monitor.observe(score)).collect();
            alarms += u32::from(states.last() == Some(&DriftState::Drift));
            odd += states.iter().filter(|state| **state == DriftState::OddRow).count();
        }
        assert!(alarms <= 1, "{alarms}");
        assert!((1600..2400).contains(&odd), "{odd}");
    }

    #[test]
    fn single_odd_rows_are_no_drift_and_a_slow_change_is() {
        let mut steady = monitor(7);
        let mut flags = 0;
        for (at, score) in scores(2000, 8).into_iter().enumerate() {
            let odd = at % 50 == 49;
            let state = steady.observe(if odd { 99.0 } else { score });
            assert_ne!(state, DriftState::Drift);
            flags += u32::from(odd && state == DriftState::OddRow);
        }
        // Later odd rows are compared with earlier ones too.
        assert!(flags >= 5, "{flags}");
        let mut drifting = monitor(9);
        let noticed = scores(3000, 10)
            .into_iter()
            .enumerate()
            .position(|(at, score)| drifting.observe(score + at as f64 / 3000.0) == DriftState::Drift);
        assert!(noticed.is_some_and(|at| at < 2000), "{noticed:?}");
        assert!(drifting.log_capital() > 0.0);
        drifting.restart();
        assert_eq!(drifting.log_capital(), 0.0);
    }

    #[test]
    fn a_small_calibration_is_refused() {
        let error = DriftMonitor::new(&[0.0, 1.0], &[0.0; 50], 0.01, 0.01, 0).err();
        assert!(matches!(error, Some(DetectorError::Level { needed: 99, found: 50, .. })));
    }
}
