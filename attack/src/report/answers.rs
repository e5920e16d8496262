//! What the run's own defence let through: for each victim and amount that was seen, the strongest attack beside its
//! baseline and beside floats.

use std::collections::BTreeMap;

use hashvfl_core::text::counted;

use super::model::{AttackResult, CutKind, Estimate, Report};
use super::relate::strongest;
use super::{Metric, Victim};

/// One answer: what attacks that saw the same of a record reached.
pub struct StrongestAttack<'a> {
    /// The strongest attack.
    pub best: &'a AttackResult,
    /// What it is ranked by.
    pub metric: Metric,
    /// What it reached.
    pub reached: Estimate,
    /// All attacks that saw the same, the strongest among them.
    pub attacks: Vec<&'a AttackResult>,
    /// The same adversary without the code or the gradients, or one that knows less.
    pub baseline: Option<(&'a AttackResult, Estimate)>,
    /// The strongest attack on floats at the same cut.
    pub floats: Option<(&'a AttackResult, Estimate)>,
}

impl StrongestAttack<'_> {
    /// What it is an answer to: whose columns, from what.
    pub fn about(&self) -> String {
        format!("{}, from {}", self.best.victim, self.seen())
    }

    /// What the attack saw of a record, as a sentence would begin with it.
    pub fn seen(&self) -> String {
        match (self.best.cut, self.best.releases) {
            (CutKind::Gradients, 1) => "one gradient".to_string(),
            (CutKind::Gradients, times) => format!("the gradients of {}", counted(times, "release")),
            (CutKind::Predictions, _) => "predictions".to_string(),
            (_, 1) => format!("one code of {}", counted(self.best.bits, "bit")),
            (_, times) => {
                let (releases, bits) = (counted(times, "release"), counted(self.best.bits, "bit"));
                format!("the codes of {releases}, {bits} in all")
            }
        }
    }

    /// What it is without: "the code", "the codes", "the gradients".
    pub fn without(&self) -> &'static str {
        match (self.best.cut, self.best.releases) {
            (CutKind::Gradients, 1) => "the gradient",
            (CutKind::Gradients, _) => "the gradients",
            (CutKind::Predictions, _) => "the predictions",
            (_, 1) => "the code",
            _ => "the codes",
        }
    }
}

/// All answers.
pub fn answers(report: &Report) -> Vec<StrongestAttack<'_>> {
    let own: Vec<&AttackResult> = report.results.iter().filter(|result| is_own(report, result)).collect();
    // Of many columns, the one to which codes add most speaks for all.
    let added = |r: &AttackResult| r.metrics.get(&Metric::Added).map_or(0.0, |added| added.value);
    let attributes = own.iter().copied().filter(|result| is_attribute(result));
    let foremost = attributes.max_by(|a, b| added(a).total_cmp(&added(b))).map(|result| &result.victim);
    let mut groups: BTreeMap<(&Victim, CutKind, u64, u64), Vec<&AttackResult>> = BTreeMap::new();
    for result in own {
        if !is_attribute(result) || foremost == Some(&result.victim) {
            let seen = (&result.victim, result.cut, result.releases, result.bits);
            groups.entry(seen).or_default().push(result);
        }
    }
    groups.into_values().filter_map(|attacks| answer(report, attacks)).collect()
}

/// Whether it is an attack on what the run itself sent.
fn is_own(report: &Report, result: &AttackResult) -> bool {
    let of_run = match result.cut {
        CutKind::Codes => result.defence == report.defence,
        CutKind::Gradients => Some(&result.defence) == report.gradients.as_ref(),
        CutKind::Predictions => result.defence == report.defence.predictions(),
        CutKind::SimulatedFloats | CutKind::SimulatedQuantised | CutKind::BeforeSign => false,
    };
    of_run && !result.is_baseline() && result.headline().is_some()
}

fn is_attribute(result: &AttackResult) -> bool {
    matches!(result.victim, Victim::Column { .. })
}

fn answer<'a>(report: &'a Report, attacks: Vec<&'a AttackResult>) -> Option<StrongestAttack<'a>> {
    let best = strongest(attacks.iter().copied())?;
    let (metric, reached) = best.headline()?;
    let figure = |result: &'a AttackResult| Some((result, *result.metrics.get(&metric)?));
    let floats = report.results.iter().filter(|result| {
        result.cut == CutKind::SimulatedFloats
            && result.victim == best.victim
            && result.releases == best.releases
    });
    let baseline = match best.cut {
        CutKind::Gradients => report.without_gradients(best),
        _ => report.baseline_of(best),
    };
    let (baseline, floats) = (baseline.and_then(figure), strongest(floats).and_then(figure));
    Some(StrongestAttack { best, metric, reached, attacks, baseline, floats })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

    #[test]
    fn labels_are_answered_by_the_runs_own_gradients_alone() {
        let mut report = sample();
        let of_labels = |report: &Report| -> Vec<(f64, Option<f64>)> {
            let about = answers(report).into_iter().filter(|answer| answer.best.victim == Victim::Labels);
            about.map(|answer| (answer.reached.value, answer.baseline.map(|(_, bare)| bare.value))).collect()
        };
        assert_eq!(of_labels(&report), [(0.71, Some(0.62))], "beside the same party from its codes");
        report.results.retain(|result| !(result.victim == Victim::Labels && result.cut == CutKind::Codes));
        assert_eq!(of_labels(&report), [(0.71, Some(0.6))], "or beside the most common class");
        report.gradients = None;
        assert!(of_labels(&report).is_empty());
    }
}
