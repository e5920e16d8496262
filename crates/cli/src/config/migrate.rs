//! Rewriting a config file of an earlier version: renamed keys and values get their current names, lines with removed keys
//! are deleted if their value is what every run does now, and all else stays as it was typed.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use hashvfl_files::{WriteError, write_whole};
use toml::de::DeTable;

use crate::config::old::{Change, first_in_table};

/// Why a config file cannot be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// It cannot be read.
    #[error("cannot read the config {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// It is no TOML.
    #[error("the config is not valid TOML: {0}")]
    Toml(String),
    /// Two names of one key are there.
    #[error("the config has both the old and the new name of a key: {0}")]
    Both(String),
    /// A key is gone, and the file asks for a value that no run has.
    #[error("{0}")]
    Gone(String),
    /// A key that is gone shares its line with others.
    #[error("{0} shares its line with another key: remove it from the old file")]
    Shared(String),
    /// There is a file of the new name.
    #[error("{} already exists: choose another file; nothing was overwritten", .0.display())]
    Exists(PathBuf),
    /// The new file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The text with today's words, and how many were replaced. Comments, order and layout stay.
///
/// # Errors
/// If the text is no TOML, holds a key under both its names, or asks for what no run does any more.
pub fn migrate(text: &str) -> Result<(String, usize), MigrateError> {
    let mut text = text.to_string();
    let mut replaced = 0;
    // One word at a time: a key that stands in several dotted lines has a place for each of them only after the first
    // is gone.
    loop {
        let root = DeTable::parse(&text).map_err(|error| match replaced {
            0 => MigrateError::Toml(error.message().to_string()),
            // The text was TOML before its last word was replaced.
            _ => MigrateError::Both(format!("{}; remove one of them", error.message())),
        })?;
        let Some(old) = first_in_table("", root.get_ref()) else { break };
        match old.change {
            Change::Rename(word) => text.replace_range(old.place, &word),
            Change::Remove => {
                let line = own_line(&text, &old.place)
                    .ok_or_else(|| MigrateError::Shared(text[old.place.clone()].to_string()))?;
                text.replace_range(line, "");
            }
            Change::Both(what) => return Err(MigrateError::Both(what)),
            Change::Decide(what) => return Err(MigrateError::Gone(what)),
        }
        replaced += 1;
    }
    Ok((text, replaced))
}

/// The lines of a key and its value, a comment behind them included; none if something else stands there.
fn own_line(text: &str, place: &Range<usize>) -> Option<Range<usize>> {
    let start = text[..place.start].rfind('\n').map_or(0, |end| end + 1);
    let end = text[place.end..].find('\n').map_or(text.len(), |end| place.end + end + 1);
    let (before, behind) = (&text[start..place.start], text[place.end..end].trim());
    // A dotted key's place is that of its last part.
    let alone = before.chars().all(|c| c.is_alphanumeric() || " \t._\"'-".contains(c));
    (alone && (behind.is_empty() || behind.starts_with('#'))).then_some(start..end)
}

/// Reads the config `old` and writes it with today's words to `new`, which must not exist. The number of words that were
/// replaced.
///
/// # Errors
/// If a file cannot be read or written, or is no config that can be migrated.
pub fn migrate_file(old: &Path, new: &Path) -> Result<usize, MigrateError> {
    let read = std::fs::read_to_string(old);
    let text = read.map_err(|reason| MigrateError::Read { path: old.to_path_buf(), reason })?;
    if new.exists() {
        return Err(MigrateError::Exists(new.to_path_buf()));
    }
    let (text, replaced) = migrate(&text)?;
    write_whole(new, text.as_bytes())?;
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngSeed};
    use toml::{Table, Value};

    use super::*;
    use crate::config::words::{KEYS, VALUES};
    use crate::config::{check_words, parse};

    /// The table with today's words, by a walk over its values.
    fn renamed(path: &str, table: Table) -> Table {
        let mut new = Table::new();
        for (key, value) in table {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let known = KEYS.iter().find(|known| known.table == path && known.old == key);
            let name = known.map_or(key.clone(), |known| known.new.to_owned());
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let value = match value {
                Value::Table(table) => Value::Table(renamed(&below, table)),
                Value::Array(values) => {
                    Value::Array(values.into_iter().map(|value| renamed_word(&inner, value)).collect())
                }
                other => other,
            };
            new.insert(name, value);
        }
        new
    }

    fn renamed_word(list: &str, value: Value) -> Value {
        let words = VALUES.iter().filter(|values| values.list == list).flat_map(|values| values.words);
        let found = words.into_iter().find(|(old, _)| value.as_str() == Some(old));
        found.map_or(value, |(_, new)| Value::from(*new))
    }

    proptest! {
        #![proptest_config(Config {
            cases: 400, rng_seed: RngSeed::Fixed(22), failure_persistence: None, ..Config::default()
        })]

        /// A config whose text was changed somewhere says after the migration what it said before it, or is refused.
        #[test]
        fn a_migrated_config_says_what_it_said(
            at in any::<prop::sample::Index>(),
            kind in 0_u8..4,
            bit in 0_u8..7,
            word in prop::sample::select(vec!["\"", "'", "#", "\n", " = ", "[run]\n", "wait_s = 1\n", "é", "\\"]),
        ) {
            let mut bytes = BEFORE.as_bytes().to_vec();
            let at = at.index(bytes.len());
            match kind {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << bit,
                2 => drop(bytes.splice(at..at, word.bytes())),
                _ => {}
            }
            let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
            let before = text.parse::<Table>();
            match migrate(&text) {
                Ok((after, _)) => {
                    let expected = renamed("", before.unwrap());
                    prop_assert_eq!(after.parse::<Table>().unwrap(), expected);
                    check_words(&after).unwrap();
                }
                Err(MigrateError::Both(_)) => prop_assert!(before.is_ok()),
                Err(_) => prop_assert!(before.is_err()),
            }
        }

        /// Texts, numbers and lists of a config are read as they were written.
        #[test]
        fn a_config_is_read_as_it_was_written(
            texts in prop::collection::vec(any::<String>(), 0..5),
            whole: i64,
            fraction in any::<f64>().prop_filter("a number", |number| !number.is_nan()),
            truth: bool,
        ) {
            let list = texts.iter().map(|text| Value::from(text.as_str())).collect();
            let run = Table::from_iter([
                ("whole".to_owned(), Value::from(whole)),
                ("fraction".to_owned(), Value::from(fraction)),
                ("truth".to_owned(), Value::from(truth)),
            ]);
            let table = Table::from_iter([
                ("texts".to_owned(), Value::Array(list)),
                ("own".to_owned(), Value::Table(run)),
            ]);
            let text = toml::to_string(&table).unwrap();
            prop_assert_eq!(&parse::<Table>(&text, &[]).unwrap(), &table);
            prop_assert_eq!(migrate(&text).unwrap(), (text, 0));
        }
    }

    const BEFORE: &str = r#"# The bank's config.
