//! What codes may tell of columns, at most: limits on what a party finds when it checks its own codes. Each figure is held
//! against the upper end of its interval.

use crate::policy::{Policy, PolicyRefusal, Rule};

/// What a check has found: upper ends of intervals.
#[derive(Debug, Clone, Copy)]
pub struct LeakageFound<'a> {
    /// Fraction of the variance of all columns that is explained.
    pub explained: f64,
    /// The same of each encoded column, with the name of the table's column that it comes from.
    pub of_columns: &'a [(String, f64)],
    /// Fraction of the records that are re-identified.
    pub reidentified: f64,
    /// Records that were looked at.
    pub records: usize,
}

impl Policy {
    /// Whether there is a limit on what codes tell, so that they have to be checked.
    pub fn limits_leakage(&self) -> bool {
        self.max_explained.is_some() || self.max_reidentified.is_some() || !self.max_explained_of.is_empty()
    }

    pub(crate) fn check_fractions(&self) -> Result<(), String> {
        let limits = [("max_explained", self.max_explained), ("max_reidentified", self.max_reidentified)];
        let of_columns = self.max_explained_of.iter().map(|(name, limit)| (name.as_str(), Some(*limit)));
        for (what, limit) in limits.into_iter().chain(of_columns) {
            // A limit that is no number is none that anything could exceed.
            if limit.is_some_and(|limit| !(limit > 0.0 && limit <= 1.0)) {
                return Err(format!("{what} must be a fraction above 0 and at most 1"));
            }
        }
        Ok(())
    }

    /// Whether what was found is within the limits.
    ///
    /// # Errors
    /// If not: the first limit that is exceeded.
    pub fn check_leakage(&self, found: &LeakageFound<'_>) -> Result<(), PolicyRefusal> {
        let refuse = |rule, limit: String, reason: String| {
            Err(PolicyRefusal::new(rule, &limit, found.records, reason))
        };
        // What is no number is within no limit.
        let exceeds = |found: f64, limit: f64| found.is_nan() || found > limit;
        if let Some(limit) = self.max_explained.filter(|limit| exceeds(found.explained, *limit)) {
            let reason = format!("codes explain up to {:.3} of the variance of the columns", found.explained);
            return refuse(Rule::Explained, limit.to_string(), reason);
        }
        for (name, explained) in found.of_columns {
            if let Some(limit) = self.max_explained_of.get(name).filter(|limit| exceeds(*explained, **limit))
            {
                let reason = format!("codes explain up to {explained:.3} of the variance of column {name:?}");
                return refuse(Rule::ExplainedOf, limit.to_string(), reason);
            }
        }
        if let Some(limit) = self.max_reidentified.filter(|limit| exceeds(found.reidentified, *limit)) {
            let reason = format!("codes re-identify up to {:.3} of the checked records", found.reidentified);
            return refuse(Rule::Reidentified, limit.to_string(), reason);
        }
        Ok(())
    }

    /// Whether `run` may begin or go on, of which `of_run` refusals are counted, and `of_all` of all runs.
    ///
    /// # Errors
    /// If it was refused before, or too many runs were.
    pub fn check_refused(&self, of_run: u64, of_all: u64, records: usize) -> Result<(), PolicyRefusal> {
        let limit = self.max_refused_runs.to_string();
        let refuse =
            |reason: &str| Err(PolicyRefusal::new(Rule::RefusedRuns, &limit, records, reason.to_string()));
        if self.limits_leakage() && of_run > 0 {
            return refuse(
                "this run was already refused because its codes reveal too much: start another run, with another \
                 run_id and shorter codes",
            );
        }
        if self.limits_leakage() && of_all >= self.max_refused_runs {
            return refuse(
                "this many runs were already refused because their codes reveal too much, and each refusal reveals \
                 something to the other side: raise the limit only if you trust whoever starts these runs",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(explained: f64, income: f64, reidentified: f64) -> Result<(), PolicyRefusal> {
        let limits =
            Policy::parse("max_explained = 0.4\nmax_reidentified = 0.05\n[max_explained_of]\nincome = 0.2\n")
                .unwrap();
        let of_columns = [("age".to_string(), 0.9), ("income".to_string(), income)];
        limits.check_leakage(&LeakageFound { explained, of_columns: &of_columns, reidentified, records: 500 })
    }

    #[test]
    fn what_exceeds_a_limit_is_refused_by_its_key() {
        assert!(found(0.4, 0.2, 0.05).is_ok());
        for (refused, key) in [
            (found(0.41, 0.2, 0.05), "max_explained = 0.4"),
            (found(0.4, 0.21, 0.05), "max_explained_of = 0.2"),
            (found(0.4, 0.2, 0.06), "max_reidentified = 0.05"),
            (found(f64::NAN, 0.2, 0.05), "max_explained = 0.4"),
        ] {
            let refusal = refused.unwrap_err();
            assert!(refusal.to_string().contains(key) && !refusal.rule.may_be_told(), "{refusal}");
        }
    }

    #[test]
    fn limits_that_are_no_fractions_and_unknown_keys_are_refused() {
        for text in
            ["max_explained = 0.0", "max_reidentified = 1.5", "max_explained = nan", "max_explaind = 0.5"]
        {
            assert!(Policy::parse(text).is_err(), "{text}");
        }
        assert!(Policy::parse("[max_explained_of]\nage = -1.0").unwrap_err().contains("age"));
        assert!(
            !Policy::parse("").unwrap().limits_leakage()
                && Policy::parse("max_explained = 1.0").unwrap().limits_leakage()
        );
    }

    #[test]
    fn a_run_is_refused_once_and_so_many_runs_at_most() {
        let limits = Policy::parse("max_explained = 0.4\nmax_refused_runs = 3").unwrap();
        assert!(limits.check_refused(0, 2, 100).is_ok());
        assert!(limits.check_refused(1, 1, 100).unwrap_err().to_string().contains("another run_id"));
        assert!(limits.check_refused(0, 3, 100).unwrap_err().to_string().contains("max_refused_runs = 3"));
        assert!(
            Policy::default().check_refused(1, 99, 100).is_ok(),
            "without limits nothing was refused by them"
        );
    }
}
