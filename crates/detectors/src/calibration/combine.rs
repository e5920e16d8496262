//! Several p-values of one row become one.

use serde::{Deserialize, Serialize};

/// How p-values are combined. All rules hold whatever the dependence between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combination {
    /// The least times their number: one sure detector is enough.
    #[default]
    Bonferroni,
    /// Twice the mean: several detectors must find a row strange (Rüschendorf 1982; Vovk and Wang 2020).
    TwiceMean,
    /// The geometric mean times e: evidence adds up, and one sure detector still weighs (Vovk and Wang 2020).
    GeometricMean,
}

impl Combination {
    /// All rules.
    pub const ALL: &[Self] = &[Self::Bonferroni, Self::TwiceMean, Self::GeometricMean];

    /// The p-value of `p_values`: at most 1, and 1 for none.
    pub fn of(self, p_values: &[f64]) -> f64 {
        if p_values.is_empty() {
            return 1.0;
        }
        let count = p_values.len() as f64;
        let combined = match self {
            Self::Bonferroni => count * p_values.iter().copied().fold(f64::INFINITY, f64::min),
            Self::TwiceMean => 2.0 * p_values.iter().sum::<f64>() / count,
            Self::GeometricMean => {
                (1.0 + p_values.iter().map(|p_value| p_value.ln()).sum::<f64>() / count).exp()
            }
        };
        combined.min(1.0)
    }

    /// The same on logarithms and without the bound of 1, which keeps the order of rows.
    pub fn of_logs(self, logs: &[f64]) -> f64 {
        let count = logs.len() as f64;
        match self {
            Self::Bonferroni => count.ln() + logs.iter().copied().fold(f64::INFINITY, f64::min),
            Self::TwiceMean => {
                let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
                most + (2.0 * sum / count).ln()
            }
            Self::GeometricMean => 1.0 + logs.iter().sum::<f64>() / count,
        }
    }

    /// The level that each of `count` p-values must be able to reach for the combined p-value to reach `level`.
    pub fn level_of_each(self, level: f64, count: usize) -> f64 {
        match self {
            Self::Bonferroni => level / count.max(1) as f64,
            Self::TwiceMean => level / 2.0,
            Self::GeometricMean => level / std::f64::consts::E,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_on_known_values_and_their_logarithms() {
        let p_values = [0.01, 0.3, 0.5];
        let logs = p_values.map(f64::ln);
        let rules = [
            (Combination::Bonferroni, 0.03),
            (Combination::TwiceMean, 0.54),
            (Combination::GeometricMean, 1.0_f64.exp() * 0.0015_f64.cbrt()),
        ];
        for (rule, expected) in rules {
            assert!((rule.of(&p_values) - expected).abs() < 1e-12);
            assert!((rule.of_logs(&logs).exp() - expected).abs() < 1e-12);
            assert_eq!(rule.of(&[0.9, 0.9]), 1.0);
            assert_eq!(rule.of(&[]), 1.0);
        }
        for rule in Combination::ALL {
            let each = rule.level_of_each(0.01, 4);
            assert!((rule.of(&[each; 4]) - 0.01).abs() < 1e-15, "{rule:?}");
        }
    }
}
