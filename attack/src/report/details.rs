//! What stands below an answer of the first screen: each sentence by the attack that does it best.

use super::model::{AttackResult, Report};
use super::relate::strongest;
use super::{Metric, Victim};

/// Whose code it is, values, whole records and images: what attacks made of them.
pub(super) fn of_attacks(report: &Report, attacks: &[&AttackResult]) -> Vec<String> {
    let sentences = [named(attacks), values(report, attacks), likeness(report, attacks)];
    sentences.into_iter().flatten().collect()
}

/// Whether the party would have let it come so far.
pub(super) fn noticed(best: &AttackResult) -> Option<String> {
    if !best.defence.is_steered() {
        return None;
    }
    let Some(alarm) = &best.alarm else {
        return Some("The party's gradient monitor raised no alarm.".to_string());
    };
    let (step, cause) = (alarm.steps, &alarm.cause);
    Some(match alarm.on_alarm.as_str() {
        "stop" => format!(
            "The party stops at an alarm (on_alarm), which its gradient monitor raises at step {step} ({cause}): the figure is that \
             of a run to its end."
        ),
        other => format!(
            "A gradient monitor raises an alarm at step {step} ({cause}), at which this party does not stop (on_alarm is {other})."
        ),
    })
}

/// How often codes name their own record.
fn named(attacks: &[&AttackResult]) -> Option<String> {
    let identity = attacks.iter().copied().filter(|result| matches!(result.victim, Victim::Identity { .. }));
    let best = strongest(identity)?;
    Some(format!(
        "Among {} records it finds the right one in {} of cases, by {}, {}.",
        best.target_rows,
        Metric::Top1.phrase(*best.metrics.get(&Metric::Top1)?),
        best.attack,
        best.knowing()
    ))
}

/// Whether it knows who was in the training.
pub(super) fn members(report: &Report) -> Option<String> {
    let on_members = |result: &&AttackResult| {
        matches!(result.victim, Victim::Membership { .. }) && report.is_honest(result)
    };
    let best = strongest(report.results.iter().filter(on_members))?;
    Some(format!(
        "It tells records that were learned from and others apart with an AUC of {} (0.5 is chance), by {}, {}.",
        Metric::Auc.phrase(*best.metrics.get(&Metric::Auc)?),
        best.attack,
        best.knowing()
    ))
}

/// How many values are guessed right, and whole records: each by the attack that does it best, which seldom is the one that explains
/// most variance.
fn values(report: &Report, attacks: &[&AttackResult]) -> Option<String> {
    let [right, all] = [Metric::Right, Metric::AllRight].map(|metric| greatest(metric, attacks));
    let (right, all) = (right?, all?);
    Some(format!(
        "Of the values in columns with few distinct values, {}, {}, guesses {} right; {}, {}, guesses all of them right in {} \
         of the records.",
        right.attack,
        right.knowing(),
        beside_none(report, Metric::Right, right)?,
        all.attack,
        all.knowing(),
        beside_none(report, Metric::AllRight, all)?
    ))
}

/// How alike to their own the images of that attack are whose images are most alike.
fn likeness(report: &Report, attacks: &[&AttackResult]) -> Option<String> {
    let best = greatest(Metric::Ssim, attacks)?;
    Some(format!(
        "Images that {} makes, {}, have a structural similarity (SSIM; 1 is the same image) of {}.",
        best.attack,
        best.knowing(),
        beside_none(report, Metric::Ssim, best)?
    ))
}

/// The attack with the greatest figure of a metric.
fn greatest<'a>(metric: Metric, attacks: &[&'a AttackResult]) -> Option<&'a AttackResult> {
    let figure = |result: &AttackResult| result.metrics.get(&metric).map(|found| found.value);
    let scored = attacks.iter().copied().filter_map(|result| Some((result, figure(result)?)));
    scored.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(result, _)| result)
}

/// A figure of an attack, and the greatest that anybody has without codes who knows no more.
fn beside_none(report: &Report, metric: Metric, best: &AttackResult) -> Option<String> {
    let found = metric.phrase(*best.metrics.get(&metric)?);
    let bare: Vec<&AttackResult> = report.baselines_of(best).collect();
    let bare = greatest(metric, &bare).and_then(|bare| bare.metrics.get(&metric));
    Some(match bare {
        Some(bare) => format!("{found} (without codes {})", metric.phrase(*bare)),
        None => found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackId;
    use crate::report::sample::{result, sample};
    use crate::report::{CutKind, Estimate, Knowledge, questions};

    /// Whoever explains less variance may paint what people recognise, or name whole records.
    #[test]
    fn images_and_whole_records_are_told_by_what_does_them_best() {
        let mut report = sample();
        let beside = |report: &Report| questions(report)[0].beside.join(" ");
        assert!(
            beside(&report).contains("of 0.150 (0.140 to 0.160) (without codes 0.040"),
            "{}",
            beside(&report)
        );
        let with = |attack, releases, skill: f64, figures: &[(Metric, f64)]| {
            let mut found = result(attack, &[Knowledge::Labels], releases, CutKind::Codes, skill);
            let figures = figures.iter().map(|(metric, value)| (*metric, exactly(*value)));
            found.metrics.extend(figures);
            found
        };
        use Metric::{AllRight, Right, Ssim};
        report.results.extend([
            with(AttackId::SsimDecoder, 1, 0.02, &[(Ssim, 0.6)]),
            with(AttackId::Posterior, 0, 0.01, &[(Right, 0.4), (AllRight, 0.1)]),
            with(AttackId::Posterior, 1, 0.05, &[(Right, 0.8), (AllRight, 0.7)]),
            with(AttackId::ConditionalMean, 1, 0.14, &[(Right, 0.9), (AllRight, 0.5)]),
        ]);
        assert!(questions(&report)[0].answer.starts_with("15.0 %"));
        for told in [
            "Images that decoder trained for SSIM makes, knowing labels, have a structural similarity",
            "of 0.600 (0.600 to 0.600) (without codes 0.040",
            "conditional mean, knowing labels, guesses 90.0 % (90.0 to 90.0) (without codes 40.0 %",
            "posterior of whole records, knowing labels, guesses all of them right in 70.0 % (70.0 to 70.0) (without codes 10.0 %",
        ] {
            assert!(beside(&report).contains(told), "{told}: {}", beside(&report));
        }
    }

    fn exactly(value: f64) -> Estimate {
        Estimate { value, low: value, high: value }
    }

    #[test]
    fn members_are_told_below_everything_that_was_sent() {
        let mut report = sample();
        let mut found = result(AttackId::MembershipByShadows, &[Knowledge::Labels], 2, CutKind::Codes, 0.0);
        let Victim::Columns { party, .. } = found.victim.clone() else { panic!("columns") };
        found.victim = Victim::Membership { party };
        found.metrics = [(Metric::Auc, exactly(0.61))].into();
        report.results.push(found);
        let told = "apart with an AUC of 0.610 (0.610 to 0.610) (0.5 is chance), by membership by shadow federations";
        let [one, all, _] = questions(&report);
        assert!(all.beside.iter().any(|sentence| sentence.contains(told)), "{:?}", all.beside);
        assert!(!one.beside.iter().any(|sentence| sentence.contains(told)), "{:?}", one.beside);
    }
}
