//! Training: what the coordinator does without a command.

use crate::config::CoordinatorConfig;
use crate::training;

/// Waits for the parties of a config's run and trains to its end. What was learned is in the state folder then.
///
/// # Errors
/// If the labels do not fit the config, the state folder holds a finished run, a party does not come, breaks off or keeps
/// to something else than the protocol.
pub fn train(config: &CoordinatorConfig) -> anyhow::Result<()> {
    training::run(config, false)
}
