//! Encoding: numbers, missing values, categories, what is new later, storage, and every fault.

use super::*;
use crate::encoding::treatment::{ColumnType, Missing, Unseen};
use crate::{ColumnsSource, Preprocessing};

/// A table of CSV text, read with these settings.
fn table(text: &str, treatment: &Treatment) -> Table {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, text).unwrap();
    let source: ColumnsSource =
        toml::from_str(&format!("format = \"csv\"\nid = \"id\"\npaths = [{path:?}]")).unwrap();
    crate::load_as(&source, treatment).unwrap()
}

fn treatment(types: &str) -> Treatment {
    let types = toml::from_str(types).unwrap();
    Treatment { preprocessing: Preprocessing::None, missing: Missing::Fill, types, ..Treatment::default() }
}

const TRAIN: &str = "id,age,job\n1,2,clerk\n2,,cook\n3,4,\n4,9,clerk\n";

#[test]
fn numbers_are_filled_in_and_flagged_and_categories_are_columns() {
    let treatment = treatment("job = \"category\"");
    let train = table(TRAIN, &treatment);
    let encoding = Encoding::fit(&train, &[0, 1, 2, 3], &treatment).unwrap();
    let found = encoding.encode(train, &treatment).unwrap();
    assert_eq!((found.cols(), encoding.width()), (5, 5));
    // age, age is missing, clerk, cook, job is missing
    assert_eq!(found.row(0), [2.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(found.row(1), [5.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!(found.row(2), [4.0, 0.0, 0.0, 0.0, 1.0]);
    assert!(encoding.embedded().is_empty());
    assert_eq!(format!("{encoding:?}"), "Encoding(2 columns to 5)");
}

#[test]
fn nothing_is_fitted_on_other_rows() {
    let treatment =
        Treatment { preprocessing: Preprocessing::Standardize, ..treatment("job = \"category\"") };
    let fit = |text: &str| Encoding::fit(&table(text, &treatment), &[0, 1], &treatment).unwrap().to_text();
    let same = "id,age,job\n1,2,clerk\n2,,cook\n";
    assert_eq!(fit(&format!("{same}3,4,\n4,9,clerk\n")), fit(&format!("{same}3,1e9,spy\n4,,judge\n")));
}

#[test]
fn a_median_fills_in_where_the_type_says_so() {
    let treatment = treatment("age = { kind = \"number\", fill = \"median\" }");
    let train = table("id,age\n1,1\n2,\n3,2\n4,900\n", &treatment);
    let encoding = Encoding::fit(&train, &[0, 1, 2, 3], &treatment).unwrap();
    assert_eq!(encoding.encode(train, &treatment).unwrap().row(1), [2.0, 1.0]);
}

#[test]
fn many_categories_become_positions() {
    let treatment = treatment("job = { kind = \"category\", embedding = 3, min_count = 2 }");
    let train = table("id,job,a\n1,b,0\n2,b,0\n3,a,0\n4,a,0\n5,rare,0\n", &treatment);
    let encoding = Encoding::fit(&train, &[0, 1, 2, 3, 4], &treatment).unwrap();
    assert_eq!(encoding.embedded(), [EmbeddedColumn { column: 0, count: 3, width: 3 }]);
    let found = encoding.encode(train, &treatment).unwrap();
    let positions: Vec<f32> = (0..5).map(|row| found.row(row)[0]).collect();
    assert_eq!(positions, [2.0, 2.0, 1.0, 1.0, 0.0]);

    let many: String = (0..120).map(|row| format!("{row},c{}\n", row % 40)).collect();
    let plain = Treatment::default();
    let train = table(&format!("id,job\n{many}"), &plain);
    let rows: Vec<u32> = (0..120).collect();
    let encoding = Encoding::fit(&train, &rows, &plain).unwrap();
    assert_eq!(encoding.embedded(), [EmbeddedColumn { column: 0, count: 41, width: 8 }]);
}

#[test]
fn what_no_training_row_had_is_handled_as_configured() {
    let accept = treatment("job = \"category\"");
    let train = table("id,age,job\n1,2,clerk\n2,4,cook\n", &accept);
    let encoding = Encoding::fit(&train, &[0, 1], &accept).unwrap();
    let types = encoding.types(&accept.types).unwrap();
    let accept = Treatment { types, ..accept };
    let later = |text: &str, treatment: &Treatment| encoding.encode(table(text, treatment), treatment);
    let found = later("id,age,job\n1,,spy\n2,5,cook\n3,5,\n", &accept).unwrap();
    assert_eq!(found.row(0), [3.0, 0.0, 0.0]);
    assert_eq!(found.row(1), [5.0, 0.0, 1.0]);
    assert_eq!(found.row(2), [5.0, 0.0, 0.0]);

    let refuse = Treatment { unseen: Unseen::Error, ..accept };
    for (text, expected) in [
        ("id,age,job\n1,2,cook\n2,,cook\n", "column \"age\", record 2: a missing value in a column without"),
        ("id,age,job\n1,2,spy\n", "column \"job\", record 1: a category that no"),
        ("id,age,job\n1,2,\n2,2,cook\n", "column \"job\", record 1: a missing value in a column without"),
    ] {
        let message = later(text, &refuse).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains("spy"), "{message}");
    }
}

#[test]
fn a_column_of_nothing_but_new_categories_is_named() {
    let treatment = treatment("");
    let train = table("id,job,town\n1,cook,rome\n2,spy,oslo\n", &treatment);
    let encoding = Encoding::fit(&train, &[0, 1], &treatment).unwrap();
    let served = table("id,job,town\n1,COOK,rome\n2,SPY,bern\n", &treatment);
    let mut noted = EncodingNotes::default();
    encoding.encode_noting(served, &treatment, &mut noted).unwrap();
    assert_eq!((noted.unknown_columns, noted.unseen), (vec!["job".to_owned()], 3));
}

#[test]
fn a_rare_category_is_not_new() {
    let treatment =
        Treatment { unseen: Unseen::Error, ..treatment("job = { kind = \"category\", min_count = 2 }") };
    let train = table("id,job\n1,cook\n2,cook\n3,spy\n", &treatment);
    let encoding = Encoding::fit(&train, &[0, 1, 2], &treatment).unwrap();
    assert_eq!(encoding.encode(train, &treatment).unwrap().values(), [1.0, 1.0, 0.0]);
}

#[test]
fn quantiles_cut_off_before_scaling() {
    let text: String =
        (0..100).map(|row| format!("{row},{}\n", if row == 99 { 1e6 } else { row as f64 })).collect();
    let treatment = Treatment { clip_quantile: Some(0.02), ..treatment("") };
    let train = table(&format!("id,a\n{text}"), &treatment);
    let rows: Vec<u32> = (0..100).collect();
    let encoding = Encoding::fit(&train, &rows, &treatment).unwrap();
    let found = encoding.encode(train, &treatment).unwrap().into_values();
    assert_eq!((found[0], found[50], found[99]), (2.0, 50.0, 97.0));
}

#[test]
fn columns_that_are_missing_new_or_of_another_type_are_named() {
    let plain = Treatment::default();
    let train = table("id,age,job\n1,2,clerk\n2,4,cook\n", &plain);
    let encoding = Encoding::fit(&train, &[0, 1], &plain).unwrap();
    for (text, expected) in [
        ("id,age\n1,2\n", "column \"job\" is missing"),
        ("id,age,job,pay\n1,2,cook,3\n", "column \"pay\" was not there"),
        ("id,job,age\n1,cook,2\n", "in another order"),
        ("id,age,job\n1,x,cook\n", "column \"age\" holds categories, but held numbers in training"),
        ("id,age,job\n1,2,3\n", "column \"job\" holds numbers, but held categories in training"),
    ] {
        let message = encoding.encode(table(text, &plain), &plain).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let declared = toml::from_str("age = \"category\"").unwrap();
    let message = encoding.types(&declared).unwrap_err().to_string();
    assert!(message.contains("but held numbers in training"), "{message}");
    assert_eq!(encoding.types(&Types::new()).unwrap()["job"].kind, ColumnType::Category);
}

#[test]
fn columns_that_say_nothing_are_refused() {
    let fill = treatment("");
    let none = table("id,a\n1,\n2,\n3,4\n", &fill);
    let error = Encoding::fit(&none, &[0, 1], &fill).unwrap_err();
    assert_eq!(error, PreprocessError::AllMissing { column: "a".into() });
    let text: String = (0..300).map(|row| format!("{row},name{row}\n")).collect();
    let names = table(&format!("id,a\n{text}"), &fill);
    let rows: Vec<u32> = (0..300).collect();
    let message = Encoding::fit(&names, &rows, &fill).unwrap_err().to_string();
    assert!(message.contains("300 categories in 300 training records"), "{message}");
    assert_eq!(Encoding::fit(&names, &[], &fill), Err(PreprocessError::NoRows));
    let wrong = Treatment { clip_quantile: Some(0.5), ..fill };
    assert!(Encoding::fit(&names, &rows, &wrong).unwrap_err().to_string().starts_with("clip_quantile = 0.5"));
}

#[test]
fn what_was_stored_comes_back_checked() {
    let treatment = Treatment {
        preprocessing: Preprocessing::Quantile,
        clip: Some(8.0),
        clip_quantile: Some(0.1),
        ..treatment("job = \"category\"")
    };
    let train = table(TRAIN, &treatment);
    let encoding = Encoding::fit(&train, &[0, 1, 3], &treatment).unwrap();
    let text = encoding.to_text();
    let again = Encoding::from_text(&text).unwrap();
    assert_eq!(again, encoding);
    assert_eq!(again.encode(train.clone(), &treatment), encoding.encode(train, &treatment));
    for (from, to) in [("\"scale\":", "\"scale\":-"), ("\"clip\":8", "\"clip\":-8"), ("{", "")] {
        assert!(text.contains(from));
        assert_eq!(Encoding::from_text(&text.replacen(from, to, 1)), Err(PreprocessError::Stored));
    }
    assert!(PreprocessError::Stored.to_string().contains("restore the model file from a backup"));
}

#[test]
fn drawn_rows_lie_within_what_training_rows_had() {
    use hashvfl_core::random::stream;
    let treatment = Treatment { preprocessing: Preprocessing::Quantile, ..treatment("job = \"category\"") };
    let jobs = ["clerk", "cook", "smith"];
    // Raw values are squares: most are small, and an even draw over them is not.
    let rows: String = (0..300).map(|at| format!("{at},{},{}\n", at * at, jobs[at % 3])).collect();
    let train = table(&format!("id,pay,job\n{rows}"), &treatment);
    let all: Vec<u32> = (0..300).collect();
    let encoding = Encoding::fit(&train, &all, &treatment).unwrap();
    let encoded = encoding.encode(train, &treatment).unwrap();
    let mut ranges = Ranges::new(encoded.cols());
    ranges.widen(encoded.values());
    let (mut drawn, mut rng) = (Vec::new(), stream(0, "drawn", &[]));
    (0..2000).for_each(|_| encoding.draw(&ranges, &mut rng, &mut drawn));
    let rows: Vec<&[f32]> = drawn.chunks_exact(4).collect();
    let (least, most) = ranges.0[0];
    assert!(rows.iter().all(|row| least <= row[0] && row[0] <= most));
    // Half of the drawn values are above half of the range, which is the 212th of 300 squares.
    let above = |bound: f32| rows.iter().filter(|row| row[0] > bound).count() as f32 / 2000.0;
    assert!((above(encoded.row(212)[0]) - 0.5).abs() < 0.05);
    for job in 1..4 {
        let share = rows.iter().map(|row| row[job]).sum::<f32>() / 2000.0;
        assert!((share - 1.0 / 3.0).abs() < 0.05, "{share}");
    }
    assert!(rows.iter().all(|row| row[1..].iter().sum::<f32>() == 1.0));
    assert_eq!(format!("{ranges:?}"), "Ranges of 4 columns");
}
