//! What a text that is no number to a reader of tables is to a person.

/// Signs of money.
const MONEY: [char; 5] = ['$', '€', '£', '¥', '₹'];
/// What stands between thousands.
const GROUPS: [char; 6] = [',', '.', '\'', '’', ' ', '\u{a0}'];
/// Names of months.
const MONTHS: [&str; 14] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "juni",
    "juli",
];

/// Kinds of such texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `12 %`.
    Percent,
    /// `1,234` or `1,5`.
    Comma,
    /// `$12`.
    Money,
    /// `2024-01-31`, `31.1.2024 12:00` or `12:30`.
    Date,
    /// Anything else.
    Text,
}

impl Shape {
    /// The shape of a text without spaces around it that is no number.
    pub(super) fn of(text: &str) -> Self {
        if !text.bytes().any(|byte| byte.is_ascii_digit()) {
            return Self::Text;
        }
        if text.strip_suffix('%').is_some_and(|rest| is_number(rest.trim_end())) {
            return Self::Percent;
        }
        let bare = text.trim_matches(|letter| MONEY.contains(&letter)).trim();
        if bare.len() < text.len() && is_number(bare) {
            return Self::Money;
        }
        match text {
            _ if is_grouped(text) => Self::Comma,
            _ if is_date(text) => Self::Date,
            _ => Self::Text,
        }
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok() || is_grouped(text)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it is a number with something between its thousands, or with a decimal comma.
fn is_grouped(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let has_groups = |text: &str, separator: char| {
        let mut parts = text.split(separator);
        let first = parts.next().is_some_and(|first| is_digits(first) && first.len() <= 3);
        first && text.contains(separator) && parts.all(|part| is_digits(part) && part.len() == 3)
    };
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

/// Whether it is of numbers and what stands between those of dates and times, names of months and zones among them.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> =
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    // In whole, or cut after three letters or more: "2. Married" is no day of March.
    let is_month = |part: &str| {
        let part = part.to_lowercase();
        part.len() >= 3 && MONTHS.iter().any(|month| month.starts_with(&part))
    };
    let is_mark = |part: &str| matches!(part, "T" | "Z" | "UTC" | "GMT" | "AM" | "PM" | "am" | "pm");
    // 2024-01-31T12:00:00Z
    let is_stamp = |part: &str| {
        let digits = part.trim_end_matches('Z');
        digits.split_once('T').is_some_and(|(day, hour)| is_digits(day) && is_digits(hour))
            || is_digits(digits)
    };
    let numbers = parts.iter().filter(|part| is_stamp(part)).count();
    let months = parts.iter().filter(|part| is_month(part)).count();
    let marks = parts.iter().filter(|part| is_mark(part)).count();
    let short = parts.iter().all(|part| part.len() <= 9);
    let separated = text.contains([':', '/']) || text.matches(['-', '.']).count() >= 2 || months == 1;
    numbers + months + marks == parts.len()
        && (2..=9).contains(&parts.len())
        && months <= 1
        && short
        && separated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_s_ways_to_write_numbers_and_dates_are_known() {
        for (texts, expected) in [
            (&["12%", "1.5 %", "1,5%", "-3%"][..], Shape::Percent),
            (
                &["1,234", "1,234,567.5", "1,5", "-1,25", "1.234.567", "1.234,50", "1 234", "1'234", "12,75"],
                Shape::Comma,
            ),
            (&["$5", "5 €", "£1,234.50"], Shape::Money),
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
                    "3+",
                    "10-20",
                    "A-12-3",
                    "192.168.1.10.5x",
                    "17 apples",
                    "2. Married",
                    "5. Separated",
                    "1234,567,8",
                    "V57",
                    "may",
                    "#1",
                    "12%%",
                ],
                Shape::Text,
            ),
        ] {
            for text in texts {
                assert_eq!(Shape::of(text), expected, "{text}");
            }
        }
    }
}
