//! The docs list every registered detector with its side.

use std::fs;
use std::path::Path;

use hashvfl_detectors::{BatchKind, CoordinatorKind, DetectorKind, PartyKind};

/// The text of all pages called detectors.md below `folder`.
fn pages(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &pages(&path);
        } else if path.ends_with("detectors.md") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

#[test]
fn every_detector_is_in_the_table_of_detectors() {
    let text = pages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs"));
    let coordinator = CoordinatorKind::ALL.iter().map(|kind| (kind.name(), "coordinator"));
    let party = PartyKind::ALL.iter().map(|kind| (kind.name(), "party"));
    let batch = BatchKind::ALL.iter().map(|kind| (kind.name(), "coordinator, batches"));
    for (name, side) in coordinator.chain(party).chain(batch) {
        assert!(text.contains(&format!("\n| `{name}` | {side} |")), "detectors.md lacks `{name}` of {side}");
    }
}
