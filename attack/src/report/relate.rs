//! Which results belong together: an attack and its baseline, a conditional mean and what beats it.

use std::collections::BTreeSet;

use super::model::{AttackResult, CutKind, Estimate, Report};
use super::{Knowledge, Metric, TargetRecords, Victim};
use crate::attacks::AttackId;

/// Results against one victim that are compared with baselines of one knowledge.
pub struct ResultGroup<'a> {
    /// Each baseline without the code, with the attacks that it is compared with, in the order of cut, defence and name. There are
    /// several where the adversary has other parties' codes, which each defence has others of.
    pub parts: Vec<(Option<&'a AttackResult>, Vec<&'a AttackResult>)>,
}

impl<'a> ResultGroup<'a> {
    /// Baselines and attacks, each baseline before its attacks.
    pub fn rows(&self) -> Vec<&'a AttackResult> {
        let mut rows: Vec<&'a AttackResult> = Vec::new();
        for (baseline, attacks) in &self.parts {
            rows.extend(baseline.iter().chain(attacks).copied());
        }
        rows
    }

    /// Whether there is something to compare attacks with.
    pub fn has_baseline(&self) -> bool {
        self.parts.iter().all(|(baseline, _)| baseline.is_some())
    }
}

impl AttackResult {
    /// Whether it is a baseline, which saw nothing of the target records cross the cut.
    pub fn is_baseline(&self) -> bool {
        self.releases == 0
    }

    /// The figure by which attacks are ranked: skill, or what labels, attributes and identities are scored by.
    pub fn headline(&self) -> Option<(Metric, Estimate)> {
        [Metric::Skill, Metric::Auc, Metric::Accuracy, Metric::Balanced, Metric::Top1]
            .into_iter()
            .find_map(|metric| Some((metric, *self.metrics.get(&metric)?)))
    }

    /// "knowing labels and own columns".
    pub fn knowing(&self) -> String {
        let known: Vec<String> = self.knowledge.iter().map(ToString::to_string).collect();
        match known.as_slice() {
            [] => "knowing nothing else".to_string(),
            [one] => format!("knowing {one}"),
            [most @ .., last] => format!("knowing {} and {last}", most.join(", ")),
        }
    }

    pub(super) fn known(&self) -> BTreeSet<Knowledge> {
        self.knowledge.iter().copied().collect()
    }

    /// Whether it knows codes of other parties, which each run has others of.
    fn knows_codes(&self) -> bool {
        self.knowledge.contains(&Knowledge::OtherCodes)
    }

    fn rank(&self) -> f64 {
        self.headline().map_or(f64::NEG_INFINITY, |(_, estimate)| estimate.value)
    }
}

/// The result with the greatest headline.
pub fn strongest<'a>(results: impl Iterator<Item = &'a AttackResult>) -> Option<&'a AttackResult> {
    results.max_by(|a, b| a.rank().total_cmp(&b.rank()))
}

/// Whether `other` has nothing that crossed the cut, is after the same and knows no more than `result`. Codes of other parties that it
/// knows are those of the same run.
fn is_baseline_of(other: &AttackResult, result: &AttackResult) -> bool {
    other.is_baseline()
        && other.victim == result.victim
        && other.known().is_subset(&result.known())
        && (!other.knows_codes() || other.defence.is_of_the_run_of(&result.defence))
}

/// [`Report::baseline_of`] among `results`.
pub fn baseline_of<'a, I: Iterator<Item = &'a AttackResult>>(
    results: impl Fn() -> I,
    result: &AttackResult,
) -> Option<&'a AttackResult> {
    let of_its_run = |other: &&AttackResult| other.defence.is_of_the_run_of(&result.defence);
    let fits = |other: &&AttackResult| is_baseline_of(other, result);
    let most = results().filter(fits).map(|other| other.known().len()).max()?;
    let of_most = || results().filter(fits).filter(move |other| other.known().len() == most);
    strongest(of_most().filter(of_its_run)).or_else(|| strongest(of_most()))
}

impl Report {
    /// The strongest baseline with the same knowledge as `result`; if there is none, the one that shares most
    /// of that knowledge and knows nothing else. Codes of other parties that it knows are those of the same run.
    pub fn baseline_of(&self, result: &AttackResult) -> Option<&AttackResult> {
        baseline_of(|| self.results.iter(), result)
    }

