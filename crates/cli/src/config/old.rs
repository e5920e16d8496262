//! Finding what a config file says in the words of an earlier version.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::words::{Gone, gone_key, new_key, new_value};

/// A key or value of an earlier version, where a config file uses it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Outdated {
    /// The line of its first use, from 1.
    line: usize,
    /// What was found and what to do, for a person.
    what: String,
    /// Where it stands in the text, quotes included.
    pub(crate) place: Range<usize>,
    /// What to write there.
    pub(crate) change: Change,
}

/// What brings a text up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The place gets this text.
    Rename(String),
    /// The place, a key with its value, is taken out.
    Remove,
    /// A person has to decide: the file has the key under another name as well.
    Both(String),
    /// A person has to decide: the value asks for what there is no more.
    Decide(String),
}

/// Refuses a config file that uses words of an earlier version. A text that is not TOML is left to whoever parses it.
///
/// # Errors
/// The first such word, with what it is now.
pub fn check_words(text: &str) -> Result<(), Outdated> {
    match DeTable::parse(text).ok().and_then(|root| first_in_table("", root.get_ref())) {
        Some(found) => Err(Outdated { line: text[..found.place.start].matches('\n').count() + 1, ..found }),
        None => Ok(()),
    }
}

/// The path of the key `name` in the table at `path`.
fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

