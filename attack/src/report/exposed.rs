//! Which columns codes give away most: values of those with few, and the variance of numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{AttackResult, Estimate, Report};
use super::{Metric, Victim};

/// A column with many values, and how much of it is told.
#[derive(Debug, Clone, PartialEq)]
pub struct ExposedNumber<'a> {
    /// Its name.
    pub column: &'a str,
    /// The attack to which codes add most.
    pub best: &'a AttackResult,
    /// The fraction of its variance that is explained.
    pub reached: Estimate,
    /// The same by the same adversary without codes.
    pub bare: Option<Estimate>,
}

impl ExposedNumber<'_> {
    /// What codes add.
    fn gain(&self) -> f64 {
        self.reached.value - self.bare.map_or(0.0, |bare| bare.value)
    }
}

impl Report {
    /// The columns with few values, that first to which codes add most by balanced accuracy, in which a rare value counts as much as
    /// a common one. Of each column that attack which gains most.
    pub fn most_exposed(&self) -> Vec<&AttackResult> {
        let mut columns: BTreeMap<&str, &AttackResult> = BTreeMap::new();
        for result in self.results.iter().filter(|result| self.is_honest(result)) {
            let Victim::Column { column, .. } = &result.victim else { continue };
            let best = columns.entry(column).or_insert(result);
            if self.gain_in_balance(result) > self.gain_in_balance(best) {
                *best = result;
            }
        }
        let mut columns: Vec<&AttackResult> = columns.into_values().collect();
        columns.sort_by(|a, b| self.gain_in_balance(b).total_cmp(&self.gain_in_balance(a)));
        columns
    }

    /// What a result about one column says of its balanced accuracy: with codes, and by the same adversary without.
    pub fn balanced(&self, result: &AttackResult) -> Option<(Estimate, Option<Estimate>)> {
        let of = |result: &AttackResult| result.metrics.get(&Metric::Balanced).copied();
        Some((of(result)?, self.baseline_of(result).and_then(of)))
    }

    fn gain_in_balance(&self, result: &AttackResult) -> f64 {
        let found = self.balanced(result);
        found.map_or(f64::NEG_INFINITY, |(with, bare)| with.value - bare.map_or(0.0, |bare| bare.value))
    }

    /// The other columns of a table, that first of whose variance codes tell most beyond what is known without them.
    pub fn exposed_numbers(&self) -> Vec<ExposedNumber<'_>> {
        let few: BTreeSet<&str> = self.results.iter().filter_map(column_of).collect();
        let mut columns: BTreeMap<&str, ExposedNumber<'_>> = BTreeMap::new();
        for best in self.results.iter().filter(|result| self.is_honest(result)) {
            let bare = self.baseline_of(best);
            for (column, reached) in &best.of_columns {
                if few.contains(column.as_str()) {
                    continue;
                }
                let bare = bare.and_then(|bare| bare.of_columns.get(column)).copied();
                let found = ExposedNumber { column, best, reached: *reached, bare };
                if columns.get(column.as_str()).is_none_or(|other| found.gain() > other.gain()) {
                    columns.insert(column, found);
                }
            }
        }
        let mut columns: Vec<ExposedNumber<'_>> = columns.into_values().collect();
        columns.sort_by(|a, b| b.gain().total_cmp(&a.gain()));
        columns
    }
}

fn column_of(result: &AttackResult) -> Option<&str> {
    match &result.victim {
        Victim::Column { column, .. } => Some(column),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackId;
    use crate::report::sample::{result, sample};
    use crate::report::{CutKind, Population};

    fn estimate(value: f64) -> Estimate {
        Estimate { value, low: value, high: value }
    }

    /// A result about one column: the fraction guessed right, and balanced accuracy.
    fn about(column: &str, releases: u64, [right, balanced]: [f64; 2]) -> AttackResult {
        let attack = if releases == 0 { AttackId::NoCode } else { AttackId::ConditionalMean };
        let mut found = result(attack, &[], releases, CutKind::Codes, 0.0);
        let Victim::Columns { party, .. } = found.victim.clone() else { panic!("columns") };
        found.victim = Victim::Column { party, column: column.into(), of: Population::Test };
        found.metrics =
            BTreeMap::from([(Metric::Accuracy, estimate(right)), (Metric::Balanced, estimate(balanced))]);
        found
    }

    #[test]
    fn a_rare_value_and_one_of_many_come_before_what_everybody_guesses() {
        let mut report = sample();
        // A rare diagnosis that codes give away adds nothing to the fraction guessed right.
        report.results = vec![
            about("sex", 0, [0.6, 0.5]),
            about("sex", 1, [0.7, 0.62]),
            about("diagnosis", 0, [0.99, 0.5]),
            about("diagnosis", 1, [0.99, 0.9]),
            about("country", 0, [0.55, 0.05]),
            about("country", 1, [0.9, 0.6]),
        ];
        let names: Vec<&str> = report.most_exposed().into_iter().filter_map(column_of).collect();
        assert_eq!(names, ["country", "diagnosis", "sex"]);
        let (with, bare) = report.balanced(report.most_exposed()[1]).unwrap();
        assert_eq!((with.value, bare.unwrap().value), (0.9, 0.5));
    }

    #[test]
    fn numbers_are_named_by_what_codes_add() {
        let mut report = sample();
        let with = |mut found: AttackResult, columns: &[(&str, f64)]| {
            let of = columns.iter().map(|(name, value)| (name.to_string(), estimate(*value)));
            found.of_columns = of.collect();
            found
        };
        let mean = |releases: u64, skill: f64| {
            let attack = if releases == 0 { AttackId::NoCode } else { AttackId::ConditionalMean };
            result(attack, &[], releases, CutKind::Codes, skill)
        };
        report.results = vec![
            with(mean(0, 0.1), &[("age", 0.8), ("income", 0.1), ("sex", 0.0)]),
            with(mean(1, 0.2), &[("age", 0.85), ("income", 0.4), ("sex", 0.9)]),
            with(mean(9, 0.3), &[("age", 0.82), ("income", 0.99), ("sex", 0.9)]),
            about("sex", 1, [0.7, 0.62]),
        ];
        let found = report.exposed_numbers();
        let names: Vec<&str> = found.iter().map(|number| number.column).collect();
        assert_eq!(names, ["income", "age"], "a column with few values is listed by its values");
        assert_eq!((found[0].reached.value, found[0].bare.unwrap().value), (0.99, 0.1));
        assert_eq!((found[0].best.releases, found[1].best.releases), (9, 1));
    }
}
