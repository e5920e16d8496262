//! The figures in plain sentences, for a reader who decides and does not compute.

use std::collections::BTreeMap;

use super::figure::{number, phrase, range};
use super::model::{AttackResult, CutKind, Estimate, NONE_PROVEN, Report};
use super::names::{ACCURACY, ADDED, AUC, BALANCED, SKILL, TOP1, WORST, is_fraction, predictions_of};
use super::relate::strongest;

/// A sentence to remember, and what qualifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The sentence.
    pub lead: String,
    /// Comparisons and limits.
    pub details: Vec<String>,
}

impl From<String> for Statement {
    fn from(lead: String) -> Self {
        Self { lead, details: Vec::new() }
    }
}

/// Whether the harness works, a statement for each victim and number of releases of the run's own defence, and
/// what bounds there are.
pub fn summary(report: &Report) -> Vec<Statement> {
    let mut groups: BTreeMap<(&str, CutKind, u64, u64), Vec<&AttackResult>> = BTreeMap::new();
    let own = |r: &&AttackResult| {
        let of_run = match r.cut {
            CutKind::Codes | CutKind::Gradients => r.defence == report.defence,
            CutKind::Predictions => r.defence == predictions_of(&report.defence),
            _ => false,
        };
        of_run && !r.is_baseline() && r.headline().is_some()
    };
    // Of many columns, the one of which codes add most speaks for all.
    let added = |r: &&AttackResult| r.metrics.get(ADDED).map_or(0.0, |added| added.value);
    let attribute = |r: &&AttackResult| r.headline().is_some_and(|(name, _)| name == BALANCED);
    let attributes = report.results.iter().filter(own).filter(attribute);
    let telling = attributes.max_by(|a, b| added(a).total_cmp(&added(b)));
    let told = |r: &&AttackResult| !attribute(r) || telling.is_some_and(|one| one.victim == r.victim);
    for result in report.results.iter().filter(own).filter(told) {
        groups.entry((&result.victim, result.cut, result.releases, result.bits)).or_default().push(result);
    }
    let mut statements = vec![Statement::from(harness(report))];
    if groups.is_empty() {
        statements.push("No attack on what this run sent was scored.".to_string().into());
    }
    statements.extend(groups.values().filter_map(|group| release(report, group)));
    statements.extend(report.spreads.first().map(|spread| {
        let [.., least, most] = spread.moments();
        let (least, most) = (number(&spread.figure, least), number(&spread.figure, most));
        let times = spread.values.len();
        format!(
            "Trained {times} times with other first weights, {}: {least} to {most}{}.",
            spread.what,
            per_cent(&spread.figure)
        )
        .into()
    }));
    let bound = match report.lower_bound.as_str() {
        NONE_PROVEN => {
            "There is no proof that nothing more leaks. These are attacks that were run, on records \
            that they had not seen; a stronger attack may get more."
                .to_string()
        }
        bound => format!("Proven to leak at least: {bound}. A stronger attack may get more."),
    };
    statements.push(bound.into());
    statements
}

/// What the attacks that saw the same got.
fn release(report: &Report, group: &[&AttackResult]) -> Option<Statement> {
    let best = strongest(group.iter().copied())?;
    let (name, estimate) = best.headline()?;
    let (seen, code) = match (best.cut, best.releases) {
        (CutKind::Gradients, 1) => ("one gradient".to_string(), "gradient"),
        (CutKind::Gradients, times) => (format!("the gradients of {times} releases"), "gradients"),
        (CutKind::Predictions, _) => ("predictions".to_string(), "predictions"),
        (_, 1) => (format!("one code of {} bits", best.bits), "code"),
        (_, times) => (format!("the codes of {times} releases, {} bits in all", best.bits), "codes"),
    };
    let which = if group.len() == 1 { "the only attack run" } else { "the strongest attack run" };
    let lead = format!(
        "From {seen}, {which} ({}) {}{}",
        who(best),
        gets(name, estimate, &best.victim),
        without(report, best, name, estimate, code)
    );
    let mut details = Vec::new();
    if best.cut == CutKind::Codes {
        details.push(floats(report, best, name));
    }
    details.extend(worst(report, best, code));
    for result in group {
        details.extend(beaten(report, result));
    }
    if group.len() > 1 {
        details.push(format!(
            "The strongest of {} was chosen on the records that it is scored on, which flatters it a little.",
            group.len()
        ));
    }
    Some(Statement { lead, details })
}

