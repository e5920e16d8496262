//! The sides of a run by their configs, with all parties in this process.

use hashvfl_coordinator::CoordinatorConfig;
use hashvfl_core::random::stream;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::{CutLayer, Encoder};
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::training::in_process::InProcessParty;
use hashvfl_party::PartyConfig;
use hashvfl_party::prepare::Prepared;
use rand::Rng;

/// Gives all sides the coordinator's settings, with splits, weights and noise of `seed`.
pub fn seeded(coordinator: &mut CoordinatorConfig, parties: &mut [PartyConfig], seed: u64) {
    coordinator.run.seed = seed;
    coordinator.seed = seed;
    for (at, party) in parties.iter_mut().enumerate() {
        party.run = coordinator.run.clone();
        party.seed = Some(stream(seed, "party", &[at as u64]).next_u64());
    }
}

/// A party as its program would make it, with another cut.
///
/// # Errors
/// If its table does not fit its config.
pub fn party(config: &PartyConfig, cut: CutLayer) -> anyhow::Result<InProcessParty<'static>> {
    let prepared = Prepared::load(config)?;
    let (rates, seed) = (Rates::of_plan(&config.run, &prepared.plan), prepared.seed());
    let (model, form) = (config.encoder.clone(), config.code_form());
    let mut encoder = Encoder::new(model, cut, prepared.input(), form, rates, seed, &Device::flex())?;
    if config.on_alarm.monitors() {
        encoder.expect_monitoring();
    }
    let columns = prepared.columns.into_matrix()?;
    Ok(InProcessParty { encoder, gather: Box::new(move |rows| columns.gather(rows)), response: None })
}