/// The first outdated word in a table at `path`, or in what it holds.
pub(crate) fn first_in_table(path: &str, table: &DeTable<'_>) -> Option<Outdated> {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let inner = below(path, name);
        if let Some(new) = new_key(path, name) {
            let new_path = below(path, new);
            return Some(match namesake(path, table, name, new) {
                Some(other) => both(&inner, &new_path, &below(path, other), key.span()),
                None => renamed(&inner, &new_path, key.span(), new.to_string()),
            });
        }
        if let Some(gone) = gone_key(path, name) {
            return Some(removed(&inner, gone, key.span().start..value.span().end, value.get_ref()));
        }
        let found = match value.get_ref() {
            DeValue::Table(table) => first_in_table(&inner, table),
            DeValue::Array(values) => values.iter().find_map(|value| old_value(&inner, value)),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The key of the table at `path` that is called `new` already, or that was renamed to it like the old key `name`. Two tables do
/// not count: they may be one, with a dotted key in each line.
fn namesake<'t>(path: &str, table: &'t DeTable<'_>, name: &str, new: &str) -> Option<&'t str> {
    for key in table.keys() {
        let other: &str = key.get_ref();
        let is_alike = other == new || new_key(path, other) == Some(new);
        if other != name && is_alike && !(is_table(table, name) && is_table(table, other)) {
            return Some(other);
        }
    }
    None
}

fn is_table(table: &DeTable<'_>, name: &str) -> bool {
    matches!(table.get(name).map(Spanned::get_ref), Some(DeValue::Table(_)))
}

fn old_value(list: &str, value: &Spanned<DeValue<'_>>) -> Option<Outdated> {
    let DeValue::String(word) = value.get_ref() else { return None };
    let new = format!("\"{}\"", new_value(list, word)?);
    Some(renamed(&format!("\"{word}\" in {list}"), &new, value.span(), new.clone()))
}

fn renamed(old: &str, new: &str, place: Range<usize>, text: String) -> Outdated {
    let what = format!("{old} is now {new}: `config migrate OLD NEW` rewrites a file");
    Outdated { line: 0, what, place, change: Change::Rename(text) }
}

fn both(old: &str, new: &str, other: &str, place: Range<usize>) -> Outdated {
    let what = format!("{old} is now {new}, and the file has {other} as well: remove one of them");
    Outdated { line: 0, what: what.clone(), place, change: Change::Both(what) }
}

fn removed(path: &str, gone: Gone, place: Range<usize>, value: &DeValue<'_>) -> Outdated {
    let because = gone.value.map_or_else(String::new, |now| format!(", because every run now uses {now}"));
    let hint = if gone.hint.is_empty() { String::new() } else { format!(" ({})", gone.hint) };
    let why = format!("{path} no longer exists{because}{hint}");
    let (advice, change) = if gone.value.is_some_and(|now| says(value, now)) {
        ("remove it, or run `config migrate OLD NEW`", Change::Remove)
    } else {
        ("remove it", Change::Decide(format!("{why}: remove it from the old file")))
    };
    Outdated { line: 0, what: format!("{why}: {advice}"), place, change }
}

/// Whether a value is what `text` says: numbers by their value, however they are written.
fn says(value: &DeValue<'_>, text: &str) -> bool {
    match value {
        DeValue::String(word) => format!("\"{word}\"") == text,
        DeValue::Boolean(truth) => text.parse() == Ok(*truth),
        DeValue::Float(number) => same_number(number.as_str(), text),
        DeValue::Integer(number) if number.radix() == 10 => same_number(number.as_str(), text),
        _ => false,
    }
}

fn same_number(written: &str, text: &str) -> bool {
    matches!((written.parse::<f64>(), text.parse::<f64>()), (Ok(written), Ok(text)) if written == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::words::{GONE, KEYS, VALUES, Values};

    #[test]
    fn every_word_of_before_is_refused_with_its_new_name() {
        for key in KEYS {
            let text = if key.table.is_empty() {
                format!("{} = 1\n", key.old)
            } else {
                format!("[{}]\n{} = 1\n", key.table, key.old)
            };
            let error = check_words(&text).unwrap_err().to_string();
            let dot = if key.table.is_empty() { "" } else { "." };
            let (old, new) =
                (format!("{}{dot}{}", key.table, key.old), format!("{}{dot}{}", key.table, key.new));
            let line = if key.table.is_empty() { 1 } else { 2 };
            let expected =
                format!("line {line}: {old} is now {new}: `config migrate OLD NEW` rewrites a file");
            assert_eq!(error, expected);
        }
        for Values { list, words } in VALUES {
            let (table, name) = list.split_once('.').unwrap();
            for (old, new) in words {
                let error =
                    check_words(&format!("{table} = {{ {name} = [\"{old}\"] }}")).unwrap_err().to_string();
                assert!(
                    error.starts_with(&format!("line 1: \"{old}\" in {list} is now \"{new}\"")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn every_key_that_is_gone_is_refused_with_the_value_that_all_runs_have() {
        for key in GONE {
            let value = key.value.unwrap_or("1");
            let path = below(&key.table.replace('*', "bank"), key.name);
            let error = check_words(&format!("{path} = {value}\n")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line 1: {path} no longer exists")), "{error}");
            if let Some(value) = key.value {
                assert!(error.contains(&format!(", because every run now uses {value}")), "{error}");
                assert!(error.ends_with(": remove it, or run `config migrate OLD NEW`"), "{error}");
            } else {
                assert!(error.ends_with(": remove it") && !key.hint.is_empty(), "{error}");
            }
            assert!(error.contains(key.hint), "{error}");
        }
        let word = check_words("[detectors]\nparties = \"twice-mean\"\n").unwrap_err().to_string();
        assert!(word.ends_with("because every run now uses \"bonferroni\": remove it"), "{word}");
        let other = check_words("[encoder.hash]\nmedians = false\n").unwrap_err().to_string();
        assert!(other.ends_with("every run now uses true: remove it"), "{other}");
        check_words("[top.loss]\nmedians = true\n").unwrap();
    }

    #[test]
    fn a_key_under_two_names_is_refused_with_both() {
        for (text, expected) in [
            (
                "[serve]\nabsent_timeout_s = 3\nsilent_s = 4\n",
                "line 3: serve.silent_s is now serve.absent_timeout_s, and the file has serve.absent_timeout_s as well",
            ),
            (
                "[serve]\nabsent_s = 3\nsilent_s = 4\n",
                "line 2: serve.absent_s is now serve.absent_timeout_s, and the file has serve.silent_s as well",
            ),
            (
                "wait = 3\n[timeouts]\nstep_s = 1\n",
                "line 1: wait is now timeouts, and the file has timeouts as well",
            ),
        ] {
            let error = check_words(text).unwrap_err().to_string();
            assert_eq!(error, format!("{expected}: remove one of them"));
        }
        // Lines of one table.
        let dotted = check_words("timeouts.step_s = 1\nwait.start_s = 2\n").unwrap_err().to_string();
        assert!(dotted.starts_with("line 2: wait is now timeouts: `config migrate"), "{dotted}");
    }

    #[test]
    fn the_same_name_elsewhere_is_no_word_of_before() {
        check_words("[run]\nwait = 1\nnulls = 2\n[columns.image]\nwait_s = 3\n[types]\nnulls = \"number\"\n")
            .unwrap();
        check_words("columns = [\"distance\", \"wait\"]\n[detectors]\nkinds = [\"pca\"]\n").unwrap();
        check_words("not = toml = at all").unwrap();
    }
}
