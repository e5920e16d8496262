//! Which results belong together: an attack and its baseline, a conditional mean and what beats it.

use std::collections::BTreeSet;

use super::model::{AttackResult, Estimate, Report};
use super::names::{ACCURACY, AUC, BALANCED, CONDITIONAL_MEAN, SKILL, TOP1};

/// Results against one victim that are compared with one baseline.
pub struct ResultGroup<'a> {
    /// Without the code.
    pub baseline: Option<&'a AttackResult>,
    /// With it, in the order of cut, defence and name.
    pub attacks: Vec<&'a AttackResult>,
}

impl AttackResult {
    /// Whether it is a baseline, which saw nothing of the target records cross the cut.
    pub fn is_baseline(&self) -> bool {
        self.releases == 0
    }

    /// The figure by which attacks are ranked, with its name: skill, or for labels, attributes and identities what they
    /// are told by.
    pub fn headline(&self) -> Option<(&'static str, Estimate)> {
        [SKILL, AUC, ACCURACY, BALANCED, TOP1]
            .into_iter()
            .find_map(|name| Some((name, *self.metrics.get(name)?)))
    }

    pub(super) fn known(&self) -> BTreeSet<&str> {
        self.knowledge.iter().map(String::as_str).collect()
    }

    fn rank(&self) -> f64 {
        self.headline().map_or(f64::NEG_INFINITY, |(_, estimate)| estimate.value)
    }
}

/// The result with the greatest headline.
pub fn strongest<'a>(results: impl Iterator<Item = &'a AttackResult>) -> Option<&'a AttackResult> {
    results.max_by(|a, b| a.rank().total_cmp(&b.rank()))
}

/// [`Report::baseline_of`] among `results`.
pub fn baseline_of<'a, I: Iterator<Item = &'a AttackResult>>(
    results: impl Fn() -> I,
    result: &AttackResult,
) -> Option<&'a AttackResult> {
    let known = result.known();
    let fits = |other: &&AttackResult| {
        other.is_baseline() && other.victim == result.victim && other.known().is_subset(&known)
    };
    let most = results().filter(fits).map(|other| other.known().len()).max()?;
    strongest(results().filter(fits).filter(|other| other.known().len() == most))
}

impl Report {
    /// The strongest baseline with the same knowledge as `result`; if there is none, one that knows as much of
    /// it as any and nothing else.
    pub fn baseline_of(&self, result: &AttackResult) -> Option<&AttackResult> {
        baseline_of(|| self.results.iter(), result)
    }

    /// The strongest attack with the same victim, knowledge, cut, defence and releases whose headline is above
    /// the interval of `result`, if that is a conditional mean.
    pub fn beaten_by(&self, result: &AttackResult) -> Option<&AttackResult> {
        let (name, estimate) = result.headline().filter(|_| result.attack == CONDITIONAL_MEAN)?;
        let alike = |other: &&AttackResult| {
            other.victim == result.victim
                && other.known() == result.known()
                && (other.cut, other.releases) == (result.cut, result.releases)
                && other.defence == result.defence
        };
        let above = |other: &&AttackResult| other.metrics.get(name).is_some_and(|f| f.value > estimate.high);
        strongest(self.results.iter().filter(|other| !other.is_baseline()).filter(alike).filter(above))
    }

    /// All results, each baseline with the attacks that belong to it.
    pub(super) fn blocks(&self) -> Vec<ResultGroup<'_>> {
        let mut blocks: Vec<ResultGroup<'_>> = Vec::new();
        let (baselines, attacks): (Vec<_>, Vec<_>) =
            self.results.iter().partition(|result| result.is_baseline());
        for attack in attacks {
            let baseline = self.baseline_of(attack);
            let together = |block: &&mut ResultGroup<'_>| match (block.baseline, baseline) {
                (Some(one), Some(other)) => std::ptr::eq(one, other),
                (None, None) => block.attacks[0].victim == attack.victim,
                _ => false,
            };
            match blocks.iter_mut().find(together) {
                Some(block) => block.attacks.push(attack),
                None => blocks.push(ResultGroup { baseline, attacks: vec![attack] }),
            }
        }
        for baseline in baselines {
            if !blocks.iter().any(|block| block.baseline.is_some_and(|one| std::ptr::eq(one, baseline))) {
                blocks.push(ResultGroup { baseline: Some(baseline), attacks: Vec::new() });
            }
        }
        for block in &mut blocks {
            block.attacks.sort_by_key(|a| (a.cut, &a.defence, a.releases, &a.attack));
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CutKind;
    use crate::report::sample::{result, sample};

    #[test]
    fn a_baseline_knows_no_more_than_its_attack() {
        let mut report = sample();
        report.results.clear();
        report.results.push(result("mean", &["auxiliary rows"], 0, CutKind::Codes, 0.01));
        report.results.push(result("class mean", &["auxiliary rows", "labels"], 0, CutKind::Codes, 0.04));
        report.results.push(result("a", &["labels", "auxiliary rows"], 1, CutKind::Codes, 0.1));
        report.results.push(result("b", &["auxiliary rows", "own columns"], 1, CutKind::Codes, 0.2));
        report.results.push(result("c", &["own columns"], 1, CutKind::Codes, 0.2));
        let baseline = |index: usize| report.baseline_of(&report.results[index]).map(|b| b.attack.as_str());
        assert_eq!([baseline(2), baseline(3), baseline(4)], [Some("class mean"), Some("mean"), None]);
        let sizes: Vec<_> = report.blocks().iter().map(|b| (b.baseline.is_some(), b.attacks.len())).collect();
        assert_eq!(sizes, [(true, 1), (true, 1), (false, 1)]);
    }

    #[test]
    fn only_the_like_above_the_interval_beats() {
        let mut report = sample();
        report.results = vec![
            result(CONDITIONAL_MEAN, &["labels"], 1, CutKind::Codes, 0.1),
            result("close", &["labels"], 1, CutKind::Codes, 0.119),
            result("knows less", &[], 1, CutKind::Codes, 0.3),
            result("floats", &["labels"], 1, CutKind::SimulatedFloats, 0.3),
            result("epochs", &["labels"], 9, CutKind::Codes, 0.3),
        ];
        assert!(report.beaten_by(&report.results[0]).is_none());
        report.results.push(result("network", &["labels"], 1, CutKind::Codes, 0.121));
        assert_eq!(report.beaten_by(&report.results[0]).unwrap().attack, "network");
        assert!(report.beaten_by(&report.results[1]).is_none());
    }
}