fn without(report: &Report, best: &AttackResult, name: &str, estimate: Estimate, code: &str) -> String {
    let found = report.baseline_of(best).and_then(|base| Some((base, *base.metrics.get(name)?)));
    let Some((base, reached)) = found else {
        return format!(
            ". No baseline without the {code} was run for this adversary: what the {code} adds is unknown."
        );
    };
    let adversary = if base.known() == best.known() {
        format!("without the {code} the same adversary")
    } else {
        format!("without the {code} an adversary that knows less ({})", knowing(base))
    };
    let add = if code.ends_with('s') { "add" } else { "adds" };
    let scale = if name == AUC { AUC } else { ADDED };
    let points = if name == AUC { "" } else { " points" };
    let added = match best.metrics.get(ADDED) {
        Some(added) => {
            let doubt = if added.low <= 0.0 && added.high >= 0.0 { ", which may be chance" } else { "" };
            format!("{}{points} (95 % interval {}){doubt}", number(scale, added.value), range(scale, *added))
        }
        None => format!("{}{points}", number(scale, estimate.value - reached.value)),
    };
    let reached = gets(name, reached, "");
    format!("; {adversary} {}: the {code} {add} {added}.", reached.trim_end())
}

fn floats(report: &Report, best: &AttackResult, name: &str) -> String {
    let same = |r: &&AttackResult| {
        r.cut == CutKind::SimulatedFloats && r.victim == best.victim && r.releases == best.releases
    };
    match strongest(report.results.iter().filter(same)).and_then(|r| Some((r, *r.metrics.get(name)?))) {
        Some((r, found)) => {
            let alike = r.attack == best.attack && r.known() == best.known();
            let attack = if alike { "the same attack".to_string() } else { who(r) };
            format!("Floats at the same cut would give {} to {attack}.", phrase(name, found))
        }
        None => {
            "Floats at the same cut were not attacked, so what hashing itself withholds is unknown.".into()
        }
    }
}

fn worst(report: &Report, best: &AttackResult, code: &str) -> Option<String> {
    let left = best.metrics.get(WORST)?;
    let compared = match report.baseline_of(best).and_then(|base| base.metrics.get(WORST)) {
        Some(base) => format!("without the {code} {} is left on its best 1 %", phrase(WORST, *base)),
        None => format!("without the {code} this was not measured"),
    };
    Some(format!(
        "The 1 % of records that it reconstructs best fare worst: of the error that guessing the mean makes on \
         an average record, {} is left on them; {compared}.",
        phrase(WORST, *left)
    ))
}

fn beaten(report: &Report, result: &AttackResult) -> Option<String> {
    let other = report.beaten_by(result)?;
    let ((name, reached), (_, more)) = (result.headline()?, other.headline()?);
    Some(format!(
        "As an estimate the conditional mean ({}; {}) is beaten: with the same knowledge, {} reaches {}.",
        knowing(result),
        phrase(name, reached),
        other.attack,
        phrase(name, more)
    ))
}

fn gets(name: &str, estimate: Estimate, victim: &str) -> String {
    let figure = phrase(name, estimate);
    match (name, victim) {
        (AUC, _) => format!("tells {victim} apart with an AUC of {figure}").replace("  ", " "),
        (ACCURACY, "") => format!("guesses {figure}"),
        (ACCURACY, _) => format!("guesses {figure} of {victim} right"),
        (BALANCED, "") => format!("has a balanced accuracy of {figure}"),
        (BALANCED, _) => format!("guesses {victim} with a balanced accuracy of {figure}"),
        (TOP1, "") => format!("is right in {figure}"),
        (TOP1, _) => format!("finds {victim}, right in {figure}"),
        (SKILL, _) if estimate.value < 0.0 => {
            format!("does worse than guessing the mean, by a skill of {figure}")
        }
        (_, "") => format!("explains {figure}"),
        _ => format!("explains {figure} of the variance of {victim}"),
    }
}

fn harness(report: &Report) -> String {
    let failed: Vec<&str> = report.checks.iter().filter(|c| !c.held).map(|c| c.name.as_str()).collect();
    match (report.checks.len(), failed.len()) {
        (0, _) => "No check on the harness was run: nothing shows that its attacks work at all.".to_string(),
        (all, 0) => format!("Checks on the harness: {all} of {all} held."),
        (all, n) => format!(
            "{n} of {all} checks on the harness did not hold ({}): do not rely on the figures below.",
            failed.join("; ")
        ),
    }
}

