//! After which epochs the cohort's validation records are encoded and judged.

use hashvfl_core::RunSettings;
use serde::{Deserialize, Serialize};

/// After which epochs validation records are encoded: the coordinator's own choice, since parties let it encode them at most once
/// an epoch. What is learned is the same to the bit, since an epoch of the last cycle is kept in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validate {
    /// After each.
    #[default]
    EveryEpoch,
    /// After each of the last cycle. Validation records send fewer codes then, and epochs before it have no figures of them.
    LastCycle,
}

impl Validate {
    /// Whether it is what is done where a config does not say it.
    // What serde asks for is a function of a reference.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether validation records are encoded after `epoch`, from 1.
    pub(super) fn follows(self, epoch: u32, settings: &RunSettings) -> bool {
        match self {
            Self::EveryEpoch => true,
            Self::LastCycle => is_in_last_cycle(epoch, settings),
        }
    }
}

/// Whether `epoch`, from 1, is one of those of which one is kept.
pub(super) fn is_in_last_cycle(epoch: u32, settings: &RunSettings) -> bool {
    epoch + settings.cycle_epochs() > settings.epochs
}
