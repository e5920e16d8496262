//! Private alignments: counted as a whole, since each shows the other holders something about every record.

use std::collections::BTreeMap;

use crate::error::LedgerError;
use crate::flow::{Flow, FlowKind, Volume};
use crate::policy::Policy;
use crate::store::{LedgerWrite, Store};

/// To be called before the first point of the alignment `id` leaves: counts it, durably, under its id, with one bit a
/// record (whether all holders have it).
///
/// # Errors
/// If the policy allows no more: nothing may leave then.
pub fn count_alignment(
    store: &mut dyn Store,
    policy: &Policy,
    id: &str,
    records: usize,
) -> Result<(), LedgerError> {
    let flows = store.flows()?;
    let counted = flows
        .iter()
        .filter(|(flow, _)| flow.kind == FlowKind::Alignments)
        .map(|(_, volume)| volume.items)
        .sum();
    policy.admit(id, records)?;
    policy.check_alignment(counted, records)?;
    let flow = Flow::new(id, FlowKind::Alignments);
    let volume = flows.get(&flow).copied().unwrap_or_default();
    let volume = volume.plus(Volume { items: 1, bits: records as u64 });
    let flows = BTreeMap::from([(flow, volume)]);
    Ok(store.write(LedgerWrite { accounts: &mut std::iter::empty(), flows: &flows, answers: &[] })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn no_more_alignments_than_the_policy_allows_whatever_their_ids() {
        let policy = Policy::parse("runs = [\"al-*\"]\nalignment = { most = 2 }").unwrap();
        let mut store = MemoryStore::default();
        let mut count = |id| count_alignment(&mut store, &policy, id, 50).map_err(|error| error.to_string());
        assert!(count("spring").unwrap_err().contains("the run spring matches none of these"));
        assert_eq!((count("al-1"), count("al-2")), (Ok(()), Ok(())));
        let refused = count("al-3").unwrap_err();
        assert!(
            refused.contains("alignment.most = 2 refuses 50 records: the ledger already counts 2 alignments"),
            "{refused}"
        );
        assert_eq!(
            store.flows().unwrap()[&Flow::new("al-1", FlowKind::Alignments)],
            Volume { items: 1, bits: 50 }
        );
    }
}
