//! Records whose label does not go with their codes are found, by detectors that were fitted on other records.

use hashvfl_core::random::stream;
use hashvfl_detectors::screening::{
    GivenLabels, Labelled, Screened, ScreeningAction, ScreeningSettings, label_p_values,
};
use hashvfl_detectors::{CalibrationSplit, Codes, DetectorError};
use rand::Rng;

const ROWS: usize = 600;
const BITS: usize = 12;

/// Codes of two parties: each bit is that of the record's kind, but flipped in one case of ten; and the kinds, 0 to 2.
fn drawn() -> ([Vec<f32>; 2], Vec<u32>) {
    let mut rng = stream(5, "codes", &[]);
    let kinds: Vec<u32> = (0..ROWS).map(|_| rng.next_u32() % 3).collect();
    let mut code = || {
        let of = |kind: &u32, rng: &mut dyn FnMut() -> u32| -> Vec<f32> {
            let bit = |at: usize| (at as u32 + kind).is_multiple_of(3) != rng().is_multiple_of(10);
            (0..BITS).map(bit).map(|set| if set { 1.0 } else { -1.0 }).collect()
        };
        kinds.iter().flat_map(|kind| of(kind, &mut || rng.next_u32())).collect::<Vec<f32>>()
    };
    ([code(), code()], kinds)
}

fn picked<T: Copy>(values: &[T], width: usize, rows: &[u32]) -> Vec<T> {
    rows.iter().flat_map(|row| values[*row as usize * width..][..width].to_vec()).collect()
}

fn screen(codes: &[Vec<f32>; 2], classes: Option<&[u32]>, values: &[f32]) -> Screened {
    let screening = ScreeningSettings { action: ScreeningAction::Drop, level: 0.05, folds: 4 };
    let judged = screening.run::<DetectorError>(ROWS, 3, |fold| {
        let judged = Picked::new(codes, classes, values, &fold.judged);
        let others = fold.others.as_ref().map(|rows| Picked::new(codes, classes, values, rows));
        let others: CalibrationSplit<Labelled<'_>> = others.as_ref().map(Picked::labelled);
        label_p_values(&others, &judged.labelled(), screening.level, 3)
    });
    judged.unwrap()
}

/// Some records with their labels: classes, or else values.
struct Picked {
    codes: Codes,
    classes: Option<Vec<u32>>,
    values: Vec<f32>,
}

impl Picked {
    fn new(codes: &[Vec<f32>; 2], classes: Option<&[u32]>, values: &[f32], rows: &[u32]) -> Self {
        let codes = codes.each_ref().map(|part| picked(part, BITS, rows));
        Self {
            codes: Codes::of_values(&[&codes[0], &codes[1]], rows.len()).unwrap(),
            classes: classes.map(|classes| picked(classes, 1, rows)),
            values: picked(values, 1, rows),
        }
    }

    fn labelled(&self) -> Labelled<'_> {
        let labels = match &self.classes {
            Some(of) => GivenLabels::Classes { count: 3, of },
            None => GivenLabels::Values(&self.values),
        };
        Labelled::new(&self.codes, labels).unwrap()
    }
}

#[test]
fn wrong_classes_and_wrong_values_are_found() {
    let (codes, kinds) = drawn();
    let mut classes = kinds.clone();
    classes[..20].iter_mut().for_each(|class| *class = (*class + 1) % 3);
    let mut values: Vec<f32> = kinds.iter().map(|kind| 100.0 * *kind as f32).collect();
    values[..20].iter_mut().for_each(|value| *value += 700.0);
    for (classes, what) in [(Some(classes.as_slice()), "classes"), (None, "values")] {
        let screened = screen(&codes, classes, &values);
        let wrong = screened.weights[..20].iter().filter(|weight| **weight == 0.0).count();
        assert!(wrong >= 15, "{what}: {wrong} of 20");
        assert!(screened.flagged - wrong < ROWS / 12, "{what}: {}", screened.flagged);
        assert_eq!(screened, screen(&codes, classes, &values), "{what}: the same again");
    }
}

#[test]
fn labels_that_fit_no_codes_are_refused() {
    let (codes, kinds) = drawn();
    let codes = Codes::of_values(&[&codes[0]], ROWS).unwrap();
    let refused = |told| Labelled::new(&codes, told).err().unwrap();
    assert!(matches!(
        refused(GivenLabels::Classes { count: 2, of: &kinds }),
        DetectorError::Class { class: 2, .. }
    ));
    assert!(matches!(refused(GivenLabels::Values(&[0.0; 3])), DetectorError::Rows { .. }));
    assert!(matches!(refused(GivenLabels::Values(&[f32::NAN; ROWS])), DetectorError::NotFinite { .. }));
}
