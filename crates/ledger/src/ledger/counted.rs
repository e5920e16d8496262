//! What a ledger counts beside releases and a policy bounds: how often a run goes on, and how often runs are refused.

use super::Ledger;
use crate::error::LedgerError;
use crate::flow::{Flow, FlowKind, Volume, refusals};
use crate::leakage_limits::LeakageFound;
use crate::store::Store;

impl<S: Store> Ledger<S> {
    /// To be called before a run of which something has left goes on: counts that, durably, whatever became of its files.
    ///
    /// # Errors
    /// If the policy allows no more: nothing of the run may leave then.
    pub fn resume(&mut self, run: &str) -> Result<(), LedgerError> {
        let flow = Flow::new(run, FlowKind::Resumes);
        let counted = self.flows.get(&flow).map_or(0, |volume| volume.items);
        self.terms.policy.check_resume(counted, self.records())?;
        Ok(self.note(&flow, Volume { items: 1, bits: 0 })?)
    }

    /// To be called before codes are checked: whether `run`, where it is one that learns, was refused before for what its codes
    /// tell, or too much was.
    ///
    /// # Errors
    /// If so.
    pub fn check_refused(&self, run: Option<&str>) -> Result<(), LedgerError> {
        let (of_run, of_all) = refusals(&self.flows, run);
        Ok(self.terms.policy.check_refused(of_run, of_all, self.records())?)
    }

    /// Holds what codes of `run` tell against the policy.
    ///
    /// # Errors
    /// If they tell too much: the refusal is counted, durably, before anybody hears of it.
    pub fn check_leakage(&mut self, run: &str, found: &LeakageFound<'_>) -> Result<(), LedgerError> {
        if let Err(refusal) = self.terms.policy.check_leakage(found) {
            self.note(&Flow::new(run, FlowKind::Refusals), Volume { items: 1, bits: 0 })?;
            return Err(refusal.into());
        }
        Ok(())
    }
}
