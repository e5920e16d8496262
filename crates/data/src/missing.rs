//! Which texts stand for a missing value: usual ones, and those that a party lists.

use crate::cell::{MINUS, WHOLE, category_text, loses_digits};

/// Words for it, as programs and people write them.
const WORDS: [&str; 31] = [
    "NA",
    "N/A",
    "N.A.",
    "N.A",
    "N/D",
    "#N/A",
    "#NA",
    "<NA>",
    "NaT",
    "NULL",
    "(null)",
    "<null>",
    "[null]",
    "$null$",
    "\\N",
    "None",
    "<none>",
    "nil",
    "<nil>",
    "?",
    "unknown",
    "undefined",
    "missing",
    "(blank)",
    "(empty)",
    "not available",
    "not applicable",
    "SYSMIS",
    "#NULL",
    "#NV",
    "#N/D",
];
/// Dashes of people and typesetters; cells of nothing else hold no value.
const DASHES: [char; 6] = ['-', '\u{2010}', '\u{2012}', '\u{2013}', '\u{2014}', MINUS];

/// Whether a text usually stands for a missing value, in letters of any case: a word for it, dashes or points alone, a NaN of
/// any spelling, an error of a spreadsheet, or only white space.
pub(crate) fn stands_for_missing(text: &str) -> bool {
    // Of all these only what has a `#` may end in a digit, as most cells do: that is soon seen.
    let bytes = text.as_bytes();
    if bytes.last().is_some_and(u8::is_ascii_digit) && !bytes.contains(&b'#') {
        return false;
    }
    let text = text.trim();
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
        || text.chars().all(|letter| DASHES.contains(&letter))
        || text.chars().all(|letter| letter == '.')
        || is_nan(text)
        || is_spreadsheet_error(text)
}

/// Whether it is what a program prints for a number that is none: `nan`, `-NaN`, `nan(ind)` or `1.#QNAN`.
fn is_nan(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['+', '-']);
    let (start, rest) = unsigned.split_at_checked(3).unwrap_or((unsigned, ""));
    let is_nan = start.eq_ignore_ascii_case("nan");
    start == "1.#" || is_nan && (rest.is_empty() || rest.starts_with('(') && rest.ends_with(')'))
}

/// Whether it is like `#DIV/0!`, `#NAME?`, `#WERT!` or `#N/A N/A`.
fn is_spreadsheet_error(text: &str) -> bool {
    let Some(error) = text.strip_prefix('#') else { return false };
    let named = error.strip_suffix(['!', '?']).is_some_and(|name| {
        name.contains(char::is_alphabetic)
            && !name.contains(|letter: char| letter.is_lowercase() || letter == ' ')
    });
    let known = ["#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!"];
    named || error.starts_with("N/A") || known.iter().any(|known| known.eq_ignore_ascii_case(text))
}

/// Whether a cell's text, without the spaces around it, is what a party lists as a `marker`: the same text, or the same number
/// however either is written.
pub(crate) fn is_marked(marker: &str, text: &str) -> bool {
    if category_text(marker) == category_text(text) {
        return true;
    }
    match (number(marker), number(text)) {
        (Some(marker), Some(number)) => are_one(marker, number),
        _ => false,
    }
}

/// Whether a number, which no text stands for in its file, is what a party lists as a `marker`.
pub(crate) fn is_marked_number(marker: &str, value: f64) -> bool {
    if value.is_finite() {
        number(marker).is_some_and(|marker| are_one(marker, value))
    } else {
        marker == value.to_string()
    }
}

/// Whether both are one number. Whole numbers are exact; all others are as 32 bits hold them, which is how many files store
/// them.
fn are_one(marker: f64, number: f64) -> bool {
    let is_exact = marker.fract() == 0.0 && marker.abs() < WHOLE;
    // A number that 32 bits hold as 0 would be each of those.
    let narrow = marker as f32;
    number == marker || !is_exact && narrow.is_normal() && number as f32 == narrow
}

