//! One cut under attack: what was seen, of whom, and which records are whose.

use std::collections::BTreeMap;
use std::time::Instant;

use hashvfl_data::Matrix;
use hashvfl_learning::encoder::Encoder;

use crate::evaluation::score::{Scored, Scorer, moments};
use crate::evaluation::victim::CANDIDATES;
use crate::evidence::knowledge::{Fact, Features, Sources, names};
use crate::metrics::{Bootstrap, reidentify};
use crate::reconstruction::inversion::{Inversion, Matching, STEPS, Through};
use crate::reconstruction::regression::{Examples, Regression, column_means};
use crate::report::{AttackResult, CutKind, Estimate, names as figures};

/// One cut under attack.
pub struct AttackContext<'a> {
    /// What is known.
    pub sources: Sources<'a>,
    /// The victim's columns, as its bottom model sees them. Attacks read rows of `auxiliary` alone.
    pub columns: &'a Matrix,
    /// Channels, height and width, where they are an image.
    pub image: Option<[usize; 3]>,
    /// What kind of records they are.
    pub population: &'static str,
    /// Records that the attacker has.
    pub auxiliary: &'a [u32],
    /// Records that are scored.
    pub targets: &'a [u32],
    /// Scores guesses of the targets.
    pub scorer: &'a Scorer,
    /// What left the party.
    pub cut: CutKind,
    /// The defence and its setting.
    pub defence: String,
    /// Bits of one value at this cut.
    pub value_bits: u64,
    /// Seed of whatever an attack draws.
    pub seed: u64,
}

/// An attack that was carried out.
pub struct AttackOutcome {
    /// For the report.
    pub result: AttackResult,
    /// Its guess [targets, columns].
    pub guess: Vec<f32>,
    /// Squared error of each target.
    pub errors: Vec<f64>,
    /// The same of the mean.
    pub reference: Vec<f64>,
}

/// Where a white-box search starts, and what its penalty draws it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The mean of auxiliary records.
    Mean,
    /// Their conditional mean given the code.
    ConditionalMean,
}

impl Start {
    fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::ConditionalMean => "conditional mean",
        }
    }
}

struct Starts {
    of_tried: Vec<f32>,
    of_targets: Vec<f32>,
}

/// Prior weights among which white-box inversion chooses, by auxiliary records.
const PRIORS: [f32; 4] = [0.01, 0.1, 0.5, 2.0];
/// Auxiliary records by which it chooses.
const TRIED: usize = 200;
/// Images that searches are for.
const SEARCHED_IMAGES: usize = 300;

/// What a report calls columns of one kind of a party's records.
pub fn victims(party: &str, population: &str) -> String {
    format!("{party}'s columns ({population})")
}

