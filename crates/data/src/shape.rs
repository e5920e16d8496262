//! What a text that is no number to a reader of tables is to a person.

use crate::cell;
use crate::date::is_date;

/// Signs of money.
const MONEY: [char; 5] = ['$', '€', '£', '¥', '₹'];
/// What stands between thousands.
const GROUPS: [char; 10] = [',', '.', '\'', '’', '_', ' ', '\u{a0}', '\u{2007}', '\u{2009}', '\u{202f}'];
/// What stands before a number that is about right, or that a spreadsheet is to take for a text.
const BEFORE: [char; 5] = ['~', '≈', '±', '\'', '’'];
/// What stands behind a number with a footnote, or below zero in some ledgers.
const BEHIND: [char; 5] = ['*', '†', '‡', '-', cell::MINUS];
/// Letters of a unit, at most.
const UNIT_LETTERS: usize = 8;
/// What stands between the two numbers of a range or a pair.
const BETWEEN: [&str; 7] = ["-", "–", "—", "/", ":", " to ", ".."];

/// Kinds of such texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `12 %`.
    Percent,
    /// `1,234` or `1,5`.
    Comma,
    /// `$12`.
    Money,
    /// `2024-01-31`, `31.1.2024 12:00` or `12:30`.
    Date,
    /// `70 kg` or `EUR 12`.
    Measure,
    /// `18-25`, `65+`, `(18, 25]` or `120/80`.
    Range,
    /// `１２` or `١٢`.
    OtherDigits,
    /// Anything else.
    Text,
}

impl Shape {
    /// The shape of a text without spaces around it that is no number.
    pub(crate) fn of(text: &str) -> Self {
        if !text.bytes().any(|byte| byte.is_ascii_digit()) {
            return if is_of_other_digits(text) { Self::OtherDigits } else { Self::Text };
        }
        if text.strip_suffix('%').is_some_and(|rest| is_number(rest.trim_end())) {
            return Self::Percent;
        }
        let text = text.trim();
        if is_money(text) {
            return Self::Money;
        }
        match text {
            _ if is_grouped(text) || is_decorated(text) => Self::Comma,
            _ if is_date(text) => Self::Date,
            _ if unit(text).is_some() => Self::Measure,
            _ if is_range(text) => Self::Range,
            _ => Self::Text,
        }
    }
}

/// Whether a text that is no number is written with numbers, which lose their order as categories: a percentage, a date, a
/// range and the like.
pub(crate) fn is_quantity(text: &str) -> bool {
    Shape::of(text) != Shape::Text
}

fn is_number(text: &str) -> bool {
    cell::is_number(text) || is_grouped(text)
}

/// Whether it is a number with a sign of money before or behind it, be it below zero.
fn is_money(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+', cell::MINUS]).unwrap_or(text);
    [text, unsigned].into_iter().any(|text| {
        let bare = text.trim_matches(|letter| MONEY.contains(&letter)).trim();
        bare.len() < text.len() && (is_number(bare) || unit(bare).is_some())
    })
}

/// Whether it is a number with a mark before or behind it, or with the exponent of Fortran, as in `1.5D+02`.
fn is_decorated(text: &str) -> bool {
    let marked = text.strip_prefix(BEFORE).or_else(|| text.strip_suffix(BEHIND));
    let is_fortran = || {
        let mut parts = text.split(['D', 'd']);
        let (number, exponent) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        parts.next().is_none() && number.contains('.') && cell::is_number(number) && is_digits(digits)
    };
    marked.is_some_and(is_number) || is_fortran()
}

/// Whether it is a range or a pair of numbers, be it without an end, as `65+` and `<18` are.
fn is_range(text: &str) -> bool {
    let within = text.strip_prefix(['(', '[']).and_then(|rest| rest.strip_suffix([')', ']']));
    if let Some((from, to)) = within.and_then(|within| within.split_once([',', ';'])) {
        return cell::is_number(from) && cell::is_number(to);
    }
    let end = text.trim_start_matches(['<', '>', '=', '≤', '≥']);
    if end.len() < text.len() {
        return is_end(end);
    }
    text.strip_suffix('+').is_some_and(is_end)
        || BETWEEN
            .iter()
            .any(|between| text.split_once(between).is_some_and(|(one, other)| is_end(one) && is_end(other)))
}

/// Whether it is a number without a sign, as those at the ends of a range are.
fn is_end(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(|letter: char| letter.is_ascii_digit()) && is_number(text)
}

/// Whether it is of digits that are not those of ASCII, and of what stands between digits.
fn is_of_other_digits(text: &str) -> bool {
    text.contains(char::is_numeric)
        && text.chars().all(|letter| letter.is_numeric() || letter == cell::MINUS || stands_between(letter))
}

