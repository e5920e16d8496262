//! Scores become p-values: p = (1 + number of calibration scores at least as high) / (n + 1).
//!
//! Source: Vovk, Gammerman and Shafer, *Algorithmic learning in a random world* (2005), chapter 2; for outliers, Bates
//! et al., *Testing for outliers with conformal p-values* (Annals of Statistics 2023).
//!
//! Calibration rows are normal rows on which neither a bottom model, the top model nor a detector was fitted. Of rows that are
//! exchangeable with them, at most a fraction a has a p-value of a or less, on average. That does not hold under drift, and
//! it holds per class only if classes are calibrated apart.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::tail::check_scores;
use crate::error::DetectorError;
use crate::limits::MAX_CLASSES;

/// What counts of the calibration scores that equal the score of a row.
pub enum Ties<'a> {
    /// All of them: a p-value is never too small, and is too large where scores take few values.
    Count,
    /// As many as a draw says: the row takes a random place among equal scores, and exactly a fraction a of exchangeable
    /// rows is flagged on average.
    Random(&'a mut ChaCha8Rng),
}

/// Scores of the calibration rows, all together or class by class.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Ascending; under class 0 where classes are not calibrated apart.
    scores: BTreeMap<u32, Vec<f64>>,
    per_class: bool,
}

impl Calibration {
    /// Keeps the scores of all calibration rows.
    ///
    /// # Errors
    /// If they are none, too many or not finite.
    pub fn new(scores: Vec<f64>) -> Result<Self, DetectorError> {
        Self::of(BTreeMap::from([(0, scores)]), false)
    }

    /// Keeps the scores class by class: a row is then compared with rows of its predicted class.
    ///
    /// # Errors
    /// If they are none, too many or not finite, or there are more or fewer classes than scores.
    pub fn per_class(scores: Vec<f64>, classes: &[u32]) -> Result<Self, DetectorError> {
        DetectorError::same_rows("classes", scores.len(), classes.len())?;
        let mut groups: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        classes.iter().zip(scores).for_each(|(class, score)| groups.entry(*class).or_default().push(score));
        Self::of(groups, true)
    }

    fn of(mut scores: BTreeMap<u32, Vec<f64>>, per_class: bool) -> Result<Self, DetectorError> {
        let rows: usize = scores.values().map(Vec::len).sum();
        DetectorError::rows("calibration", 1, rows)?;
        for group in scores.values_mut() {
            check_scores(group)?;
            group.sort_unstable_by(f64::total_cmp);
        }
        Ok(Self { scores, per_class })
    }

    /// The number of calibration rows, or of rows of the smallest class that can tell `level` where classes are calibrated
    /// apart; 0 where they cannot tell `level`.
    pub fn rows_for(&self, level: f64) -> usize {
        let rows = self.scores.values().map(Vec::len);
        rows.filter(|rows| *rows >= rows_needed(level)).min().unwrap_or(0)
    }

    /// Checks that a p-value can be `level` or less. Where classes are calibrated apart, one class with enough rows is enough:
    /// p-values of the others stay above the level, so none of their rows is flagged.
    ///
    /// # Errors
    /// With the number of rows that are needed, or if the level is out of range.
    pub fn check_level(&self, level: f64) -> Result<(), DetectorError> {
        DetectorError::fraction("level", level)?;
        let needed = rows_needed(level);
        let found = self.scores.values().map(Vec::len).max().unwrap_or(0);
        if found >= needed {
            return Ok(());
        }
        Err(DetectorError::Level { level, needed, found, per_class: self.per_class })
    }

    /// How many of `count` classes have too few calibration rows for `level`, so that none of their rows can be flagged; 0
    /// where classes are not calibrated apart.
    pub fn silent_classes(&self, count: usize, level: f64) -> usize {
        if !self.per_class {
            return 0;
        }
        let rows = (0..count as u32).map(|class| self.scores.get(&class).map_or(0, Vec::len));
        rows.filter(|rows| *rows < rows_needed(level)).count()
    }

