//! What a run leaves behind, without times, and what was counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hashvfl_core::Digest;
use hashvfl_learning::Snapshot;
use hashvfl_ledger::{Accounts, RecordKey, RedbStore, StoreError};
use serde_json::Value;

use crate::ground::{BITS, COORDINATOR, PARTIES, PASSES_AHEAD};

/// What a run has left behind.
pub struct Outcome {
    /// What is in each file of the state folders, by side and name.
    files: BTreeMap<String, String>,
    /// Bits of each record in each side's ledger.
    counted: BTreeMap<&'static str, BTreeMap<RecordKey, u64>>,
}

impl Outcome {
    /// What is there now; all sides must have finished.
    pub fn of(root: &Path) -> Self {
        let (mut files, mut counted) = (BTreeMap::new(), BTreeMap::new());
        for side in PARTIES.into_iter().chain([COORDINATOR]) {
            note_files(&root.join(side).join("state"), side, &mut files);
            counted.insert(side, bits_by_record(root, side).unwrap());
        }
        Self { files, counted }
    }

    /// The epoch whose models are kept.
    pub fn best_epoch(&self) -> u64 {
        let summary: Value = serde_json::from_str(&self.files["coordinator/summary.json"]).unwrap();
        summary["best_epoch"].as_u64().unwrap()
    }

    /// How this outcome differs from that of an undisturbed run, where so many processes of each party ended before their time.
    pub fn difference(&self, undisturbed: &Self, deaths: &BTreeMap<&'static str, u64>) -> Option<String> {
        for (name, content) in &undisturbed.files {
            match self.files.get(name) {
                None => return Some(format!("{name} is missing")),
                Some(own) if own != content => return Some(format!("{name} is another than undisturbed")),
                Some(_) => {}
            }
        }
        if let Some(name) = self.files.keys().find(|name| !undisturbed.files.contains_key(*name)) {
            return Some(format!("{name} is left over"));
        }
        for (side, records) in &undisturbed.counted {
            // The coordinator's reserves are not bounded by a setting.
            let more = deaths.get(side).map(|deaths| deaths * u64::from(PASSES_AHEAD) * BITS as u64);
            for (record, bits) in records {
                let own = self.counted[side].get(record).copied().unwrap_or(0);
                if own < *bits || more.is_some_and(|more| own > bits + more) {
                    return Some(format!(
                        "the ledger of {side} counts {own} bits of a record in place of {bits}"
                    ));
                }
            }
        }
        None
    }
}

fn note_files(folder: &Path, name: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{name}/{}", path.file_name().unwrap().display());
        if path.is_dir() {
            note_files(&path, &name, files);
        } else if !name.ends_with("unacknowledged.json") {
            files.insert(name, content(&path));
        }
    }
}

/// What a file holds, without times.
fn content(path: &Path) -> String {
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        let Snapshot { arrays, text } = Snapshot::read(path).unwrap();
        return format!("{text:?} {}", Digest::of(format!("{arrays:?}").as_bytes()));
    }
    if path.ends_with("summary.json") {
        let mut summary = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        without_times(&mut summary);
        return summary.to_string();
    }
    Digest::of(&fs::read(path).unwrap()).to_string()
}

/// Takes out of a summary what says how long something took, its bytes, in which heads of audit logs grow, and its digest.
fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !key.ends_with("seconds") && !["bytes", "sha256"].contains(&key.as_str()));
            fields.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// Bits of each record in the ledger of a side whose process has ended, however it did.
pub fn bits_by_record(root: &Path, side: &str) -> Result<BTreeMap<RecordKey, u64>, String> {
    let name = if side == COORDINATOR { "label-ledger.redb" } else { "ledger.redb" };
    // A ledger that was not closed is mended where it is opened: that is for the side itself.
    let copy = root.join("looked-at.redb");
    fs::copy(root.join(side).join(name), &copy).unwrap();
    let mut counted = BTreeMap::new();
    let told = |error: StoreError| format!("the ledger of {side}: {error}");
    let store = RedbStore::open(&copy).map_err(told)?;
    store
        .scan(&mut |key, account| {
            counted.insert(key, account.bits);
        })
        .map_err(told)?;
    Ok(counted)
}
