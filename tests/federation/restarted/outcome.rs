//! All that a run leaves behind, without times: what must be the same whoever was killed meanwhile, and what was counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hashvfl_core::Digest;
use hashvfl_learning::Snapshot;
use hashvfl_transcript::Recording;
use serde_json::Value;

use crate::fixture::{Fixture, PARTIES, command};
use crate::restarted::supervisor::{BANK, SIDES, TELECOM};

/// Passes over the records that a party's ledger reserves ahead: the config's default.
const PASSES_AHEAD: u64 = 4;

/// What a run has left behind.
#[derive(Debug)]
pub struct Outcome {
    /// What is in each file of the state folders, by its path there.
    files: BTreeMap<String, String>,
    /// Bits of each record in each party's ledger, by id.
    bits: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Gradients that the coordinator's ledger counts, by party.
    gradients: BTreeMap<&'static str, u64>,
    bits_per_pass: u64,
}

impl Outcome {
    /// What is there now; all sides must have finished.
    pub fn of(fixture: &Fixture) -> Self {
        let mut files = BTreeMap::new();
        for side in SIDES {
            let state = format!("{side}-state");
            for path in files_below(&fixture.path(&state)) {
                // It names parties that may have their models without having been able to say so.
                if path.ends_with("unacknowledged.json") {
                    continue;
                }
                let name = path.strip_prefix(fixture.folder.path()).unwrap().display().to_string();
                let content = content(fixture, &path);
                assert!(files.insert(name, content).is_none());
            }
        }
        for weights in ["coordinator-state/top", "bank-state/bottom", "telecom-state/bottom"] {
            assert!(files.contains_key(&format!("{weights}.safetensors")), "{weights}: {:?}", files.keys());
        }
        let bits = PARTIES.map(|party| (party, counted_by_record(fixture, party)));
        let gradients = gradients(fixture);
        let bits_per_pass = fixture.settings.bits as u64;
        Self { files, bits: bits.into(), gradients, bits_per_pass }
    }

    /// How this outcome differs from that of an undisturbed run, where the sides were killed so often.
    pub fn differences(&self, undisturbed: &Self, kills: [usize; 3]) -> Vec<String> {
        let mut found = Vec::new();
        let names: std::collections::BTreeSet<&String> =
            self.files.keys().chain(undisturbed.files.keys()).collect();
        for name in names {
            match (self.files.get(name), undisturbed.files.get(name)) {
                (Some(own), Some(other)) if own == other => {}
                (Some(own), Some(other)) => found.push(difference(name, own, other)),
                (Some(_), None) => found.push(format!("{name} is left over")),
                (None, _) => found.push(format!("{name} is missing")),
            }
        }
        for (party, kills) in [(PARTIES[0], kills[BANK]), (PARTIES[1], kills[TELECOM])] {
            let more = kills as u64 * PASSES_AHEAD * self.bits_per_pass;
            let (own, other) = (&self.bits[party], &undisturbed.bits[party]);
            let allowed = |id: &String, bits: &u64| {
                own.get(id).is_some_and(|found| (*bits..=bits + more).contains(found))
            };
            let wrong: Vec<String> = other
                .iter()
                .filter(|&(id, bits)| !allowed(id, bits))
                .map(|(id, bits)| format!("{bits} became {:?}", own.get(id)))
                .collect();
            if let Some(first) = wrong.first() {
                let records = wrong.len();
                found.push(format!(
                    "ledger of {party}: {records} records, the first: {first}, {more} more at most"
                ));
            }
            if own.len() != other.len() {
                found.push(format!("ledger of {party}: {} records in place of {}", own.len(), other.len()));
            }
        }
        for (party, count) in &undisturbed.gradients {
            if self.gradients[party] < *count {
                found.push(format!("gradients to {party}: {} of {count} are counted", self.gradients[party]));
            }
        }
        found
    }

