//! A run that has finished in the state folder: whether it is that of a config, so that the same command, given again, ends
//! well and changes nothing.

use anyhow::{Context, ensure};
use hashvfl_learning::Snapshot;

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::training::checkpoint::run_name;

/// The entry of a model's file that names its run.
pub(crate) const RUN: &str = "run_sha256";

/// Where the model of the run of `config` is; `None` where no run has finished in its state folder.
///
/// # Errors
/// If another run has: of other settings, columns or seed, or of another version.
pub fn model_of(config: &PartyConfig) -> anyhow::Result<Option<String>> {
    let path = config.model_path();
    if !path.exists() {
        return Ok(None);
    }
    let another = || {
        format!(
            "{} is from a finished run with other settings, columns, seed or program version than this config: \
             choose another `state` folder, or move the file away",
            path.display()
        )
    };
    let model = Snapshot::read(&path).with_context(another)?;
    let same = is_of(config, &model).with_context(another)?;
    ensure!(same, another());
    Ok(Some(format!(
        "the run has already finished (model: {}): to train again, choose another `state` folder, or move this one \
         away",
        path.display()
    )))
}

/// Whether `model` is of the run that `config` would begin, with the seed that was drawn for it.
fn is_of(config: &PartyConfig, model: &Snapshot) -> anyhow::Result<bool> {
    let seed = config.seed.map_or_else(|| model.number("seed"), Ok)?;
    let config = PartyConfig { seed: Some(seed), ..config.clone() };
    let prepared = Prepared::load(&config)?;
    Ok(model.text.get(RUN) == Some(&run_name(&config, &prepared)?.to_string()))
}
