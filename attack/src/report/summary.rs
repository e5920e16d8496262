//! The figures in plain sentences, for a reader who decides and does not compute.

use std::collections::BTreeMap;

use super::figure::{number, phrase};
use super::model::{AttackResult, CutKind, Estimate, NONE_PROVEN, Report};
use super::names::{ACCURACY, ADDED, AUC, SKILL, WORST};
use super::relate::strongest;

/// Paragraphs: one for each victim and number of releases of the run's own defence, then what limits them.
pub fn summary(report: &Report) -> Vec<String> {
    let mut groups: BTreeMap<(&str, CutKind, u64, u64), Vec<&AttackResult>> = BTreeMap::new();
    let own = |r: &&AttackResult| {
        let real = matches!(r.cut, CutKind::Codes | CutKind::Gradients);
        real && !r.is_baseline() && r.defence == report.defence && r.headline().is_some()
    };
    for result in report.results.iter().filter(own) {
        groups.entry((&result.victim, result.cut, result.releases, result.bits)).or_default().push(result);
    }
    let mut paragraphs = vec![harness(report)];
    if groups.is_empty() {
        paragraphs.push("No attack on what this run sent was scored.".to_string());
    }
    paragraphs.extend(groups.values().map(|group| release(report, group)));
    paragraphs.push(match report.lower_bound.as_str() {
        NONE_PROVEN => {
            "There is no proof that nothing more leaks. These are attacks that were run, on records \
            that they had not seen; a stronger attack may get more."
                .to_string()
        }
        bound => format!("Proven to leak at least: {bound}. A stronger attack may get more."),
    });
    paragraphs
}

/// What the attacks that saw the same got.
fn release(report: &Report, group: &[&AttackResult]) -> String {
    let Some(best) = strongest(group.iter().copied()) else { return String::new() };
    let Some((name, estimate)) = best.headline() else { return String::new() };
    let (seen, code) = match (best.cut, best.releases) {
        (CutKind::Gradients, 1) => ("one gradient".to_string(), "gradient"),
        (CutKind::Gradients, times) => (format!("the gradients of {times} releases"), "gradients"),
        (_, 1) => (format!("one code of {} bits", best.bits), "code"),
        (_, times) => (format!("the codes of {times} releases, {} bits in all", best.bits), "codes"),
    };
    let which = if group.len() == 1 { "the only attack run" } else { "the strongest attack run" };
    let mut sentences = vec![format!(
        "From {seen}, {which} ({}) {}{}",
        who(best),
        gets(name, estimate, &best.victim),
        without(report, best, name, estimate, code)
    )];
    if best.cut == CutKind::Codes {
        sentences.push(floats(report, best, name));
    }
    sentences.extend(worst(report, best));
    for result in group {
        if let Some((other, (name, found))) = report.beaten_by(result).and_then(|o| Some((o, o.headline()?)))
        {
            sentences.push(format!(
                "The conditional mean ({}) is beaten as an estimate: with the same knowledge, {} reaches {}, \
                 above its interval.",
                knowing(result),
                other.attack,
                phrase(name, found)
            ));
        }
    }
    if group.len() > 1 {
        sentences.push(format!(
            "The strongest of {} was chosen on the records that it is scored on, which flatters it a little.",
            group.len()
        ));
    }
    sentences.join(" ")
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
    let added = match best.metrics.get(ADDED) {
        Some(added) if name == SKILL => {
            let doubt = if added.low <= 0.0 && added.high >= 0.0 { ", which may be chance" } else { "" };
            let ends = super::figure::range(ADDED, *added);
            format!("{} points (95 % interval {ends}){doubt}", number(ADDED, added.value))
        }
        _ if name == AUC => number(AUC, estimate.value - reached.value),
        _ => format!("{} points", number(name, estimate.value - reached.value)),
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
            format!("Floats at the same cut would give {} ({}).", phrase(name, found), who(r))
        }
        None => {
            "Floats at the same cut were not attacked, so what hashing itself withholds is unknown.".into()
        }
    }
}

