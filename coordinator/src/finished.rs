//! A run that has finished in the state folder: whether it is that of a config, so that the same command, given again, ends
//! well and changes nothing.

use anyhow::{Context, ensure};
use hashvfl_core::Digest;
use hashvfl_learning::Snapshot;

use crate::state::StateFolder;

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
            "{} is there from a finished run, and not from one of this config (other settings, labels, seed or version): \
             name another `state` folder, or move it away",
            path.display()
        )
    };
    let top = Snapshot::read(&path).with_context(another)?;
    ensure!(top.text.get(RUN) == Some(&name.to_string()), another());
    Ok(Some(format!(
        "the run has finished, and its top model is {}: to train anew, name another `state` folder, or move it away",
        path.display()
    )))
}
