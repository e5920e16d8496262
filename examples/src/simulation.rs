//! The same course as a federation's, with all parties in this process: for baselines, tuning and benches.

use anyhow::Context;
use hashvfl_core::{Part, Plan, RunSettings};
use hashvfl_data::{Matrix, Preprocessing};
use hashvfl_learning::bottom::InputShape;
use hashvfl_learning::course::{self, EpochReport};
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::{Cut, Encoder, EncoderConfig};
use hashvfl_learning::local::{LocalParties, LocalParty};
use hashvfl_learning::loss::{Evaluation, Labels, Loss};
use hashvfl_learning::metrics::Balance;
use hashvfl_learning::threads;
use hashvfl_learning::{Classifier, TopConfig};

/// One party's side of a simulation.
#[derive(Clone)]
pub struct Side<'a> {
    /// Its columns as they are in its files.
    pub columns: &'a Matrix,
    /// Channels, height and width, where they are an image.
    pub image: Option<[usize; 3]>,
    /// What happens to them first, and where values are cut off.
    pub preprocessing: (Preprocessing, Option<f32>),
    /// Its model.
    pub encoder: EncoderConfig,
    /// Seed of its weights.
    pub seed: u64,
}

/// What a simulation gave.
pub struct Simulated {
    /// Every epoch.
    pub epochs: Vec<EpochReport>,
    /// On validation records, at the kept epoch.
    pub validation: Option<Evaluation>,
    /// On test records.
    pub test: Option<Evaluation>,
    /// Balance of each party's bits on test records; empty for floats.
    pub balance: Vec<Balance>,
}

/// Runs `settings` over `sides` with codes or, as a baseline, floats at the cut.
pub fn simulate(
    sides: &[Side],
    labels: &Labels,
    settings: &RunSettings,
    (top, top_seed): (&TopConfig, u64),
    cut: Cut,
) -> anyhow::Result<Simulated> {
    settings.check()?;
    threads::limit(1);
    let device = Device::flex();
    let mut plan = Plan::new(settings, labels.len())?;
    let loss = Loss::new(labels.clone(), plan.part(Part::CohortTrain), top.loss, settings.bits);
    let inputs = sides.len() * settings.bits;
    let rates = (settings.schedule, settings.learning_rate, plan.updates());
    let mut classifier = Classifier::new(top.clone(), loss, inputs, rates, top_seed, &device)?;
    let parties = sides.iter().map(|side| party(side, settings, &plan, cut, &device));
    let parties = parties.collect::<anyhow::Result<Vec<_>>>()?;
    let silent = &mut |_: course::Progress| {};
    let test_rows = plan.part(Part::Test).to_vec();
    let (epochs, best_epoch, test, balance) = match cut {
        Cut::Hash => {
            let mut parties = LocalParties::hashed(parties, plan.clone());
            let outcome =
                course::run(&mut parties, settings, &mut plan, &mut classifier, top.patience, silent)
                    .map_err(|error| anyhow::anyhow!("{error}"))?;
            let balance = outcome.tables.iter().filter_map(|table| table.signs(&test_rows).ok());
            let balance = balance.map(|signs| Balance::of(&signs, settings.bits)).collect();
            (outcome.curve, outcome.best_epoch, outcome.test, balance)
        }
        Cut::SimulatedFloat => {
            let mut parties = LocalParties::simulated_floats(parties, plan.clone());
            let outcome =
                course::run(&mut parties, settings, &mut plan, &mut classifier, top.patience, silent)
                    .map_err(|error| anyhow::anyhow!("{error}"))?;
            (outcome.curve, outcome.best_epoch, outcome.test, Vec::new())
        }
    };
    let validation = epochs.get(best_epoch as usize - 1).and_then(|report| report.validation);
    Ok(Simulated { epochs, validation, test, balance })
}

fn party<'a>(
    side: &Side,
    settings: &RunSettings,
    plan: &Plan,
    cut: Cut,
    device: &Device,
) -> anyhow::Result<LocalParty<'a>> {
    let mut columns = side.columns.clone();
    let (preprocessing, clip) = side.preprocessing;
    preprocessing.fit_apply(&mut columns, plan.part(Part::CohortTrain), clip).context("preprocessing")?;
    let input = InputShape { columns: columns.cols(), image: side.image };
    let encoder =
        Encoder::new(side.encoder.clone(), cut, input, settings, plan.updates(), side.seed, device)?;
    Ok(LocalParty { encoder, gather: Box::new(move |rows| columns.gather(rows)) })
}
