//! Several detectors as one: their scores on a common scale, combined, calibrated, compared with a level.

use hashvfl_core::random::stream;
use serde::{Deserialize, Serialize};

use super::combine::Combination;
use super::conformal::{Calibration, Ties};
use super::tail::{Tail, check_scores};
use crate::detector::Score;
use crate::error::DetectorError;
use crate::file::CheckStored;
use crate::limits::MAX_MEMBERS;

/// A fitted detector and the scores that it gives normal rows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Member<D> {
    detector: D,
    tail: Tail,
}

/// Detectors whose scores are combined into one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Panel<D> {
    members: Vec<Member<D>>,
    rule: Combination,
}

impl<D> Panel<D> {
    /// Puts fitted `detectors` on a common scale, learned on normal `rows` on which they were not fitted.
    ///
    /// # Errors
    /// If there are no or too many detectors, or too few rows.
    pub fn new<R: ?Sized>(detectors: Vec<D>, rule: Combination, rows: &R) -> Result<Self, DetectorError>
    where
        D: Score<R>,
    {
        check_count(detectors.len())?;
        let mut members = Vec::with_capacity(detectors.len());
        for detector in detectors {
            let tail = Tail::new(detector.score(rows)?)?;
            members.push(Member { detector, tail });
        }
        Ok(Self { members, rule })
    }

    /// The detectors.
    pub fn detectors(&self) -> impl Iterator<Item = &D> {
        self.members.iter().map(|member| &member.detector)
    }

    /// Each detector's own scores of `rows`: `[detector][row]`.
    ///
    /// # Errors
    /// If the rows have other sizes than the rows of the fit.
    pub fn scores_of_each<R: ?Sized>(&self, rows: &R) -> Result<Vec<Vec<f64>>, DetectorError>
    where
        D: Score<R>,
    {
        self.members.iter().map(|member| member.detector.score(rows)).collect()
    }

    /// The combined score of each row, from each detector's own scores as [`Self::scores_of_each`] gives them.
    ///
    /// # Panics
    /// If there are not as many scores as detectors.
    pub fn combine(&self, scores: &[Vec<f64>]) -> Vec<f64> {
        assert_eq!(scores.len(), self.members.len(), "scores of each detector");
        let rows = scores.first().map_or(0, Vec::len);
        let mut logs = vec![0.0; self.members.len()];
        let mut combined = Vec::with_capacity(rows);
        for row in 0..rows {
            for ((log, member), own) in logs.iter_mut().zip(&self.members).zip(scores) {
                *log = member.tail.log_fraction(own[row]);
            }
            combined.push(-self.rule.of_logs(&logs));
        }
        combined
    }
}

impl<D: CheckStored> CheckStored for Panel<D> {
    fn check(&self) -> Result<(), DetectorError> {
        check_count(self.members.len())?;
        for member in &self.members {
            member.detector.check()?;
            member.tail.check()?;
        }
        Ok(())
    }
}

fn check_count(found: usize) -> Result<(), DetectorError> {
    if found == 0 {
        return Err(DetectorError::Empty);
    }
    DetectorError::at_most("detectors of a panel", found, MAX_MEMBERS)
}

impl<D: Score<R>, R: ?Sized> Score<R> for Panel<D> {
    /// Minus the logarithm of the combined fraction of normal rows that are as strange.
    fn score(&self, rows: &R) -> Result<Vec<f64>, DetectorError> {
        Ok(self.combine(&self.scores_of_each(rows)?))
    }
}

/// A panel with its calibration, which turns rows into p-values and flags.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibrated<D> {
    panel: Panel<D>,
    calibration: Calibration,
    reference: Vec<f64>,
}

/// A row's p-value and whether it is flagged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The combined score.
    pub score: f64,
    /// The p-value.
    pub p_value: f64,
    /// Whether the p-value is the level or less.
    pub flagged: bool,
}

impl<D> Calibrated<D> {
    /// Calibrates `panel` on normal `rows` on which neither models nor detectors were fitted, and which did not give the
    /// panel its scale; predicted classes are calibrated apart where `classes` are given. `scale_rows` gave the panel its
    /// scale; their scores are kept for the [`super::drift`] monitor.
    ///
    /// # Errors
    /// If there are no rows, or `classes` are more or fewer than `rows`.
    pub fn new<R: ?Sized>(
        panel: Panel<D>,
        scale_rows: &R,
        rows: &R,
        classes: Option<&[u32]>,
    ) -> Result<Self, DetectorError>
    where
        D: Score<R>,
    {
        let scores = panel.score(rows)?;
        let calibration = match classes {
            Some(classes) => Calibration::per_class(scores, classes)?,
            None => Calibration::new(scores)?,
        };
        let reference = panel.score(scale_rows)?;
        Ok(Self { panel, calibration, reference })
    }

    /// The panel.
    pub fn panel(&self) -> &Panel<D> {
        &self.panel
    }

