//! The first screen: the questions that a reader decides by, each answered for the adversary that gets most.

use super::limits::Verdict;
use super::model::{AttackResult, CutKind, Report};
use super::relate::strongest;
use super::{Knowledge, Metric, Victim};

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In words.
    pub asked: &'static str,
    /// The figure, beside the same adversary without codes and beside floats.
    pub answer: String,
    /// What else the records lose: whole values, all of them.
    pub values: Option<String>,
    /// Whether every attack that fits stayed within the reader's limits with its whole interval; `None` where no limit is named, or
    /// where that was not shown.
    pub within: Option<bool>,
    /// The same in words, with what got above a limit or why it was not decided; `None` without a limit.
    pub verdict: Option<String>,
    /// What no attack can exceed.
    pub bound: Option<String>,
}

impl Question {
    fn new(asked: &'static str, answer: String, verdict: &Verdict) -> Self {
        let words = Some(verdict.words()).filter(|words| !words.is_empty());
        Self { asked, answer, values: None, within: verdict.within(), verdict: words, bound: None }
    }
}

/// What is said of an attack that nobody made.
const NOT_TRIED: &str = "This was not tried.";

/// The three questions about the columns.
pub fn questions(report: &Report) -> [Question; 3] {
    let one = |result: &AttackResult| report.is_honest(result) && result.releases == 1;
    let all = |result: &AttackResult| report.is_honest(result) && result.releases > 1;
    [
        Question {
            bound: report.bound_on(false),
            ..question(report, "What can the coordinator tell about a person from one code?", &one)
        },
        Question {
            bound: report.bound_on(true),
            ..question(report, "What can it tell from everything that was ever sent of a person?", &all)
        },
        Question { bound: report.bound_on(true).or_else(|| report.bound_on(false)), ..forced(report) },
    ]
}

/// The two about labels, which parties may infer.
pub fn label_questions(report: &Report) -> [Question; 2] {
    [
        of_labels(
            report,
            "What can a party alone tell of the labels of training records?",
            Knowledge::OwnGradients,
        ),
        of_labels(report, "What can all parties together tell of them?", Knowledge::AllGradients),
    ]
}

/// Attacks on what a person's columns are, and on whose code it is.
fn on_persons<'a>(report: &'a Report, fits: &dyn Fn(&AttackResult) -> bool) -> Vec<&'a AttackResult> {
    let about = |result: &&AttackResult| {
        matches!(result.victim, Victim::Columns { .. } | Victim::Identity { .. }) && !result.is_baseline()
    };
    report.results.iter().filter(about).filter(|result| fits(result)).collect()
}

/// The strongest of them on columns.
fn strongest_on_columns<'a>(attacks: &[&'a AttackResult]) -> Option<&'a AttackResult> {
    let on_columns = |result: &&AttackResult| {
        matches!(result.victim, Victim::Columns { .. }) && result.metrics.contains_key(&Metric::Skill)
    };
    strongest(attacks.iter().copied().filter(on_columns))
}

fn question(report: &Report, asked: &'static str, fits: &dyn Fn(&AttackResult) -> bool) -> Question {
    let attacks = on_persons(report, fits);
    let Some(best) = strongest_on_columns(&attacks) else {
        let verdict = if report.is_limited_for_columns() {
            Verdict::NotDecided("nobody tried".into())
        } else {
            Verdict::NoLimit
        };
        return Question::new(asked, NOT_TRIED.into(), &verdict);
    };
    let verdict = report.judge_columns(&attacks);
    Question { values: values(report, best), ..Question::new(asked, answer(report, best), &verdict) }
}

/// What it can force. Whoever cheats can do all that an honest coordinator can.
fn forced(report: &Report) -> Question {
    let asked = "What can it extract by sending forged gradients?";
    let steered = |result: &AttackResult| {
        result.cut == CutKind::Codes && result.defence.is_steered() && !result.is_baseline()
    };
    if report.results.iter().any(steered) {
        let fits = |result: &AttackResult| steered(result) || report.is_honest(result);
        return question(report, asked, &fits);
    }
    let honest = on_persons(report, &|result| report.is_honest(result));
    let verdict = report.judge_columns(&honest).without_all("forged gradients were not tried");
    let answer = format!("{NOT_TRIED} It can tell at least what it can without them.");
    Question::new(asked, answer, &verdict)
}

fn answer(report: &Report, best: &AttackResult) -> String {
    let reached = best.metrics[&Metric::Skill];
    let mut answer = format!(
        "{} of the variance of {}, by {}, {}",
        Metric::Skill.phrase(reached),
        best.victim,
        best.attack,
        best.knowing()
    );
    let skill = |result: &AttackResult| result.metrics.get(&Metric::Skill).copied();
    if let Some(bare) = report.baseline_of(best).and_then(skill) {
        answer.push_str(&format!("; without codes {}", Metric::Skill.phrase(bare)));
    }
    if let Some(floats) = report.floats_beside(best).and_then(skill) {
        answer.push_str(&format!("; from floats {}", Metric::Skill.phrase(floats)));
    }
    answer.push('.');
    answer
}

