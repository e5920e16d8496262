//! What a side does when its run is interrupted.

use serde::Deserialize;

/// What follows when another side's process has died, or cannot be reached any more, while a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnInterruption {
    /// This side waits until all are there again, and the run goes on from its last checkpoint.
    #[default]
    Wait,
    /// This process ends. Started again, it goes on from there as well.
    Stop,
}
