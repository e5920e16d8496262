//! What was measured of a model on some records, and which of two models does better.

use std::cmp::Ordering;

use hashvfl_core::settings::Task;
use serde::{Deserialize, Serialize};

use crate::metrics::Undefined;

/// What was measured on some records, one at least.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of records.
    pub rows: usize,
    /// Mean loss, without the consistency term.
    pub loss: f64,
    /// Area under the ROC curve, for two classes; absent where it is undefined.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auc: Option<f64>,
    /// Share of right classes, for a task with classes; absent where it is undefined.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accuracy: Option<f64>,
    /// Coefficient of determination, for a regression; absent where it is undefined.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub r2: Option<f64>,
    /// Why a metric that the task has is absent; absent itself where none is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub undefined: Option<Undefined>,
}

impl Evaluation {
    /// The figure by which runs of `task` are compared, higher is better; `None` where it is undefined.
    pub fn metric(&self, task: Task) -> Option<f64> {
        match task {
            Task::Binary => self.auc,
            Task::Multiclass => self.accuracy,
            Task::Regression => self.r2,
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

    /// That figure for a person, or why there is none: `AUC 0.7854`, `AUC undefined (one class)`.
    pub fn describe(&self, task: Task) -> String {
        self.describe_one(Self::metric_name(task), self.metric(task))
    }

    /// All figures of `task` for a person.
    pub fn describe_all(&self, task: Task) -> String {
        match task {
            Task::Binary => {
                format!("{}, {}", self.describe(task), self.describe_one("accuracy", self.accuracy))
            }
            Task::Multiclass | Task::Regression => self.describe(task),
        }
    }

    fn describe_one(&self, name: &str, figure: Option<f64>) -> String {
        match (figure, self.undefined) {
            (Some(figure), _) => format!("{name} {figure:.4}"),
            (None, Some(why)) => format!("{name} undefined ({why})"),
            (None, None) => format!("{name} undefined"),
        }
    }

    /// Whether the model measured here does better than the one of `other` on the same records: by the metric of
    /// `task`; by the loss where that is equal or undefined. Of models that are equal in both neither is better. A loss
    /// that is no number is never better.
    pub fn is_better_than(&self, other: &Self, task: Task) -> bool {
        let by_metric = match (self.metric(task), other.metric(task)) {
            (Some(own), Some(other)) => own.total_cmp(&other),
            _ => Ordering::Equal,
        };
        let has_less_loss = self.loss < other.loss || (other.loss.is_nan() && !self.loss.is_nan());
        by_metric.then(if has_less_loss { Ordering::Greater } else { Ordering::Less }).is_gt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(auc: Option<f64>, loss: f64) -> Evaluation {
        let undefined = auc.is_none().then_some(Undefined::OneClass);
        Evaluation { rows: 9, loss, auc, accuracy: Some(0.75), r2: None, undefined }
    }

    fn better(one: (Option<f64>, f64), other: (Option<f64>, f64)) -> bool {
        of(one.0, one.1).is_better_than(&of(other.0, other.1), Task::Binary)
    }

    #[test]
    fn a_model_is_better_by_its_metric_and_then_by_its_loss() {
        assert!(better((Some(0.9), 0.7), (Some(0.8), 0.1)));
        assert!(!better((Some(0.8), 0.1), (Some(0.9), 0.7)));
        assert!(better((Some(0.9), 0.1), (Some(0.9), 0.2)), "a tie is broken by the loss");
        assert!(!better((Some(0.9), 0.2), (Some(0.9), 0.2)), "of equal ones the first stays");
        assert!(better((None, 0.1), (None, 0.2)), "an undefined metric chooses nothing");
        assert!(!better((None, 0.2), (None, 0.1)));
        assert!(!better((None, f64::NAN), (None, 0.1)) && better((None, 0.1), (None, f64::NAN)));
    }

    #[test]
    fn an_undefined_metric_is_told_as_such_and_not_as_a_number() {
        let found = of(None, 0.25);
        assert_eq!(found.describe(Task::Binary), "AUC undefined (one class)");
        assert_eq!(found.describe_all(Task::Binary), "AUC undefined (one class), accuracy 0.7500");
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(json, r#"{"rows":9,"loss":0.25,"accuracy":0.75,"undefined":"one-class"}"#);
        assert_eq!(serde_json::from_str::<Evaluation>(&json).unwrap(), found);
        assert_eq!(of(Some(0.5), 0.25).describe_all(Task::Binary), "AUC 0.5000, accuracy 0.7500");
    }
}
