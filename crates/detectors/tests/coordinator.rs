//! All detectors of the coordinator together: on a file, on codes of other lengths, and at the promised level.

use hashvfl_core::random::stream;
use hashvfl_detectors::calibration::conformal::flags_interval;
use hashvfl_detectors::{
    Calibrated, Codes, Combination, CoordinatorDetector, CoordinatorKind, CoordinatorNormal, CoordinatorRows,
    DetectorError, DetectorKind, Input, MatrixView, Panel, Score, file,
};
use rand::Rng;

struct OwnedRows {
    codes: Codes,
    classes: Vec<u32>,
    features: Vec<f32>,
}

const BITS: usize = 12;
const FEATURES: usize = 6;

impl OwnedRows {
    /// Codes near one of three classes' codes; with `swapped`, the second party's are of the next class.
    fn draw(count: usize, swapped: bool, seed: u64) -> Self {
        let mut rng = stream(seed, "rows", &[]);
        let classes: Vec<u32> = (0..count).map(|_| rng.next_u32() % 3).collect();
        let mut parts = [Vec::new(), Vec::new()];
        let mut features = Vec::new();
        for class in &classes {
            for (party, part) in parts.iter_mut().enumerate() {
                let class = if party == 1 && swapped { (class + 1) % 3 } else { *class };
                for bit in 0..BITS {
                    let sign = if (bit as u32 / 4) % 3 == class { 1.0 } else { -1.0 };
                    part.push(if rng.next_u32().is_multiple_of(10) { -sign } else { sign });
                }
            }
            features.extend((0..FEATURES).map(|at| {
                let own = if at as u32 % 3 == *class { 1.0 } else { 0.0 };
                own + (f64::from(rng.next_u32()) / 2_f64.powi(32)) as f32 * if swapped { 3.0 } else { 0.5 }
            }));
        }
        let codes = Codes::of_values(&[&parts[0], &parts[1]], count).unwrap();
        Self { codes, classes, features }
    }

    fn seen(&self) -> CoordinatorRows<'_> {
        let features = MatrixView::new("features", &self.features, FEATURES).unwrap();
        CoordinatorRows::new(&self.codes, &self.classes, features).unwrap()
    }
}

fn calibrated(calibration: &OwnedRows) -> Calibrated<CoordinatorDetector> {
    let (normal, scale) = (OwnedRows::draw(1000, false, 1), OwnedRows::draw(300, false, 2));
    let fit = |kind: &CoordinatorKind| kind.fit(&normal.seen().into(), 0).unwrap();
    let detectors = CoordinatorKind::ALL.iter().map(fit).collect();
    let panel = Panel::new(detectors, Combination::Bonferroni, &scale.seen()).unwrap();
    Calibrated::new(panel, &scale.seen(), &calibration.seen(), None).unwrap()
}

#[test]
fn swapped_halves_are_flagged_and_normal_rows_at_the_level() {
    let found = calibrated(&OwnedRows::draw(999, false, 3));
    let normal = found.judge(&OwnedRows::draw(4000, false, 4).seen(), None, 0.02, Some(5)).unwrap();
    let flagged = normal.iter().filter(|verdict| verdict.flagged).count();
    let (low, high) = flags_interval(4000, 999, 0.02, 0.99).unwrap();
    assert!((low..=high).contains(&flagged), "{flagged} outside {low} to {high}");
    let swapped = found.judge(&OwnedRows::draw(500, true, 6).seen(), None, 0.02, Some(7)).unwrap();
    assert!(swapped.iter().filter(|verdict| verdict.flagged).count() > 400);
}

#[test]
fn codes_of_other_lengths_are_refused_by_all_that_look_at_codes() {
    let found = calibrated(&OwnedRows::draw(200, false, 3));
    let other = Codes::of_values(&[&[1.0; 16]], 1).unwrap();
    let features = [0.0; FEATURES];
    let seen = CoordinatorRows::new(&other, &[0], MatrixView::new("features", &features, FEATURES).unwrap())
        .unwrap();
    let error = found.judge(&seen, None, 0.05, None).unwrap_err();
    assert_eq!(error, DetectorError::CodeLengths { fitted: vec![12, 12], found: vec![16] });
    for detector in found.panel().detectors() {
        let features_only = detector.kind().needs().input == Input::Features;
        assert_eq!(detector.score(&seen).is_ok(), features_only, "{}", detector.kind().name());
    }
}