/// Whether it stands between digits, be they Arabic ones.
fn stands_between(letter: char) -> bool {
    const ARABIC: [char; 2] = ['\u{66b}', '\u{66c}'];
    "+-%".contains(letter) || GROUPS.contains(&letter) || ARABIC.contains(&letter)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it is a number with something between its thousands, or with a decimal comma.
fn is_grouped(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-', cell::MINUS]).unwrap_or(text);
    GROUPS.iter().any(|&separator| {
        // Thousands by this, and the fraction behind the other of comma and point.
        let decimal = if separator == ',' { '.' } else { ',' };
        match text.split_once(decimal) {
            Some((whole, fraction)) => {
                is_digits(fraction) && (has_groups(whole, separator) || decimal == ',' && is_digits(whole))
            }
            None => has_groups(text, separator),
        }
    })
}

/// Whether it is digits with `separator` between thousands.
pub(crate) fn has_groups(text: &str, separator: char) -> bool {
    let mut parts = text.split(separator);
    let first = parts.next().is_some_and(|first| is_digits(first) && first.len() <= 3);
    let last = parts.next_back().is_some_and(|last| is_digits(last) && last.len() == 3);
    // In India a lakh is 1,00,000.
    let least = if separator == ',' { 2 } else { 3 };
    first && last && parts.all(|part| is_digits(part) && (least..=3).contains(&part.len()))
}

/// The unit behind a number, or the currency before it.
pub(crate) fn unit(text: &str) -> Option<&str> {
    if let Some((currency, number)) = text.split_once(char::is_whitespace) {
        let is_currency = currency.len() == 3 && currency.bytes().all(|letter| letter.is_ascii_uppercase());
        if is_currency && is_number(number.trim_start()) {
            return Some(currency);
        }
    }
    let unit = text.trim_start_matches(is_of_number);
    let number = text[..text.len() - unit.len()].trim_end();
    let is_unit = unit.starts_with(|letter: char| letter.is_alphabetic() || letter == '°')
        && unit.chars().all(|letter| letter.is_alphanumeric() || "°/".contains(letter))
        && unit.chars().count() <= UNIT_LETTERS;
    let ends_in_digit = number.ends_with(|letter: char| letter.is_ascii_digit());
    (is_unit && ends_in_digit && is_number(number)).then_some(unit)
}

fn is_of_number(letter: char) -> bool {
    letter.is_ascii_digit() || "+-".contains(letter) || GROUPS.contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_s_ways_to_write_numbers_and_dates_are_known() {
        for (texts, expected) in [
            (&["12%", "1.5 %", "1,5%", "-3%", "\u{2212}3%", "\u{2212}1,5 %"][..], Shape::Percent),
            (
                &[
                    "1\u{202f}234,5",
                    "1\u{2007}234",
                    "1\u{a0}234",
                    "1,00,000",
                    "1,234",
                    "1,234,567.5",
                    "1,5",
                    "-1,25",
                    "1.234.567",
                    "1.234,50",
                    "1 234",
                    "1'234",
                    "12,75",
                ],
                Shape::Comma,
            ),
            (&["$5", "5 €", "£1,234.50", "\u{a0}5 €", "-$5.50", "\u{2212}£1,234", "$ 5k"], Shape::Money),
            (&["1_000", "~12", "'12.5", "12*", "12.50-", "1.5D+02", "-2.d0"], Shape::Comma),
            (&["١٢", "١٢٫٥", "१२३", "１２", "-１２", "１２.５"], Shape::OtherDigits),
            (
                &["70 kg", "70kg", "EUR 12", "EUR 1,200.50", "-3 °C", "1 234 m²", "90 km/h", "17 apples"],
                Shape::Measure,
            ),
            (
                &[
                    "2024-01-31",
                    "31.1.2024",
                    "1/31/24",
                    "2024-01-31T12:30:00Z",
                    "2024-01-31 12:30:00.123",
                    "12:30",
                    "31 Jan 2024",
                    "January 5, 2024",
                    "5-Mar-24",
                ],
                Shape::Date,
            ),
            (
                &[
                    "unknown",
                    "k17",
                    "12 34",
                    "a,b",
                    "1,2,3",
                    "A-12-3",
                    "192.168.1.10.5x",
                    "12 Main Street",
                    "EUR",
                    "PC 17599",
                    "1.2.3",
                    "10-11-3",
                    "(12)",
                    "+",
                    "a/7",
                    "2. Married",
                    "5. Separated",
                    "1234,567,8",
                    "V57",
                    "may",
                    "#1",
                    "12%%",
                    "'",
                    "~a",
                    "a-",
                    "1_00",
                    "-$",
                ],
                Shape::Text,
            ),
        ] {
            for text in texts {
                assert_eq!(Shape::of(text), expected, "{text}");
            }
        }
    }

    #[test]
    fn ranges_and_pairs_of_numbers_are_known() {
        for text in [
            "10-20",
            "18 – 25",
            "0.5-1.5",
            "1,000-1,999",
            "5 to 10",
            "3+",
            "<18",
            ">= 65",
            "(18, 25]",
            "(-inf, 5.0]",
            "120/80",
            "1:3",
            "10/19",
        ] {
            assert_eq!(Shape::of(text), Shape::Range, "{text}");
        }
        assert!(is_quantity("18-25") && is_quantity("5 %") && !is_quantity("clerk") && !is_quantity("k-17"));
    }
}
