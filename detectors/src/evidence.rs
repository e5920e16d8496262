//! Evidence of several sources about one row, as one p-value: the coordinator's detectors, and those of parties, which
//! send a few bits of what they make of a row.
//!
//! Each source says, on a scale of its own, how rare a row is. The combined score is calibrated as a whole, on rows of
//! which all sources have said so: a level is then reached exactly, and no source has to reach a part of it by itself.
//! Combined without that, K sources of n rows each could flag nothing below K / (n + 1).

use hashvfl_core::PackedCodes;
use hashvfl_core::p_value::Grid;
use serde::{Deserialize, Serialize};

use crate::combine::Combination;
use crate::conformal::Calibration;
use crate::error::DetectorError;
use crate::tail::check_scores;

/// What all sources said of the calibration rows, row by row.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Of the coordinator's own detectors, the logarithm of the share of normal rows that are as strange.
    own: Vec<f64>,
    /// Predicted classes, where rows are calibrated by class.
    classes: Option<Vec<u32>>,
    /// Of each party in the run's order; absent where it sent nothing.
    parties: Vec<Option<Said>>,
}

/// What one party said of the calibration rows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Said {
    bits: u32,
    step: u32,
    p_values: Vec<f64>,
}

impl Evidence {
    /// Keeps what was said of the calibration rows: the coordinator's `own` logarithms of shares, predicted `classes` where rows are
    /// calibrated by class, and of each party its p-values.
    ///
    /// # Errors
    /// If they are of other numbers of rows, or scores are not finite.
    pub fn new(
        own: Vec<f64>,
        classes: Option<Vec<u32>>,
        parties: &[Option<(Grid, PackedCodes)>],
    ) -> Result<Self, DetectorError> {
        let said = |(grid, packed): &(Grid, PackedCodes)| Said {
            bits: grid.bits() as u32,
            step: grid.step(),
            p_values: grid.p_values(&packed.to_signs()),
        };
        let evidence =
            Self { own, classes, parties: parties.iter().map(|one| one.as_ref().map(said)).collect() };
        evidence.check()?;
        Ok(evidence)
    }

    /// Whether any party said something.
    pub fn is_shared(&self) -> bool {
        self.parties.iter().any(Option::is_some)
    }

    /// Whether what `party` says by `grid` can be compared with what it said of the calibration rows.
    pub fn compares(&self, party: usize, grid: Grid) -> bool {
        let said = self.parties.get(party).and_then(Option::as_ref);
        said.is_some_and(|said| (said.bits, said.step) == (grid.bits() as u32, grid.step()))
    }

    /// The calibration of the coordinator's shares combined by `rule` with what `parties` said.
    ///
    /// # Errors
    /// If there are no rows.
    pub fn calibration(&self, rule: Combination, parties: &[usize]) -> Result<Calibration, DetectorError> {
        let said: Vec<&[f64]> = parties
            .iter()
            .filter_map(|party| Some(self.parties[*party].as_ref()?.p_values.as_slice()))
            .collect();
        let scores = combined(rule, &self.own, &said);
        match &self.classes {
            Some(classes) => Calibration::per_class(scores, classes),
            None => Calibration::new(scores),
        }
    }

    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        check_scores(&self.own)?;
        let rows = self.own.len();
        let fits = self.classes.as_ref().is_none_or(|classes| classes.len() == rows)
            && self.parties.iter().flatten().all(|said| {
                let share = |p: &f64| *p > 0.0 && *p <= 1.0;
                Grid::new(said.bits, said.step).is_ok()
                    && said.p_values.len() == rows
                    && said.p_values.iter().all(share)
            });
        DetectorError::stored(fits && rows > 0, "evidence of several sources")
    }
}

