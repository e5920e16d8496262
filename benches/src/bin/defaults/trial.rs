//! One training by first configs: records, encoding and models as party and coordinator make them, and their training
//! loop, with the parties in this process.

use anyhow::anyhow;
use clap::ValueEnum;
use hashvfl_benches::first_configs::FirstConfigs;
use hashvfl_benches::observed::ObservedParties;
use hashvfl_benches::parties::{party, seeded};
use hashvfl_coordinator::{CoordinatorConfig, labels, top_file};
use hashvfl_core::{GradientEncoding, Plan, RunSettings};
use hashvfl_learning::Classifier;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::top::evaluation::Evaluation;
use hashvfl_learning::training::backend::PartyBackend;
use hashvfl_learning::training::in_process::{InProcessParties, InProcessParty};
use hashvfl_learning::training::{self, TrainingOptions, TrainingOutcome};
use hashvfl_party::PartyConfig;

use crate::monitored::Monitors;

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// The run of the configs.
    Codes,
    /// The same network, but floats pass where it sends signs.
    Floats,
    /// The first party's columns and the labels alone, with floats.
    FirstAlone,
    /// The second party's.
    SecondAlone,
}

impl Model {
    /// All.
    pub const ALL: [Self; 4] = [Self::Codes, Self::Floats, Self::FirstAlone, Self::SecondAlone];

    fn cut(self) -> CutLayer {
        if self == Self::Codes { CutLayer::Hash } else { CutLayer::SimulatedFloat }
    }

    /// Whether the party at this place takes part.
    fn has(self, party: usize) -> bool {
        match self {
            Self::Codes | Self::Floats => true,
            Self::FirstAlone => party == 0,
            Self::SecondAlone => party == 1,
        }
    }
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// On validation records, of the models that were kept.
    pub validation: Option<Evaluation>,
    /// On test records.
    pub test: Option<Evaluation>,
    /// Parties whose gradient monitor raised an alarm, all of them false.
    pub alarms: usize,
}

/// Trains `model` by `configs` with the splits, weights and noise of `seed`.
pub fn run(configs: &FirstConfigs, seed: u64, model: Model) -> anyhow::Result<Measured> {
    let mut coordinator = configs.coordinator.clone();
    let mut parties: Vec<PartyConfig> = configs
        .parties
        .iter()
        .enumerate()
        .filter(|(at, _)| model.has(*at))
        .map(|(_, party)| party.clone())
        .collect();
    coordinator.run.parties = parties.iter().map(|party| party.name.clone()).collect();
    if model.cut() == CutLayer::SimulatedFloat {
        // Floats, one for each latent, pass through this process alone: no encoding of gradients speaks for them.
        coordinator.run = RunSettings { gradient: GradientEncoding::F32, ..coordinator.run.of_floats() };
    }
    seeded(&mut coordinator, &mut parties, seed);
    let labels = labels::load(&coordinator)?.labels;
    let plan = Plan::new(&coordinator.run, labels.len())?;
    let mut classifier = top_file::new(&coordinator, labels, &plan, &Device::flex())?;
    let parties = parties
        .iter()
        .map(|config| party(config, model.cut()))
        .collect::<anyhow::Result<Vec<InProcessParty>>>()?;
    match model.cut() {
        CutLayer::Hash => {
            let parties = InProcessParties::hashed(parties, plan.clone());
            let observer = Monitors::new(plan.clone(), &coordinator.run);
            let mut parties = ObservedParties { parties, observer };
            let measured = learn(&mut parties, &coordinator, plan, &mut classifier)?;
            Ok(Measured { alarms: parties.observer.alarms(), ..measured })
        }
        CutLayer::SimulatedFloat => {
            let mut parties = InProcessParties::simulated_floats(parties, plan.clone());
            learn(&mut parties, &coordinator, plan, &mut classifier)
        }
    }
}

fn learn<P: PartyBackend>(
    parties: &mut P,
    config: &CoordinatorConfig,
    mut plan: Plan,
    classifier: &mut Classifier,
) -> anyhow::Result<Measured>
where
    P::Error: std::fmt::Display,
{
    let run = &config.run;
    let outcome: TrainingOutcome<P::Embedding> =
        training::train(parties, run, &mut plan, classifier, TrainingOptions::of(&config.top), &mut |_| {})
            .map_err(|error| anyhow!("{error}"))?;
    let kept = outcome.curve.iter().find(|report| report.epoch == outcome.best_epoch);
    Ok(Measured { validation: kept.and_then(|report| report.validation), test: outcome.test, alarms: 0 })
}
