//! Turns a cell of text into a number that is finite in 32 bits, an id or a category.

use std::fmt;

use hashvfl_core::text::is_plain;

/// Whole numbers below this are exact in 64 bits of a float.
pub(crate) const WHOLE: f64 = (1_u64 << 53) as f64;
/// Digits with which any float of 64 bits can be written.
const FLOAT_DIGITS: usize = 17;
/// The minus sign of typesetters, which spreadsheets and statistical offices write in place of the hyphen.
pub(crate) const MINUS: char = '\u{2212}';

/// What is wrong with a cell. It says the kind of fault, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellFault {
    /// A missing value: no text, only spaces, or a text that stands for one.
    Empty,
    /// Text that is not a number, such as the marker `NA` of a missing value.
    NotANumber,
    /// NaN, infinite, or too large for 32 bits.
    NotFinite,
    /// A number of more digits than 64 bits of a float hold.
    TooManyDigits,
    /// A text that holds a line break or another control character, where an id belongs.
    ControlCharacter,
    /// Bytes that are not UTF-8 text.
    NotUtf8,
    /// More categories than a column may have.
    TooManyCategories,
    /// A value of a type that is neither number nor text.
    OtherType,
}

impl CellFault {
    /// What to do about a cell of a column.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Empty => "fill in the value, list the column in `ignore`, or set missing = \"fill\"",
            Self::NotANumber => {
                "correct the file, list the column in `ignore`, declare it a category in [types], or add the text to \
                 `null_values` if it stands for a missing value"
            }
            Self::TooManyCategories => "list the column in `ignore`: it looks like an id or free text",
            Self::TooManyDigits => {
                "subtract a constant in the file, declare the column a category in [types], or list it in `ignore`"
            }
            Self::NotFinite => {
                "correct the file, list the column in `ignore`, or add \"NaN\" or \"inf\" to `null_values` if that stands for a \
                 missing value"
            }
            Self::NotUtf8 | Self::OtherType | Self::ControlCharacter => {
                "correct the file, or list the column in `ignore`"
            }
        }
    }
}

impl fmt::Display for CellFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty cell",
            Self::NotANumber => "text that is not a number",
            Self::NotFinite => "a value that is not finite, or too large for a 32-bit float",
            Self::TooManyDigits => "a number with more digits than a 64-bit float can hold",
            Self::ControlCharacter => "a text with a line break or another control character",
            Self::NotUtf8 => "bytes that are not UTF-8",
            Self::TooManyCategories => "more categories than a column may have",
            Self::OtherType => "a value that is neither number nor text",
        })
    }
}

/// The cell's text without the spaces around it; never empty.
pub(crate) fn parse_text(cell: &[u8]) -> Result<&str, CellFault> {
    let text = std::str::from_utf8(cell.trim_ascii()).map_err(|_| CellFault::NotUtf8)?;
    if text.is_empty() {
        return Err(CellFault::Empty);
    }
    Ok(text)
}

/// The text of an id's cell, which has to fit in one line of a list.
pub(crate) fn parse_id(cell: &[u8]) -> Result<&str, CellFault> {
    let text = parse_text(cell)?;
    // A byte-order mark is not a control character, but as invisible.
    if text.contains(|letter: char| letter.is_control() || letter == '\u{feff}') {
        return Err(CellFault::ControlCharacter);
    }
    Ok(text)
}

/// Whether a letter shows as nothing, or as a blank that is none.
pub(crate) fn is_hidden(letter: char) -> bool {
    !is_plain(letter) || letter == '\u{ad}' || letter != ' ' && letter.is_whitespace()
}

/// The cell as a number that is finite in 32 bits. White space of any kind around it is passed over, and a typesetter's minus
/// is one.
pub(crate) fn parse_number(cell: &[u8]) -> Result<f64, CellFault> {
    let text = parse_text(cell)?.trim();
    let number = match text.parse() {
        Ok(number) => check_number(number)?,
        Err(_) if text.contains(MINUS) => return parse_number(text.replace(MINUS, "-").as_bytes()),
        Err(_) => return Err(CellFault::NotANumber),
    };
    if number.abs() >= WHOLE && loses_digits(text, number) {
        Err(CellFault::TooManyDigits)
    } else {
        Ok(number)
    }
}

/// Whether a text is a number, be it one that cannot be used: infinite, or of too many digits.
pub(crate) fn is_number(text: &str) -> bool {
    !matches!(
        parse_number(text.as_bytes()),
        Err(CellFault::NotANumber | CellFault::Empty | CellFault::NotUtf8)
    )
}