/// The combined score of each row, of the coordinator's `own` logarithm of a share and the p-values of each party of `said`;
/// higher is stranger.
pub fn combined(rule: Combination, own: &[f64], said: &[&[f64]]) -> Vec<f64> {
    let mut logs = vec![0.0; 1 + said.len()];
    let score = |(row, own): (usize, &f64)| {
        logs[0] = *own;
        logs[1..].iter_mut().zip(said).for_each(|(log, said)| *log = said[row].ln());
        -rule.of_logs(&logs)
    };
    own.iter().enumerate().map(score).collect()
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;
    use rand::Rng;
    use rand::rngs::ChaCha8Rng;

    use super::*;
    use crate::conformal::Ties;

    const ROWS: usize = 290;

    fn share(rng: &mut ChaCha8Rng) -> f64 {
        (f64::from(rng.next_u32()) + 0.5) / 2_f64.powi(32)
    }

    /// Shares of normal rows from the coordinator and two parties, one of which sends a flag.
    fn normal(rows: usize, seed: u64) -> (Vec<f64>, [Vec<f64>; 2]) {
        let mut rng = stream(seed, "evidence", &[]);
        let mut shares = || (0..rows).map(|_| share(&mut rng)).collect::<Vec<f64>>();
        let own = shares().iter().map(|share| share.ln()).collect();
        (own, [shares(), shares()])
    }

    const GRIDS: [fn() -> Grid; 2] = [|| Grid::FINE, || Grid::flag(0.01).unwrap()];

    fn evidence(seed: u64) -> Evidence {
        let (own, parties) = normal(ROWS, seed);
        let pack = |(shares, grid): (&Vec<f64>, fn() -> Grid)| Some((grid(), grid().pack(shares).unwrap()));
        let parties: Vec<_> = parties.iter().zip(GRIDS).map(pack).collect();
        Evidence::new(own, None, &parties).unwrap()
    }

    /// p-values of rows with these logarithms and shares.
    fn p_values(evidence: &Evidence, rule: Combination, own: &[f64], shares: &[Vec<f64>; 2]) -> Vec<f64> {
        let round = |(shares, grid): (&Vec<f64>, fn() -> Grid)| {
            grid().p_values(&grid().pack(shares).unwrap().to_signs())
        };
        let said: Vec<Vec<f64>> = shares.iter().zip(GRIDS).map(round).collect();
        let calibration = evidence.calibration(rule, &[0, 1]).unwrap();
        let scores = combined(rule, own, &said.iter().map(Vec::as_slice).collect::<Vec<_>>());
        scores.into_iter().map(|score| calibration.p_value(score, 0, &mut Ties::Count)).collect()
    }

    #[test]
    fn one_source_that_is_sure_is_enough_though_few_rows_calibrate() {
        for rule in [Combination::Bonferroni, Combination::GeometricMean] {
            for source in 0..2 {
                let mut said = [vec![0.5], vec![0.5]];
                let mut own = 0.5_f64.ln();
                if source == 0 {
                    own = -20.0
                } else {
                    said[0][0] = 1e-9
                }
                let p_value = p_values(&evidence(1), rule, &[own], &said)[0];
                assert!(p_value <= 0.01, "{rule:?}, source {source}: {p_value}");
            }
        }
        // Three p-values of 290 rows each, combined without a calibration of their own, say nothing below 3 / 291.
        assert!(Combination::Bonferroni.of(&[1.0 / 291.0, 1.0, 1.0]) > 0.01);
    }

    #[test]
    fn normal_rows_are_flagged_no_more_than_the_level_whatever_the_rule() {
        for rule in [Combination::Bonferroni, Combination::TwiceMean, Combination::GeometricMean] {
            let flagged: usize = (0..40)
                .map(|seed| {
                    let (own, said) = normal(500, 1000 + seed);
                    let p_values = p_values(&evidence(seed), rule, &own, &said);
                    p_values.iter().filter(|p| **p <= 0.05).count()
                })
                .sum();
            // 1,000 of 20,000 on average at most; the calibration rows' own spread is some 50.
            assert!(flagged < 1150, "{rule:?}: {flagged}");
        }
    }

    #[test]
    fn only_what_was_calibrated_is_compared_and_damage_is_an_error() {
        let evidence = evidence(1);
        assert!(evidence.compares(0, Grid::FINE) && !evidence.compares(1, Grid::FINE));
        assert!(!evidence.compares(2, Grid::FINE), "there is no third party");
        let other = Grid::FINE.pack(&[0.5; 3]).unwrap();
        assert!(Evidence::new(vec![-1.0; 4], None, &[Some((Grid::FINE, other))]).is_err());
        let json = serde_json::to_value(&evidence).unwrap();
        assert!(serde_json::from_value::<Evidence>(json.clone()).unwrap().check().is_ok());
        let damages: [(&str, serde_json::Value); 3] =
            [("bits", 9.into()), ("step", 0.into()), ("p_values", vec![0.0; ROWS].into())];
        for (part, damage) in damages {
            let mut damaged = json.clone();
            damaged["parties"][0][part] = damage;
            assert!(serde_json::from_value::<Evidence>(damaged).unwrap().check().is_err(), "{part}");
        }
    }

    #[test]
    fn rows_are_calibrated_by_class_where_classes_are_kept() {
        let classes: Vec<u32> = (0..ROWS as u32).map(|row| row % 2).collect();
        let (own, said) = normal(ROWS, 3);
        let said = said.map(|shares| Some((Grid::FINE, Grid::FINE.pack(&shares).unwrap())));
        let evidence = Evidence::new(own, Some(classes), &said).unwrap();
        let calibration = evidence.calibration(Combination::default(), &[0, 1]).unwrap();
        assert_eq!(calibration.p_value(1e9, 1, &mut Ties::Count), 1.0 / 146.0);
    }
}
