//! What was measured on some records, and how runs are compared by it.

use hashvfl_core::settings::Task;
use hashvfl_core::text::figure;
use serde::{Deserialize, Serialize};

/// What was measured on some records.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of records.
    pub rows: usize,
    /// Mean loss, without the consistency term.
    pub loss: f64,
    /// Area under the ROC curve, for a binary task; undefined on records of one class.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auc: Option<f64>,
    /// The mean of each class's area against all others ([`crate::metrics::macro_auc`]), for more than two classes; undefined on
    /// records that lack a class.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub macro_auc: Option<f64>,
    /// Share of right classes, for a task with classes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accuracy: Option<f64>,
    /// Coefficient of determination, for a regression; undefined on records of one value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub r2: Option<f64>,
}

impl Evaluation {
    /// The figure by which runs of `task` are compared; higher is better. `None` where these records leave it undefined.
    pub fn metric(&self, task: Task) -> Option<f64> {
        match task {
            Task::Binary => self.auc,
            Task::Multiclass => self.accuracy,
            Task::Regression => self.r2,
        }
    }

    /// The same as text: "0.7788", or "undefined".
    pub fn metric_text(&self, task: Task) -> String {
        figure_or_undefined(self.metric(task))
    }

    /// The macro AUC as text, in the same way.
    pub fn area_text(&self) -> String {
        figure_or_undefined(self.area())
    }

    /// The metric of `task` by name, and of several classes the macro AUC beside it: "accuracy 0.8100, macro AUC 0.9520".
    pub fn describe(&self, task: Task) -> String {
        let metric = format!("{} {}", Self::metric_name(task), self.metric_text(task));
        match task {
            Task::Multiclass => format!("{metric}, macro AUC {}", self.area_text()),
            Task::Binary | Task::Regression => metric,
        }
    }

    /// The name of the figure of `task` that these records leave undefined, if there is one.
    pub fn undefined(&self, task: Task) -> Option<&'static str> {
        let (name, figure) = match task {
            Task::Binary => ("AUC", self.auc),
            Task::Multiclass => ("macro AUC", self.area()),
            Task::Regression => ("R2", self.r2),
        };
        figure.is_none().then_some(name)
    }

    /// The macro AUC, which of two classes is their AUC.
    pub fn area(&self) -> Option<f64> {
        self.macro_auc.or(self.auc)
    }

    /// Whether a model with this evaluation is better than one with the `other` on the same records: by the metric of
    /// `task`, and by the loss where the metric is equal or undefined.
    pub fn is_better(&self, other: &Self, task: Task) -> bool {
        match (self.metric(task), other.metric(task)) {
            (Some(own), Some(others)) if own != others => own > others,
            _ => self.loss < other.loss,
        }
    }

    /// The name of that figure.
    pub fn metric_name(task: Task) -> &'static str {
        match task {
            Task::Binary => "AUC",
            Task::Multiclass => "accuracy",
            Task::Regression => "R2",
        }
    }
}

fn figure_or_undefined(value: Option<f64>) -> String {
    value.map_or_else(|| "undefined".to_string(), figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_and_undefined_metrics_are_decided_by_the_loss() {
        let of = |auc, loss| Evaluation { rows: 9, loss, auc, macro_auc: None, accuracy: None, r2: None };
        let better = |own: Evaluation, other: Evaluation| own.is_better(&other, Task::Binary);
        assert!(better(of(Some(0.7), 2.0), of(Some(0.6), 1.0)), "the metric goes first");
        assert!(better(of(Some(0.7), 1.0), of(Some(0.7), 2.0)));
        assert!(!better(of(Some(0.7), 1.0), of(Some(0.7), 1.0)), "an equal one stays");
        assert!(better(of(None, 1.0), of(None, 2.0)) && !better(of(None, 2.0), of(None, 1.0)));
        assert_eq!((of(None, 1.0).metric_text(Task::Binary).as_str()), "undefined");
        let poor = Evaluation { r2: Some(-9.5308e31), ..of(None, 1.0) };
        assert_eq!(poor.metric_text(Task::Regression), "-9.5308e31");
    }

    fn of_classes(accuracy: f64, macro_auc: Option<f64>) -> Evaluation {
        Evaluation { rows: 9, loss: 1.0, auc: None, macro_auc, accuracy: Some(accuracy), r2: None }
    }

    #[test]
    fn a_macro_auc_stands_beside_the_accuracy_and_chooses_nothing() {
        let (low, high) = (of_classes(0.75, Some(0.5)), of_classes(0.75, Some(0.875)));
        assert_eq!(high.describe(Task::Multiclass), "accuracy 0.7500, macro AUC 0.8750");
        assert!(!high.is_better(&low, Task::Multiclass) && !low.is_better(&high, Task::Multiclass));
        assert!(of_classes(0.8, None).is_better(&high, Task::Multiclass));
        assert_eq!(Evaluation { auc: Some(0.5), ..low }.describe(Task::Binary), "AUC 0.5000");
    }

    #[test]
    fn what_is_undefined_is_named_and_written_nowhere() {
        let lacking = of_classes(0.75, None);
        assert_eq!(lacking.describe(Task::Multiclass), "accuracy 0.7500, macro AUC undefined");
        assert_eq!(lacking.undefined(Task::Multiclass), Some("macro AUC"));
        assert_eq!(of_classes(0.75, Some(0.5)).undefined(Task::Multiclass), None);
        let two_classes = Evaluation { auc: Some(0.5), ..lacking };
        assert_eq!(two_classes.undefined(Task::Multiclass), None, "two classes have an AUC");
        assert_eq!(lacking.undefined(Task::Binary), Some("AUC"));
        assert_eq!(lacking.undefined(Task::Regression), Some("R2"));
        let text = serde_json::to_string(&lacking).unwrap();
        assert!(!text.contains("auc"), "{text}");
        assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), lacking);
    }
}
