//! Text that comes from elsewhere, made fit for a line of a log or of an error.

use std::collections::HashSet;
use std::fmt::Display;

use unicode_normalization::UnicodeNormalization;

/// `text` as one line of at most `most_bytes` bytes. Characters that end a line, control a terminal, or change the
/// direction or the place of what stands beside them become spaces.
pub fn one_line(text: &str, most_bytes: usize) -> String {
    let mut line = String::new();
    for c in text.chars() {
        let c = if is_plain(c) { c } else { ' ' };
        if line.len() + c.len_utf8() > most_bytes {
            break;
        }
        line.push(c);
    }
    line
}

/// A figure for a person, to four places; one that would be a long row of digits has an exponent.
pub fn figure(value: f64) -> String {
    if value.abs() < 1e6 || !value.is_finite() { format!("{value:.4}") } else { format!("{value:.4e}") }
}

/// So many things of which each is called `one`: "1 record", "2 records", "3 entries".
pub fn counted(count: impl Display, one: &str) -> String {
    match count.to_string().as_str() {
        "1" => format!("1 {one}"),
        count => format!("{count} {}", plural(one)),
    }
}

/// So many records, and the number of lines of their files where these have any: "4 records on 6 lines".
pub fn records_on_lines(records: usize, lines: Option<u64>) -> String {
    let records = counted(records, "record");
    match lines {
        Some(lines) => format!("{records} on {}", counted(lines, "line")),
        None => records,
    }
}

/// How often something happened: "once", "2 times".
pub fn times(count: impl Display) -> String {
    match count.to_string().as_str() {
        "1" => "once".to_string(),
        count => format!("{count} times"),
    }
}

/// The name of several things, each of which is called `one`.
fn plural(one: &str) -> String {
    match one.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if one.ends_with(['s', 'x']) || one.ends_with("ch") || one.ends_with("sh") => format!("{one}es"),
        _ => format!("{one}s"),
    }
}

/// A text as a person takes it: without regard to case, to what kind of white space and how much of it there is, to how
/// letters are composed, and to characters that do not show.
pub fn folded(text: &str) -> String {
    const SOFT_HYPHEN: char = '\u{ad}';
    let shows = |c: &char| c.is_whitespace() || is_plain(*c) && *c != SOFT_HYPHEN;
    let shown: String = text.nfkc().filter(shows).collect();
    let lowered: String = shown.to_lowercase().nfkc().collect();
    lowered.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many of some distinct texts are another one of them in another spelling.
pub fn respelt<T: AsRef<str>>(texts: &[T]) -> usize {
    texts.len() - texts.iter().map(|text| folded(text.as_ref())).collect::<HashSet<_>>().len()
}

/// A reason that a peer may hear in these words: nothing of this side's files is in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PublicReason(pub String);

/// Whether a character shows as itself, where it stands.
pub fn is_plain(c: char) -> bool {
    let moves_text = matches!(
        c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    !c.is_control() && !moves_text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_the_line_or_turns_it_around() {
        let forged = "a\nWARN b\u{1b}[31m\u{202e}c\u{2066}d\u{2028}e\u{85}f\u{200f}";
        assert_eq!(one_line(forged, 100), "a WARN b [31m c d e f ");
        assert_eq!(one_line("äöü 東京", 100), "äöü 東京");
        assert_eq!(one_line("äöü", 5), "äö");
    }

    #[test]
    fn spellings_of_a_text_are_counted() {
        let texts =
            ["Yes", "yes", "yes\u{a0}", "caf\u{e9}", "cafe\u{301}", "New  York", "new york", "y\u{200b}es"];
        assert_eq!(respelt(&texts), 5);
        assert_eq!(respelt(&["a", "b", "a b", "ab", "\u{e4}"]), 0);
        assert_eq!(respelt::<&str>(&[]), 0);
    }

    #[test]
    fn one_thing_is_not_called_several() {
        for (count, one, expected) in [
            (0, "record", "0 records"),
            (1, "record", "1 record"),
            (2, "record", "2 records"),
            (21, "entry", "21 entries"),
            (1, "entry", "1 entry"),
            (3, "day", "3 days"),
            (3, "class", "3 classes"),
            (3, "batch", "3 batches"),
            (3, "id", "3 ids"),
        ] {
            assert_eq!(counted(count, one), expected);
        }
        assert_eq!(counted("1,200", "record"), "1,200 records");
        assert_eq!(records_on_lines(4, Some(6)), "4 records on 6 lines");
        assert_eq!(records_on_lines(1, None), "1 record");
        assert_eq!([0, 1, 2].map(times), ["0 times", "once", "2 times"]);
    }

    #[test]
    fn figures_are_short() {
        for (value, expected) in [
            (0.77881, "0.7788"),
            (-95.3082, "-95.3082"),
            (999_999.0, "999999.0000"),
            (-2.5e31, "-2.5000e31"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(figure(value), expected);
        }
    }
}