    /// All baselines of who knows no more than `result`.
    pub(super) fn baselines_of<'a>(
        &'a self,
        result: &'a AttackResult,
    ) -> impl Iterator<Item = &'a AttackResult> {
        self.results.iter().filter(move |other| is_baseline_of(other, result))
    }

    /// What an attack on labels is compared with: the same parties from their codes and columns, without gradients; where that was
    /// not tried, guessing the most common class.
    pub(super) fn without_gradients(&self, result: &AttackResult) -> Option<&AttackResult> {
        let codes = match result.knowledge.contains(&Knowledge::AllGradients) {
            true => Knowledge::AllCodes,
            false => Knowledge::OwnCodes,
        };
        let alike = |other: &&AttackResult| {
            other.victim == result.victim
                && other.defence == result.defence
                && other.releases == result.releases
                && other.knowledge.contains(&codes)
                && !other.knowledge.iter().any(|known| known.is_gradients())
        };
        strongest(self.results.iter().filter(alike)).or_else(|| self.baseline_of(result))
    }

    /// Whether it is an attack on what the run itself sent.
    pub(super) fn is_honest(&self, result: &AttackResult) -> bool {
        !result.is_baseline() && result.cut == CutKind::Codes && result.defence == self.defence
    }

    /// The records that `result` was scored on, of which its errors are the first ones.
    pub fn targets_of(&self, result: &AttackResult) -> Option<&Vec<u32>> {
        let of = result.victim.population()?;
        let own = TargetRecords { of, under: Some(result.defence.clone()) };
        self.targets.get(&own).or_else(|| self.targets.get(&TargetRecords { of, under: None }))
    }

    /// The strongest attack with the same victim, knowledge, cut, defence and releases whose headline is above
    /// the interval of `result`, if that is a conditional mean.
    pub fn beaten_by(&self, result: &AttackResult) -> Option<&AttackResult> {
        let of_mean = result.attack == AttackId::ConditionalMean;
        let (metric, estimate) = result.headline().filter(|_| of_mean)?;
        let alike = |other: &&AttackResult| {
            other.victim == result.victim
                && other.known() == result.known()
                && (other.cut, other.releases) == (result.cut, result.releases)
                && other.defence == result.defence
        };
        let above =
            |other: &&AttackResult| other.metrics.get(&metric).is_some_and(|f| f.value > estimate.high);
        strongest(self.results.iter().filter(|other| !other.is_baseline()).filter(alike).filter(above))
    }

    /// All results, each baseline with the attacks that belong to it.
    pub(super) fn blocks(&self) -> Vec<ResultGroup<'_>> {
        let mut blocks: Vec<(Option<Compared<'_>>, ResultGroup<'_>)> = Vec::new();
        let (baselines, attacks): (Vec<_>, Vec<_>) =
            self.results.iter().partition(|result| result.is_baseline());
        let attacks = attacks.into_iter().map(|attack| (self.baseline_of(attack), Some(attack)));
        for (baseline, attack) in attacks.chain(baselines.into_iter().map(|baseline| (Some(baseline), None)))
        {
            let compared = match (baseline, attack) {
                (Some(baseline), _) => Some((&baseline.victim, Some(baseline.known()))),
                (None, attack) => attack.map(|attack| (&attack.victim, None)),
            };
            let block = match blocks.iter().position(|(of, _)| *of == compared) {
                Some(place) => place,
                None => {
                    blocks.push((compared, ResultGroup { parts: Vec::new() }));
                    blocks.len() - 1
                }
            };
            let parts = &mut blocks[block].1.parts;
            match parts.iter_mut().find(|(other, _)| is_same(*other, baseline)) {
                Some((_, attacks)) => attacks.extend(attack),
                None => parts.push((baseline, attack.into_iter().collect())),
            }
        }
        let mut blocks: Vec<ResultGroup<'_>> = blocks.into_iter().map(|(_, block)| block).collect();
        for (_, attacks) in blocks.iter_mut().flat_map(|block| &mut block.parts) {
            attacks.sort_by_key(|a| (a.cut, &a.defence, a.releases, &a.attack));
        }
        blocks
    }
}