/// How many values, and whole records, are guessed right.
fn values(report: &Report, best: &AttackResult) -> Option<String> {
    let (right, all) = (best.metrics.get(&Metric::Right)?, best.metrics.get(&Metric::AllRight)?);
    let bare = |metric| report.baseline_of(best).and_then(|result| result.metrics.get(&metric)).copied();
    let without = |metric: Metric| {
        bare(metric).map_or(String::new(), |found| format!(", without codes {}", metric.phrase(found)))
    };
    Some(format!(
        "Of the columns with few values it guesses {} right{}; all of them in {} of the records{}.",
        Metric::Right.phrase(*right),
        without(Metric::Right),
        Metric::AllRight.phrase(*all),
        without(Metric::AllRight)
    ))
}

fn of_labels(report: &Report, asked: &'static str, gradients: Knowledge) -> Question {
    let fits = |result: &&AttackResult| {
        result.victim == Victim::Labels
            && result.cut == CutKind::Gradients
            && !result.is_baseline()
            && Some(&result.defence) == report.gradients.as_ref()
            && result.knowledge.contains(&gradients)
    };
    let attacks: Vec<&AttackResult> = report.results.iter().filter(fits).collect();
    let best = strongest(attacks.iter().copied());
    let Some((best, (metric, reached))) = best.and_then(|best| Some((best, best.headline()?))) else {
        let answer = format!("{NOT_TRIED} It is where attack.toml has label_inference.");
        let verdict = match report.limits.labels {
            Some(_) => Verdict::NotDecided("nobody tried".into()),
            None => Verdict::NoLimit,
        };
        return Question::new(asked, answer, &verdict);
    };
    let what = if metric == Metric::Auc { "as AUC (0.5 is chance)" } else { "of the labels" };
    let mut answer = format!("{} {what}, by {}, {}", metric.phrase(reached), best.attack, best.knowing());
    let bare = report.without_gradients(best);
    if let Some((bare, found)) = bare.and_then(|bare| Some((bare, *bare.metrics.get(&metric)?))) {
        answer.push_str(&format!("; without gradients {}, {}", metric.phrase(found), bare.knowing()));
    }
    answer.push('.');
    Question::new(asked, answer, &report.judge_labels(&attacks))
}

impl Report {
    /// The strongest attack on floats by an adversary that knows as much as that of `result`, from as many releases of the same
    /// records.
    fn floats_beside(&self, result: &AttackResult) -> Option<&AttackResult> {
        let alike = |other: &&AttackResult| {
            other.cut == CutKind::SimulatedFloats
                && other.victim == result.victim
                && other.releases == result.releases
                && other.defence.change.is_some() == result.defence.change.is_some()
                && other.known() == result.known()
        };
        strongest(self.results.iter().filter(alike))
    }

