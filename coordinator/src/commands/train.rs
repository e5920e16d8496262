//! Training: what the coordinator does without a command.

use crate::config::CoordinatorConfig;
use crate::training;

/// Waits for the parties of a config's run and trains to its end. What was learned is in the state folder then. Where the run
/// has finished there already, nothing is done. Where `fresh`, an unfinished run there is discarded first.
///
/// # Errors
/// If the labels do not fit the config, the state folder holds another finished run, a party does not come, breaks off or
/// keeps to something else than the protocol.
pub fn train(config: &CoordinatorConfig, fresh: bool) -> anyhow::Result<()> {
    training::run(config, false, fresh)
}
