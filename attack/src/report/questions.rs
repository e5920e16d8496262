//! The first screen: the questions that a reader decides by, each answered for the adversary that gets most.

use super::details;
use super::limits::LimitVerdict;
use super::model::{AttackResult, Bound, CutKind, Report};
use super::relate::strongest;
use super::{Knowledge, Metric, Population, Victim};

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In words.
    pub asked: &'static str,
    /// The figure, beside the same adversary without codes and beside floats.
    pub answer: String,
    /// What else belongs to it, in sentences: with the victim's weights, whether the party would have noticed, whose code it is, whole
    /// values.
    pub beside: Vec<String>,
    /// Whether every attack that fits stayed within the reader's limits with its whole interval; `None` where no limit is named, or
    /// where that was not shown.
    pub within: Option<bool>,
    /// The same in words, with what got above a limit or why it was not decided; `None` without a limit.
    pub verdict: Option<String>,
    /// What no attack can exceed.
    pub bound: Option<String>,
}

impl Question {
    pub(super) fn new(asked: &'static str, answer: String, verdict: &LimitVerdict) -> Self {
        let words = Some(verdict.words()).filter(|words| !words.is_empty());
        Self { asked, answer, beside: Vec::new(), within: verdict.within(), verdict: words, bound: None }
    }
}

/// What is said of an attack that nobody made.
pub(super) const NOT_TRIED: &str = "This was not tried.";

