//! What a ledger costs for a million records, or another number of them:
//! `cargo run --release -p hashvfl-benches --bin ledger [-- RECORDS]`.

use std::time::Instant;

use hashvfl_core::{Digest, TableIds};
use hashvfl_ledger::{
    Cost, EncoderIdentity, Flow, FlowKind, Ledger, LedgerOptions, LedgerReport, Policy, RedbStore,
    ReleaseDigest, RowBlock,
};

const PASSES: u32 = 5;
const BATCH: usize = 256;
const SINGLE: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let records: u32 = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let folder = tempfile::tempdir_in(".")?;
    let path = folder.path().join("ledger.redb");
    let ids: Vec<String> = (0..records).map(|record| format!("customer-{record}")).collect();
    let timed = |what: &str, began: Instant| println!("{what:<58}{:>8.3} s", began.elapsed().as_secs_f64());
    let open = || -> Result<_, Box<dyn std::error::Error>> {
        let cost = Cost { bits: 64, epsilon: None };
        let policy = Policy { bits_per_record: Some(4096), ..Policy::default() };
        let terms = LedgerOptions { policy, flows: vec![(Flow::new("spring", FlowKind::Codes), cost)] };
        let table = TableIds { ids: &ids, key_columns: 1 };
        Ok(Ledger::open(RedbStore::open_or_create(&path)?, table, &[], terms)?)
    };
    let began = Instant::now();
    let mut ledger = open()?;
    timed("open, no account yet", began);
    let rows: Vec<u32> = (0..records).collect();
    for pass in 0..PASSES {
        let encoder = EncoderIdentity { digest: Digest([pass as u8; 32]), frozen: false };
        let began = Instant::now();
        ledger.reserve(&rows[..BATCH], RowBlock::once(&rows), &encoder)?;
        timed(&format!("pass {}: reserve all records, durable", pass + 1), began);
        let began = Instant::now();
        for batch in rows.chunks(BATCH) {
            ledger.reserve(batch, RowBlock::once(&rows), &encoder)?;
            let digest = |row: &u32| ReleaseDigest::of(&encoder, &[row.to_le_bytes(); 2].concat());
            let digests: Vec<_> = batch.iter().map(digest).collect();
            ledger.release(batch, &encoder, &digests)?;
        }
        timed(&format!("pass {}: release them in batches of {BATCH}", pass + 1), began);
    }
    let encoder = EncoderIdentity { digest: Digest([PASSES as u8; 32]), frozen: false };
    let began = Instant::now();
    for batch in rows.chunks(BATCH).take(SINGLE) {
        ledger.reserve(batch, RowBlock::once(batch), &encoder)?;
    }
    timed(&format!("instead, {SINGLE} batches of {BATCH} reserved one by one"), began);
    let began = Instant::now();
    ledger.settle()?;
    timed("settle, durable", began);
    drop(ledger);
    let began = Instant::now();
    drop(open()?);
    timed("open, all accounts there", began);
    let store = RedbStore::open(&path)?;
    let began = Instant::now();
    let report = LedgerReport::of(&store, &Policy::default())?;
    timed("sum up", began);
    print!("{report}");
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        status
            .lines()
            .filter(|line| line.starts_with("VmHWM"))
            .for_each(|line| println!("{line}, ids among it"));
    }
    let bytes = store.file_bytes();
    println!("file: {:.1} MB, {:.0} bytes per record", bytes as f64 / 1e6, bytes as f64 / f64::from(records));
    Ok(())
}
