//! What cells become, and what is told of a column.

use super::*;

fn column(treatment: &Treatment, cells: &[&str]) -> (Result<Vec<f32>, CellFault>, Content) {
    let mut column = ColumnBuilder::new("a", treatment);
    let values = cells.iter().map(|cell| column.push_cell(cell.as_bytes(), treatment)).collect();
    (values, column.finish().unwrap())
}

#[test]
fn the_first_value_decides_the_type() {
    let treatment = Treatment { missing: Missing::Fill, ..Treatment::default() };
    let (values, content) = column(&treatment, &["", " 2 ", "3"]);
    assert!(values.unwrap()[0].is_nan());
    assert_eq!(content, Content::Number);
    let (values, content) = column(&treatment, &["b", "7", "b"]);
    assert_eq!(values, Ok(vec![0.0, 1.0, 0.0]));
    assert_eq!(content, Content::Category(vec!["b".into(), "7".into()]));
    assert_eq!(column(&treatment, &["7", "b"]).0, Err(CellFault::NotANumber));
    assert_eq!(column(&treatment, &["inf"]).0, Err(CellFault::NotFinite));
    let zeros = column(&treatment, &["-0", "0", "-0.0"]).0.unwrap();
    assert!(zeros.iter().all(|zero| zero.is_sign_positive()), "zero is one number");
}

#[test]
fn one_text_at_the_top_makes_no_categories_of_numbers_in_silence() {
    let treatment = Treatment::default();
    let finish = |treatment: &Treatment, first: &str| {
        let mut column = ColumnBuilder::new("a", treatment);
        column.push_cell(first.as_bytes(), treatment).unwrap();
        for row in 0..40 {
            column.push_cell(row.to_string().as_bytes(), treatment).unwrap();
        }
        column.finish()
    };
    let message = finish(&treatment, "secret").unwrap_err().to_string();
    assert!(message.contains("column \"a\" holds 40 distinct numbers and 1 distinct text"), "{message}");
    assert!(message.contains("[types]") && !message.contains("secret"), "{message}");
    let types = toml::from_str("a = \"category\"").unwrap();
    assert!(finish(&Treatment { types, ..Treatment::default() }, "secret").is_ok());
}

#[test]
fn categories_in_several_spellings_are_told() {
    let told = |cells: &[&str]| {
        let treatment = Treatment::default();
        let mut column = ColumnBuilder::new("a", &treatment);
        for cell in cells {
            column.push_cell(cell.as_bytes(), &treatment).unwrap();
        }
        column.finish_and_tell().unwrap().1
    };
    for cells in [&["TRUE", "True", "no"][..], &["caf\u{e9}", "cafe\u{301}", "bar"], &["a b", "a  b", "c"]] {
        let lines = told(cells);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("column \"a\": 1 of 3 categories differ"), "{lines:?}");
    }
    assert!(told(&["clerk", "cook", "clerk", "1\u{202f}000 km", "نمی\u{200c}دانم"]).is_empty());
    for cells in [&["clerk\u{a0}", "cook", "clerk\u{a0}"][..], &["clerk", "\u{200b}cook"]] {
        let lines = told(cells);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("column \"a\": 1 of 2 categories begin or end with"), "{lines:?}");
    }
    let lines = told(&["NA", "1", "2", "?"]);
    assert!(
        lines[0].contains("column \"a\": 2 of 4 categories usually stand for a missing value"),
        "{lines:?}"
    );
}

#[test]
fn categories_that_are_written_with_numbers_are_told() {
    let told = |cells: &[&str]| {
        let seen = cells.iter().zip(0..).map(|(cell, code)| ((*cell).to_owned(), code)).collect();
        told_of_quantities("a", &seen)
    };
    for cells in
        [&["18-25", "26-35", "65+"][..], &["1", "2", "3+"], &["5 %", "7 %"], &["2024-01-31", "clerk"]]
    {
        let message = told(cells).unwrap();
        assert!(message.contains("column \"a\"") && message.contains("[types]"), "{message}");
        assert!(!message.contains("18") && !message.contains("clerk"), "{message}");
    }
    assert!(told(&["18-25", "26-35"]).unwrap().contains("2 of 2 categories"));
    assert_eq!(told(&["clerk", "cook", "7"]), None);
    assert_eq!(told(&["1-2", "north", "south"]), None);
}