#[test]
fn a_file_names_detectors_by_their_first_words() {
    let found = calibrated(&OwnedRows::draw(200, false, 3));
    let text = String::from_utf8_lossy(&file::to_bytes(&found).unwrap()).into_owned();
    let tags = ["distance", "disagreement", "rarity", "neighbours", "gaussians", "components", "mismatch"];
    assert_eq!(text.matches("\"detector\":{\"kind\":\"").count(), CoordinatorKind::ALL.len());
    for (tag, kind) in tags.into_iter().zip(CoordinatorKind::ALL) {
        assert!(text.contains(&format!("\"detector\":{{\"kind\":\"{tag}\",")), "{}", kind.name());
    }
}

#[test]
fn settings_name_each_detector() {
    for kind in CoordinatorKind::ALL {
        let name = format!("\"{}\"", kind.name());
        assert_eq!(serde_json::from_str::<CoordinatorKind>(&name).unwrap(), *kind);
    }
    let error = serde_json::from_str::<CoordinatorKind>("\"rarity\"").unwrap_err().to_string();
    assert!(error.starts_with("unknown variant `rarity`, expected one of `hamming-distance`"), "{error}");
}

#[test]
fn a_file_gives_the_same_judgement() {
    let found = calibrated(&OwnedRows::draw(200, false, 3));
    let back: Calibrated<CoordinatorDetector> = file::from_bytes(&file::to_bytes(&found).unwrap()).unwrap();
    let rows = OwnedRows::draw(50, true, 8);
    assert_eq!(
        back.judge(&rows.seen(), None, 0.05, None).unwrap(),
        found.judge(&rows.seen(), None, 0.05, None).unwrap()
    );
}

#[test]
fn codes_of_drawn_inputs_tell_what_is_common_but_strange() {
    // The second party has two codes, both common, whatever the first one has; synthetic inputs all get the first.
    let mut rng = stream(9, "codes", &[]);
    let mut codes = |rows: usize, second: &mut dyn FnMut(usize) -> bool| -> Codes {
        let mut sign = || if rng.next_u32().is_multiple_of(2) { 1.0 } else { -1.0 };
        let any: Vec<f32> = (0..rows * BITS).map(|_| sign()).collect();
        let two: Vec<f32> = (0..rows * BITS).map(|at| if second(at / BITS) { 1.0 } else { -1.0 }).collect();
        Codes::of_values(&[&any, &two], rows).unwrap()
    };
    let (normal, synthetic) = (codes(2000, &mut |row| row % 2 == 0), codes(1000, &mut |_| true));
    let features = vec![0.0; 2000 * FEATURES];
    let features = MatrixView::new("features", &features, FEATURES).unwrap();
    let seen = CoordinatorRows::new(&normal, &[0; 2000], features).unwrap();
    let difference = |synthetic: Option<&Codes>| {
        let fitted_on = CoordinatorNormal { synthetic, ..seen.into() };
        let scores = CoordinatorKind::DensityRatio.fit(&fitted_on, 0).unwrap().score(&seen).unwrap();
        let mean = |of: usize| scores.iter().skip(of).step_by(2).sum::<f64>() / 1000.0;
        mean(0) - mean(1)
    };
    // One party's code is replaced: half of it the second one's, 9 of 20 of that by a drawn input's. So the first code has
    // (1/4 + 27/80) / (1/4 + 9/80) of what the second has.
    let with = difference(Some(&synthetic));
    assert!((with - (47.0_f64 / 29.0).ln()).abs() < 0.15, "{with}");
    assert!(difference(None).abs() < 0.15);
    let other = Codes::of_values(&[&[1.0; 16]], 1).unwrap();
    let wrong =
        CoordinatorKind::DensityRatio.fit(&CoordinatorNormal { synthetic: Some(&other), ..seen.into() }, 0);
    assert!(matches!(wrong.err(), Some(DetectorError::CodeLengths { .. })));
}