    /// The first bound on one release of a record, or on all that left of it.
    fn bound_on(&self, all: bool) -> Option<String> {
        let about = |releases: u64| if all { releases > 1 } else { releases == 1 };
        let bound = self.bounds.iter().find(|bound| about(bound.releases))?;
        Some(format!("Whatever the attack: {} {}.", bound.about, bound.says))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::attacks::AttackId;
    use crate::report::Change;
    use crate::report::Estimate;
    use crate::report::sample::{result, sample};

    #[test]
    fn each_question_has_an_answer_or_says_that_it_was_not_tried() {
        let mut report = sample();
        let [one, all, forced] = questions(&report);
        assert!(
            one.answer.starts_with("15.0 % (13.0 to 17.0) of the variance of bank's columns"),
            "{}",
            one.answer
        );
        assert!(one.answer.contains("without codes 4.0 %") && one.answer.contains("from floats 45.0 %"));
        assert!(all.answer.starts_with("22.0 %"), "{}", all.answer);
        assert!(forced.answer.starts_with("This was not tried."), "{}", forced.answer);
        assert_eq!((one.within, one.verdict), (None, None));
        assert!(one.bound.unwrap().contains("one code tells at most 16.0 bits"));
        assert!(all.bound.unwrap().contains("all 30 codes of a training record tell at most 480.0 bits"));
        report.limit = Some(0.2);
        let [one, all, forced] = questions(&report);
        assert_eq!((one.within, all.within, forced.within), (Some(true), Some(false), Some(false)));
        let verdict = all.verdict.unwrap();
        assert!(verdict.contains("22.0 % (20.0 to 24.0) of the variance of all columns"), "{verdict}");
        assert!(verdict.contains("where 20.0 % may be told"), "{verdict}");
        report.limit = Some(0.3);
        let [_, all, forced] = questions(&report);
        assert_eq!((all.within, forced.within), (Some(true), None), "what was not tried is not green");
        assert!(forced.verdict.unwrap().contains("forged gradients were not tried"));
    }

    /// A report whose first question is green, and what must not be.
    fn limited() -> Report {
        let mut report = sample();
        report.limit = Some(0.2);
        assert_eq!(questions(&report)[0].within, Some(true));
        report
    }

    #[test]
    fn nothing_is_green_that_was_not_shown() {
        let first = |report: &Report| questions(report)[0].clone();
        let mut failed = limited();
        failed.checks[0].held = false;
        assert_eq!(first(&failed).within, None);
        assert!(first(&failed).verdict.unwrap().starts_with("Not decided: a check on the evaluation"));
        failed.checks.clear();
        assert_eq!(first(&failed).within, None);
        let mut quick = limited();
        quick.quick = true;
        assert_eq!(first(&quick).within, None);
        assert!(first(&quick).verdict.unwrap().contains("first look"));
        quick.limit = Some(0.1);
        assert_eq!(first(&quick).within, Some(false), "a figure that is lower than it should be is too high");
        // The strongest attack is within the limit with its interval, a weaker one on fewer records is not.
        let mut wide = limited();
        let mut few = result(AttackId::InverseNetwork, &[], 1, CutKind::Codes, 0.14);
        few.metrics.insert(Metric::Skill, Estimate { value: 0.14, low: 0.05, high: 0.23 });
        wide.results.push(few);
        assert!(first(&wide).answer.starts_with("15.0 %"));
        assert_eq!(first(&wide).within, Some(false));
        // All columns together hide one that is given away.
        let mut exposed = limited();
        let given_away = Estimate { value: 0.9, low: 0.88, high: 0.92 };
        exposed.results[2].of_columns = BTreeMap::from([("income".to_string(), given_away)]);
        exposed.limits.explained_of.insert("income".into(), 0.1);
        assert_eq!(first(&exposed).within, Some(false));
        let verdict = first(&exposed).verdict.unwrap();
        assert!(verdict.contains("90.0 % (88.0 to 92.0) of the variance of column income"), "{verdict}");
        exposed.limits.explained_of.insert("income".into(), 0.95);
        assert_eq!(first(&exposed).within, Some(true));
        // A limit by which nothing was scored decides nothing.
        exposed.limits.explained_of.insert("age".into(), 0.95);
        assert_eq!(first(&exposed).within, None);
    }

    #[test]
    fn records_that_are_found_count_as_well() {
        let mut report = limited();
        report.limits.reidentified = Some(0.1);
        assert_eq!(questions(&report)[0].within, Some(true), "top-1 is at most 2.1 %");
        let mut found = result(AttackId::Reidentification, &[], 1, CutKind::Codes, 0.0);
        let Victim::Columns { party, of } = found.victim.clone() else { panic!("columns") };
        found.victim = Victim::Identity { party, of };
        found.metrics = BTreeMap::from([(Metric::Top1, Estimate { value: 0.4, low: 0.35, high: 0.45 })]);
        report.results.push(found);
        let [one, all, _] = questions(&report);
        assert_eq!((one.within, all.within), (Some(false), Some(false)));
        assert!(one.verdict.unwrap().contains("40.0 % (35.0 to 45.0) of the records re-identified"));
        assert!(one.answer.starts_with("15.0 %"), "{}", one.answer);
    }

    #[test]
    fn whoever_cheats_gets_no_less_than_whoever_does_not() {
        let mut report = sample();
        let mut steered = result(AttackId::Steering, &[], 1, CutKind::Codes, 0.18);
        steered.defence = report.defence.changed(Change::SteeredContrastive(10));
        report.results.push(steered);
        let [_, all, forced] = questions(&report);
        assert!(all.answer.starts_with("22.0 %") && forced.answer.starts_with("22.0 %"), "{}", forced.answer);
        report
            .results
            .last_mut()
            .unwrap()
            .metrics
            .insert(Metric::Skill, Estimate { value: 0.4, low: 0.3, high: 0.5 });
        assert!(questions(&report)[2].answer.starts_with("40.0 %"));
    }

    #[test]
    fn labels_are_answered_beside_codes_alone_and_by_a_limit_of_their_own() {
        let mut report = sample();
        let [alone, together] = label_questions(&report);
        assert!(
            alone.answer.starts_with("71.0 % (70.0 to 72.0) of the labels, by gradient direction"),
            "{}",
            alone.answer
        );
        assert!(alone.answer.contains("without gradients 62.0 %"), "{}", alone.answer);
        assert!(together.answer.starts_with("This was not tried."), "{}", together.answer);
        assert_eq!((alone.within, together.within), (None, None));
        report.limits.labels = Some(0.65);
        let [alone, together] = label_questions(&report);
        assert_eq!((alone.within, together.within), (Some(false), None));
        assert!(together.verdict.unwrap().starts_with("Not decided"));
        report.limits.labels = Some(0.75);
        assert_eq!(label_questions(&report)[0].within, Some(true));
        // Gradients of another kind say nothing of what the run's own give away.
        report.gradients = None;
        assert!(label_questions(&report)[0].answer.starts_with("This was not tried."));
    }
}
