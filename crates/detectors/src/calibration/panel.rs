//! Several detectors as one: their scores on a common scale, combined, calibrated, compared with a level.

use hashvfl_core::random::stream;
use serde::{Deserialize, Serialize};

use crate::Score;
use crate::calibration::combine::Combination;
use crate::calibration::conformal::{Calibration, Ties};
use crate::calibration::tail::Tail;
use crate::error::DetectorError;
use crate::limits::MAX_MEMBERS;

/// A fitted detector and how its scores lie on normal rows.
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
    /// Puts fitted `detectors` on a common scale, learned on normal `rows` that did not fit them.
    ///
    /// # Errors
    /// If there are no or too many detectors, or too few rows.
    pub fn new<R: ?Sized>(detectors: Vec<D>, rule: Combination, rows: &R) -> Result<Self, DetectorError>
    where
        D: Score<R>,
    {
        check_count(detectors.len())?;
        let member = |detector: D| Ok(Member { tail: Tail::new(detector.score(rows)?)?, detector });
        Ok(Self { members: detectors.into_iter().map(member).collect::<Result<_, _>>()?, rule })
    }

    /// The detectors.
    pub fn detectors(&self) -> impl Iterator<Item = &D> {
        self.members.iter().map(|member| &member.detector)
    }

    /// Each detector's own scores of `rows`.
    ///
    /// # Errors
    /// If the rows are of other lengths than those fitted on.
    pub fn scores_of_each<R: ?Sized>(&self, rows: &R) -> Result<Vec<Vec<f64>>, DetectorError>
    where
        D: Score<R>,
    {
        self.members.iter().map(|member| member.detector.score(rows)).collect()
    }

    /// The combined score of rows, from each detector's own scores as [`Self::scores_of_each`] gives them.
    ///
    /// # Panics
    /// If there are not as many scores as detectors.
    pub fn combine(&self, scores: &[Vec<f64>]) -> Vec<f64> {
        assert_eq!(scores.len(), self.members.len(), "scores of each detector");
        let rows = scores.first().map_or(0, Vec::len);
        let mut logs = vec![0.0; self.members.len()];
        (0..rows)
            .map(|row| {
                let members = self.members.iter().zip(scores);
                logs.iter_mut()
                    .zip(members)
                    .for_each(|(log, (member, own))| *log = member.tail.log_fraction(own[row]));
                -self.rule.of_logs(&logs)
            })
            .collect()
    }

    /// Refuses stored parts that do not fit together; `check` judges a detector.
    pub fn check(&self, check: impl Fn(&D) -> Result<(), DetectorError>) -> Result<(), DetectorError> {
        check_count(self.members.len())?;
        self.members.iter().try_for_each(|member| check(&member.detector).and_then(|()| member.tail.check()))
    }
}

fn check_count(found: usize) -> Result<(), DetectorError> {
    match found {
        0 => Err(DetectorError::Empty),
        1..=MAX_MEMBERS => Ok(()),
        _ => Err(DetectorError::Limit { what: "detectors of a panel", found, limit: MAX_MEMBERS }),
    }
}

impl<D: Score<R>, R: ?Sized> Score<R> for Panel<D> {
    /// Minus the logarithm of the combined share of normal rows that are as strange.
    fn score(&self, rows: &R) -> Result<Vec<f64>, DetectorError> {
        Ok(self.combine(&self.scores_of_each(rows)?))
    }
}

/// A panel with its calibration: rows to p-values and flags.
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
    /// Calibrates `panel` on normal `rows` that fitted neither the models nor a detector nor the panel's scale; by
    /// predicted class where `classes` are given.
    ///
    /// `reference` are the combined scores of the rows that gave the panel its scale, for [`crate::drift`].
    ///
    /// # Errors
    /// If the rows are none or do not fit together.
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

    /// Combined scores of the normal rows that gave the panel its scale.
    pub fn reference(&self) -> &[f64] {
        &self.reference
    }

    /// Judges `rows` at `level`; `classes` are their predicted classes, needed where calibration is by class.
    /// `ties_seed` breaks ties at random, drawn for each row from its place; without it equal scores all count.
    ///
    /// # Errors
    /// If the rows are of other lengths than those fitted on, or the calibration cannot tell the level.
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
        if let Some(found) = classes.map(<[u32]>::len).filter(|found| *found != scores.len()) {
            return Err(DetectorError::Rows { what: "classes", expected: scores.len(), found });
        }
        let mut rng = ties_seed.map(|seed| stream(seed, "ties", &[]));
        let verdict = |(row, score): (usize, f64)| {
            let mut ties = rng.as_mut().map_or(Ties::Count, Ties::Random);
            let class = classes.map_or(0, |classes| classes[row]);
            let p_value = self.calibration.p_value(score, class, &mut ties);
            Verdict { score, p_value, flagged: p_value <= level }
        };
        Ok(scores.into_iter().enumerate().map(verdict).collect())
    }

    /// Refuses stored parts that do not fit together; `check` judges a detector.
    pub fn check(&self, check: impl Fn(&D) -> Result<(), DetectorError>) -> Result<(), DetectorError> {
        self.panel.check(check)?;
        self.calibration.check()?;
        crate::calibration::tail::check_scores(&self.reference)
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