    /// The highest count of bits of a record in a party's ledger.
    pub fn most_bits(&self, party: &str) -> u64 {
        self.bits[party].values().copied().max().unwrap_or(0)
    }
}

/// Where two contents part, in a few words.
fn difference(name: &str, own: &str, other: &str) -> String {
    let same = own.bytes().zip(other.bytes()).take_while(|(own, other)| own == other).count();
    let from = same.saturating_sub(60);
    let part = |text: &str| -> String {
        let bytes = &text.as_bytes()[from..text.len().min(same + 60)];
        String::from_utf8_lossy(bytes).into_owned()
    };
    format!("{name} differs at {same}: {:?} in place of {:?}", part(own), part(other))
}

/// All files below a folder.
pub fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => waiting.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// What a file holds, without times.
fn content(fixture: &Fixture, path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    if name == "summary.json" {
        let mut summary = fixture.summary();
        without_times(&mut summary);
        return summary.to_string();
    }
    if name == "transcript.parquet" {
        return transcript(fixture, path);
    }
    if name.ends_with(".safetensors") {
        let Snapshot { arrays, text } = Snapshot::read(path).unwrap();
        return format!("{text:?} {}", Digest::of(format!("{arrays:?}").as_bytes()));
    }
    Digest::of(&fs::read(path).unwrap()).to_string()
}

/// Takes out of a summary what says how long something took, the transcript's head, which hangs on when it was begun, and the
/// digest of all.
fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| {
                !key.ends_with("seconds") && !["transcript_head", "sha256"].contains(&key.as_str())
            });
            fields.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// A transcript whose chain holds, up to the time at which it was begun.
fn transcript(fixture: &Fixture, path: &Path) -> String {
    let head = fixture.summary()["transcript_head"].as_str().map(|head| Digest::from_hex(head).unwrap());
    let recording =
        Recording::read(path, head.filter(|_| path.starts_with(fixture.path("coordinator-state"))));
    let mut recording = recording.unwrap();
    recording.header.written_s = None;
    let mut text = format!("{:?}\n", recording.header);
    for step in recording.steps {
        let values: Vec<(String, Digest)> =
            step.values.into_iter().map(|(party, values)| (party, Digest::of(&values))).collect();
        text +=
            &format!("{} {:?} {:?} {} {values:?}\n", step.step, step.kind, step.encoding, step.records.len());
        text += &format!("{}\n", Digest::of(format!("{:?}", step.records).as_bytes()));
    }
    text
}

/// Bits of each record in a party's ledger.
pub fn counted_by_record(fixture: &Fixture, party: &str) -> BTreeMap<String, u64> {
    let path = |name: &str| fixture.path(&format!("{party}{name}")).display().to_string();
    let _ = fs::remove_file(path(".accounts.csv"));
    let (ledger, config, out) = (path("-ledger.redb"), path(".toml"), path(".accounts.csv"));
    let export = ["party", "ledger", "export", "--ledger", &ledger, "--config", &config, "--out", &out];
    let (good, _, errors) = command(&export);
    assert!(good, "{errors}");
    let account = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[0].to_string(), cells[1].parse().unwrap())
    };
    fixture.read(&format!("{party}.accounts.csv")).lines().skip(1).map(account).collect()
}

/// Gradients that the coordinator's ledger counts.
fn gradients(fixture: &Fixture) -> BTreeMap<&'static str, u64> {
    let ledger = fixture.path("label-ledger.redb").display().to_string();
    let (good, said, errors) = command(&["coordinator", "ledger", "--ledger", &ledger]);
    assert!(good, "{errors}");
    let count = |party: &'static str| {
        let begin = format!("gradients to {party}: ");
        let line = said.lines().find_map(|line| line.trim().split_once(begin.as_str()));
        let (_, rest) = line.unwrap_or_else(|| panic!("no gradients to {party}: {said}"));
        (party, rest.split([' ', ',']).next().unwrap().parse().unwrap())
    };
    PARTIES.map(count).into()
}
