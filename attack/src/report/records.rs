//! How well each record is guessed: an average hides the few that are given away.

use super::model::{AttackResult, Chart, Curve, Estimate, Report};
use super::relate::strongest;
use super::{Metric, Quantity, Victim};

/// Fractions of records at which the distribution is drawn.
const DRAWN: [f64; 13] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];
/// Fractions of records of which a sentence speaks.
const TOLD: [f64; 3] = [0.01, 0.05, 0.5];

/// The errors of one attack and those of the same adversary without codes, on the same records: in fractions of the error that
/// guessing the mean makes on an average record.
pub(super) struct Distribution<'a> {
    best: &'a AttackResult,
    with: Vec<f64>,
    bare: Vec<f64>,
}

impl<'a> Distribution<'a> {
    /// Of the strongest attack on all that the run sent of a record, or else on one code; nothing where no attack has errors.
    pub(super) fn new(report: &'a Report) -> Option<Self> {
        let on_columns = |result: &&AttackResult| {
            report.is_honest(result) && matches!(result.victim, Victim::Columns { .. })
        };
        let honest = || report.results.iter().filter(on_columns);
        let of_all = strongest(honest().filter(|result| result.releases > 1));
        [of_all, strongest(honest().filter(|result| result.releases == 1))]
            .into_iter()
            .flatten()
            .find_map(|best| Self::of(report, best))
    }

    fn of(report: &'a Report, best: &'a AttackResult) -> Option<Self> {
        let bare = report.baseline_of(best)?;
        let fits = !best.errors.is_empty() && best.errors.len() == bare.errors.len();
        let skill = best.metrics.get(&Metric::Skill)?.value;
        let errors = |result: &AttackResult| result.errors.iter().map(|error| f64::from(*error)).collect();
        let (with, bare): (Vec<f64>, Vec<f64>) = (errors(best), errors(bare));
        // Skill is what is missing of the mean's error.
        let mean = with.iter().sum::<f64>() / with.len() as f64 / (1.0 - skill);
        if !fits || !mean.is_finite() || mean <= 0.0 {
            return None;
        }
        let scaled = |errors: Vec<f64>| errors.into_iter().map(|error| error / mean).collect();
        Some(Self { best, with: scaled(with), bare: scaled(bare) })
    }

    /// In words.
    pub(super) fn sentences(&self) -> Vec<String> {
        let (with, bare) = (sorted(&self.with), sorted(&self.bare));
        let mut told: Vec<String> = TOLD
            .into_iter()
            .map(|fraction| {
                format!(
                    "On the {} % of records that are guessed best the error is at most {} %; without codes {} %.",
                    Metric::Skill.number(fraction).trim_end_matches(".0"),
                    Metric::Skill.number(quantile(&with, fraction)),
                    Metric::Skill.number(quantile(&bare, fraction)),
                )
            })
            .collect();
        let halved = self.with.iter().zip(&self.bare).filter(|(with, bare)| **with < **bare / 2.0).count();
        told.push(format!(
            "On {} % of the records, codes remove more than half of the error that remains without codes.",
            Metric::Skill.number(halved as f64 / self.with.len() as f64)
        ));
        told
    }

    /// As a picture.
    pub(super) fn chart(&self) -> Chart {
        Chart {
            title: format!("How well each record is guessed: {}", self.best.victim),
            x: "error left, % of the average error of guessing the mean".into(),
            log_x: false,
            y: Quantity::from("records guessed at least this well, %"),
            curves: vec![
                curve(format!("{}, {}", self.best.attack, self.best.knowing()), &self.with),
                curve("the same without codes".into(), &self.bare),
            ],
        }
    }
}

/// How many records have which error at most.
fn curve(name: String, errors: &[f64]) -> Curve {
    let errors = sorted(errors);
    let mut points = Vec::with_capacity(DRAWN.len());
    for fraction in DRAWN {
        let value = 100.0 * fraction;
        points.push((100.0 * quantile(&errors, fraction), Estimate { value, low: value, high: value }));
    }
    Curve { name, points }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The error that a `fraction` of the records has at most.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let count = (fraction * sorted.len() as f64).ceil() as usize;
    sorted[count.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackId;
    use crate::report::CutKind;
    use crate::report::sample::{result, sample};

    #[test]
    fn a_few_that_are_given_away_show() {
        let mut report = sample();
        let mut bare = result(AttackId::NoCode, &[], 0, CutKind::Codes, 0.0);
        bare.errors = vec![1.0; 100];
        let mut found = result(AttackId::ConditionalMean, &[], 1, CutKind::Codes, 0.05);
        found.errors = (0..100).map(|record| if record < 5 { 0.0 } else { 1.0 }).collect();
        report.results = vec![bare, found];
        let told = Distribution::new(&report).unwrap().sentences();
        assert!(
            told[1].starts_with("On the 5 % of records that are guessed best the error is at most 0.0 %")
        );
        assert!(told[1].ends_with("without codes 100.0 %."), "{}", told[1]);
        assert!(told[2].contains("at most 100.0 %"), "{}", told[2]);
        assert!(told[3].starts_with("On 5.0 % of the records,"), "{}", told[3]);
        assert_eq!(Distribution::new(&report).unwrap().chart().curves[0].points[2].0, 0.0);
        report.results[1].errors.pop();
        assert!(Distribution::new(&report).is_none(), "errors of other records are not compared");
    }
}
