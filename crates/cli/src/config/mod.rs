//! Config files: reading them with errors that name the place, presets, and words that had another name before.
//!
//! One table, [`words::KEYS`] and [`words::VALUES`], serves the party's, the coordinator's and the attack's files.

mod beside;
mod command;
mod first_codes;
mod migrate;
mod misspelt;
mod old;
mod presets;
pub mod words;

use std::path::Path;

use anyhow::{Context, anyhow};
use hashvfl_files::one_line;
use serde::de::DeserializeOwned;

pub use beside::check_state_folder;
pub use command::ConfigCommand;
pub use first_codes::FirstCodes;
pub use migrate::{MigrateError, migrate, migrate_file};
pub use old::{Outdated, check_words};
pub use presets::{COORDINATOR_PRESETS, PARTY_PRESETS, Preset};

/// Reads a config file with `parse`, which is given the text and the file's folder.
///
/// # Errors
/// If the file cannot be read, or whatever `parse` finds, with the file's name.
pub fn read<T>(path: &Path, parse: fn(&str, &Path) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the config {}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let read = parse(&text, folder).with_context(|| format!("config {}", path.display()));
    read.map_err(|error| match presets::spoken_of(&text, &format!("{error:#}")) {
        Some(preset) => anyhow!("{error:#} (keys missing from the file come from its preset \"{preset}\")"),
        None => error,
    })
}

/// Parses the text of a config file. Where it has `preset = "NAME"`, the keys that it lacks are those of the preset.
///
/// # Errors
/// One line that names the place: no TOML, an old word, an unknown preset or key, a missing key, a wrong type.
pub fn parse<T: DeserializeOwned>(text: &str, presets: &[Preset]) -> anyhow::Result<T> {
    check_words(text)?;
    let Some(table) = presets::complete(text, presets)? else {
        return toml::from_str(text).map_err(|error| placed(&error, presets));
    };
    T::deserialize(toml::Deserializer::from(table)).map_err(|mut error| {
        error.set_input(Some(text));
        placed(&error, presets)
    })
}

/// A TOML error as one line that names the place.
fn placed(error: &toml::de::Error, presets: &[Preset]) -> anyhow::Error {
    let said = without_keys(&one_line(&error.to_string(), error.message()));
    // Whoever has presets takes their key out of the text first.
    let more: &[&str] = if presets.is_empty() { &[] } else { &["preset"] };
    anyhow!(misspelt::with_meant_key(&said, more))
}

/// A text without 64 hexadecimal digits in a row: a key that stands where something else belongs.
fn without_keys(text: &str) -> String {
    let mut found = text.to_string();
    let mut digits = 0;
    for (place, letter) in text.char_indices() {
        digits = if letter.is_ascii_hexdigit() { digits + 1 } else { 0 };
        if digits == KEY_DIGITS {
            found.replace_range(place + 1 - KEY_DIGITS..=place, &"*".repeat(KEY_DIGITS));
            digits = 0;
        }
    }
    found
}

/// Hexadecimal digits of a key.
const KEY_DIGITS: usize = 64;
