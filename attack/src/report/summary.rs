//! The figures in plain sentences, for a reader who decides and does not compute.

use super::Metric;
use super::answers::{StrongestAttack, answers};
use super::model::{AttackResult, CutKind, Estimate, Report, Spread};

/// A sentence to remember, and what qualifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it is about, where there are details.
    pub about: String,
    /// The sentence, or two.
    pub lead: String,
    /// Comparisons and limits.
    pub details: Vec<String>,
}

impl From<String> for Statement {
    fn from(lead: String) -> Self {
        Self { about: String::new(), lead, details: Vec::new() }
    }
}

/// A statement for each victim and amount that was seen of the run's own defence, whether the evaluation itself works, and
/// what bounds there are. If a check on the evaluation did not hold, that comes first.
pub fn summary(report: &Report) -> Vec<Statement> {
    let mut statements: Vec<Statement> =
        answers(report).iter().map(|answer| statement(report, answer)).collect();
    if statements.is_empty() {
        statements.push("No attack on what this run sent was scored.".to_string().into());
    }
    let place = if doubtful(report) { 0 } else { statements.len() };
    statements.insert(place, checks(report).into());
    statements.extend(report.spreads.first().map(|spread| replicates(spread).into()));
    statements.push(bound(report).into());
    statements
}

/// Whether nothing shows that the evaluation works.
pub fn doubtful(report: &Report) -> bool {
    report.checks.is_empty() || report.checks.iter().any(|check| !check.held)
}

/// What attacks that saw the same of a record reached.
fn statement(report: &Report, answer: &StrongestAttack) -> Statement {
    let StrongestAttack { best, metric, reached, .. } = answer;
    let got = gets(*metric, *reached, &best.victim.to_string());
    let lead = format!("From {}, an attacker {got}. {}", answer.seen(), without(answer));
    let mut details = vec![strongest_of(answer)];
    details.extend(knows_less(answer));
    if best.cut == CutKind::Codes {
        details.push(floats(answer));
    }
    details.extend(worst(answer));
    details.extend(answer.attacks.iter().filter_map(|result| beaten(report, result)));
    Statement { about: answer.about(), lead, details }
}

/// What the same adversary gets without the code, and what the code adds.
fn without(answer: &StrongestAttack) -> String {
    let StrongestAttack { best, metric, reached, .. } = answer;
    let code = answer.without();
    let Some((_, base)) = answer.baseline else {
        return format!(
            "No baseline without {code} was run for this adversary: what {code} adds to it is unknown."
        );
    };
    let add = if code.ends_with('s') { "add" } else { "adds" };
    // Differences of AUCs are no points of a hundred.
    let (scale, points) = if *metric == Metric::Auc { (Metric::Auc, "") } else { (Metric::Added, " points") };
    let added = match best.metrics.get(&Metric::Added) {
        Some(added) => {
            let doubt = if added.low <= 0.0 && added.high >= 0.0 { ", which may be chance" } else { "" };
            format!("{}{points} ({}){doubt}", scale.number(added.value), scale.range(*added))
        }
        None => format!("{}{points}", scale.number(reached.value - base.value)),
    };
    let code = code.strip_prefix("the ").unwrap_or(code);
    format!("Without the {code}: {}. The {code} {add} {added}.", metric.phrase(base))
}

fn strongest_of(answer: &StrongestAttack) -> String {
    let best = format!("{}, {}", answer.best.attack, answer.best.knowing());
    match answer.attacks.len() {
        1 => format!("The only attack that was run: {best}."),
        count => format!(
            "The strongest of {count} attacks: {best}. It was chosen and scored on the same records, which overstates it \
             slightly."
        ),
    }
}

fn knows_less(answer: &StrongestAttack) -> Option<String> {
    let (base, _) = answer.baseline?;
    let known = base.known();
    // Of labels, what is left out are the gradients themselves.
    answer.best.knowledge.iter().find(|knows| !known.contains(*knows) && !knows.is_gradients())?;
    Some(format!(
        "The baseline knows less ({}), so the difference is not due only to {}.",
        base.knowing(),
        answer.without()
    ))
}

fn floats(answer: &StrongestAttack) -> String {
    match answer.floats {
        Some((floats, found)) => {
            let alike = floats.attack == answer.best.attack && floats.known() == answer.best.known();
            let attack = if alike {
                "the same attack".to_string()
            } else {
                format!("{} ({})", floats.attack, floats.knowing())
            };
            format!("From floats at the same cut, {attack} would get {}.", answer.metric.phrase(found))
        }
        None => {
            "Floats at the same cut were not attacked, so what hashing itself withholds is unknown.".into()
        }
    }
}

fn worst(answer: &StrongestAttack) -> Option<String> {
    let (left, compared) = left_on(answer, Metric::Worst)?;
    let more = left_on(answer, Metric::WorstTwentieth);
    let more = more.map_or(String::new(), |(left, compared)| format!("; on 5 % it is {left} ({compared})"));
    Some(format!(
        "On the 1 % of records that are reconstructed best, the error is {left} of the average error of guessing the mean \
         ({compared}){more}."
    ))
}

/// The error that is left on the records that are reconstructed best, and what it is compared with.
fn left_on(answer: &StrongestAttack, metric: Metric) -> Option<(String, String)> {
    let left = answer.best.metrics.get(&metric)?;
    let baseline = answer.baseline.and_then(|(base, _)| base.metrics.get(&metric));
    let compared = match baseline {
        Some(base) => format!("{} without {}", metric.phrase(*base), answer.without()),
        None => format!("without {} this was not measured", answer.without()),
    };
    Some((metric.phrase(*left), compared))
}

