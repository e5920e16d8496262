//! One cut under attack: what was seen, of whom, and which records are whose.

use std::collections::BTreeMap;
use std::time::Instant;

use hashvfl_core::PartyName;
use hashvfl_data::Matrix;

use crate::attacks::AttackId;
use crate::evaluation::attributes::Decided;
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::score::{Scored, Scorer, moments};
use crate::evaluation::units::GuessedColumns;
use crate::evidence::knowledge::{Fact, Features, Sources};
use crate::evidence::observed::ObservedAt;
use crate::report::{AttackResult, CutKind, Defence, Knowledge, Metrics, Population, Victim};
use hashvfl_leakage::regression::{Examples, Regression};

/// One cut under attack.
pub struct AttackContext<'a> {
    /// What is known.
    pub sources: Sources<'a>,
    /// The victim's columns, as its bottom model sees them. Attacks read only rows of `auxiliary`.
    pub columns: &'a Matrix,
    /// Channels, height and width, where they are an image.
    pub image: Option<[usize; 3]>,
    /// The party that is attacked.
    pub party: &'a PartyName,
    /// Which of its records.
    pub population: Population,
    /// Records that the adversary owns and of which it saw the same as of the targets.
    pub auxiliary: &'a [u32],
    /// The others that it owns.
    pub elsewhere: &'a [u32],
    /// Records that are scored.
    pub targets: &'a [u32],
    /// Scores guesses of the targets.
    pub scorer: &'a Scorer,
    /// What left the party.
    pub cut: CutKind,
    /// The defence and its setting.
    pub defence: Defence,
    /// Bits of one value at this cut.
    pub value_bits: u64,
    /// Seed of all that an attack draws.
    pub seed: u64,
}

/// One try of an attack, from its start until it is scored.
pub struct Attempt {
    attack: AttackId,
    knowledge: Vec<Knowledge>,
    releases: u64,
    began: Instant,
    note: Option<String>,
}

impl Attempt {
    /// A try that begins now, by an adversary that knows `knowledge` and sees `releases` of each target.
    pub fn begin(attack: AttackId, knowledge: &[Knowledge], releases: u64) -> Self {
        Self { attack, knowledge: knowledge.to_vec(), releases, began: Instant::now(), note: None }
    }

    /// With what a reader must know of it.
    pub fn noted(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }
}

/// The signs of `values`: what crosses a cut of codes.
pub fn signs(values: Vec<f32>) -> Vec<f32> {
    values.into_iter().map(|value| if value >= 0.0 { 1.0 } else { -1.0 }).collect()
}

/// Most images that searches are for: through convolutions they take long.
const SEARCHED_IMAGES: usize = 300;