/// Whether a text, which is a number beyond [`WHOLE`], has digits that the number does not have. One with an exponent is
/// what a float looks like, and so is one of no more digits than floats are written with.
pub(crate) fn loses_digits(text: &str, number: f64) -> bool {
    let digits = text.trim_start_matches(['+', '-']).trim_start_matches('0');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    if !are_digits(whole) || !are_digits(fraction) {
        return false;
    }
    match fraction {
        "" => format!("{:.0}", number.abs()) != whole,
        // Beside so large a number no fraction is left.
        _ => whole.len() + fraction.len() > FLOAT_DIGITS,
    }
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a cell is digits of which the first is 0, as in postcodes and account numbers: as a number it is another's.
pub(crate) fn has_leading_zero(cell: &[u8]) -> bool {
    cell.len() > 1 && cell[0] == b'0' && cell.iter().all(u8::is_ascii_digit)
}

/// The number, where it is finite in 32 bits.
pub(crate) fn check_number(number: f64) -> Result<f64, CellFault> {
    if (number as f32).is_finite() { Ok(number) } else { Err(CellFault::NotFinite) }
}

/// A category's text in the one way that stands for its number: `1`, `1.0` and `+1` are one, and so are whole numbers that one
/// program writes with a fraction of zeros and another without. `01` is a code and stays.
pub(crate) fn category_text(text: &str) -> &str {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        _ => (unsigned, "0"),
    };
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_whole = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_whole || fraction.bytes().any(|digit| digit != b'0') {
        return text;
    }
    // Zero is one, with whatever sign.
    if digits == "0" { digits } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_numbers_or_faults() {
        for (cell, expected) in [
            (&b"1.5"[..], Ok(1.5)),
            (b" -2 \r", Ok(-2.0)),
            (b"1e3", Ok(1000.0)),
            (b"", Err(CellFault::Empty)),
            (b"  ", Err(CellFault::Empty)),
            (b"?", Err(CellFault::NotANumber)),
            (b"NA", Err(CellFault::NotANumber)),
            (b"1,5", Err(CellFault::NotANumber)),
            (b"NaN", Err(CellFault::NotFinite)),
            (b"-inf", Err(CellFault::NotFinite)),
            (b"1e39", Err(CellFault::NotFinite)),
            (b"9007199254740993", Err(CellFault::TooManyDigits)),
            (b"-9007199254740994", Ok(-9_007_199_254_740_994.0)),
            (b"9007199254740993.00", Err(CellFault::TooManyDigits)),
            (b"+10000000000000000001.00", Err(CellFault::TooManyDigits)),
            (b"-10000000000000000000.50", Err(CellFault::TooManyDigits)),
            (b"200000000000000000000000000000000000001", Err(CellFault::TooManyDigits)),
            (b"10000000000000000000.00", Ok(1e19)),
            (b"9007199254740994.", Ok(9_007_199_254_740_994.0)),
            (b"1e20", Ok(1e20)),
            (b"1.2345678901234567e19", Ok(1.234_567_890_123_456_7e19)),
            (b"3.14159265358979323846", Ok(std::f64::consts::PI)),
            (b"0.1", Ok(0.1)),
            ("\u{a0}12\u{202f}".as_bytes(), Ok(12.0)),
            ("\u{2212}1.5".as_bytes(), Ok(-1.5)),
            ("2e\u{2212}1".as_bytes(), Ok(0.2)),
            ("5\u{2212}3".as_bytes(), Err(CellFault::NotANumber)),
            ("\u{2212}".as_bytes(), Err(CellFault::NotANumber)),
            ("\u{2212}9007199254740993".as_bytes(), Err(CellFault::TooManyDigits)),
            (b"\xff", Err(CellFault::NotUtf8)),
        ] {
            assert_eq!(parse_number(cell), expected, "{}", cell.escape_ascii());
        }
    }

    #[test]
    fn codes_that_begin_with_0_are_known() {
        for (cell, expected) in
            [("00123", true), ("00", true), ("0", false), ("0.5", false), ("10", false), ("0x1", false)]
        {
            assert_eq!(has_leading_zero(cell.as_bytes()), expected, "{cell}");
        }
    }

    #[test]
    fn ids_are_one_line_and_see_what_they_show() {
        assert_eq!(parse_id(" k 7 ".as_bytes()), Ok("k 7"));
        for text in ["a\nb", "a\tb", "\u{feff}a", "a\u{0}"] {
            assert_eq!(parse_id(text.as_bytes()), Err(CellFault::ControlCharacter), "{text:?}");
        }
        assert_eq!(parse_id(b" "), Err(CellFault::Empty));
    }

    #[test]
    fn categories_that_are_one_number_have_one_text_and_codes_stay() {
        for (text, expected) in [
            ("1", "1"),
            ("1.0", "1"),
            ("1.00", "1"),
            ("+1", "1"),
            ("-2.0", "-2"),
            ("-0.0", "0"),
            ("-0", "0"),
            ("01", "01"),
            ("007.0", "007"),
            ("1.5", "1.5"),
            ("1.", "1."),
            ("+", "+"),
            ("v1.0", "v1.0"),
            ("1.0.0", "1.0.0"),
            (".0", ".0"),
        ] {
            assert_eq!(category_text(text), expected, "{text}");
        }
    }
}
