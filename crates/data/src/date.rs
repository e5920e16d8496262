//! Whether a text is a date or a time: of numbers that are a day or an hour, and what stands between such.

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

/// Whether it is a date or a time: of numbers and what stands between those of dates and times, names of months and zones
/// among them, with a plausible day or hour.
pub(crate) fn is_date(text: &str) -> bool {
    let parts: Vec<&str> =
        text.split(|letter: char| !letter.is_alphanumeric()).flat_map(stamp_parts).collect();
    let months = parts.iter().filter(|part| is_month_name(part)).count();
    let marks = parts.iter().filter(|part| is_mark(part)).count();
    let numbers: Vec<&str> = parts.iter().copied().filter(|part| is_digits(part)).collect();
    let short = parts.iter().all(|part| part.len() <= 9);
    numbers.len() + months + marks == parts.len()
        && (2..=10).contains(&parts.len())
        && months <= 1
        && short
        && (has_hour(text)
            || if months == 1 { is_day_of_named_month(&numbers) } else { is_day(text, &numbers) })
}

/// The parts of `31T12` and `00Z`, which stand in 2024-01-31T12:00:00Z.
fn stamp_parts(part: &str) -> impl Iterator<Item = &str> {
    let is_stamp = part.starts_with(|letter: char| letter.is_ascii_digit());
    let separators: &[char] = if is_stamp { &['T', 'Z'] } else { &[] };
    part.split(separators).filter(|part| !part.is_empty())
}

/// In whole, or cut after three letters or more: "2. Married" is no day of March.
fn is_month_name(part: &str) -> bool {
    let part = part.to_lowercase();
    part.len() >= 3 && MONTHS.iter().any(|month| month.starts_with(&part))
}

fn is_mark(part: &str) -> bool {
    matches!(part, "T" | "Z" | "UTC" | "GMT" | "AM" | "PM" | "am" | "pm")
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number of one or two digits, up to `most`.
fn is_up_to(part: &str, least: u32, most: u32) -> bool {
    part.len() <= 2 && part.parse::<u32>().is_ok_and(|number| (least..=most).contains(&number))
}

fn is_year(part: &str) -> bool {
    part.len() == 4 && part.parse::<u32>().is_ok_and(|year| (1500..2500).contains(&year))
}

/// Whether an hour and two digits of minutes stand around its first colon, as in `9:05` and not in `1:3`.
fn has_hour(text: &str) -> bool {
    let Some((before, after)) = text.split_once(':') else { return false };
    let is_no_digit = |letter: char| !letter.is_ascii_digit();
    let hour = before.rsplit(is_no_digit).next().unwrap_or_default();
    let minute = after.split(is_no_digit).next().unwrap_or_default();
    is_up_to(hour, 0, 24) && minute.len() == 2 && is_up_to(minute, 0, 59)
}

/// Numbers beside the name of a month: days and years.
fn is_day_of_named_month(numbers: &[&str]) -> bool {
    let plausible = |part: &&str| is_year(part) || part.len() == 2 || is_up_to(part, 1, 31);
    (1..=2).contains(&numbers.len()) && numbers.iter().all(plausible)
}

/// Numbers without a name: a day, which a time may follow, or a month of a year.
fn is_day(text: &str, numbers: &[&str]) -> bool {
    let (day, month) = (|part| is_up_to(part, 1, 31), |part| is_up_to(part, 1, 12));
    match *numbers {
        [a, b] => text.contains(['/', '-', '.']) && (is_year(a) && month(b) || month(a) && is_year(b)),
        [a, b, c, ref time @ ..] => {
            let pair = month(a) && day(b) || day(a) && month(b);
            let two_digits = [a, b, c].iter().all(|part| part.len() == 2);
            let year_first = (is_year(a) || two_digits) && month(b) && day(c);
            let year_last = (is_year(c) || c.len() == 2) && pair;
            (year_first || year_last) && time.len() <= 3 && time.iter().all(|part| is_up_to(part, 0, 60))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_have_a_plausible_year_or_hour() {
        for text in [
            "2024-01-31",
            "31.1.2024",
            "1/31/24",
            "24-01-31",
            "2024-01",
            "01/2024",
            "2024-01-31T12:30:00Z",
            "2024-01-31 12:30:00.123",
            "2024-01-31T12:30:00+02:00",
            "31.1.2024 12:00",
            "9:05 am",
            "12:30",
            "31 Jan 2024",
            "January 5, 2024",
            "5-Mar-24",
            "Mar 2024",
            "Jan 5",
        ] {
            assert!(is_date(text), "{text}");
        }
        for text in [
            "120/80",
            "1:3",
            "10:100",
            "25:30",
            "1.2.3",
            "10/19",
            "10-11-3",
            "99-13-45",
            "192.168.1.10",
            "10-20",
            "2. Married",
            "may",
            "2024",
            "1-2-3-4",
            "40/2024",
            "7.13.2024.5.6.7.8",
        ] {
            assert!(!is_date(text), "{text}");
        }
    }
}
