//! The figures that attacks are scored by, and how each is written.

use std::fmt;

use hashvfl_core::Task;

use super::model::Estimate;

/// A figure that an attack is scored by. Tables show them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Fraction of the variance that an attack explains: skill over the columns' means.
    Skill,
    /// The headline ([`AttackResult::headline`](super::AttackResult::headline)) less that of the baseline
    /// ([`Report::baseline_of`](super::Report::baseline_of)), with its interval paired by record.
    Added,
    /// Skill over the class means.
    SkillOverClass,
    /// Scaled error left on the best reconstructed 1 % of records ([`worst_fraction`](crate::metrics::worst)).
    Worst,
    /// The same of 5 %.
    WorstTwentieth,
    /// R2 of the column of a table that is reconstructed best.
    BestColumn,
    /// Top-1 re-identification.
    Top1,
    /// Fraction of the columns with few values whose value is guessed right.
    Right,
    /// Fraction of the records in which all of them are.
    AllRight,
    /// Fraction of labels, or of values of a column, guessed right.
    Accuracy,
    /// The same where the most common value is guessed.
    Majority,
    /// Balanced accuracy: the fractions guessed right, averaged over a column's values.
    Balanced,
    /// Area under the ROC curve.
    Auc,
    /// Fraction of a code's bits found.
    Bits,
    /// Mean squared error.
    Mse,
    /// Peak signal-to-noise ratio in dB.
    Psnr,
    /// Structural similarity.
    Ssim,
    /// VFLAIR's defence capability score.
    Dcs,
    /// Skill over the mean, less that of the conditional mean given the same code.
    SkillOverConditionalMean,
}

impl Metric {
    /// Whether the figure is a fraction, which people read in per cent.
    pub fn is_fraction(self) -> bool {
        use Metric::*;
        matches!(
            self,
            Skill
                | Added
                | SkillOverClass
                | Worst
                | WorstTwentieth
                | BestColumn
                | Top1
                | Right
                | AllRight
                | Accuracy
                | Majority
                | Balanced
                | Bits
        )
    }

    /// The unit behind the name: ", %" or nothing.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Psnr => ", dB",
            _ if self.is_fraction() => ", %",
            _ => "",
        }
    }

    /// A figure without its unit; fractions in per cent.
    pub fn number(self, value: f64) -> String {
        match self {
            _ if self.is_fraction() => rounded(100.0 * value, 1),
            Self::Psnr => rounded(value, 1),
            Self::Mse => rounded(value, 4),
            _ => rounded(value, 3),
        }
    }

    /// The ends of an interval: "10.1 to 14.2".
    pub fn range(self, estimate: Estimate) -> String {
        format!("{} to {}", self.number(estimate.low), self.number(estimate.high))
    }

    /// A figure with its interval in a sentence: "12.0 % (10.1 to 14.2)".
    pub fn phrase(self, estimate: Estimate) -> String {
        format!("{}{} ({})", self.number(estimate.value), self.per_cent(), self.range(estimate))
    }

    /// The unit behind a figure: " %" or nothing.
    fn per_cent(self) -> &'static str {
        if self.is_fraction() { " %" } else { "" }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skill => "skill over mean",
            Self::Added => "added to baseline",
            Self::SkillOverClass => "skill over class mean",
            Self::Worst => "error left, worst 1 %",
            Self::WorstTwentieth => "error left, worst 5 %",
            Self::BestColumn => "best column's R2",
            Self::Top1 => "top-1",
            Self::Balanced => "balanced accuracy",
            Self::Right => "discrete columns right",
            Self::AllRight => "all discrete columns right",
            Self::Accuracy => "accuracy",
            Self::Majority => "the most common value's accuracy",
            Self::Auc => "AUC",
            Self::Bits => "bits of the code",
            Self::Mse => "MSE",
            Self::Psnr => "PSNR",
            Self::Ssim => "SSIM",
            Self::Dcs => "DCS",
            Self::SkillOverConditionalMean => "skill over conditional mean's",
        })
    }
}

/// What a chart or a spread shows: a metric of attacks, or something else under its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quantity {
    /// A metric.
    Metric(Metric),
    /// Something else, which is written with three digits.
    Other(String),
}

impl Quantity {
    /// What a task is measured by.
    pub fn of_task(task: Task) -> Self {
        match task {
            Task::Binary => Self::Metric(Metric::Auc),
            Task::Multiclass => Self::Metric(Metric::Accuracy),
            Task::Regression => Self::Other("R2".into()),
        }
    }

    /// The metric, if it is one.
    pub fn metric(&self) -> Option<Metric> {
        match self {
            Self::Metric(metric) => Some(*metric),
            Self::Other(_) => None,
        }
    }

    /// The unit behind the name: ", %" or nothing.
    pub fn unit(&self) -> &'static str {
        self.metric().map_or("", Metric::unit)
    }

    /// A figure without its unit; fractions in per cent.
    pub fn number(&self, value: f64) -> String {
        self.metric().map_or_else(|| rounded(value, 3), |metric| metric.number(value))
    }

    /// Whether it is a fraction, which people read in per cent.
    pub fn is_fraction(&self) -> bool {
        self.metric().is_some_and(Metric::is_fraction)
    }
}

impl From<Metric> for Quantity {
    fn from(metric: Metric) -> Self {
        Self::Metric(metric)
    }
}

impl From<&str> for Quantity {
    fn from(name: &str) -> Self {
        Self::Other(name.to_string())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metric(metric) => metric.fmt(f),
            Self::Other(name) => f.write_str(name),
        }
    }
}

fn rounded(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let zero = text.chars().all(|c| matches!(c, '-' | '0' | '.'));
    if zero { text.trim_start_matches('-').to_string() } else { text.replace('-', "\u{2212}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_in_per_cent_and_zero_has_no_sign() {
        let estimate = Estimate { value: 0.1204, low: -0.0001, high: 0.25 };
        assert_eq!(Metric::Skill.phrase(estimate), "12.0 % (0.0 to 25.0)");
        assert_eq!(Metric::Auc.phrase(estimate), "0.120 (0.000 to 0.250)");
        assert_eq!(Metric::Skill.number(-0.5), "\u{2212}50.0");
        assert_eq!(Quantity::of_task(Task::Multiclass).number(0.5), "50.0");
        assert_eq!(Quantity::from("found").number(0.5), "0.500");
    }
}
