//! What the federation is compared with, and the choice of learning rates: the same tries for all, judged on
//! validation records. Test records are scored once, with the chosen rate.

use anyhow::Context;
use hashvfl_core::PartyName;
use hashvfl_core::settings::{RunSettings, Task};
use hashvfl_data::Preprocessing;
use hashvfl_learning::TopConfig;
use hashvfl_learning::bottom::{BottomConfig, MlpConfig};
use hashvfl_learning::encoder::{CutLayer, EncoderConfig};
use hashvfl_learning::top::evaluation::Evaluation;
use hashvfl_testbed::simulation::{SimulatedParty, SimulatedRun, simulate};

use crate::files::PARTIES;
use hashvfl_testbed::digits::Digits;

/// Peak learning rates that every model tries.
pub const RATES: [f64; 3] = [0.003, 0.01, 0.03];

/// A model of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Both parties' codes.
    Federation,
    /// The left party's columns, floats at the cut.
    Left,
    /// The right party's.
    Right,
    /// Both, floats at the cut.
    Joined,
}

impl Model {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Federation, Self::Left, Self::Right, Self::Joined];
}

/// Test results of the baselines, and the federation's rate.
pub struct Tuned {
    /// The learning rate that served the federation best.
    pub federation_rate: f64,
    /// On the left party's columns alone.
    pub left: Evaluation,
    /// On the right party's.
    pub right: Evaluation,
    /// The same network on all columns, without hashing.
    pub joined: Evaluation,
}

/// The run's settings.
pub fn settings(bits: usize, seed: u64, learning_rate: f64) -> RunSettings {
    // Unwrap safety: both names are constants that fit.
    let names = PARTIES.map(|name| PartyName::new(name).expect("a valid name"));
    RunSettings {
        batch_rows: 64.into(),
        learning_rate,
        seed,
        ..RunSettings::new(names.to_vec(), Task::Multiclass, bits, 30)
    }
}

/// Each party's model.
pub fn encoder() -> EncoderConfig {
    EncoderConfig { model: BottomConfig::Mlp(MlpConfig { hidden: vec![64] }), ..EncoderConfig::default() }
}

/// The top model.
pub fn top() -> TopConfig {
    TopConfig::default()
}

/// Seed of a party's weights; real parties each draw their own.
pub fn party_seed(seed: u64, party: usize) -> u64 {
    seed * 100 + party as u64 + 1
}

/// Tries all rates for all models; `tick` after each try.
pub fn tune(digits: &Digits, bits: usize, seed: u64, tick: &mut dyn FnMut()) -> anyhow::Result<Tuned> {
    let left = best(digits, Model::Left, bits, seed, tick)?.1.test.context("no test records")?;
    let right = best(digits, Model::Right, bits, seed, tick)?.1.test.context("no test records")?;
    let joined = best(digits, Model::Joined, bits, seed, tick)?.1.test.context("no test records")?;
    let (federation_rate, _) = best(digits, Model::Federation, bits, seed, tick)?;
    Ok(Tuned { federation_rate, left, right, joined })
}

/// The rate that is best for `model`, and what it gives.
fn best(
    digits: &Digits,
    model: Model,
    bits: usize,
    seed: u64,
    tick: &mut dyn FnMut(),
) -> anyhow::Result<(f64, SimulatedRun)> {
    let mut best: Option<(Evaluation, f64, SimulatedRun)> = None;
    for rate in RATES {
        let simulated = try_rate(digits, model, &settings(bits, seed, rate), seed)?;
        let validation = simulated.validation.context("no validation records")?;
        if best.as_ref().is_none_or(|(best, ..)| validation.is_better(best, Task::Multiclass)) {
            best = Some((validation, rate, simulated));
        }
        tick();
    }
    best.map(|(_, rate, simulated)| (rate, simulated)).context("no rate to try")
}

fn try_rate(
    digits: &Digits,
    model: Model,
    settings: &RunSettings,
    seed: u64,
) -> anyhow::Result<SimulatedRun> {
    let sides: Vec<SimulatedParty> = (0..2)
        .filter(|half| {
            matches!(
                (model, half),
                (Model::Federation | Model::Joined, _) | (Model::Left, 0) | (Model::Right, 1)
            )
        })
        .map(|half| SimulatedParty {
            columns: &digits.halves[half],
            image: None,
            preprocessing: (Preprocessing::default(), None),
            encoder: encoder(),
            seed: party_seed(seed, half),
        })
        .collect();
    let cut = if model == Model::Federation { CutLayer::Hash } else { CutLayer::SimulatedFloat };
    let parties = settings.parties[..sides.len()].to_vec();
    let settings = RunSettings { parties, ..settings.clone() };
    simulate(&sides, &digits.labels(), &settings, &top(), seed, cut)
}
