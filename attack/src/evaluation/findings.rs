//! What an evaluation has found so far.

use std::collections::BTreeMap;

use anyhow::ensure;

use crate::attacks::AttackId;
use crate::evaluation::attack::About;
use crate::evaluation::context::AttackContext;
use crate::evaluation::units::GuessedColumns;
use crate::report::{
    AttackResult, Chart, Check, Defence, Estimate, Knowledge, Metric, Spread, TargetRecords, UtilityPoint,
    Victim, baseline_of,
};
use hashvfl_leakage::metrics::{proportion, ratio};

/// An attack that was carried out.
pub struct AttackOutcome {
    /// For the report.
    pub result: AttackResult,
    /// Its guess [targets, columns]; empty if it is after something else than columns.
    pub guess: Vec<f32>,
    /// How likely it says each category is of columns that are scored by category [targets, categories]; empty where it does not say.
    pub likelihoods: Vec<f32>,
    /// Squared error of each target; empty if the attack is not on columns.
    pub errors: Vec<f64>,
    /// The same of the mean.
    pub reference: Vec<f64>,
    /// Whether the value of one column is guessed right, of each target: 1 or 0; empty for other attacks.
    pub hits: Vec<f64>,
}

impl AttackOutcome {
    /// Its guess, as it is scored.
    pub fn guessed(&self) -> GuessedColumns<'_> {
        GuessedColumns { columns: &self.guess, likelihoods: &self.likelihoods }
    }

    /// Skill over the mean, of an attack on columns.
    pub fn skill(&self) -> Estimate {
        self.result.metrics[&Metric::Skill]
    }

    /// The same with whether each target's value, record or class was found, for the report as well.
    #[must_use]
    pub fn with_hits(mut self, hits: Vec<f64>) -> Self {
        self.result.hits = hits.iter().map(|hit| *hit as f32).collect();
        Self { hits, ..self }
    }
}

/// The charts of a report, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChartId {
    /// Leakage over epochs.
    Epochs,
    /// Leakage over the auxiliary fraction.
    AuxiliaryFraction,
    /// Leakage over the code's length.
    CodeLength,
    /// Labels from one epoch's gradients.
    Labels,
}

/// What an adversary gains over one that knows less, or has fewer records.
pub struct Comparison {
    /// Skill gained, on the same records.
    pub gain: Estimate,
    /// Standard error of that gain as the records saw it by which regressions were chosen: so far may the choice be off.
    pub chance: f64,
    /// Which two, and of what.
    pub of: String,
}

/// What makes a baseline another one.
pub struct Baseline<'a> {
    /// What it is about.
    pub victim: &'a Victim,
    /// What its adversary knows.
    pub knowledge: &'a [Knowledge],
    /// The run whose other codes it knows.
    pub defence: &'a Defence,
    /// Squared errors of the mean, which tell records apart; none where it is about something else than all columns.
    pub reference: &'a [f64],
}

/// What was found so far.
#[derive(Default)]
pub struct Findings {
    /// The attacks, in order; baselines before what is compared with them.
    pub attacked: Vec<AttackOutcome>,
    /// The charts.
    pub charts: BTreeMap<ChartId, Chart>,
    /// What defences cost and save.
    pub utility: Vec<UtilityPoint>,
    /// The same of label-side defences.
    pub label_utility: Vec<UtilityPoint>,
    /// What moves when the run is trained again.
    pub spreads: Vec<Spread>,
    /// Checks on the evaluation itself.
    pub checks: Vec<Check>,
    /// Adversaries of whom one knows more than the other.
    pub comparisons: Vec<Comparison>,
    /// Rows of the records that were scored.
    pub targets: BTreeMap<TargetRecords, Vec<u32>>,
    /// Which label-side defence is the run's own, where labels were inferred.
    pub gradients: Option<Defence>,
    /// What was begun and has no figure, and why.
    pub failed: Vec<String>,
}

impl Findings {
    /// Adds one, without figures that are no numbers. A guess of columns that is no number is no outcome.
    pub fn keep(&mut self, mut attacked: AttackOutcome) {
        attacked.result.metrics.retain(|_, found| found.is_finite());
        let AttackResult { attack, defence, errors, metrics, .. } = &attacked.result;
        let on_columns = !errors.is_empty();
        if on_columns
            && (errors.iter().any(|error| !error.is_finite()) || !metrics.contains_key(&Metric::Skill))
        {
            self.failed.push(format!("{attack} ({defence}), whose guess is no number"));
        } else {
            self.attacked.push(attacked);
        }
    }