fn per_cent(name: &str) -> &'static str {
    if is_fraction(name) { " %" } else { "" }
}

fn who(result: &AttackResult) -> String {
    format!("{}, {}", result.attack, knowing(result))
}

/// "knowing auxiliary rows and labels".
pub(super) fn knowing(result: &AttackResult) -> String {
    match result.knowledge.as_slice() {
        [] => "knowing nothing else".to_string(),
        [one] => format!("knowing {one}"),
        [most @ .., last] => format!("knowing {} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::names::CONDITIONAL_MEAN;
    use crate::report::sample::sample;

    fn paragraphs(report: &Report) -> Vec<String> {
        let whole = |s: Statement| [vec![s.lead], s.details].concat().join(" ");
        summary(report).into_iter().map(whole).collect()
    }

    #[test]
    fn strongest_baseline_interval_and_floats_stand_together() {
        let found = paragraphs(&sample());
        assert_eq!(found[0], "Checks on the harness: 2 of 2 held.");
        let one = &found[1];
        for part in [
            "From one code of 16 bits, the strongest attack run (inverse network, knowing auxiliary rows and labels) \
             explains 15.0 % (95 % interval 13.0 to 17.0 %) of the variance of bank&co's columns; without the code \
             the same adversary explains 4.0 % (95 % interval 2.0 to 6.0 %): the code adds 11.0 points (95 % interval \
             9.0 to 13.0).",
            "Floats at the same cut would give 45.0 % (95 % interval 43.0 to 47.0 %) to the same attack.",
            "8.0 % (95 % interval 6.0 to 10.0 %) is left",
            "As an estimate the conditional mean (knowing auxiliary rows and labels; 10.0 % (95 % interval 8.0 to 12.0 %)) \
             is beaten: with the same knowledge, inverse network reaches 15.0 %",
        ] {
            assert!(one.contains(part), "{one}");
        }
        assert!(found[2].starts_with("From the codes of 30 releases, 480 bits in all"), "{found:?}");
        assert!(found[3].contains("guesses 71.0 %"), "{found:?}");
        let again = "Trained 3 times with other first weights, skill from one code: 13.0 to 16.0 %.";
        assert_eq!(found[found.len() - 2], again);
        assert!(found.last().unwrap().starts_with("There is no proof"));
        for word in ["safe", "secure"] {
            assert!(!found.join(" ").contains(word));
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut report = sample();
        report.results.retain(|r| !r.is_baseline() && r.cut == CutKind::Codes);
        report.checks[0].held = false;
        let found = paragraphs(&report);
        assert!(found[0].starts_with("1 of 2 checks on the harness did not hold"));
        assert!(found[1].contains("what the code adds is unknown"));
        assert!(found[1].contains("what hashing itself withholds is unknown"));
        report.results.clear();
        report.checks.clear();
        report.lower_bound = "1 bit".to_string();
        let found = paragraphs(&report);
        assert!(found[0].starts_with("No check"));
        assert!(found[1].starts_with("No attack"));
        assert!(found.last().unwrap().starts_with("Proven to leak at least: 1 bit."));
    }

    #[test]
    fn a_skill_below_zero_explains_nothing() {
        let mut report = sample();
        report.results.retain(|r| r.is_baseline() || r.attack == CONDITIONAL_MEAN);
        report.results[1]
            .metrics
            .insert(SKILL.to_string(), Estimate { value: -0.03, low: -0.05, high: -0.01 });
        let found = paragraphs(&report);
        assert!(
            found[1].contains("does worse than guessing the mean, by a skill of \u{2212}3.0 %"),
            "{found:?}"
        );
        assert!(found[1].contains("the code adds \u{2212}7.0 points."), "{found:?}");
    }

    #[test]
    fn a_gain_whose_interval_holds_zero_may_be_chance() {
        let mut report = sample();
        for result in &mut report.results {
            if let Some(added) = result.metrics.get_mut(ADDED) {
                added.low = -0.01;
            }
        }
        assert!(paragraphs(&report)[1].contains("which may be chance"));
    }
}
