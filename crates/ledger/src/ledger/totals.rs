//! What a ledger counts in all.

use super::Ledger;
use crate::account::MostReleased;
use crate::flow::Volume;
use crate::store::Store;

impl<S: Store> Ledger<S> {
    /// The most that any of the table's records has released, with what is reserved.
    pub fn most_released(&self) -> MostReleased {
        let mut most = MostReleased::default();
        self.accounts.iter().for_each(|entry| most.take(&entry.account));
        most
    }

    /// All that it counts, of all runs.
    pub fn total(&self) -> Volume {
        self.flows.values().fold(Volume::default(), |total, volume| total.plus(*volume))
    }
}