    /// The p-value of a score, above 0 and at most 1; `class` is the row's predicted class. It is 1 where that class has no
    /// calibration row.
    pub fn p_value(&self, score: f64, class: u32, ties: &mut Ties<'_>) -> f64 {
        let group = self.scores.get(if self.per_class { &class } else { &0 });
        let group = group.map_or(&[][..], Vec::as_slice);
        let above = group.len() - group.partition_point(|other| *other <= score);
        let equal = group.len() - above - group.partition_point(|other| *other < score);
        let counted = match ties {
            Ties::Count => equal,
            Ties::Random(rng) => draw_below(rng, equal + 1),
        };
        (1 + above + counted) as f64 / (group.len() + 1) as f64
    }

    /// Checks fields that were read from a file.
    ///
    /// # Errors
    /// If they contradict each other or exceed a limit.
    pub fn check(&self) -> Result<(), DetectorError> {
        let fits = self.scores.values().any(|group| !group.is_empty())
            && self.scores.len() <= MAX_CLASSES
            && (self.per_class || self.scores.keys().eq([&0]))
            && self.scores.values().all(|group| group.is_sorted());
        self.scores.values().try_for_each(|group| check_scores(group))?;
        DetectorError::stored(fits, "a calibration")
    }
}

/// A number below `bound`; all are equally likely, up to `bound` in 2^64.
fn draw_below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    ((u128::from(rng.next_u64()) * bound as u128) >> 64) as usize
}

/// The fewest calibration rows with which a p-value can be `level` or less.
pub fn rows_needed(level: f64) -> usize {
    // 1 / (n + 1) <= level; the shift keeps 1 / 0.01 from becoming 101 by rounding.
    ((1.0 / level - 1e-9).ceil() as usize).saturating_sub(1)
}

/// The interval that holds the number of flags among `rows` exchangeable rows with probability `coverage`, at level
/// `level` with `calibration` rows and ties broken at random. The number of flags is beta-binomial with k and n + 1 - k,
/// where k is the largest whole number with k / (n + 1) <= level (Bates et al. 2023, theorem 1).
///
/// # Errors
/// If `coverage` or `level` is not above 0 and below 1, or the calibration rows cannot tell the level.
pub fn flags_interval(
    rows: usize,
    calibration: usize,
    level: f64,
    coverage: f64,
) -> Result<(usize, usize), DetectorError> {
    DetectorError::fraction("coverage of the interval", coverage)?;
    DetectorError::fraction("level", level)?;
    let k = (level * (calibration + 1) as f64 + 1e-9).floor();
    if k < 1.0 {
        let needed = rows_needed(level);
        return Err(DetectorError::Level { level, needed, found: calibration, per_class: false });
    }
    let (alpha, beta) = (k, (calibration + 1) as f64 - k);
    // Logarithms of the probabilities of 0, 1, ... flags, up to a constant.
    let mut logs = vec![0.0_f64];
    for count in 0..rows {
        let (x, left) = (count as f64, (rows - count) as f64);
        let ratio = left * (alpha + x) / ((x + 1.0) * (beta + left - 1.0));
        logs.push(logs[count] + ratio.ln());
    }
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let chances: Vec<f64> = logs.iter().map(|log| (log - most).exp()).collect();
    let total: f64 = chances.iter().sum();
    let outside = (1.0 - coverage) / 2.0 * total;
    Ok((outcomes_within(chances.iter(), outside), rows - outcomes_within(chances.iter().rev(), outside)))
}

