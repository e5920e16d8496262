//! The first screen: the three questions that a reader decides by, each answered for the adversary that gets most.

use super::model::{AttackResult, CutKind, Report};
use super::relate::strongest;
use super::{Change, Metric, Victim};

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In words.
    pub asked: &'static str,
    /// The figure, beside the same adversary without codes and beside floats.
    pub answer: String,
    /// What else the records lose: whole values, all of them.
    pub values: Option<String>,
    /// Whether it is within the reader's limit; `None` where there is no figure or no limit.
    pub within: Option<bool>,
}

/// The three questions about the columns.
pub fn questions(report: &Report) -> [Question; 3] {
    let honest = |result: &&AttackResult| result.cut == CutKind::Codes && result.defence == report.defence;
    let one = |result: &&AttackResult| honest(result) && result.releases == 1;
    let all = |result: &&AttackResult| honest(result) && result.releases > 1;
    let forced = |result: &&AttackResult| {
        result.cut == CutKind::Codes
            && matches!(
                result.defence.change,
                Some(Change::Steered(_) | Change::SteeredApart(_) | Change::SteeredContrastive(_))
            )
    };
    [
        question(report, "What can the coordinator tell about a person from one code?", &one),
        question(report, "What can it tell from everything that was ever sent of a person?", &all),
        question(report, "What can it force by cheating?", &forced),
    ]
}

fn question(report: &Report, asked: &'static str, fits: &dyn Fn(&&AttackResult) -> bool) -> Question {
    let of_columns = report.results.iter().filter(|result| {
        !result.is_baseline()
            && matches!(result.victim, Victim::Columns { .. })
            && result.metrics.contains_key(&Metric::Skill)
    });
    let Some(best) = strongest(of_columns.filter(fits)) else {
        return Question { asked, answer: "This was not tried.".into(), values: None, within: None };
    };
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
    let within = report.limit.map(|limit| reached.high <= limit);
    Question { asked, answer, values: values(report, best), within }
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

    /// The columns with few values that codes give away most: their names, with what an attacker guesses right of each.
    pub fn most_exposed(&self) -> Vec<&AttackResult> {
        let of_column = |result: &&AttackResult| {
            matches!(result.victim, Victim::Column { .. })
                && !result.is_baseline()
                && result.cut == CutKind::Codes
                && result.defence == self.defence
        };
        let added =
            |result: &AttackResult| result.metrics.get(&Metric::Added).map_or(0.0, |added| added.value);
        let mut columns: Vec<&AttackResult> = self.results.iter().filter(of_column).collect();
        columns.sort_by(|a, b| added(b).total_cmp(&added(a)));
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

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
        assert_eq!(forced.answer, "This was not tried.");
        assert_eq!(one.within, None);
        report.limit = Some(0.2);
        let [one, all, forced] = questions(&report);
        assert_eq!((one.within, all.within, forced.within), (Some(true), Some(false), None));
    }
}