impl AttackContext<'_> {
    /// E[x given `facts`], fitted on auxiliary records. Without codes among the facts it is the baseline.
    pub fn conditional_mean(&self, facts: &[Fact]) -> anyhow::Result<AttackOutcome> {
        let began = Instant::now();
        let regression = Regression::fit(&self.examples(facts, self.auxiliary)?, self.seed);
        let guess = self.predict(&regression, facts, self.targets)?;
        let baseline = facts.iter().all(|fact| fact.without_codes());
        let attack = if baseline { figures::NO_CODE } else { figures::CONDITIONAL_MEAN };
        let mut note = format!("regression chosen on held-out auxiliary records: {}", regression.kind);
        if let Some(more) = facts.iter().find_map(|fact| fact.note()) {
            note = format!("{more}; {note}");
        }
        Ok(self.attacked(attack, (names(facts), self.releases(facts)), guess, Some(note), began))
    }

    /// The inverse network (He et al. 2019): columns from codes by one network of fixed size.
    pub fn inverse_network(&self, facts: &[Fact]) -> anyhow::Result<AttackOutcome> {
        let began = Instant::now();
        let regression = Regression::inverse_network(&self.examples(facts, self.auxiliary)?, self.seed);
        let guess = self.predict(&regression, facts, self.targets)?;
        Ok(self.attacked("inverse network", (names(facts), self.releases(facts)), guess, None, began))
    }

    /// Which of these records has this code? By a victim's encoder that answers queries or is known.
    pub fn reidentify(&self, encoder: &Encoder) -> anyhow::Result<[AttackOutcome; 2]> {
        let began = Instant::now();
        let targets = &self.targets[..self.targets.len().min(CANDIDATES)];
        let values = encoder.encode(self.columns.gather(targets), targets.len());
        let codes = self.at_cut(values);
        let seen = self.sources.features(&[Fact::Code], targets)?;
        let hits = reidentify::top1(&codes, &seen.values, seen.width);
        let note = format!("among {} records", targets.len());
        let victim = format!("whose code it is, of {}", self.victim());
        let bootstrap = Bootstrap::new(self.seed);
        let told = |attack: &str, releases: u64, hits: &[f64]| {
            let knowledge = vec!["query access".into(), "candidates' columns".into()];
            let metrics = BTreeMap::from([(figures::TOP1.to_string(), bootstrap.mean(hits))]);
            self.told(attack, &victim, (knowledge, releases), (targets.len(), metrics), note.clone(), began)
        };
        let chance = vec![1.0 / targets.len() as f64; targets.len()];
        let mut found = told("re-identification", 1, &hits);
        found.result.metrics.insert(figures::ADDED.into(), bootstrap.mean_gain(&hits, &chance));
        Ok([told(figures::NO_CODE, 0, &chance), found])
    }

    /// White-box inversion of one code. The penalty's weight is chosen on some auxiliary records, from which nothing
    /// else is learned.
    pub fn white_box(
        &self,
        encoder: &Encoder,
        matching: Matching,
        start: Start,
    ) -> anyhow::Result<AttackOutcome> {
        let began = Instant::now();
        let (tried, rest) = self.auxiliary.split_at(TRIED.min(self.auxiliary.len() / 4));
        let (from, deviation) = self.starts(start, rest, tried)?;
        let through = Through::Encoder(encoder);
        let search = |prior: f32| Inversion {
            through,
            image: self.image,
            deviation: &deviation,
            matching,
            prior,
            steps: STEPS,
        };
        let seen = self.seen(encoder, tried)?;
        let guess = |prior: f32| search(prior).run(&from.of_tried, &seen, tried.len());
        let prior = self.best_prior(&PRIORS, (tried, rest), &guess);
        let targets = self.searched();
        let seen = self.seen(encoder, targets)?;
        let guess = search(prior).run(&from.of_targets, &seen, targets.len());
        let way = if self.cut == CutKind::BeforeSign { "before the sign" } else { matching.name() };
        let name = format!("white-box, {way}, from the {}", start.name());
        let note = Some(format!("penalty {prior}, chosen on {} auxiliary records", tried.len()));
        Ok(self.attacked(&name, (vec!["weights".into()], 1), guess, note, began))
    }

    /// The prior weight with which `guess` comes nearest to the columns of `tried` records; columns count as spread as
    /// they are over `rest`.
    pub fn best_prior(
        &self,
        priors: &[f32],
        (tried, rest): (&[u32], &[u32]),
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
        errors.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(PRIORS[0], |(_, prior)| prior)
    }

    /// Targets that searches are for: through convolutions they take long.
    pub fn searched(&self) -> &[u32] {
        let most = if self.image.is_some() { SEARCHED_IMAGES } else { self.targets.len() };
        &self.targets[..most.min(self.targets.len())]
    }

    /// What the adversary sees of `records`: at the cut, or before the sign.
    fn seen(&self, encoder: &Encoder, records: &[u32]) -> anyhow::Result<Vec<f32>> {
        if self.cut == CutKind::BeforeSign {
            return Ok(encoder.encode(self.columns.gather(records), records.len()));
        }
        Ok(self.sources.features(&[Fact::Code], records)?.values)
    }

    /// Where searches start, and how far columns are from there, learned from `known` records.
    fn starts(&self, start: Start, known: &[u32], tried: &[u32]) -> anyhow::Result<(Starts, Vec<f32>)> {
        if start == Start::Mean {
            let (mean, deviation) = moments(self.columns, known);
            let (of_tried, of_targets) = (mean.repeat(tried.len()), mean.repeat(self.searched().len()));
            return Ok((Starts { of_tried, of_targets }, deviation));
        }
        let code = [Fact::Code];
        let regression = Regression::fit(&self.examples(&code, known)?, self.seed);
        let of_tried = self.predict(&regression, &code, tried)?;
        let rest = self
            .columns
            .gather(tried)
            .iter()
            .zip(&of_tried)
            .map(|(t, g)| (t - g).powi(2))
            .collect::<Vec<_>>();
        let deviation =
            column_means(&rest, self.columns.cols(), tried.len()).into_iter().map(f32::sqrt).collect();
        let of_targets = self.predict(&regression, &code, self.searched())?;
        Ok((Starts { of_tried, of_targets }, deviation))
    }

    /// What `facts` say of `records`, beside their columns.
    pub fn examples(&self, facts: &[Fact], records: &[u32]) -> anyhow::Result<Examples> {
        let Features { values: inputs, discrete, .. } = self.sources.features(facts, records)?;
        Ok(Examples { inputs, outputs: self.columns.gather(records), rows: records.len(), discrete })
    }

    /// What a regression on `facts` makes of `records`.
    pub fn predict(
        &self,
        regression: &Regression,
        facts: &[Fact],
        records: &[u32],
    ) -> anyhow::Result<Vec<f32>> {
        Ok(regression.predict(&self.sources.features(facts, records)?.values, records.len()))
    }

    fn releases(&self, facts: &[Fact]) -> u64 {
        let of = |fact: &Fact| match fact {
            Fact::Code => 1,
            Fact::AllCodes => self.sources.observed.parties.len() as u64,
            Fact::EpochCodes(epochs) => u64::from(*epochs),
            Fact::Label | Fact::OwnColumns => 0,
        };
        facts.iter().map(of).sum()
    }

    /// Values of an encoder as they cross this cut.
    pub fn at_cut(&self, values: Vec<f32>) -> Vec<f32> {
        let sign = |value: f32| if value >= 0.0 { 1.0 } else { -1.0 };
        if self.cut == CutKind::SimulatedFloats { values } else { values.into_iter().map(sign).collect() }
    }

    /// Whose columns are attacked, as a report says it.
    pub fn victim(&self) -> String {
        victims(&self.sources.observed.parties[self.sources.victim], self.population)
    }

    /// What was found of something else than columns, by `metrics` of so many targets.
    pub fn told(
        &self,
        attack: &str,
        victim: &str,
        (knowledge, releases): (Vec<String>, u64),
        (targets, metrics): (usize, BTreeMap<String, Estimate>),
        note: String,
        began: Instant,
    ) -> AttackOutcome {
        let result = AttackResult {
            attack: attack.to_string(),
            victim: victim.to_string(),
            knowledge,
            cut: self.cut,
            defence: self.defence.clone(),
            bits: releases * self.sources.observed.width as u64 * self.value_bits,
            releases,
            auxiliary_rows: self.auxiliary.len(),
            target_rows: targets,
            metrics,
            note: Some(note).filter(|note| !note.is_empty()),
            seconds: began.elapsed().as_secs_f64(),
        };
        AttackOutcome { result, guess: Vec::new(), errors: Vec::new(), reference: Vec::new() }
    }

    /// A guess of columns, scored.
    pub fn attacked(
        &self,
        attack: &str,
        (knowledge, releases): (Vec<String>, u64),
        guess: Vec<f32>,
        note: Option<String>,
        began: Instant,
    ) -> AttackOutcome {
        let columns = self.columns.cols();
        let targets = guess.len() / columns;
        let Scored { metrics, errors } = match targets {
            all if all == self.targets.len() => self.scorer.score(&guess, columns),
            some => self.scorer.head(some).score(&guess, columns),
        };
        let scored = (targets, metrics);
        let told =
            self.told(attack, &self.victim(), (knowledge, releases), scored, note.unwrap_or_default(), began);
        AttackOutcome { guess, errors, reference: self.scorer.reference()[..targets].to_vec(), ..told }
    }
}
