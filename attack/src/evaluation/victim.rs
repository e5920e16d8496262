//! The context of attacks on one victim: it, its records, and what every attack on them shares.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use hashvfl_core::{CodeForm, PartyName};
use hashvfl_data::Matrix;
use hashvfl_learning::{Classifier, Encoder};

use crate::config::AttackConfig;
use crate::evaluation::context::AttackContext;
use crate::evaluation::score::{Scorer, VictimTable};
use crate::evidence::knowledge::Sources;
use crate::evidence::observed::Observed;
use crate::evidence::ownership::Ownership;
use crate::evidence::simulation::Simulated;
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
#[derive(Clone)]
pub struct Records {
    /// Which they are.
    pub population: Population,
    /// Those that the adversary owns.
    pub auxiliary: Vec<u32>,
    /// The others of the run that it owns.
    pub elsewhere: Vec<u32>,
    /// Those that are scored.
    pub targets: Vec<u32>,
    /// Scores guesses of them.
    pub scorer: Scorer,
}

/// Fewest records of a population that can be attacked.
pub const LEAST_RECORDS: usize = 20;

impl Records {
    /// `rows` of `owner`, of which the adversary owns as large a fraction as of all records.
    ///
    /// # Errors
    /// If they are too few.
    pub fn new(
        evidence: &Evidence,
        owner: &PartyData,
        config: &AttackConfig,
        ownership: &Ownership,
        population: Population,
        rows: &[u32],
    ) -> anyhow::Result<Self> {
        ensure!(
            rows.len() >= LEAST_RECORDS,
            "{population}: {} are too few to attack: {LEAST_RECORDS} at least",
            rows.len()
        );
        let (auxiliary, elsewhere) = owned(evidence, ownership, rows, config.auxiliary_fraction());
        let targets = ownership.targets(rows);
        let table = VictimTable {
            columns: &owner.columns,
            sources: &owner.sources,
            positions: &owner.positions,
            image: owner.image,
        };
        let owned = [&auxiliary[..], &elsewhere];
        let scorer = Scorer::new(table, &evidence.labels, owned, &targets, config.seed);
        Ok(Self { population, auxiliary, elsewhere, targets, scorer })
    }
}

/// What an adversary owns of `rows`, and of all other records.
fn owned(evidence: &Evidence, ownership: &Ownership, rows: &[u32], fraction: f64) -> (Vec<u32>, Vec<u32>) {
    let all: Vec<u32> = (0..evidence.labels.len() as u32).collect();
    let auxiliary = ownership.owned(rows, fraction);
    let here: BTreeSet<u32> = rows.iter().copied().collect();
    let mut elsewhere = ownership.owned(&all, fraction);
    elsewhere.retain(|row| !here.contains(row));
    (auxiliary, elsewhere)
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
    /// Which records the adversary owns.
    pub ownership: Ownership,
    /// Test records.
    pub test: Records,
    /// Training records of the cohort.
    pub training: Records,
    /// Validation records of the cohort, where the run has enough.
    pub validation: Option<Records>,
}

impl<'a> VictimContext<'a> {
    /// What the victim's codes are made of.
    pub fn code_form(&self) -> CodeForm {
        self.owner.config.code_form()
    }

    /// Splits the records and fits the references.
    ///
    /// # Errors
    /// If a name is no party's, or records are too few.
    pub fn new(evidence: &'a Evidence, config: &'a AttackConfig) -> anyhow::Result<Self> {
        let parties = &evidence.coordinator.run.parties;
        let find = |name: &PartyName| {
            let place = parties.iter().position(|party| party == name);
            place.with_context(|| {
                let parties: Vec<&str> = parties.iter().map(PartyName::as_str).collect();
                format!("{name} is not a party of the run, whose parties are {}", parties.join(", "))
            })
        };
        let place = find(&config.victim)?;
        let own = config.own.as_ref().map(find).transpose()?.map(|own| &evidence.owners[own].columns);
        let owner = &evidence.owners[place];
        let ownership = Ownership::new(&evidence.plan, config.seed);
        let records = |of, rows| Records::new(evidence, owner, config, &ownership, of, rows);
        let test = records(Population::Test, evidence.frozen_records())?;
        let training = records(Population::Training, evidence.trained_records())?;
        let rows = evidence.validation_records();
        let enough = rows.len() >= LEAST_RECORDS;
        let validation = enough.then(|| records(Population::Validation, rows)).transpose()?;
        Ok(Self { evidence, config, place, owner, own, ownership, test, training, validation })
    }

    /// Another population of the run.
    ///
    /// # Errors
    /// If its records are too few.
    pub fn records(&self, of: Population, rows: &[u32]) -> anyhow::Result<Records> {
        Records::new(self.evidence, self.owner, self.config, &self.ownership, of, rows)
    }

    /// The same records for an adversary that owns another fraction of all; what they are scored against stays.
    pub fn at_fraction(&self, records: &Records, rows: &[u32], fraction: f64) -> Records {
        let (auxiliary, elsewhere) = owned(self.evidence, &self.ownership, rows, fraction);
        let (population, targets) = (records.population, records.targets.clone());
        Records { population, auxiliary, elsewhere, targets, scorer: records.scorer.clone() }
    }

    /// A cut of `records`.
    pub fn context<'b>(&'b self, surface: &AttackSurface<'b>, records: &'b Records) -> AttackContext<'b> {
        let parties = self.evidence.owners.len();
        AttackContext {
            sources: Sources {
                observed: surface.observed,
                victim: self.place,
                labels: &self.evidence.labels,
                own: self.own,
                others: (0..parties).filter(|party| *party != self.place).collect(),
            },
            columns: &self.owner.columns,
            image: self.owner.image,
            party: &self.config.victim,
            population: records.population,
            auxiliary: &records.auxiliary,
            elsewhere: &records.elsewhere,
            targets: &records.targets,
            scorer: &records.scorer,
            cut: surface.cut,
            defence: surface.defence.clone(),
            value_bits: surface.value_bits,
            seed: self.config.seed,
        }
    }

    /// A cut of test records.
    pub fn test_context<'b>(&'b self, surface: &AttackSurface<'b>) -> AttackContext<'b> {
        self.context(surface, &self.test)
    }

    /// The victim's columns of one population.
    pub fn columns(&self, of: Population) -> Victim {
        Victim::Columns { party: self.config.victim.clone(), of }
    }
}