impl AttackContext<'_> {
    /// The prior weight with which `guess` comes nearest to the columns of `tried` records; columns count as spread as
    /// they are over `rest`.
    pub fn best_prior(
        &self,
        priors: &[f32],
        tried: &[u32],
        rest: &[u32],
        guess: &dyn Fn(f32) -> Vec<f32>,
    ) -> f32 {
        let truth = self.columns.gather(tried);
        let (_, spread) = moments(self.columns, rest);
        let error = |prior: f32| {
            let guess = guess(prior);
            let scaled = guess.iter().zip(&truth).zip(spread.iter().cycle());
            let scale = |spread: f32| if self.image.is_some() { 1.0 } else { spread.max(1e-6) };
            scaled.map(|((g, t), s)| f64::from((g - t) / scale(*s)).powi(2)).sum::<f64>()
        };
        let errors = priors.iter().map(|prior| (error(*prior), *prior));
        errors.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(priors[0], |(_, prior)| prior)
    }

    /// Targets that searches are for.
    pub fn searched(&self) -> &[u32] {
        let most = if self.image.is_some() { SEARCHED_IMAGES } else { self.targets.len() };
        &self.targets[..most.min(self.targets.len())]
    }

    /// Records that the adversary owns and of which each party sent a code after the freeze, as of the targets.
    pub fn owned_frozen(&self) -> Vec<u32> {
        let observed = self.sources.observed;
        let all = |record: u32| {
            (0..observed.parties.len()).all(|party| observed.saw(party, ObservedAt::Frozen, record))
        };
        self.auxiliary.iter().chain(self.elsewhere).copied().filter(|record| all(*record)).collect()
    }

    /// Records that the adversary owns and of which it saw such codes as of the targets: those that are like the targets first. After the
    /// freeze all parties sent them, in training all that `facts` hold.
    pub fn owned_like_targets(&self, facts: &[Fact]) -> Vec<u32> {
        if self.population == Population::Test {
            return self.owned_frozen();
        }
        let owned = self.auxiliary.iter().chain(self.elsewhere).copied();
        owned.filter(|record| self.sources.knows(facts, *record)).collect()
    }

    /// What `facts` say of `records`, beside their columns.
    pub fn examples(&self, facts: &[Fact], records: &[u32]) -> anyhow::Result<Examples> {
        let Features { values: inputs, discrete, .. } = self.sources.inputs(facts, records)?;
        Ok(Examples { inputs, outputs: self.columns.gather(records), rows: records.len(), discrete })
    }

    /// What a regression on `facts` makes of `records`.
    pub fn predict(
        &self,
        regression: &Regression,
        facts: &[Fact],
        records: &[u32],
    ) -> anyhow::Result<Vec<f32>> {
        Ok(regression.predict(&self.sources.inputs(facts, records)?.values, records.len()))
    }

    /// How many releases of a record `facts` hold.
    pub fn releases(&self, facts: &[Fact]) -> u64 {
        let of = |fact: &Fact| match fact {
            Fact::Code => 1,
            Fact::EpochCodes(epochs) => u64::from(epochs.count),
            Fact::OtherCodes | Fact::OtherEpochCodes(_) | Fact::Label | Fact::OwnColumns => 0,
        };
        facts.iter().map(of).sum()
    }

    /// Values of an encoder as they cross this cut.
    pub fn at_cut(&self, values: Vec<f32>) -> Vec<f32> {
        if self.cut == CutKind::SimulatedFloats { values } else { signs(values) }
    }

    /// Whose columns are attacked.
    pub fn victim(&self) -> Victim {
        Victim::Columns { party: self.party.clone(), of: self.population }
    }

    /// The outcome of a try whose victim is something else than columns, with `metrics` over `targets` records.
    pub fn outcome(
        &self,
        attempt: Attempt,
        victim: Victim,
        targets: usize,
        metrics: Metrics,
    ) -> AttackOutcome {
        let Attempt { attack, knowledge, releases, began, note } = attempt;
        let result = AttackResult {
            attack,
            victim,
            knowledge,
            cut: self.cut,
            defence: self.defence.clone(),
            bits: releases * self.sources.observed.width(self.sources.victim) as u64 * self.value_bits,
            releases,
            auxiliary_rows: self.auxiliary.len(),
            target_rows: targets,
            metrics,
            of_columns: BTreeMap::new(),
            errors: Vec::new(),
            hits: Vec::new(),
            alarm: None,
            note,
            seconds: began.elapsed().as_secs_f64(),
        };
        AttackOutcome {
            result,
            guess: Vec::new(),
            likelihoods: Vec::new(),
            errors: Vec::new(),
            reference: Vec::new(),
            hits: Vec::new(),
        }
    }

    /// The outcome of a try at columns: a `guess` [targets, columns] of all targets or of the first ones, scored.
    pub fn scored(&self, attempt: Attempt, guess: Vec<f32>) -> AttackOutcome {
        self.scored_with_values(attempt, guess, Vec::new(), None)
    }

    /// The same where the attack says how likely each category is of columns that are scored by category, and which values columns
    /// with few values have.
    pub fn scored_with_values(
        &self,
        attempt: Attempt,
        guess: Vec<f32>,
        likelihoods: Vec<f32>,
        decided: Option<&Decided>,
    ) -> AttackOutcome {
        let targets = guess.len() / self.columns.cols();
        let guessed = GuessedColumns { columns: &guess, likelihoods: &likelihoods };
        let Scored { metrics, errors } = if targets == self.targets.len() {
            self.scorer.score(guessed, decided)
        } else {
            self.scorer.head(targets).score(guessed, decided)
        };
        let reference = self.scorer.reference()[..targets].to_vec();
        let mut outcome = self.outcome(attempt, self.victim(), targets, metrics);
        outcome.result.errors = errors.iter().map(|error| *error as f32).collect();
        AttackOutcome { guess, likelihoods, errors, reference, ..outcome }
    }
}