fn beaten(report: &Report, result: &AttackResult) -> Option<String> {
    let other = report.beaten_by(result)?;
    let ((metric, reached), (_, more)) = (result.headline()?, other.headline()?);
    Some(format!(
        "The conditional mean ({}) reaches {}. With the same knowledge, {} reaches {}.",
        result.knowing(),
        metric.phrase(reached),
        other.attack,
        metric.phrase(more)
    ))
}

/// What an attacker does, by what it is ranked by.
fn gets(metric: Metric, estimate: Estimate, victim: &str) -> String {
    let figure = metric.phrase(estimate);
    match metric {
        Metric::Auc => format!("distinguishes {victim} with an AUC of {figure}"),
        Metric::Accuracy => format!("guesses {figure} of {victim} right"),
        Metric::Balanced => format!("guesses {victim} with a balanced accuracy of {figure}"),
        Metric::Top1 => format!("finds {victim}, in {figure} of cases"),
        Metric::Skill if estimate.value < 0.0 => {
            format!("reconstructs {victim} worse than guessing the mean (skill {figure})")
        }
        _ => format!("explains {figure} of the variance of {victim}"),
    }
}

/// Whether checks on the evaluation held, in words.
pub(super) fn checks(report: &Report) -> String {
    let failed: Vec<String> = report.checks.iter().filter(|c| !c.held).map(|c| c.name.to_string()).collect();
    match (report.checks.len(), failed.len()) {
        (0, _) => {
            "No check on the evaluation was run: nothing shows that its attacks work at all.".to_string()
        }
        (all, 0) => format!("Checks on the evaluation: {all} of {all} held."),
        (all, n) => format!(
            "{n} of {all} checks on the evaluation did not hold ({}): do not rely on the figures of this report.",
            failed.join("; ")
        ),
    }
}

fn replicates(spread: &Spread) -> String {
    let [.., least, most] = spread.moments();
    format!(
        "Trained {} times with other first weights, {}: {} to {}{}.",
        spread.values.len(),
        spread.what,
        spread.figure.number(least),
        spread.figure.number(most),
        if spread.figure.is_fraction() { " %" } else { "" }
    )
}

fn bound(report: &Report) -> String {
    let bound = match report.bounds.first() {
        None => "No bound was computed; a stronger attack may learn more.".to_string(),
        Some(bound) => {
            format!(
                "A stronger attack may learn more, up to bounds such as this: {} {}.",
                bound.about, bound.says
            )
        }
    };
    format!("{bound} Attacks were scored on records that they had not seen; ranges are 95 % intervals.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackId;
    use crate::report::sample::sample;

    fn paragraphs(report: &Report) -> Vec<String> {
        let whole = |s: Statement| [vec![s.lead], s.details].concat().join(" ");
        summary(report).into_iter().map(whole).collect()
    }

    #[test]
    fn strongest_baseline_interval_and_floats_stand_together() {
        let found = paragraphs(&sample());
        let one = &found[0];
        for part in [
            "From one code of 16 bits, an attacker explains 15.0 % (13.0 to 17.0) of the variance of bank's columns (test \
             records). Without the code: 4.0 % (2.0 to 6.0). The code adds 11.0 points (9.0 to 13.0).",
            "The strongest of 2 attacks: inverse network, knowing labels.",
            "From floats at the same cut, the same attack would get 45.0 % (43.0 to 47.0).",
            "reconstructed best, the error is 8.0 % (6.0 to 10.0) of the average error of guessing the mean \
             (20.0 % (18.0 to 22.0) without the code)",
            "The conditional mean (knowing labels) reaches 10.0 % (8.0 to 12.0). With the same knowledge, inverse network \
             reaches 15.0 % (13.0 to 17.0).",
        ] {
            assert!(one.contains(part), "{one}");
        }
        assert!(found[1].starts_with("From the codes of 30 releases, 480 bits in all"), "{found:?}");
        assert!(found[1].contains("The codes add 18.0 points"), "{found:?}");
        assert!(found[2].contains("guesses 71.0 % (70.0 to 72.0) of the labels right"), "{found:?}");
        assert_eq!(found[3], "Checks on the evaluation: 2 of 2 held.");
        let again = "Trained 3 times with other first weights, skill from one code: 13.0 to 16.0 %.";
        assert_eq!(found[found.len() - 2], again);
        assert!(
            found
                .last()
                .unwrap()
                .starts_with("A stronger attack may learn more, up to bounds such as this: one code tells")
        );
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
        assert!(found[0].starts_with("1 of 2 checks on the evaluation did not hold"));
        assert!(found[1].contains("what the code adds to it is unknown"));
        assert!(found[1].contains("what hashing itself withholds is unknown"));
        report.results.clear();
        report.checks.clear();
        report.bounds.clear();
        let found = paragraphs(&report);
        assert!(found[0].starts_with("No check"));
        assert!(found[1].starts_with("No attack"));
        assert!(found.last().unwrap().starts_with("No bound was computed"));
    }

    #[test]
    fn a_skill_below_zero_explains_nothing() {
        let mut report = sample();
        report.results.retain(|r| r.is_baseline() || r.attack == AttackId::ConditionalMean);
        let below = Estimate { value: -0.03, low: -0.05, high: -0.01 };
        report.results[1].metrics.insert(Metric::Skill, below);
        let found = paragraphs(&report);
        assert!(found[0].contains("worse than guessing the mean (skill \u{2212}3.0 %"), "{found:?}");
        assert!(found[0].contains("The code adds \u{2212}7.0 points."), "{found:?}");
    }

    #[test]
    fn a_gain_whose_interval_holds_zero_may_be_chance() {
        let mut report = sample();
        for result in &mut report.results {
            if let Some(added) = result.metrics.get_mut(&Metric::Added) {
                added.low = -0.01;
            }
        }
        assert!(paragraphs(&report)[0].contains("which may be chance"));
    }
}
