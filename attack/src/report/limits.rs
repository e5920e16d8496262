//! What the reader accepts, and whether attacks stayed within it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model::{AttackResult, Estimate, Report};
use super::summary::doubtful;
use super::{Metric, Victim};

/// What the reader accepts beside [`Report::limit`], if it named anything.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PrivacyLimits {
    /// The fraction of the variance of single columns that may be told, by the column's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub explained_of: BTreeMap<String, f64>,
    /// The fraction of records that may be re-identified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reidentified: Option<f64>,
    /// How well parties may infer labels: AUC of two classes, the fraction guessed right of more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<f64>,
}

/// Whether an answer is within the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitVerdict {
    /// No limit was named.
    NoLimit,
    /// Every attack stayed within every limit, with its whole interval.
    Within,
    /// Some did not: which limits, and how far attacks got.
    Above(Vec<String>),
    /// What was found is within the limits, but does not show that nobody gets more.
    NotDecided(String),
}

impl LimitVerdict {
    /// As the page colours it.
    pub fn within(&self) -> Option<bool> {
        match self {
            Self::Within => Some(true),
            Self::Above(_) => Some(false),
            Self::NoLimit | Self::NotDecided(_) => None,
        }
    }

    /// In words; nothing without a limit.
    pub fn words(&self) -> String {
        match self {
            Self::NoLimit => String::new(),
            Self::Within => "Within the limits.".to_string(),
            Self::Above(which) => format!("Above the limits: {}.", which.join("; ")),
            Self::NotDecided(why) => format!("Not decided: {why}."),
        }
    }

    /// The same where something that is worse was not tried: nothing is within the limits then.
    pub fn without_all(self, why: &str) -> Self {
        if self == Self::Within { Self::NotDecided(why.to_string()) } else { self }
    }
}

/// One limit, and the attack that got furthest by the upper end of its interval.
struct Measured {
    /// Its key in attack.toml.
    key: String,
    /// What it limits, as it stands behind a figure.
    of: String,
    metric: Metric,
    limit: f64,
    worst: Option<Estimate>,
}

impl Report {
    /// Whether attacks on columns and records stayed within the limits.
    pub(super) fn judge_columns(&self, attacks: &[&AttackResult]) -> LimitVerdict {
        let on_columns = |result: &&AttackResult| matches!(result.victim, Victim::Columns { .. });
        let columns: Vec<&AttackResult> = attacks.iter().copied().filter(on_columns).collect();
        let mut measured = Vec::new();
        if let Some(limit) = self.limit {
            let key = "max_explained".to_string();
            let of = "of the variance of all columns together".to_string();
            let worst = worst_by(Metric::Skill, &columns);
            measured.push(Measured { key, of, metric: Metric::Skill, limit, worst });
        }
        for (column, limit) in &self.limits.explained_of {
            let key = format!("max_explained_of.{column}");
            let of = format!("of the variance of column {column}");
            let (limit, worst) = (*limit, worst_of_column(&columns, column));
            measured.push(Measured { key, of, metric: Metric::BestColumn, limit, worst });
        }
        if let Some(limit) = self.limits.reidentified {
            let (key, of) = ("max_reidentified".to_string(), "of the records re-identified".to_string());
            let worst = worst_by(Metric::Top1, attacks);
            measured.push(Measured { key, of, metric: Metric::Top1, limit, worst });
        }
        self.verdict(&measured)
    }

    /// Whether attacks on labels did.
    pub(super) fn judge_labels(&self, attacks: &[&AttackResult]) -> LimitVerdict {
        let Some(limit) = self.limits.labels else { return LimitVerdict::NoLimit };
        let metric = attacks.iter().find_map(|result| result.headline()).map_or(Metric::Auc, |found| found.0);
        let figures = attacks.iter().filter_map(|result| result.metrics.get(&metric).copied());
        let (key, worst) = ("max_labels".to_string(), worst(figures.map(|found| turned(metric, found))));
        let of = match metric {
            Metric::Auc => "as AUC of the labels (turned round where it is below 0.5)",
            _ => "of the labels",
        };
        self.verdict(&[Measured { key, of: of.to_string(), metric, limit, worst }])
    }

    fn verdict(&self, measured: &[Measured]) -> LimitVerdict {
        if measured.is_empty() {
            return LimitVerdict::NoLimit;
        }
        let above: Vec<String> = measured.iter().filter_map(Measured::above).collect();
        if !above.is_empty() {
            return LimitVerdict::Above(above);
        }
        if let Some(missing) = measured.iter().find(|measured| measured.worst.is_none()) {
            return LimitVerdict::NotDecided(format!("no attack was scored by what {} limits", missing.key));
        }
        self.undecided().map_or(LimitVerdict::Within, |why| LimitVerdict::NotDecided(why.to_string()))
    }

    /// Why figures within the limits do not show that nobody gets more; `None` if they do.
    pub fn undecided(&self) -> Option<&'static str> {
        if self.checks.is_empty() {
            Some("no check on the evaluation was run")
        } else if doubtful(self) {
            Some("a check on the evaluation did not hold")
        } else if self.quick {
            Some(
                "this was a quick evaluation (quick in attack.toml), whose figures are lower than those of a full one",
            )
        } else {
            None
        }
    }

    /// Whether a limit was named for what is told of columns and of persons.
    pub(super) fn is_limited_for_columns(&self) -> bool {
        let PrivacyLimits { explained_of, reidentified, .. } = &self.limits;
        self.limit.is_some() || !explained_of.is_empty() || reidentified.is_some()
    }

    /// Whether an attack on what the run sent explains more of a column than its limit allows.
    pub(super) fn is_above_its_limit(&self, column: &str) -> bool {
        let Some(limit) = self.limits.explained_of.get(column) else { return false };
        let own: Vec<&AttackResult> = self.results.iter().filter(|result| self.is_honest(result)).collect();
        worst_of_column(&own, column).is_some_and(|worst| worst.high > *limit)
    }
}

impl Measured {
    /// What got above the limit, if anything.
    fn above(&self) -> Option<String> {
        let worst = self.worst.filter(|worst| worst.high > self.limit)?;
        let unit = if self.metric.is_fraction() { " %" } else { "" };
        let (reached, limit) = (self.metric.phrase(worst), self.metric.number(self.limit));
        Some(format!("{reached} {}, but the limit is {limit}{unit}", self.of))
    }
}

/// An AUC as it is for whoever takes each class for the other one, where that is better beyond chance: an attacker that is nearly
/// always wrong knows the labels, and the next one knows that it was.
fn turned(metric: Metric, found: Estimate) -> Estimate {
    match metric {
        Metric::Auc if found.high < 0.5 => {
            Estimate { value: 1.0 - found.value, low: 1.0 - found.high, high: 1.0 - found.low }
        }
        _ => found,
    }
}

/// The figure whose interval ends highest.
fn worst(figures: impl Iterator<Item = Estimate>) -> Option<Estimate> {
    figures.max_by(|a, b| a.high.total_cmp(&b.high))
}

fn worst_by(metric: Metric, attacks: &[&AttackResult]) -> Option<Estimate> {
    worst(attacks.iter().filter_map(|result| result.metrics.get(&metric).copied()))
}

fn worst_of_column(attacks: &[&AttackResult], column: &str) -> Option<Estimate> {
    worst(attacks.iter().filter_map(|result| result.of_columns.get(column).copied()))
}
