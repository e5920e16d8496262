//! Figures over seeds, with intervals.

use hashvfl_benches::students_t::{differences, half_width, mean};
use hashvfl_core::Task;
use hashvfl_files::say;
use hashvfl_learning::top::evaluation::Evaluation;

use crate::trial::{Measured, Model};

/// The figures of a table, by the task's metric and, of several classes, by the macro AUC.
pub struct Figures {
    task: Task,
    validation_only: bool,
    metrics: Vec<OfMetric>,
    /// Runs under gradient monitors, and those of them with an alarm.
    monitored: usize,
    alarms: usize,
}

impl Figures {
    /// None yet.
    pub fn new(task: Task, validation_only: bool) -> Self {
        let mut metrics = vec![OfMetric { name: Evaluation::metric_name(task), found: Vec::new() }];
        if task == Task::Multiclass {
            metrics.push(OfMetric { name: "macro AUC", found: Vec::new() });
        }
        Self { task, validation_only, metrics, monitored: 0, alarms: 0 }
    }

    /// Adds the next seed's figures of `model`; one that is undefined is NaN, and so is all that follows from it.
    pub fn add(&mut self, model: Model, measured: Measured) {
        let evaluation = if self.validation_only { measured.validation } else { measured.test };
        self.monitored += usize::from(model == Model::Codes);
        self.alarms += usize::from(measured.alarms > 0);
        let figures =
            [evaluation.and_then(|found| found.metric(self.task)), evaluation.and_then(|found| found.area())];
        for (metric, figure) in self.metrics.iter_mut().zip(figures) {
            metric.add(model, figure.unwrap_or(f64::NAN));
        }
    }

    /// The last seed's figures.
    pub fn last(&self) -> String {
        let metrics = self.metrics.iter().map(|metric| format!("{}: {}", metric.name, metric.last()));
        metrics.collect::<Vec<_>>().join("; ")
    }

    /// Prints means over seeds, and differences of codes to floats and to the better party alone.
    pub fn tell(&self) {
        let records = if self.validation_only { "validation" } else { "test" };
        for metric in &self.metrics {
            say!("  {} on {records} records, mean over seeds (95 % interval)", metric.name);
            metric.tell();
        }
        if self.monitored > 0 {
            let (alarms, monitored) = (self.alarms, self.monitored);
            say!("  runs in which a party's gradient monitor raised a false alarm: {alarms} of {monitored}");
        }
    }
}

/// The figures of one metric.
struct OfMetric {
    name: &'static str,
    /// A list a model; seeds in order.
    found: Vec<(Model, Vec<f64>)>,
}

impl OfMetric {
    fn add(&mut self, model: Model, figure: f64) {
        match self.found.iter_mut().find(|(known, _)| *known == model) {
            Some((_, figures)) => figures.push(figure),
            None => self.found.push((model, vec![figure])),
        }
    }

    fn last(&self) -> String {
        let figures = self.found.iter().filter_map(|(model, figures)| Some((model, figures.last()?)));
        figures.map(|(model, figure)| format!("{model:?} {figure:.4}")).collect::<Vec<_>>().join(", ")
    }

    fn tell(&self) {
        for (model, figures) in &self.found {
            say!("    {model:?}: {}", interval(figures));
        }
        let Some(codes) = self.of(Model::Codes) else { return };
        if let Some(floats) = self.of(Model::Floats) {
            say!("    codes - floats: {}", interval(&differences(codes, floats)));
        }
        let alone = [Model::FirstAlone, Model::SecondAlone].into_iter().filter_map(|model| self.of(model));
        if let Some(best) = alone.max_by(|a, b| mean(a).total_cmp(&mean(b))) {
            say!("    codes - the better party alone: {}", interval(&differences(codes, best)));
        }
    }

    fn of(&self, model: Model) -> Option<&[f64]> {
        self.found.iter().find(|(known, _)| *known == model).map(|(_, figures)| figures.as_slice())
    }
}

/// The mean, and the half width of its interval where there are several figures.
fn interval(figures: &[f64]) -> String {
    let mean = mean(figures);
    let Some(half) = half_width(figures) else { return format!("{mean:+.4}") };
    format!("{mean:+.4} +- {half:.4} ({} degrees of freedom)", figures.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_classes_have_a_macro_auc_beside_the_accuracy() {
        let (accuracy, macro_auc) = (Some(0.5), Some(0.75));
        let test = Evaluation { rows: 9, loss: 1.0, auc: None, macro_auc, accuracy, r2: None };
        let said = |task, test| {
            let mut figures = Figures::new(task, false);
            figures.add(Model::Codes, Measured { validation: None, test: Some(test), alarms: 0 });
            figures.last()
        };
        assert_eq!(said(Task::Multiclass, test), "accuracy: Codes 0.5000; macro AUC: Codes 0.7500");
        let undefined = Evaluation { macro_auc: None, ..test };
        assert_eq!(said(Task::Multiclass, undefined), "accuracy: Codes 0.5000; macro AUC: Codes NaN");
        let binary = Evaluation { auc: Some(0.25), macro_auc: None, ..test };
        assert_eq!(said(Task::Binary, binary), "AUC: Codes 0.2500");
    }

    #[test]
    fn an_interval_is_student_s() {
        assert_eq!(interval(&[1.0, 2.0, 3.0]), "+2.0000 +- 2.4843 (2 degrees of freedom)");
        assert_eq!(interval(&[0.5]), "+0.5000");
    }
}