nulls = ["NA"]   # what the export writes

[wait]
step_s = 30      # seconds

[run]
parties = ["bank", "telecom"]
test_share    = 0.25
"cohort_share" = 0.5

[serve]
absent = "wait"
absent_s = 3
columns = { format = "sql", query = "SELECT wait_s FROM t", wait_s = 4 }

[detectors]
kinds = [
    "rarity",    # by trees
    'mismatch', "disagreement",
]
"#;

    const AFTER: &str = r#"# The bank's config.
null_values = ["NA"]   # what the export writes

[timeouts]
step_s = 30      # seconds

[run]
parties = ["bank", "telecom"]
test_fraction    = 0.25
cohort_fraction = 0.5

[serve]
absent = "wait"
absent_timeout_s = 3
columns = { format = "sql", query = "SELECT wait_s FROM t", timeout_s = 4 }

[detectors]
kinds = [
    "chow-liu",    # by trees
    "density-ratio", "disagreement",
]
"#;

    #[test]
    fn words_of_before_are_replaced_and_all_else_stays() {
        let (text, replaced) = migrate(BEFORE).unwrap();
        assert_eq!((text.as_str(), replaced), (AFTER, 8));
        check_words(&text).unwrap();
        assert_eq!(migrate(AFTER).unwrap(), (AFTER.to_string(), 0));
    }

    #[test]
    fn a_key_in_several_dotted_lines_is_replaced_in_each() {
        let (text, _) =
            migrate("wait.step_s = 1\nwait.join_s = 2\nrun.test_share = 0.1\nrun.cohort_share = 1.0\n")
                .unwrap();
        let expected =
            "timeouts.step_s = 1\ntimeouts.join_s = 2\nrun.test_fraction = 0.1\nrun.cohort_fraction = 1.0\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn keys_that_are_gone_lose_their_line_where_they_say_what_all_runs_do() {
        let before = "[encoder.hash]\nnoise = 0.4\n  medians = true  # balance\n[top.adam]\nbeta1 = 0.90\n\
                      weight_decay = 0.0\n";
        let (after, replaced) = migrate(before).unwrap();
        assert_eq!(
            (after.as_str(), replaced),
            ("[encoder.hash]\nnoise = 0.4\n[top.adam]\nweight_decay = 0.0\n", 2)
        );
        let (after, _) = migrate("encoder.hash.medians = true\nname = \"bank\"\n").unwrap();
        assert_eq!(after, "name = \"bank\"\n");
        let shared = migrate("[encoder]\nhash = { medians = true, noise = 0.4 }\n").unwrap_err();
        assert!(matches!(shared, MigrateError::Shared(_)), "{shared}");
        let other = migrate("[encoder.hash]\nmedians = false\n").unwrap_err().to_string();
        assert_eq!(
            other,
            "encoder.hash.medians no longer exists, because every run now uses true: remove it from the old file"
        );
    }

    #[test]
    fn what_cannot_be_migrated_is_refused() {
        assert!(matches!(migrate("run = {"), Err(MigrateError::Toml(_))));
        let both = migrate("[run]\ntest_share = 0.1\ntest_fraction = 0.2\n").unwrap_err();
        assert!(both.to_string().contains("both the old and the new name"), "{both}");
        let both = migrate("[serve]\nsilent_s = 3\nabsent_timeout_s = 4\n").unwrap_err().to_string();
        assert!(
            both.ends_with("and the file has serve.absent_timeout_s as well: remove one of them"),
            "{both}"
        );
        let both = migrate("[wait]\nstep_s = 1\n[timeouts]\nstep_s = 2\n").unwrap_err();
        assert!(matches!(both, MigrateError::Both(_)), "{both}");
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old.toml"), folder.path().join("new.toml"));
        assert!(matches!(migrate_file(&old, &new), Err(MigrateError::Read { .. })));
        std::fs::write(&old, BEFORE).unwrap();
        assert_eq!(migrate_file(&old, &new).unwrap(), 8);
        assert_eq!(std::fs::read_to_string(&new).unwrap(), AFTER);
        assert!(matches!(migrate_file(&old, &new), Err(MigrateError::Exists(_))));
        assert!(matches!(migrate_file(&old, &old), Err(MigrateError::Exists(_))));
    }
}
