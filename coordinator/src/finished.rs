//! A run that has finished: whether it is that of a config, so that the same command, given again, ends well and changes
//! nothing; and its line in the list of finished runs.

use anyhow::{Context, ensure};
use hashvfl_core::Digest;
use hashvfl_core::text::counted;
use hashvfl_learning::Snapshot;
use hashvfl_monitor::{add_run, changed_runs, now_s};
use tracing::warn;

use crate::config::CoordinatorConfig;
use crate::state::StateFolder;
use crate::summary::Summary;

/// The entry of a top model's file that names its run.
pub const RUN: &str = "run_sha256";

/// Where the top model of the run `name` is; `None` where no run has finished in the state folder.
///
/// # Errors
/// If another run has: of other settings, labels or seed, or of another version.
pub fn top_of(state: &StateFolder, name: &Digest) -> anyhow::Result<Option<String>> {
    let path = state.top();
    if !path.exists() {
        return Ok(None);
    }
    let another = || {
        format!(
            "{} is from a finished run with other settings, labels, seed or program version than this config: choose \
             another `state` folder, or move the file away",
            path.display()
        )
    };
    let top = Snapshot::read(&path).with_context(another)?;
    ensure!(top.text.get(RUN) == Some(&name.to_string()), another());
    Ok(Some(format!(
        "the run has already finished (top model: {}): to train again, choose another `state` folder, or move this \
         one away",
        path.display()
    )))
}

/// Adds the run to the file of finished runs. It has finished whether that works or not.
pub fn keep_among_runs(config: &CoordinatorConfig, summary: &Summary) {
    let changed = changed_runs(&config.runs);
    if changed > 0 {
        warn!(
            "not showing {} of {}: restore the file from a backup, or remove what is damaged",
            counted(changed, "damaged line"),
            config.runs.display()
        );
    }
    if let Err(error) = add_run(&config.runs, &summary.in_a_line(now_s())) {
        warn!("the run is not listed among finished ones: cannot write {}: {error}", config.runs.display());
    }
}
