//! Files that another organisation hands over.

use std::path::Path;

use hashvfl_audit::{KeptHead, LogChain, Receipt, read_heads};
use hashvfl_core::codes::stored::{CodeTable, StoredCodes};
use hashvfl_core::records::run_records::RunRecords;
use hashvfl_core::{Digest, ExcludedRecords, PackedCodes, RunId};
use hashvfl_identity::{Pins, verify};

use self::enrolment::{in_folder, sign, sign_der, sign_requested, take_answered, take_certificate, written};

mod enrolment;

/// The first byte says which file the others are.
pub fn target(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 13 {
        0 => drop(Pins::parse(bytes, Path::new("pins.toml"))),
        1 => in_folder(|home| sign(home, bytes)),
        2 => in_folder(|home| take_certificate(home, bytes)),
        3 => in_folder(|home| log(&written(home, bytes))),
        4 => head(bytes),
        5 => codes(bytes),
        6 => records(bytes),
        7 => codes(&with_digest(bytes)),
        8 => records(&with_digest(bytes)),
        9 => in_folder(|home| signed(&written(home, bytes))),
        10 => in_folder(|home| sign_der(home, bytes)),
        11 => in_folder(|home| sign_requested(home, bytes)),
        _ => in_folder(|home| take_answered(home, bytes)),
    }
}

/// The content of a file that ends with a digest of it, and that digest.
fn with_digest(content: &[u8]) -> Vec<u8> {
    [content, &Digest::of(content).0].concat()
}

/// Codes of an evaluator's run. What was read is read again.
fn codes(bytes: &[u8]) {
    let Ok(mut stored) = StoredCodes::from_bytes(bytes) else { return };
    assert_eq!(StoredCodes::from_bytes(&stored.to_bytes()), Ok(stored.clone()));
    let rows = 0..stored.table.records().min(8) as u32;
    let signs = stored.table.signs_or_zeros(&rows.clone().collect::<Vec<_>>());
    assert_eq!(signs.len(), rows.len() * stored.table.bits());
    stored.table.forget(&[0, u32::MAX]);
}

/// Records of an evaluator's run. What was read is read again.
fn records(bytes: &[u8]) {
    let Ok(mut records) = RunRecords::from_bytes(bytes) else { return };
    assert_eq!(records.to_bytes(), bytes);
    let rows = records.rows();
    assert!(rows.len() <= records.count() && records.gone().count() <= records.count());
    records.erase(&rows);
    assert!(records.rows().is_empty());
}

/// A log, or a copy of it, as an officer reads it.
fn log(path: &Path) {
    let Ok(chain) = LogChain::read(path) else { return };
    assert!(chain.entries.iter().all(|entry| !entry.line().contains('\n')));
}

/// Heads of a log, a line each, that somebody has kept, or a receipt of an erasure.
fn signed(path: &Path) {
    for head in read_heads(path).unwrap_or_default() {
        let _ = head.verify();
    }
    if let Ok(receipt) = Receipt::read(path) {
        assert!(receipt.verify(b"ids", &[]).is_err(), "no key may sign it");
        assert!(receipt.receipt.lines().iter().all(|line| !line.contains('\n')));
    }
}

/// A head with its signature: as JSON, and the signature alone.
fn head(bytes: &[u8]) {
    let _ = verify(b"hashvfl.v1 a text\n", bytes);
    if let Ok(head) = serde_json::from_slice::<KeptHead>(bytes) {
        let _ = head.verify();
    }
}

/// Inputs with which a fuzzer begins: valid files, and some that nearly are.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for bits in [1, 8, 13] {
        let mut table = CodeTable::new(5, bits);
        let signs: Vec<f32> = (0..2 * bits).map(|at| if at % 3 == 0 { 1.0 } else { -1.0 }).collect();
        table.put(&[4, 1], &PackedCodes::pack(&signs, bits).expect("codes"));
        let stored = StoredCodes { encoder: Digest([7; 32]), records: Digest([8; 32]), table };
        seeds.extend(of_content(5, &stored.to_bytes()));
    }
    let nothing =
        StoredCodes { encoder: Digest([7; 32]), records: Digest([8; 32]), table: CodeTable::new(0, 8) };
    seeds.extend(of_content(5, &nothing.to_bytes()));
    let run = RunId::new("spring").expect("an id");
    let ids: Vec<String> = (0..9).map(|id| format!("record-{id}")).collect();
    let plain = RunRecords::new(&run, &ids, ExcludedRecords::default());
    let mut erased = plain.clone();
    erased.erase(&plain.rows()[..2]);
    let labelled = RunRecords::new(&run, &ids, ExcludedRecords::of(&[3, 8], 9)).with_labels(["yes"; 9]);
    for records in [&plain, &erased, &labelled, &RunRecords::new(&run, &[], ExcludedRecords::default())] {
        seeds.extend(of_content(6, &records.to_bytes()));
    }
    let entry = "5a".repeat(32);
    for side in ["coordinator", "party-bank"] {
        for more in
            [String::new(), format!(r#","signature":"0403{entry}""#), r#","signature":"""#.to_string()]
        {
            let head = format!(
                r#"{{"side":"{side}","run":"spring","at":"begin","time":"2026-01-01T00:00:00Z","sequence":3,"entry_sha256":"{entry}"{more}}}"#
            );
            seeds.push([&[4][..], head.as_bytes()].concat());
            seeds.push([&[9][..], format!("{head}\n{head}\n").as_bytes()].concat());
        }
    }
    for more in [String::new(), format!(r#","signature":"0403{entry}""#)] {
        let receipt = format!(
            r#"{{"receipt":{{"side":"party-bank","run":"spring","time":"2026-01-01T00:00:00Z","salt":"{entry}","request_sha256":"{entry}","counts":{{"records named":3}}}}{more}}}"#
        );
        seeds.push([&[9][..], receipt.as_bytes()].concat());
    }
    for text in ["", "\"party/bank\" = \"SHA256:0000\"\n", "[\n", "\"party/bank\" = []\n"] {
        seeds.push([&[0][..], text.as_bytes()].concat());
    }
    seeds.extend(enrolment::seeds());
    seeds
}

/// A file that ends with a digest: as it is, and its content for a target that knows how to end it.
fn of_content(kind: u8, file: &[u8]) -> [Vec<u8>; 2] {
    let content = &file[..file.len() - Digest([0; 32]).0.len()];
    [[&[kind][..], file].concat(), [&[kind + 2][..], content].concat()]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_seeds_of_files_that_end_with_a_digest_are_read() {
        let (mut codes, mut records) = (0, 0);
        for seed in seeds() {
            match seed[0] {
                5 => codes += usize::from(StoredCodes::from_bytes(&seed[1..]).is_ok()),
                7 => codes += usize::from(StoredCodes::from_bytes(&with_digest(&seed[1..])).is_ok()),
                6 => records += usize::from(RunRecords::from_bytes(&seed[1..]).is_ok()),
                8 => records += usize::from(RunRecords::from_bytes(&with_digest(&seed[1..])).is_ok()),
                _ => {}
            }
        }
        assert_eq!((codes, records), (8, 8));
    }

    #[test]
    fn the_seeds_of_heads_and_receipts_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut receipts = 0;
        for seed in seeds().iter().filter(|seed| seed[0] == 9) {
            fs::write(&path, &seed[1..]).unwrap();
            match Receipt::read(&path) {
                Ok(_) => receipts += 1,
                Err(_) => assert_eq!(read_heads(&path).unwrap().len(), 2),
            }
        }
        assert_eq!(receipts, 2);
    }
}
