//! The detectors of a party on rows drawn around a plane: what lies off it is strange.

use hashvfl_core::normal::normal_score;
use hashvfl_core::random::stream;
use hashvfl_detectors::{
    Calibrated, Combination, DetectorError, DetectorKind, MatrixView, Panel, PartyDetector, PartyKind,
    PartyRows, Score, file,
};
use rand::Rng;

const WIDTH: usize = 8;

/// Rows [rows, WIDTH] on a plane of two dimensions, and off it by `off`.
fn rows(count: usize, off: f32, seed: u64) -> Vec<f32> {
    let mut rng = stream(seed, "rows", &[]);
    let mut normal = || normal_score((f64::from(rng.next_u32()) + 0.5) / 2_f64.powi(32)) as f32;
    let mut values = Vec::new();
    for _ in 0..count {
        let (a, b) = (normal(), normal());
        values.extend((0..WIDTH).map(|at| {
            let plane = if at % 2 == 0 { a } else { b } + 0.3 * at as f32 * (a - b);
            plane + (0.05 + off) * normal()
        }));
    }
    values
}

fn local(values: &[f32]) -> PartyRows<'_> {
    let values = MatrixView::new("columns", values, WIDTH).unwrap();
    PartyRows::new(values, values).unwrap()
}

#[test]
fn strange_rows_score_higher() {
    let (train, test, strange) = (rows(1500, 0.0, 1), rows(200, 0.0, 2), rows(200, 1.5, 3));
    for kind in PartyKind::ALL.iter().copied() {
        let detector = kind.fit(&local(&train), 0).unwrap();
        assert_eq!(detector.kind(), kind);
        let normal = detector.score(&local(&test)).unwrap();
        let odd = detector.score(&local(&strange)).unwrap();
        let pairs = normal.iter().flat_map(|n| odd.iter().map(move |o| u32::from(o > n)));
        let auroc = f64::from(pairs.sum::<u32>()) / (normal.len() * odd.len()) as f64;
        assert!(auroc > 0.9, "{}: {auroc}", kind.name());
        let narrow = MatrixView::new("columns", &test[..WIDTH - 1], WIDTH - 1).unwrap();
        let error = detector.score(&PartyRows::new(narrow, narrow).unwrap()).unwrap_err();
        assert!(matches!(error, DetectorError::Width { fitted: WIDTH, found: 7, .. }), "{error}");
    }
    for kind in PartyKind::ALL {
        let few = kind.fit(&local(&train[..WIDTH * 10]), 0).err();
        let needed = kind.needs().rows;
        assert_eq!(few, Some(DetectorError::TooFewRows { what: kind.name(), needed, found: 10 }));
    }
}

#[test]
fn a_file_gives_the_same_judgement_and_damage_is_an_error() {
    let (train, scale, calibration, test) =
        (rows(500, 0.0, 1), rows(100, 0.0, 2), rows(150, 0.0, 3), rows(50, 0.5, 4));
    let detectors = PartyKind::ALL.iter().map(|kind| kind.fit(&local(&train), 0).unwrap()).collect();
    let panel = Panel::new(detectors, Combination::Bonferroni, &local(&scale)).unwrap();
    let calibrated = Calibrated::new(panel, &local(&scale), &local(&calibration), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detectors");
    file::write(&path, &calibrated).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let back: Calibrated<PartyDetector> = file::read(&path).unwrap();
    let judge =
        |detectors: &Calibrated<PartyDetector>| detectors.judge(&local(&test), None, 0.01, Some(1)).unwrap();
    assert_eq!(judge(&back), judge(&calibrated));

    let bytes = std::fs::read(&path).unwrap();
    for at in [0, 20, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(file::from_bytes::<Calibrated<PartyDetector>>(&changed).is_err(), "byte {at}");
    }
    assert!(file::from_bytes::<Calibrated<PartyDetector>>(&bytes[..bytes.len() / 2]).is_err());
    assert!(file::from_bytes::<Calibrated<hashvfl_detectors::CoordinatorDetector>>(&bytes).is_err());
    let newer = [b"hashvfl detectors 3\n", &bytes[20..]].concat();
    let error = file::from_bytes::<Calibrated<PartyDetector>>(&newer).err().unwrap();
    assert_eq!(error, DetectorError::Version { expected: 2, found: 3 });
    let missing =
        file::read::<Calibrated<PartyDetector>>(&folder.path().join("nothing")).err().unwrap().to_string();
    assert!(missing.contains("cannot read") && missing.contains("nothing"), "{missing}");
}
