//! A bit that changes in the ledger of a process that was killed: it is found, or nothing that was counted is lost by it.

use std::collections::BTreeMap;

use hashvfl_core::TableIds;
use hashvfl_ledger::{
    Account, Accounts, Cost, Flow, FlowKind, Ledger, LedgerOptions, Policy, RecordKey, RedbStore, RowBlock,
    Store, StoreError, Volume,
};

use crate::disk::Disk;

/// Bytes in which the file says which of its two last commits counts.
const HEADER_BYTES: usize = 320;
/// Of these, all bits are changed, one after the other.
const FLAG_BYTES: usize = 12;
const WRITES: u64 = 3;
const BITS: u32 = 4;

type Counted = (BTreeMap<Flow, Volume>, Vec<(RecordKey, Account)>);

fn counted(disk: Disk) -> Result<Counted, StoreError> {
    let store = RedbStore::on(disk, [7; 32])?;
    let mut accounts = Vec::new();
    store.scan(&mut |key, account| accounts.push((key, account)))?;
    Ok((store.flows()?, accounts))
}

/// The ledger of a process that was killed behind a charge that it was told is durable.
fn killed() -> Disk {
    let disk = Disk::new(false);
    let store = RedbStore::on(disk.clone(), [7; 32]).unwrap();
    let ids: Vec<String> = (0..5).map(|record| format!("r{record}")).collect();
    let flows = vec![(Flow::new("run", FlowKind::Codes), Cost { bits: BITS, epsilon: None })];
    let terms = LedgerOptions { policy: Policy::default(), flows };
    let mut ledger = Ledger::open(store, TableIds { ids: &ids, key_columns: 1 }, &[], terms).unwrap();
    let rows: Vec<u32> = (0..5).collect();
    (0..WRITES).for_each(|_| ledger.spend(&rows, RowBlock::once(&rows)).unwrap());
    disk.kill();
    disk
}

#[test]
fn a_bit_that_changes_in_the_ledger_of_a_killed_process_takes_no_charge_back() {
    let disk = killed();
    let expected = counted(disk.copy()).unwrap();
    assert!(expected.1.iter().all(|(_, account)| account.bits == WRITES * u64::from(BITS)));
    let bytes = disk.bytes();
    let mut bits: Vec<(usize, usize)> =
        (0..FLAG_BYTES).flat_map(|at| (0..8).map(move |bit| (at, bit))).collect();
    bits.extend((FLAG_BYTES..HEADER_BYTES).map(|at| (at, at % 8)));
    // Of what was written at all, a third.
    let written = (HEADER_BYTES..bytes.len()).filter(|at| bytes[*at] != 0);
    bits.extend(written.step_by(3).map(|at| (at, at % 8)));
    let mut found = 0;
    for (at, bit) in bits {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << bit;
        match counted(Disk::of(changed)) {
            Ok(counted) => assert_eq!(counted, expected, "bit {bit} of byte {at}"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 0, "leaves of accounts are among them");
}
