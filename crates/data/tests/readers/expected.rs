//! What cells mean, said a second time: in the fewest words, by none of the readers' code.

use hashvfl_data::{Content, Table};
use proptest::prelude::*;

/// Cells of a column of texts: quotes, commas, composed and invisible letters, words that stand for a missing value.
pub fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-c]{1,3}",
        2 => "[a-c,;\"'# ]{0,5}",
        1 => "[a\n\r\t\"]{0,4}",
        1 => "(é|e\u{301}|ß|\u{200b}|\u{feff}|日){1,2}",
        1 => prop::sample::select(vec!["", " ", "NA", "1", "1.0", "+1", "01", "-0", "0", "1e3", "nan"]).prop_map(String::from),
        1 => prop::sample::select(vec!["-nan", "+NaN", "1.#QNAN", "-1.#IND", "nan(ind)", "#N/A N/A", "#NV", "\u{a0}", "NA\u{a0}", "\u{2014}", "..", "-inf"])
            .prop_map(String::from),
    ]
}

/// Cells of a column of numbers: large and small ones, many digits, and what is no number.
pub fn numbers() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-1000_i32..1000).prop_map(|number| number.to_string()),
        3 => (-1e6_f32..1e6).prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| format!("{number:e}")),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => prop::sample::select(vec!["", " 7 ", "-0", "1e-50", "1e39", "9007199254740993", "0.1", "inf", "NaN", "1,5", "+2", "0x10"])
            .prop_map(String::from),
    ]
}

/// What a cell of numbers is in the matrix; `None` where it has to be refused.
pub fn number(cell: &str) -> Option<f32> {
    let cell = ascii_trimmed(cell);
    if cell.is_empty() {
        return Some(f32::NAN);
    }
    let number: f64 = cell.parse().ok()?;
    if let Ok(whole) = cell.parse::<i128>()
        && number as i128 != whole
    {
        return None;
    }
    Some(number as f32).filter(|number| number.is_finite())
}

/// The category that a cell is; `None` for a missing one.
pub fn category(cell: &str) -> Option<String> {
    let cell = ascii_trimmed(cell);
    if cell.trim().is_empty() {
        return None;
    }
    let unsigned = cell.strip_prefix('+').unwrap_or(cell);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_digits = |text: &str| !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit());
    let is_whole = is_digits(digits) && !fraction.is_empty() && fraction.chars().all(|letter| letter == '0');
    Some(match is_whole {
        true if digits == "0" => digits.to_owned(),
        true => whole.to_owned(),
        false => cell.to_owned(),
    })
}

/// A text without the blanks of ASCII around it.
pub fn ascii_trimmed(cell: &str) -> &str {
    cell.trim_matches([' ', '\t', '\n', '\r', '\u{c}'])
}

/// Whether a cell can be an id.
pub fn is_id(cell: &str) -> bool {
    let id = ascii_trimmed(cell);
    !id.is_empty() && !id.contains(|letter: char| letter.is_control() || letter == '\u{feff}')
}

/// Whether numbers of a column may be refused since 32 bits do not tell some of them apart.
pub fn may_collapse(cells: &[String]) -> bool {
    let mut wide: Vec<u64> = cells
        .iter()
        .filter_map(|cell| ascii_trimmed(cell).parse::<f64>().ok())
        .map(|number| (number + 0.0).to_bits())
        .collect();
    wide.sort_unstable();
    wide.dedup();
    let mut narrow: Vec<u32> =
        wide.iter().map(|bits| (f64::from_bits(*bits) as f32 + 0.0).to_bits()).collect();
    narrow.sort_unstable();
    narrow.dedup();
    narrow.len() < wide.len()
}

/// The values of column `at` of numbers, as bits, all missing ones alike.
pub fn bits(table: &Table, at: usize) -> Vec<u32> {
    (0..table.matrix.rows()).map(|row| bits_of(table.matrix.row(row)[at])).collect()
}

/// The bits of a number, all missing ones alike, and zero alike whatever its sign.
pub fn bits_of(number: f32) -> u32 {
    if number.is_nan() { u32::MAX } else { (number + 0.0).to_bits() }
}

/// The names of the categories of column `at`.
pub fn categories(table: &Table, at: usize) -> Vec<Option<String>> {
    let Content::Category(names) = &table.contents[at] else { panic!("column {at} holds no categories") };
    let values = (0..table.matrix.rows()).map(|row| table.matrix.row(row)[at]);
    values.map(|value| (!value.is_nan()).then(|| names[value as usize].clone())).collect()
}
