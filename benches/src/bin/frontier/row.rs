//! Figures of a form over its seeds.

use hashvfl_attack::frontier::{Exposure, MeasuredForm, SkillGain};
use hashvfl_attack::report::{Estimate, UtilityPoint, on_frontier};
use hashvfl_benches::students_t::{differences, half_width, mean};
use serde::Serialize;

use crate::form::Words;

/// Everything that was measured, as frontier.json has it.
#[derive(Debug, Serialize)]
pub struct Frontier {
    /// The data set.
    pub data: String,
    /// The name of the task's metric, which is that of test records.
    pub metric: String,
    /// The party that is attacked.
    pub victim: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Epochs of a training.
    pub epochs: u32,
    /// Whether regressions were those in closed form alone.
    pub quick: bool,
    /// The forms.
    pub rows: Vec<Row>,
}

/// One form.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The form.
    pub form: String,
    /// By which forms are told apart in the picture.
    pub family: String,
    /// The same in a few letters.
    pub short: String,
    /// Mean of the task's metric.
    pub metric: f64,
    /// Half the width of the 95 % interval of its difference to the first form, in pairs (Student); of several seeds alone.
    pub metric_half_width: Option<f64>,
    /// One code of a test record, to who knows nothing else.
    pub one_code: SkillGain,
    /// Everything that left of a training record; of an encode-once run, of one outside the cohort.
    pub everything: SkillGain,
    /// One code of a test record, to who has labels and own columns as well.
    pub one_code_strongest: SkillGain,
    /// The same of everything that left of a training record.
    pub everything_strongest: SkillGain,
    /// Of the most exposed column, from everything that left of a training record.
    pub most_exposed: Option<Estimate>,
    /// Re-identification.
    pub reidentified: Estimate,
    /// Each seed's run.
    pub runs: Vec<MeasuredForm>,
}

/// A figure over seeds: of one seed with its interval over records, of several the mean with Student's.
pub fn over_seeds(figures: Vec<Estimate>) -> Estimate {
    let values: Vec<f64> = figures.iter().map(|figure| figure.value).collect();
    match half_width(&values) {
        None => figures[0],
        Some(half) => {
            Estimate { value: mean(&values), low: mean(&values) - half, high: mean(&values) + half }
        }
    }
}

impl Row {
    /// The figures of the `runs` of a form, one a seed; `first` has the metric of the first form's.
    pub fn of(words: &Words, runs: Vec<MeasuredForm>, first: &[f64]) -> Self {
        let metrics: Vec<f64> = runs.iter().map(|run| run.metric).collect();
        let reached = |of: fn(&MeasuredForm) -> &SkillGain| {
            let each = |figure: fn(&SkillGain) -> Estimate| {
                over_seeds(runs.iter().map(|run| figure(of(run))).collect())
            };
            SkillGain { with: each(|r| r.with), without: each(|r| r.without), added: each(|r| r.added) }
        };
        let exposed: Option<Vec<Estimate>> =
            runs.iter().map(|run| Some(run.of_training().most_exposed.as_ref()?.explained)).collect();
        Self {
            form: runs[0].form.clone(),
            family: words.family().to_string(),
            short: words.short(),
            metric: mean(&metrics),
            metric_half_width: half_width(&differences(&metrics, first)),
            one_code: reached(|run| &run.exposures[0].stranger),
            everything: reached(|run| &run.of_training().stranger),
            one_code_strongest: reached(|run| &run.exposures[0].strongest),
            everything_strongest: reached(|run| &run.of_training().strongest),
            most_exposed: exposed.map(over_seeds),
            reidentified: over_seeds(runs.iter().map(|run| run.reidentified).collect()),
            runs,
        }
    }

    /// Other records of its runs that were attacked: of an encode-once run the cohort's, else validation records.
    pub fn other_exposures(&self) -> impl Iterator<Item = &Exposure> {
        self.runs[0].exposures.iter().skip(2)
    }

    /// As a point of a picture: what `reached` says of it.
    pub fn point(&self, reached: fn(&Self) -> &SkillGain) -> UtilityPoint {
        UtilityPoint {
            defence: self.family.clone(),
            setting: self.short.clone(),
            utility: self.metric,
            utility_interval: self.metric_half_width.map(|half| [self.metric - half, self.metric + half]),
            leakage: reached(self).with,
            baseline: reached(self).without,
            strongest: String::new(),
            dcs: None,
        }
    }
}

impl Frontier {
    /// Which rows no other row beats in the metric and what `reached` says.
    pub fn best(&self, reached: fn(&Row) -> &SkillGain) -> Vec<bool> {
        let points: Vec<UtilityPoint> = self.rows.iter().map(|row| row.point(reached)).collect();
        on_frontier(&points)
    }

    /// The checks on adversaries that did not hold.
    pub fn failed_checks(&self) -> Vec<String> {
        let runs = self.rows.iter().flat_map(|row| &row.runs);
        let failed = runs.filter(|run| !run.check.held);
        failed.map(|run| format!("{}: {}: {}", run.form, run.check.name, run.check.detail)).collect()
    }
}
