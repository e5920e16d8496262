//! The context of attacks on one victim: it, its records, and what every attack on them shares.

use anyhow::Context;
use hashvfl_core::PartyName;
use hashvfl_data::Matrix;
use hashvfl_learning::{Classifier, Encoder};

use crate::config::AttackConfig;
use crate::evaluation::context::AttackContext;
use crate::evaluation::score::Scorer;
use crate::evidence::knowledge::Sources;
use crate::evidence::observed::Observed;
use crate::evidence::simulation::Simulated;
use crate::evidence::split::Split;
use crate::evidence::{Evidence, PartyData};
use crate::report::{CutKind, Defence, Population, Victim};

/// One cut of one run that can be attacked.
#[derive(Clone)]
pub struct AttackSurface<'a> {
    /// What was seen.
    pub observed: &'a Observed,
    /// The trained encoders, in the order of the parties; none where they are not those of this cut.
    pub encoders: Vec<&'a Encoder>,
    /// The trained top model, where it is that of this cut.
    pub top: Option<&'a Classifier>,
    /// What left the party.
    pub cut: CutKind,
    /// The defence and its setting.
    pub defence: Defence,
    /// Bits of one value at this cut.
    pub value_bits: u64,
    /// The task's metric on test records of that run, where it is known.
    pub utility: Option<f64>,
}

impl<'a> AttackSurface<'a> {
    /// What a repetition of the run in this process sent, at the cut of `like`.
    pub fn repeated(run: &'a Simulated, like: &AttackSurface, defence: Defence) -> Self {
        Self {
            observed: &run.observed,
            encoders: run.encoders.iter().collect(),
            top: Some(&run.top),
            cut: like.cut,
            defence,
            value_bits: like.value_bits,
            utility: Some(run.utility),
        }
    }

    /// Values at one bit each, of which no model is known.
    pub fn quantised(observed: &'a Observed, defence: Defence) -> Self {
        Self {
            observed,
            encoders: Vec::new(),
            top: None,
            cut: CutKind::SimulatedQuantised,
            defence,
            value_bits: 1,
            utility: None,
        }
    }
}

/// Records of one population: which are the adversary's, which are scored, and who scores them.
pub struct Records {
    /// Which they are.
    pub population: Population,
    /// Auxiliary records and targets.
    pub split: Split,
    /// Scores guesses of the targets.
    pub scorer: Scorer,
}

impl Records {
    /// Splits `rows` of `owner` and fits the references.
    ///
    /// # Errors
    /// If they are too few.
    pub fn new(
        evidence: &Evidence,
        owner: &PartyData,
        config: &AttackConfig,
        population: Population,
        rows: &[u32],
    ) -> anyhow::Result<Self> {
        let split =
            Split::new(rows, most_auxiliary(owner), config.seed).with_context(|| population.to_string())?;
        let auxiliary = split.auxiliary(config.auxiliary_fraction());
        let scorer = Scorer::new(
            &owner.columns,
            owner.image,
            &evidence.labels,
            auxiliary,
            &split.targets,
            config.seed,
        );
        Ok(Self { population, split, scorer })
    }
}

/// Most auxiliary records against a party: networks to hundreds of pixels learn slowly. A report says how many there
/// were; an adversary with more would get more.
fn most_auxiliary(owner: &PartyData) -> usize {
    if owner.image.is_some() { 4_000 } else { 12_000 }
}

/// What stays the same for all attacks on one victim.
pub struct VictimContext<'a> {
    /// The truth and the models.
    pub evidence: &'a Evidence,
    /// What the adversary is granted.
    pub config: &'a AttackConfig,
    /// The place of the victim among the parties.
    pub place: usize,
    /// The victim's side.
    pub owner: &'a PartyData,
    /// Columns of the coordinator's organisation.
    pub own: Option<&'a Matrix>,
    /// Test records.
    pub test: Records,
    /// Training records of the cohort.
    pub training: Records,
}

impl<'a> VictimContext<'a> {
    /// Splits the records and fits the references.
    ///
    /// # Errors
    /// If a name is no party's, or records are too few.
    pub fn new(evidence: &'a Evidence, config: &'a AttackConfig) -> anyhow::Result<Self> {
        let parties = &evidence.coordinator.run.parties;
        let find = |name: &PartyName| {
            let place = parties.iter().position(|party| party == name);
            place.with_context(|| format!("{name} is no party of the run"))
        };
        let place = find(&config.victim)?;
        let own = config.own.as_ref().map(find).transpose()?.map(|own| &evidence.owners[own].columns);
        let owner = &evidence.owners[place];
        let test = Records::new(evidence, owner, config, Population::Test, evidence.frozen_records())?;
        let training =
            Records::new(evidence, owner, config, Population::Training, evidence.trained_records())?;
        Ok(Self { evidence, config, place, owner, own, test, training })
    }

    /// A cut of `records`, of which the adversary has a fraction.
    pub fn context<'b>(
        &'b self,
        surface: &AttackSurface<'b>,
        records: &'b Records,
        auxiliary_fraction: f64,
    ) -> AttackContext<'b> {
        AttackContext {
            sources: Sources {
                observed: surface.observed,
                victim: self.place,
                labels: &self.evidence.labels,
                own: self.own,
            },
            columns: &self.owner.columns,
            image: self.owner.image,
            party: &self.config.victim,
            population: records.population,
            auxiliary: records.split.auxiliary(auxiliary_fraction),
            targets: &records.split.targets,
            scorer: &records.scorer,
            cut: surface.cut,
            defence: surface.defence.clone(),
            value_bits: surface.value_bits,
            seed: self.config.seed,
        }
    }

    /// A cut of test records.
    pub fn test_context<'b>(&'b self, surface: &AttackSurface<'b>) -> AttackContext<'b> {
        self.context(surface, &self.test, self.config.auxiliary_fraction())
    }

    /// A cut of training records.
    pub fn training_context<'b>(&'b self, surface: &AttackSurface<'b>) -> AttackContext<'b> {
        self.context(surface, &self.training, self.config.auxiliary_fraction())
    }

    /// The victim's columns of one population.
    pub fn columns(&self, of: Population) -> Victim {
        Victim::Columns { party: self.config.victim.clone(), of }
    }
}
