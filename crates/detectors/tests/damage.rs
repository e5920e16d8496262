//! Each bit of small files of detectors and references flipped in turn: it is refused.

use hashvfl_detectors::{
    Calibrated, Codes, Combination, DetectorKind, MatrixView, Panel, PartyDetector, PartyKind, PartyRows,
    References, file,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const WIDTH: usize = 2;

/// Rows whose columns take few values, so that their histogram is small.
fn rows(count: usize) -> Vec<f32> {
    (0..count * WIDTH).map(|at| (at * at % 5 % 3) as f32).collect()
}

fn each_bit_is_found<T: Serialize + DeserializeOwned + file::CheckStored>(stored: &T) {
    let whole = file::to_bytes(stored).unwrap();
    assert!(whole.len() < 10_000, "{} bytes take too long", whole.len());
    assert!(file::from_bytes::<T>(&whole).is_ok());
    for bit in 0..8 * whole.len() {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(file::from_bytes::<T>(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn each_bit_of_a_detector_file_flipped_in_turn_is_found() {
    let values = rows(70);
    let values = MatrixView::new("columns", &values, WIDTH).unwrap();
    let local = PartyRows::new(values, values).unwrap();
    let histogram = PartyKind::Histogram.fit(&local, 0).unwrap();
    let panel = Panel::new(vec![histogram], Combination::Bonferroni, &local).unwrap();
    let detectors: Calibrated<PartyDetector> = Calibrated::new(panel, &local, &local, None).unwrap();
    each_bit_is_found(&detectors);
}

#[test]
fn each_bit_of_a_file_of_references_flipped_in_turn_is_found() {
    let codes = |seed: usize| {
        let signs: Vec<f32> =
            (0..32).map(|bit| if (bit * seed).is_multiple_of(3) { 1.0 } else { -1.0 }).collect();
        Codes::of_values(&[&signs], 8).unwrap()
    };
    each_bit_is_found(&References::new(codes(1), codes(2)).unwrap());
}