fn worst(report: &Report, best: &AttackResult) -> Option<String> {
    let left = best.metrics.get(WORST)?;
    let compared = match report.baseline_of(best).and_then(|base| base.metrics.get(WORST)) {
        Some(base) => format!("without the code {} is left on its best 1 %", phrase(WORST, *base)),
        None => "without the code this was not measured".to_string(),
    };
    Some(format!(
        "The 1 % of records that it reconstructs best fare worst: of the error that guessing the mean makes on \
         an average record, only {} is left on them; {compared}.",
        phrase(WORST, *left)
    ))
}

fn gets(name: &str, estimate: Estimate, victim: &str) -> String {
    let figure = phrase(name, estimate);
    match (name, victim) {
        (AUC, _) => format!("tells {victim} apart with an AUC of {figure}").replace("  ", " "),
        (ACCURACY, "") => format!("guesses {figure}"),
        (ACCURACY, _) => format!("guesses {figure} of {victim} right"),
        (_, "") => format!("explains {figure}"),
        _ => format!("explains {figure} of the variance of {victim}"),
    }
}

fn harness(report: &Report) -> String {
    let failed: Vec<&str> = report.checks.iter().filter(|c| !c.held).map(|c| c.name.as_str()).collect();
    match (report.checks.len(), failed.len()) {
        (0, _) => "No check on the harness was run: nothing shows that its attacks work at all.".to_string(),
        (all, 0) => format!("All {all} checks on the harness held."),
        (all, n) => format!(
            "{n} of {all} checks on the harness did not hold ({}): do not rely on the figures below.",
            failed.join("; ")
        ),
    }
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
    use crate::report::sample::sample;

    #[test]
    fn strongest_baseline_interval_and_floats_stand_together() {
        let paragraphs = summary(&sample());
        assert_eq!(paragraphs[0], "All 2 checks on the harness held.");
        let one = &paragraphs[1];
        for part in [
            "From one code of 16 bits, the strongest attack run (inverse network, knowing auxiliary rows and labels) \
             explains 15.0 % (95 % interval 13.0 to 17.0 %) of the variance of bank&co's columns; without the code \
             the same adversary explains 4.0 % (95 % interval 2.0 to 6.0 %): the code adds 11.0 points (95 % interval \
             9.0 to 13.0).",
            "Floats at the same cut would give 45.0 % (95 % interval 43.0 to 47.0 %)",
            "only 8.0 % (95 % interval 6.0 to 10.0 %) is left",
            "The conditional mean (knowing auxiliary rows and labels) is beaten as an estimate",
        ] {
            assert!(one.contains(part), "{one}");
        }
        assert!(
            paragraphs[2].starts_with("From the codes of 30 releases, 480 bits in all"),
            "{paragraphs:?}"
        );
        assert!(paragraphs[3].contains("guesses 71.0 %"), "{paragraphs:?}");
        assert!(paragraphs.last().unwrap().starts_with("There is no proof"));
        for word in ["safe", "secure"] {
            assert!(!paragraphs.join(" ").contains(word));
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut report = sample();
        report.results.retain(|r| !r.is_baseline() && r.cut == CutKind::Codes);
        report.checks[0].held = false;
        let paragraphs = summary(&report);
        assert!(paragraphs[0].starts_with("1 of 2 checks on the harness did not hold"));
        assert!(paragraphs[1].contains("what the code adds is unknown"));
        assert!(paragraphs[1].contains("what hashing itself withholds is unknown"));
        report.results.clear();
        report.checks.clear();
        report.lower_bound = "1 bit".to_string();
        let paragraphs = summary(&report);
        assert!(paragraphs[0].starts_with("No check"));
        assert!(paragraphs[1].starts_with("No attack"));
        assert!(paragraphs[2].starts_with("Proven to leak at least: 1 bit."));
    }

    #[test]
    fn a_gain_whose_interval_holds_zero_may_be_chance() {
        let mut report = sample();
        for result in &mut report.results {
            if let Some(added) = result.metrics.get_mut(ADDED) {
                added.low = -0.01;
            }
        }
        assert!(summary(&report)[1].contains("which may be chance"));
    }
}