    /// The attacks on what `defence` let through of `victim`'s records, baselines left out.
    pub fn on<'a>(
        &'a self,
        defence: &'a Defence,
        victim: &'a Victim,
    ) -> impl Iterator<Item = &'a AttackOutcome> {
        self.attacked.iter().filter(move |attacked| {
            let result = &attacked.result;
            result.defence == *defence && result.victim == *victim && !result.is_baseline()
        })
    }

    /// Whether there is a baseline about the same records as `about`, by an adversary that knows the same. What it knows of other
    /// parties' codes is the same in the same run alone.
    pub fn has_baseline(&self, about: &Baseline) -> bool {
        self.attacked.iter().any(|attacked| {
            let AttackResult { victim, knowledge, defence, .. } = &attacked.result;
            let of_run = !knowledge.contains(&Knowledge::OtherCodes) || *defence == *about.defence;
            attacked.result.is_baseline()
                && *victim == *about.victim
                && knowledge.as_slice() == about.knowledge
                && attacked.reference == about.reference
                && of_run
        })
    }

    /// Keeps which records were scored, by population. Where a defence has others of one, by that as well.
    pub fn note_targets(&mut self, context: &AttackContext) {
        let usual = TargetRecords { of: context.population, under: None };
        let records = match self.targets.get(&usual) {
            Some(known) if *known == *context.targets => return,
            Some(_) => TargetRecords { under: Some(context.defence.clone()), ..usual },
            None => usual,
        };
        self.targets.insert(records, context.targets.to_vec());
    }

    /// The conditional mean of one code by an adversary that knows as much as that of `result`, weights apart.
    pub fn conditional_mean_beside<'a>(&'a self, result: &'a AttackResult) -> Option<&'a AttackOutcome> {
        let without_weights = |known: &&Knowledge| **known != Knowledge::Weights;
        self.on(&result.defence, &result.victim).find(|attacked| {
            let AttackResult { attack, releases, knowledge, .. } = &attacked.result;
            *attack == AttackId::ConditionalMean
                && *releases == 1
                && knowledge.iter().eq(result.knowledge.iter().filter(without_weights))
        })
    }

    /// Refuses results from place `first` on that knew more than their attack says.
    ///
    /// # Errors
    /// If there is one.
    pub fn check_knowledge(&self, about: &About, first: usize) -> anyhow::Result<()> {
        for AttackOutcome { result, .. } in &self.attacked[first..] {
            let more = result.knowledge.iter().find(|known| !about.knows.contains(known));
            ensure!(
                more.is_none(),
                "{} used {more:?}, which the attack does not declare: add it to the attack's `knows`",
                result.attack
            );
        }
        Ok(())
    }

    /// Adds to each attack what it gains over its baseline on the same records.
    pub fn put_gains(&mut self) {
        let gains: Vec<Option<Estimate>> = self.attacked.iter().map(|attacked| self.gain(attacked)).collect();
        for (attacked, gain) in self.attacked.iter_mut().zip(gains) {
            attacked.result.metrics.extend(gain.map(|gain| (Metric::Added, gain)));
        }
    }

    fn gain(&self, attacked: &AttackOutcome) -> Option<Estimate> {
        if attacked.result.is_baseline() || (attacked.errors.is_empty() && attacked.hits.is_empty()) {
            return None;
        }
        let results = || self.attacked.iter().map(|attacked| &attacked.result);
        let baseline = baseline_of(results, &attacked.result)?;
        let baseline = self.attacked.iter().find(|other| std::ptr::eq(&other.result, baseline))?;
        if !attacked.hits.is_empty() {
            let alike = baseline.hits.len() == attacked.hits.len();
            return alike.then(|| proportion::gain(&attacked.hits, &baseline.hits));
        }
        (baseline.errors.len() == attacked.errors.len())
            .then(|| ratio::skill_gain(&attacked.errors, &baseline.errors, &attacked.reference))
    }
}
