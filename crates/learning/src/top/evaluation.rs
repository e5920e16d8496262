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
        self.metric(task).map_or_else(|| "undefined".to_string(), figure)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_and_undefined_metrics_are_decided_by_the_loss() {
        let of = |auc, loss| Evaluation { rows: 9, loss, auc, accuracy: None, r2: None };
        let better = |own: Evaluation, other: Evaluation| own.is_better(&other, Task::Binary);
        assert!(better(of(Some(0.7), 2.0), of(Some(0.6), 1.0)), "the metric goes first");
        assert!(better(of(Some(0.7), 1.0), of(Some(0.7), 2.0)));
        assert!(!better(of(Some(0.7), 1.0), of(Some(0.7), 1.0)), "an equal one stays");
        assert!(better(of(None, 1.0), of(None, 2.0)) && !better(of(None, 2.0), of(None, 1.0)));
        assert_eq!((of(None, 1.0).metric_text(Task::Binary).as_str()), "undefined");
        let poor = Evaluation { r2: Some(-9.5308e31), ..of(None, 1.0) };
        assert_eq!(poor.metric_text(Task::Regression), "-9.5308e31");
    }
}