/// The number that a text certainly is: none of digits behind a 0, as in a code, nor one that has lost digits.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.contains(MINUS) {
        return number(&text.replace(MINUS, "-"));
    }
    let behind_zero = text.trim_start_matches(['+', '-']).strip_prefix('0');
    let is_code = behind_zero.is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit()));
    let number: f64 = text.parse().ok()?;
    let is_exact = number.is_finite() && (number.abs() < WHOLE || !loses_digits(text, number));
    (is_exact && !is_code).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_missing_value_does_so_in_any_case_and_spelling() {
        for text in [
            "NA",
            "na",
            "n/a",
            "NaN",
            "null",
            "?",
            "-",
            "\\N",
            "\\n",
            "(null)",
            "(NULL)",
            "nil",
            "NaT",
            "#VALUE!",
            "#DIV/0!",
            "#div/0!",
            "#REF!",
            "unknown",
            "#NA",
            "-nan",
            "-NaN",
            "+nan",
            "NAN",
            "nan(ind)",
            "-nan(0x8000000000000)",
            "1.#QNAN",
            "-1.#IND",
            "1.#IND",
            "1.#INF00",
            "#N/A N/A",
            "#N/A Requesting Data...",
            "#NV",
            "#N/D",
            "#SPILL!",
            "#CALC!",
            "#WERT!",
            "#NAME?",
            "\u{2013}",
            "\u{2014}",
            "\u{2212}",
            "---",
            "..",
            "...",
            "\u{a0}",
            "NA\u{a0}",
            "\u{2003}nan\u{202f}",
            "",
        ] {
            assert!(stands_for_missing(text), "{text}");
        }
        for text in [
            "Nathan",
            "0",
            "no",
            "nano",
            "not",
            "#1",
            "#awesome!",
            "#!",
            "nancy",
            "1.5",
            "inf",
            "a-",
            "-1",
            "+",
            "#N",
            "Nana (old)",
            "1.5#",
        ] {
            assert!(!stands_for_missing(text), "{text}");
        }
    }

    #[test]
    fn words_of_programs_for_a_missing_value_are_known() {
        for text in ["Undefined", "n.a", "[NULL]", "<nil>", "(blank)", "Not Available"] {
            assert!(stands_for_missing(text), "{text}");
        }
        for text in ["blank", "n.a.b", "[nulla]"] {
            assert!(!stands_for_missing(text), "{text}");
        }
    }

    #[test]
    fn a_number_is_a_marker_however_it_is_written() {
        for (marker, texts) in [
            ("-999", &["-999", "-999.0", "-999.00", "-9.99e2", "\u{2212}999", "-999.", "\u{a0}-999"][..]),
            ("-99.9", &["-99.90", "-9.990E1", "-99.9000015258789", "\u{2212}99.9"]),
            ("1e20", &["1E20", "1e+20", "100000000000000000000", "1.0000000200408773e+20", "+1e20"]),
            ("-3.4028234663852886e+38", &["-3.4028235e38", "-3.4028234663852886E38"]),
            (".5", &["0.5", "0.50", "5e-1"]),
            ("0", &["-0", "0.0", "0e5"]),
            ("-1.7976931348623157e308", &["-1.7976931348623157E+308"]),
            ("007", &["007", "007.0"]),
            ("NA", &["NA"]),
        ] {
            for text in texts {
                assert!(is_marked(marker, text), "{marker}: {text}");
            }
        }
        for (marker, texts) in [
            ("-999", &["999", "-9990", "-999.5", "-0999", "-998.9999", ""][..]),
            ("9.5", &["09.5", "9.4", "9.5x", "9,5"]),
            ("16777216", &["16777217", "16777215"]),
            ("9223372036854775807", &["9223372036854775808", "9.223372036854775807e18"]),
            ("1e39", &["1e40", "inf", "1e400"]),
            ("1e-50", &["0", "0.0", "-1e-50", "1e-60"]),
            ("7", &["007", "07.0"]),
            ("NA", &["na", "nan", "NA NA"]),
        ] {
            for text in texts {
                assert!(!is_marked(marker, text), "{marker}: {text}");
            }
        }
    }

    #[test]
    fn a_number_without_a_text_is_a_marker_by_its_value() {
        for (marker, number) in [
            ("-999.0", -999.0),
            ("-99.90", -99.9),
            ("-99.9", f64::from(-99.9_f32)),
            ("1e20", f64::from(1e20_f32)),
            ("NaN", f64::NAN),
            ("-inf", f64::NEG_INFINITY),
        ] {
            assert!(is_marked_number(marker, number), "{marker}");
        }
        for (marker, number) in [
            ("999", -999.0),
            ("16777217", 16_777_216.0),
            ("007", 7.0),
            ("1e39", f64::INFINITY),
            ("NA", f64::NAN),
        ] {
            assert!(!is_marked_number(marker, number), "{marker}");
        }
    }
}
