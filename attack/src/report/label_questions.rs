//! The label holder's questions: what parties tell of labels that nobody sends them.

use super::limits::LimitVerdict;
use super::model::{AttackResult, Report};
use super::questions::{NOT_TRIED, Question};
use super::relate::strongest;
use super::{Knowledge, Metric, Victim};

/// The two about labels, which parties may infer.
pub fn label_questions(report: &Report) -> [Question; 2] {
    [
        of_labels(report, "What can one party learn about the labels of training records?", false),
        of_labels(report, "What can all parties together learn about these labels?", true),
    ]
}

/// `together`: by all parties, who have all that one has.
fn of_labels(report: &Report, asked: &'static str, together: bool) -> Question {
    let of_run = |result: &&AttackResult| {
        result.victim == Victim::Labels
            && !result.is_baseline()
            && Some(&result.defence) == report.gradients.as_ref()
    };
    let all: Vec<&AttackResult> = report.results.iter().filter(of_run).collect();
    let (by_all, by_one): (Vec<&AttackResult>, Vec<&AttackResult>) = all
        .iter()
        .copied()
        .partition(|result| result.knows_one_of(&[Knowledge::AllGradients, Knowledge::AllCodes]));
    let none_by_all = by_all.is_empty();
    let attacks = if together { all } else { by_one };
    let judged = report.judge_labels(&attacks);
    if together && !attacks.is_empty() && none_by_all {
        let answer = format!("{NOT_TRIED} They can learn at least what one can.");
        return Question::new(asked, answer, &judged.without_all("all parties together were not tried"));
    }
    let best = strongest(attacks.iter().copied());
    let Some((best, (metric, reached))) = best.and_then(|best| Some((best, best.headline()?))) else {
        let (answer, why) = match attacks.is_empty() {
            true => (
                format!("{NOT_TRIED} Set label_inference = true in attack.toml to try it."),
                "no attack was run",
            ),
            false => ("No figure: all scored records have one label.".to_string(), "nothing was scored"),
        };
        let verdict = match report.limits.labels {
            Some(_) => LimitVerdict::NotDecided(why.into()),
            None => LimitVerdict::NoLimit,
        };
        return Question::new(asked, answer, &verdict);
    };
    let what = if metric == Metric::Auc { "as AUC (0.5 is chance)" } else { "of the labels" };
    let mut answer = format!("{} {what}, by {}, {}", metric.phrase(reached), best.attack, best.knowing());
    let sees_gradients = best.knowledge.iter().any(|known| known.is_gradients());
    let bare = report.without_gradients(best).filter(|_| sees_gradients);
    if let Some((bare, found)) = bare.and_then(|bare| Some((bare, *bare.metrics.get(&metric)?))) {
        answer.push_str(&format!("; without gradients {}, {}", metric.phrase(found), bare.knowing()));
    }
    answer.push('.');
    Question::new(asked, answer, &judged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackId;
    use crate::report::sample::{labels, sample};
    use crate::report::{CutKind, Estimate};

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
        assert_eq!((alone.within, together.within), (Some(false), Some(false)), "all have what one has");
        report.limits.labels = Some(0.75);
        let [alone, together] = label_questions(&report);
        assert_eq!((alone.within, together.within), (Some(true), None));
        assert!(together.verdict.unwrap().starts_with("Not decided: all parties together were not tried"));
        // Gradients of another kind say nothing of what the run's own give away.
        report.gradients = None;
        assert!(label_questions(&report)[0].answer.starts_with("This was not tried."));
    }

    #[test]
    fn whoever_is_nearly_always_wrong_knows_the_labels() {
        let mut report = sample();
        report.limits.labels = Some(0.75);
        for result in report.results.iter_mut().filter(|result| result.victim == Victim::Labels) {
            let value = if result.attack == AttackId::GradientDirection { 0.05 } else { 0.6 };
            let found = Estimate { value, low: value - 0.02, high: value + 0.02 };
            result.metrics = [(Metric::Auc, found)].into();
        }
        let [alone, _] = label_questions(&report);
        assert_eq!(alone.within, Some(false));
        assert!(
            alone.verdict.as_ref().is_some_and(|verdict| verdict.contains("0.950 (0.930 to 0.970)")),
            "{alone:?}"
        );
    }

    #[test]
    fn labels_are_judged_by_the_strongest_attack_whatever_it_sees() {
        use Knowledge::{AllGradients, FewLabels, OwnCodes};
        let mut report = sample();
        report.limits.labels = Some(0.75);
        let by_codes = labels(AttackId::CodesAlone, &[FewLabels, OwnCodes], 30, CutKind::Codes, 0.8);
        report.results.push(by_codes);
        let [alone, _] = label_questions(&report);
        assert!(
            alone.answer.starts_with("80.0 %") && !alone.answer.contains("without gradients"),
            "{alone:?}"
        );
        assert_eq!(alone.within, Some(false));
        // Eight shots and twice as many inputs may do worse than one party.
        let by_all =
            labels(AttackId::ModelCompletion, &[FewLabels, AllGradients], 30, CutKind::Gradients, 0.6);
        report.results.push(by_all);
        let [_, together] = label_questions(&report);
        assert!(together.answer.starts_with("80.0 %"), "{}", together.answer);
        assert_eq!(together.within, Some(false));
        // A figure that there is not, since all scored records have one label.
        report.results.iter_mut().for_each(|result| result.metrics.clear());
        let [alone, _] = label_questions(&report);
        assert!(alone.answer.starts_with("No figure") && alone.within.is_none(), "{alone:?}");
    }
}