/// The three questions about the columns.
pub fn questions(report: &Report) -> [Question; 3] {
    let one = |result: &AttackResult| report.is_honest(result) && result.releases == 1;
    // Whoever has everything has one code, by which a record may be found.
    let is_identity = |result: &AttackResult| matches!(result.victim, Victim::Identity { .. });
    let all =
        |result: &AttackResult| report.is_honest(result) && (result.saw_everything() || is_identity(result));
    let everything =
        question(report, "What can it learn from everything that was ever sent about a person?", &all);
    let beside = everything.beside.iter().cloned().chain(details::members(report)).collect();
    [
        Question {
            bound: report.bound_on(false),
            ..question(report, "What can the coordinator learn about a person from one code?", &one)
        },
        Question { bound: report.bound_on(true), beside, ..everything },
        Question { bound: report.widest_bound(), ..forced(report) },
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
    let verdict = report.judge_columns(&attacks);
    // The same adversary in every question: weights and queries are granted for one code alone.
    let (granted, plain): (Vec<&AttackResult>, Vec<&AttackResult>) =
        attacks.iter().copied().partition(|result| result.is_granted_the_encoder());
    let (plain, granted) = (strongest_on_columns(&plain), strongest_on_columns(&granted));
    let Some(best) = plain.or(granted) else {
        let verdict = match verdict {
            LimitVerdict::NoLimit | LimitVerdict::Above(_) => verdict,
            LimitVerdict::Within | LimitVerdict::NotDecided(_) => {
                LimitVerdict::NotDecided("no attack was run".into())
            }
        };
        return Question::new(asked, NOT_TRIED.into(), &verdict);
    };
    let mut beside: Vec<String> = details::noticed(best).into_iter().collect();
    if let Some(granted) = plain.and(granted) {
        beside.push(format!("With the encoder's weights or its answers: {}", answer(report, granted)));
    }
    beside.extend(details::of_attacks(report, &attacks));
    Question { beside, ..Question::new(asked, answer(report, best), &verdict) }
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
    let answer = format!("{NOT_TRIED} It can learn at least what it can without forged gradients.");
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
    let floats = report.floats_beside(best);
    if let Some((floats, found)) = floats.and_then(|floats| Some((floats, skill(floats)?))) {
        let times = match floats.releases == best.releases {
            true => String::new(),
            false => format!(", which were sent {},", hashvfl_core::text::times(floats.releases)),
        };
        answer.push_str(&format!("; from floats{times} {}", Metric::Skill.phrase(found)));
    }
    answer.push('.');
    answer
}

impl AttackResult {
    /// Whether it saw all that was ever sent of its targets, or more codes of them than one.
    fn saw_everything(&self) -> bool {
        let trained = [Some(Population::Training), Some(Population::Validation)];
        self.releases > 1 || trained.contains(&self.victim.population())
    }

    /// Whether its adversary was granted the victim's encoder, or answers of it.
    fn is_granted_the_encoder(&self) -> bool {
        self.knows_one_of(&[Knowledge::Weights, Knowledge::QueryAccess])
    }

    pub(super) fn knows_one_of(&self, some: &[Knowledge]) -> bool {
        self.knowledge.iter().any(|known| some.contains(known))
    }
}

impl Report {
    /// The strongest attack on floats by an adversary that knows as much as that of `result`, from as many releases of the same
    /// records. A run with floats may end at another epoch: then from all of its releases.
    fn floats_beside(&self, result: &AttackResult) -> Option<&AttackResult> {
        let alike = |other: &&AttackResult| {
            other.cut == CutKind::SimulatedFloats
                && !other.is_baseline()
                && other.victim == result.victim
                && other.defence.change.is_some() == result.defence.change.is_some()
                && other.known() == result.known()
        };
        let of = |releases: u64| {
            strongest(self.results.iter().filter(alike).filter(move |other| other.releases == releases))
        };
        let most = self.results.iter().filter(alike).map(|other| other.releases).max()?;
        of(result.releases).or_else(|| of(most).filter(|_| result.releases > 1 && most > 1))
    }

    /// The first bound on one release of a record, or on all that left of it.
    fn bound_on(&self, all: bool) -> Option<String> {
        let about = |releases: u64| if all { releases > 1 } else { releases == 1 };
        self.bounds.iter().find(|bound| about(bound.releases)).map(in_words)
    }

    /// The first bound on the most releases that any is about: whoever cheats asks for all that the settings allow.
    fn widest_bound(&self) -> Option<String> {
        let most = self.bounds.iter().map(|bound| bound.releases).max().filter(|most| *most > 0)?;
        self.bounds.iter().find(|bound| bound.releases == most).map(in_words)
    }
}

fn in_words(bound: &Bound) -> String {
    format!("Whatever the attack: {} {}.", bound.about, bound.says)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::attacks::AttackId;
    use crate::report::sample::{result, sample};
    use crate::report::{Change, Estimate, MonitorAlarm};

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
        assert!(verdict.contains("but the limit is 20.0 %"), "{verdict}");
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
        assert!(first(&quick).verdict.unwrap().contains("quick evaluation"));
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
    fn one_code_that_names_its_record_is_among_everything_that_was_sent() {
        let mut report = sample();
        report.limits.reidentified = Some(0.1);
        let mut found = result(AttackId::ReidentificationByCopy, &[], 1, CutKind::Codes, 0.0);
        let Victim::Columns { party, of } = found.victim.clone() else { panic!("columns") };
        found.victim = Victim::Identity { party, of };
        found.metrics = BTreeMap::from([(Metric::Top1, Estimate { value: 0.4, low: 0.35, high: 0.45 })]);
        report.results.push(found);
        let [_, all, _] = questions(&report);
        assert_eq!(all.within, Some(false), "{all:?}");
        let named = "Among 6000 records it finds the right one in 40.0 % (35.0 to 45.0) of cases";
        assert!(all.beside.iter().any(|sentence| sentence.starts_with(named)), "{all:?}");
        // Where nobody tried columns a limit that is passed is red all the same.
        report.results.retain(|result| !matches!(result.victim, Victim::Columns { .. }));
        let [_, all, _] = questions(&report);
        assert_eq!((all.within, all.answer.as_str()), (Some(false), NOT_TRIED));
    }

    #[test]
    fn weights_that_are_granted_for_one_code_stand_beside_the_adversary_of_all_questions() {
        let mut report = sample();
        let known = [Knowledge::Labels, Knowledge::Weights];
        report.results.push(result(AttackId::QueryFree, &known, 1, CutKind::Codes, 0.3));
        report.limit = Some(0.25);
        let [one, ..] = questions(&report);
        assert!(one.answer.starts_with("15.0 %"), "{}", one.answer);
        assert!(one.beside[0].starts_with("With the encoder's weights or its answers: 30.0 %"), "{one:?}");
        assert_eq!(one.within, Some(false), "what was granted is judged too");
    }

    #[test]
    fn an_alarm_and_all_codes_that_the_settings_allow_stand_behind_what_is_forced() {
        let mut report = sample();
        let mut steered = result(AttackId::Steering, &[], 1, CutKind::Codes, 0.86);
        steered.defence = report.defence.changed(Change::SteeredContrastive(10));
        report.results.push(steered);
        let forced = |report: &Report| questions(report)[2].clone();
        assert!(forced(&report).beside[0].ends_with("raised no alarm."), "{:?}", forced(&report));
        let alarm = |on_alarm: &str| MonitorAlarm {
            steps: 40,
            cause: "predictable".into(),
            on_alarm: on_alarm.into(),
        };
        for (on_alarm, said) in [("stop", "The party stops at an alarm"), ("warn", "(on_alarm is warn)")] {
            report.results.last_mut().unwrap().alarm = Some(alarm(on_alarm));
            let sentence = forced(&report).beside[0].clone();
            assert!(sentence.contains(said) && sentence.contains("step 40 (predictable)"), "{sentence}");
        }
        // The run stopped early; whoever cheats goes on.
        let (about, says) = ("the 60 own codes".to_string(), "tell at most 960.0 bits".to_string());
        report.bounds.push(Bound { about, says, assumes: String::new(), releases: 60 });
        let [_, all, forced] = questions(&report);
        assert!(all.bound.unwrap().contains("480.0 bits"));
        assert!(forced.bound.unwrap().contains("960.0 bits"));
    }

    #[test]
    fn floats_of_a_run_that_ended_at_another_epoch_are_named_with_their_number() {
        let mut report = sample();
        report.results.push(result(AttackId::Fora, &[Knowledge::Labels], 12, CutKind::SimulatedFloats, 0.7));
        let [_, all, _] = questions(&report);
        assert!(all.answer.contains("from floats, which were sent 12 times, 70.0 %"), "{}", all.answer);
    }
}