fn is_same(one: Option<&AttackResult>, other: Option<&AttackResult>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => std::ptr::eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// A victim, and what baselines know that attacks on it are compared with; nothing where there is none.
type Compared<'a> = (&'a Victim, Option<BTreeSet<Knowledge>>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CutKind::{Codes, SimulatedFloats};
    use crate::report::Knowledge::{Labels, OtherCodes, OwnColumns, Weights};
    use crate::report::sample::{result, sample};
    use crate::report::{Defence, Population, Sent};

    #[test]
    fn a_baseline_knows_no_more_than_its_attack() {
        let mut report = sample();
        report.results = vec![
            result(AttackId::NoCode, &[Weights], 0, Codes, 0.01),
            result(AttackId::NoCode, &[Weights, Labels], 0, Codes, 0.04),
            result(AttackId::Fora, &[Labels, Weights], 1, Codes, 0.1),
            result(AttackId::Fora, &[Weights, OwnColumns], 1, Codes, 0.2),
            result(AttackId::Fora, &[OwnColumns], 1, Codes, 0.2),
        ];
        let baseline = |index: usize| report.baseline_of(&report.results[index]);
        assert_eq!(baseline(2), Some(&report.results[1]));
        assert_eq!(baseline(3), Some(&report.results[0]));
        assert_eq!(baseline(4), None);
        let sizes: Vec<_> = report.blocks().iter().map(|b| (b.has_baseline(), b.rows().len())).collect();
        assert_eq!(sizes, [(true, 2), (true, 2), (false, 1)]);
    }

    #[test]
    fn other_parties_codes_are_those_of_the_same_run() {
        let mut report = sample();
        let noisy = Sent::RandomisedResponse { bits: 16, cost: "epsilon 1 per bit".into() };
        let under =
            |defence: &Defence, found: AttackResult| AttackResult { defence: defence.clone(), ..found };
        let (clean, noisy) = (report.defence.clone(), Defence::new(noisy));
        let coordinator = [Labels, OtherCodes];
        let none = |defence, skill| under(defence, result(AttackId::NoCode, &coordinator, 0, Codes, skill));
        let one =
            |defence, skill| under(defence, result(AttackId::ConditionalMean, &coordinator, 1, Codes, skill));
        let stranger = result(AttackId::NoCode, &[], 0, Codes, 0.0);
        let first = [none(&clean, 0.3), one(&clean, 0.5), one(&noisy, 0.1)];
        report.results = [vec![stranger], first.to_vec()].concat();
        let skill = |report: &Report, place: usize| {
            report.baseline_of(&report.results[place]).unwrap().metrics[&Metric::Skill].value
        };
        assert_eq!(skill(&report, 2), 0.3);
        assert_eq!(skill(&report, 3), 0.0, "clean codes are another adversary's");
        report.results.push(none(&noisy, 0.08));
        assert_eq!(skill(&report, 3), 0.08);
        assert_eq!(skill(&report, 2), 0.3);
        assert_eq!(report.blocks().len(), 2, "one table for the coordinator, and one for who knows nothing");
        assert_eq!(report.blocks()[0].rows().len(), 4);
    }

    #[test]
    fn targets_are_those_of_the_defence_where_it_has_others() {
        let mut report = sample();
        let usual = result(AttackId::Fora, &[Labels], 1, Codes, 0.1);
        let once = Defence::new(Sent::EncodeOnce { bits: 16 });
        let under = AttackResult { defence: once.clone(), ..usual.clone() };
        assert_eq!(report.targets_of(&under), Some(&vec![5, 3]));
        let key = format!("test records ({once})");
        report.targets.insert(TargetRecords { of: Population::Test, under: Some(once) }, vec![7]);
        assert_eq!(
            (report.targets_of(&usual), report.targets_of(&under)),
            (Some(&vec![5, 3]), Some(&vec![7]))
        );
        let written = serde_json::to_value(&report.targets).unwrap();
        assert_eq!((&written["test records"][0], &written[key][0]), (&5.into(), &7.into()));
    }

    #[test]
    fn only_the_like_above_the_interval_beats() {
        let mut report = sample();
        let network = |knowledge: &[Knowledge], releases, cut, skill| {
            result(AttackId::InverseNetwork, knowledge, releases, cut, skill)
        };
        report.results = vec![
            result(AttackId::ConditionalMean, &[Labels], 1, Codes, 0.1),
            network(&[Labels], 1, Codes, 0.119),
            network(&[], 1, Codes, 0.3),
            network(&[Labels], 1, SimulatedFloats, 0.3),
            network(&[Labels], 9, Codes, 0.3),
        ];
        assert!(report.beaten_by(&report.results[0]).is_none());
        report.results.push(result(AttackId::Fora, &[Labels], 1, Codes, 0.121));
        assert_eq!(report.beaten_by(&report.results[0]).unwrap().attack, AttackId::Fora);
        assert!(report.beaten_by(&report.results[1]).is_none());
    }
}