/// How many of the first `chances` have a sum below `most`.
fn outcomes_within<'a>(chances: impl Iterator<Item = &'a f64>, most: f64) -> usize {
    let (mut sum, mut count) = (0.0, 0);
    for chance in chances {
        sum += chance;
        if sum >= most {
            break;
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p_values_of_known_scores() {
        let calibration = Calibration::new(vec![3.0, 1.0, 2.0, 2.0]).unwrap();
        let p = |score| calibration.p_value(score, 7, &mut Ties::Count);
        assert_eq!([p(0.0), p(2.0), p(2.5), p(3.0), p(9.0)], [1.0, 0.8, 0.4, 0.4, 0.2]);
        let mut rng = stream(1, "ties", &[]);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let p = calibration.p_value(2.0, 0, &mut Ties::Random(&mut rng));
            seen.insert((p * 5.0).round() as u32);
        }
        assert_eq!(seen, [2, 3, 4].into());
    }

    #[test]
    fn a_small_set_is_refused_with_what_it_needs() {
        assert_eq!([rows_needed(0.01), rows_needed(0.05), rows_needed(0.3)], [99, 19, 3]);
        let calibration = Calibration::new(vec![0.0; 98]).unwrap();
        let error = calibration.check_level(0.01).unwrap_err();
        assert!(
            error.to_string().contains("98 calibration rows are too few for the level 0.01: at least 99"),
            "{error}"
        );
        assert!(Calibration::new(vec![0.0; 99]).unwrap().check_level(0.01).is_ok());
        assert!(matches!(calibration.check_level(1.0), Err(DetectorError::Fraction { .. })));
        assert!(matches!(Calibration::new(vec![]), Err(DetectorError::TooFewRows { .. })));
        let classes = Calibration::per_class(vec![0.0; 30], &[vec![0; 20], vec![4; 10]].concat()).unwrap();
        assert!(classes.check_level(0.05).is_ok());
        assert_eq!([0.05, 0.1, 0.01].map(|level| classes.rows_for(level)), [20, 10, 0]);
        assert_eq!([classes.silent_classes(5, 0.05), classes.silent_classes(5, 0.1)], [4, 3]);
        assert_eq!(calibration.silent_classes(5, 0.01), 0);
        let error = classes.check_level(0.01).unwrap_err().to_string();
        assert!(
            error.contains("20 calibration rows of any class are too few for the level 0.01: at least 99"),
            "{error}"
        );
    }

    #[test]
    fn a_class_is_compared_with_its_own() {
        let calibration = Calibration::per_class(vec![1.0, 2.0, 10.0, 20.0], &[0, 0, 1, 1]).unwrap();
        assert_eq!(calibration.p_value(5.0, 0, &mut Ties::Count), 1.0 / 3.0);
        assert_eq!(calibration.p_value(5.0, 1, &mut Ties::Count), 1.0);
        // Nobody was calibrated there: nothing is rare.
        assert_eq!(calibration.p_value(5.0, 2, &mut Ties::Count), 1.0);
    }

    #[test]
    fn the_interval_holds_its_share_of_counts() {
        // 19 calibration rows, level 5 %: k = 1, and the chance of x flags in m rows is that of a uniform order.
        let (low, high) = flags_interval(20, 19, 0.05, 0.9).unwrap();
        assert_eq!(low, 0);
        assert!((3..=5).contains(&high), "{high}");
        assert!(matches!(flags_interval(20, 18, 0.05, 0.9), Err(DetectorError::Level { needed: 19, .. })));
        // By simulation, with ties broken at random among few scores.
        let (calibration, rows, level) = (199, 400, 0.05);
        let (low, high) = flags_interval(rows, calibration, level, 0.9).unwrap();
        let mut inside = 0;
        for run in 0..400 {
            let mut rng = stream(run, "interval", &[]);
            let mut score = || f64::from(rng.next_u32() % 6);
            let scores: Vec<f64> = (0..calibration).map(|_| score()).collect();
            let tests: Vec<f64> = (0..rows).map(|_| score()).collect();
            let fitted = Calibration::new(scores).unwrap();
            let mut draws = stream(run, "ties", &[]);
            let flagged = tests
                .iter()
                .filter(|score| fitted.p_value(**score, 0, &mut Ties::Random(&mut draws)) <= level);
            inside += u32::from((low..=high).contains(&flagged.count()));
        }
        // Ties of a test row are broken apart from those of others, which narrows counts a little.
        assert!(inside >= 340, "{inside}");
    }

    proptest! {
        #[test]
        fn p_values_fall_as_scores_rise(mut scores in prop::collection::vec(-5_i32..5, 1..50), a in -6_i32..6, b in -6_i32..6) {
            let calibration = Calibration::new(scores.drain(..).map(f64::from).collect()).unwrap();
            let p = |score: i32| calibration.p_value(f64::from(score), 0, &mut Ties::Count);
            prop_assert!((a <= b) == (p(a) >= p(b)) || p(a) == p(b));
            prop_assert!(p(a) > 0.0 && p(a) <= 1.0);
        }
    }
}
