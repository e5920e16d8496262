//! How a figure is written, by its name.

use super::model::Estimate;
use super::names::{MSE, PSNR, is_fraction};

/// A figure without its unit: shares in per cent.
pub fn number(name: &str, value: f64) -> String {
    let (value, digits) = match name {
        _ if is_fraction(name) => (100.0 * value, 1),
        PSNR => (value, 1),
        MSE => (value, 4),
        _ => (value, 3),
    };
    let text = format!("{value:.digits$}");
    let zero = text.chars().all(|c| matches!(c, '-' | '0' | '.'));
    if zero { text.trim_start_matches('-').to_string() } else { text.replace('-', "\u{2212}") }
}

/// The ends of an interval: "10.1 to 14.2".
pub fn range(name: &str, estimate: Estimate) -> String {
    format!("{} to {}", number(name, estimate.low), number(name, estimate.high))
}

/// A figure with its interval in a sentence: "12.0 % (95 % interval 10.1 to 14.2 %)".
pub fn phrase(name: &str, estimate: Estimate) -> String {
    let unit = if is_fraction(name) { " %" } else { "" };
    format!("{}{unit} (95 % interval {}{unit})", number(name, estimate.value), range(name, estimate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::names::{AUC, SKILL};

    #[test]
    fn shares_are_in_per_cent_and_zero_has_no_sign() {
        let estimate = Estimate { value: 0.1204, low: -0.0001, high: 0.25 };
        assert_eq!(phrase(SKILL, estimate), "12.0 % (95 % interval 0.0 to 25.0 %)");
        assert_eq!(phrase(AUC, estimate), "0.120 (95 % interval 0.000 to 0.250)");
        assert_eq!(number(SKILL, -0.5), "\u{2212}50.0");
    }
}
