//! Standardisation: on training rows only, constant and extreme columns, storage, faults.

use super::*;

fn matrix(rows: usize, values: &[f32]) -> Matrix {
    Matrix::new(rows, values.len() / rows, values.to_vec()).unwrap()
}

#[test]
fn only_training_rows_are_fitted_and_every_row_is_changed() {
    let mut table = matrix(3, &[1.0, 10.0, 3.0, 10.0, 7.0, 12.0]);
    let standardizer = Standardizer::fit(&table, &[0, 1], None).unwrap();
    assert_eq!(standardizer.mean(), [2.0, 10.0]);
    assert_eq!(standardizer.scale(), [1.0, 1.0]);
    standardizer.apply(&mut table).unwrap();
    assert_eq!(table.values(), [-1.0, 0.0, 1.0, 0.0, 5.0, 2.0]);
}

#[test]
fn a_clip_bounds_what_lies_far_out() {
    let table = matrix(3, &[-1.0, 1.0, 500.0]);
    let mut treated = table.clone();
    let fitted = Preprocessing::Standardize.fit_apply(&mut treated, &[0, 1], Some(10.0)).unwrap().unwrap();
    assert_eq!(fitted.standardizer.clip(), Some(10.0));
    let mut again = table.clone();
    fitted.apply(&mut again).unwrap();
    assert_eq!(again, treated);
    let wider = Preprocessing::Quantile.fit_apply(&mut table.clone(), &[0, 1], None).unwrap().unwrap();
    assert!(wider.apply(&mut matrix(1, &[1.0; 5])).is_err());
    assert_eq!(treated.values(), [-1.0, 1.0, 10.0]);
}

#[test]
fn large_values_keep_their_differences_and_results_stay_finite() {
    let mut large = matrix(4, &[16_000_000.0, 16_000_002.0, 16_000_000.0, 16_000_002.0]);
    let fitted = Standardizer::fit(&large, &[0, 1, 2, 3], None).unwrap();
    fitted.apply(&mut large).unwrap();
    assert!(large.values().iter().all(|value| value.abs() <= 1.0));

    let mut extreme = matrix(3, &[f32::MAX, f32::MIN, f32::MAX]);
    let fitted = Standardizer::fit(&extreme, &[0, 1, 2], None).unwrap();
    assert!(fitted.scale()[0].is_finite());
    fitted.apply(&mut extreme).unwrap();
    assert!(extreme.values().iter().all(|value| value.abs() < 2.0));

    let mut narrow = matrix(3, &[0.0, 1e-30, f32::MAX]);
    let fitted = Standardizer::fit(&narrow, &[0, 1], None).unwrap();
    fitted.apply(&mut narrow).unwrap();
    assert!(narrow.values().iter().all(|value| value.is_finite()));
}

#[test]
fn a_constant_column_has_scale_one_whatever_its_value() {
    for value in [0.0, 0.1, -3.7e7, 1e-44, f32::MAX] {
        let table = matrix(3, &[value; 3]);
        let fitted = Standardizer::fit(&table, &[0, 1, 2], None).unwrap();
        assert_eq!(fitted.scale(), [1.0], "{value}");
    }
}

#[test]
fn faults_are_refused() {
    let mut table = matrix(2, &[1.0, 2.0, 3.0, 4.0]);
    let fit = |rows: &[u32], clip| Standardizer::fit(&table, rows, clip).unwrap_err();
    assert_eq!(fit(&[], None), PreprocessError::NoRows);
    assert!(matches!(fit(&[2], None), PreprocessError::Rows(_)));
    for clip in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(fit(&[0], Some(clip)), PreprocessError::Clip { .. }));
    }
    let none = Preprocessing::None.fit_apply(&mut table.clone(), &[0], Some(10.0));
    assert_eq!(none.unwrap_err(), PreprocessError::ClipWithoutScale);
    assert_eq!(Preprocessing::None.fit_apply(&mut table.clone(), &[0], None), Ok(None));

    let other = Standardizer::fit(&matrix(1, &[1.0]), &[0], None).unwrap();
    let error = other.apply(&mut table).unwrap_err();
    assert_eq!(error.to_string(), "2 columns, expected 1 as fitted; load the same columns as for training");
    assert_eq!(table.values(), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn a_stored_standardizer_comes_back_checked() {
    for clip in [None, Some(8.0)] {
        let fitted = Standardizer::fit(&matrix(2, &[1.0, 2.0, 3.5, 4.0]), &[0, 1], clip).unwrap();
        let parts = (fitted.mean().to_vec(), fitted.scale().to_vec());
        assert_eq!(Standardizer::from_parts(parts.0, parts.1, clip), Ok(fitted));
    }
    for (mean, scale, clip) in [
        (vec![1.0], vec![], None),
        (vec![1.0], vec![0.0], None),
        (vec![f32::NAN], vec![1.0], None),
        (vec![1.0], vec![1.0], Some(-1.0)),
    ] {
        assert!(Standardizer::from_parts(mean, scale, clip).is_err());
    }
}

#[test]
fn settings_are_lower_case_words_and_debug_shows_no_mean() {
    #[derive(Deserialize)]
    struct Settings {
        preprocessing: Preprocessing,
    }
    let settings: Settings = toml::from_str("preprocessing = \"none\"").unwrap();
    assert_eq!(settings.preprocessing, Preprocessing::None);
    let fitted = Standardizer::fit(&matrix(1, &[1717.0]), &[0], None).unwrap();
    assert_eq!(format!("{fitted:?}"), "Standardizer(1 columns)");
}