#[test]
fn numbers_that_are_stored_as_texts_make_no_categories_in_silence() {
    let finish = |kind: ColumnType, treatment: &Treatment, cells: &[String]| {
        let mut column = ColumnBuilder::of_kind("a", kind, treatment);
        for cell in cells {
            column.push_cell(cell.as_bytes(), treatment).unwrap();
        }
        column.finish()
    };
    let many: Vec<String> = (0..13).map(|row| format!("{row}.5")).collect();
    let below_zero: Vec<String> = (1..4).map(|row| format!("\u{2212}{row}")).collect();
    let codes: Vec<String> = (1..4).map(|row| row.to_string()).collect();
    let plain = Treatment::default();
    for cells in [&many, &below_zero] {
        let message = finish(ColumnType::Category, &plain, cells).unwrap_err().to_string();
        assert!(message.contains("and 0 distinct texts") && message.contains("[types]"), "{message}");
        assert!(finish(ColumnType::Number, &plain, cells).is_ok());
        let types = toml::from_str("a = \"category\"").unwrap();
        assert!(finish(ColumnType::Category, &Treatment { types, ..Treatment::default() }, cells).is_ok());
        let marked = Treatment { faulty: Faulty::Mark, ..Treatment::default() };
        assert!(finish(ColumnType::Category, &marked, cells).is_ok(), "a trained model fixed the type");
    }
    assert!(finish(ColumnType::Category, &plain, &codes).is_ok());
}

#[test]
fn a_number_that_is_none_is_no_category() {
    let types = toml::from_str("a = \"category\"").unwrap();
    let treatment = Treatment { types, ..Treatment::default() };
    let mut column = ColumnBuilder::new("a", &treatment);
    assert_eq!(column.push_number(f64::NAN), Err(CellFault::NotFinite));
    assert_eq!(column.push_number(2.0), Ok(0.0));
}

#[test]
fn declared_types_and_markers_of_missing_values_come_first() {
    let types = toml::from_str("a = \"category\"").unwrap();
    let treatment = Treatment { types, null_values: vec!["NA".into()], ..Treatment::default() };
    let (values, content) = column(&treatment, &["2", "1", "2"]);
    assert_eq!(values, Ok(vec![0.0, 1.0, 0.0]));
    assert_eq!(content.kind(), ColumnType::Category);
    assert_eq!(column(&treatment, &["2", "NA"]).0, Err(CellFault::Empty));
    assert_eq!(format!("{content:?}"), "2 categories");
}

#[test]
fn numbers_that_fall_together_in_32_bits_are_refused_and_named() {
    let treatment = Treatment::default();
    let pushed = |from: f64, treatment: &Treatment| {
        let mut column = ColumnBuilder::new("since", treatment);
        for second in 0..100 {
            let cell = (from + f64::from(second)).to_string();
            column.push_cell(cell.as_bytes(), treatment).unwrap();
        }
        column.finish()
    };
    let message = pushed(1.7e9, &treatment).unwrap_err().to_string();
    assert!(message.contains("\"since\": 100 distinct numbers become 2 in 32 bits"), "{message}");
    assert!(!message.contains("1700"), "{message}");
    assert!(pushed(1.7e7, &treatment).is_err() && pushed(1.6e7, &treatment).is_ok());
    let types = toml::from_str("since = \"category\"").unwrap();
    assert!(pushed(1.7e9, &Treatment { types, ..treatment }).is_ok());
}

#[test]
fn a_number_is_one_category_however_it_is_written() {
    let types = toml::from_str("a = \"category\"").unwrap();
    let treatment = Treatment { types, ..Treatment::default() };
    let (values, content) = column(&treatment, &["1.0", "1", "01", "+1", "x"]);
    assert_eq!(values, Ok(vec![0.0, 0.0, 1.0, 0.0, 2.0]));
    assert_eq!(content, Content::Category(vec!["1".into(), "01".into(), "x".into()]));
}

#[test]
fn what_is_marked_is_no_missing_value() {
    let treatment = Treatment { faulty: Faulty::Mark, ..Treatment::default() };
    let (values, _) = column(&treatment, &["1", "", "x"]);
    let faulty: Vec<bool> = values.unwrap().into_iter().map(is_faulty).collect();
    assert_eq!(faulty, [false, true, true]);
    let filled = Treatment { missing: Missing::Fill, ..treatment };
    let missing = column(&filled, &["1", ""]).0.unwrap()[1];
    assert!(missing.is_nan() && !is_faulty(missing));
}