    /// The calibration.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// The combined scores of the normal rows that gave the panel its scale.
    pub fn reference(&self) -> &[f64] {
        &self.reference
    }

    /// How rare a combined score is among the normal rows that gave the panel its scale.
    ///
    /// # Errors
    /// If they are too few.
    pub fn tail(&self) -> Result<Tail, DetectorError> {
        Tail::new(self.reference.clone())
    }

    /// The fraction of normal rows that are as strange as each of `rows`, above 0 and at most 1: unlike a p-value it falls on
    /// beyond the strangest of them, by the exponential `tail` that [`Self::tail`] gives, and promises nothing by itself.
    ///
    /// # Errors
    /// If the rows have other sizes than the rows of the fit.
    pub fn fractions<R: ?Sized>(&self, tail: &Tail, rows: &R) -> Result<Vec<f64>, DetectorError>
    where
        D: Score<R>,
    {
        let mut fractions = Vec::new();
        for score in self.panel.score(rows)? {
            fractions.push(tail.log_fraction(score).exp().max(f64::MIN_POSITIVE));
        }
        Ok(fractions)
    }

    /// Checks that rows like `probe` can be judged at `level`.
    ///
    /// # Errors
    /// If a detector was fitted on rows of other sizes, or the calibration cannot tell the level.
    pub fn check_use<R: ?Sized>(&self, probe: &R, level: f64) -> Result<(), DetectorError>
    where
        D: Score<R>,
    {
        self.panel.scores_of_each(probe)?;
        self.calibration.check_level(level)
    }

    /// Judges `rows` at `level`; `classes` are their predicted classes, which a calibration by class needs. `ties_seed`
    /// breaks ties at random, with one draw per row in order; without it all equal scores count.
    ///
    /// # Errors
    /// If the rows have other sizes than the rows of the fit, or the calibration cannot tell the level.
    pub fn judge<R: ?Sized>(
        &self,
        rows: &R,
        classes: Option<&[u32]>,
        level: f64,
        ties_seed: Option<u64>,
    ) -> Result<Vec<Verdict>, DetectorError>
    where
        D: Score<R>,
    {
        self.calibration.check_level(level)?;
        let scores = self.panel.score(rows)?;
        if let Some(classes) = classes {
            DetectorError::same_rows("classes", scores.len(), classes.len())?;
        }
        let mut rng = ties_seed.map(|seed| stream(seed, "ties", &[]));
        let mut verdicts = Vec::with_capacity(scores.len());
        for (row, score) in scores.into_iter().enumerate() {
            let mut ties = rng.as_mut().map_or(Ties::Count, Ties::Random);
            let class = classes.map_or(0, |classes| classes[row]);
            let p_value = self.calibration.p_value(score, class, &mut ties);
            verdicts.push(Verdict { score, p_value, flagged: p_value <= level });
        }
        Ok(verdicts)
    }
}

impl<D: CheckStored> CheckStored for Calibrated<D> {
    fn check(&self) -> Result<(), DetectorError> {
        self.panel.check()?;
        self.calibration.check()?;
        check_scores(&self.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores a row by one of its values.
    struct Column(usize);

    impl Score<[[f64; 2]]> for Column {
        fn score(&self, rows: &[[f64; 2]]) -> Result<Vec<f64>, DetectorError> {
            Ok(rows.iter().map(|row| row[self.0]).collect())
        }
    }

    fn normal(rows: usize) -> Vec<[f64; 2]> {
        (0..rows).map(|row| [row as f64 / rows as f64, (row * 7 % rows) as f64]).collect()
    }

    #[test]
    fn one_sure_detector_is_enough_whatever_its_scale() {
        let panel =
            Panel::new(vec![Column(0), Column(1)], Combination::Bonferroni, &normal(100)[..]).unwrap();
        let calibrated = Calibrated::new(panel, &normal(100)[..], &normal(200)[..], None).unwrap();
        let rows = [[2.0, 0.0], [0.0, 500.0], [0.5, 50.0]];
        let verdicts = calibrated.judge(&rows[..], None, 0.05, None).unwrap();
        let flags: Vec<bool> = verdicts.iter().map(|verdict| verdict.flagged).collect();
        assert_eq!(flags, [true, true, false]);
        let error = calibrated.judge(&rows[..], None, 0.001, None).unwrap_err();
        assert!(matches!(error, DetectorError::Level { needed: 999, found: 200, .. }));
        let error = calibrated.judge(&rows[..], Some(&[0]), 0.05, None).unwrap_err();
        assert!(matches!(error, DetectorError::Rows { .. }));
    }

    #[test]
    fn no_detector_is_an_error() {
        let empty = Panel::<Column>::new(vec![], Combination::Bonferroni, &normal(100)[..]);
        assert!(matches!(empty.err(), Some(DetectorError::Empty)));
    }
}
