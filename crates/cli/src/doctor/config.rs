//! A config file without what may be secret: numbers and switches are shown, texts only where they are words that this program
//! knows. Whatever it does not know, it withholds.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};
use toml::Table;

/// Keys whose texts are words of this program.
const WORDS: [&str; 21] = [
    "preset",
    "device",
    "on_alarm",
    "on_interruption",
    "on_refusal",
    "preprocessing",
    "missing",
    "unseen",
    "format",
    "kind",
    "kinds",
    "surrogate",
    "task",
    "gradient",
    "schedule",
    "row_order",
    "batch_rows",
    "send",
    "absent",
    "fill",
    "validate",
];

/// Keys whose numbers are secret, or tell which record is in which part.
const SECRET: [&str; 1] = ["seed"];

/// Tables whose keys are names that somebody chose: they are counted.
const CHOSEN: [&str; 4] = ["types", "names", "tables", "codes"];

/// What a text is shown as.
const WITHHELD: &str = "(withheld)";
/// A text of a word is no longer than this.
const LONGEST_WORD: usize = 32;

/// The config at `path` with its texts withheld.
///
/// # Errors
/// If it cannot be read, or is no TOML.
pub fn without_secrets(path: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: Table = text.parse().map_err(|_| anyhow::anyhow!("{} is not valid TOML", path.display()))?;
    Ok(shown_table(&table))
}

fn shown_table(table: &Table) -> Value {
    let mut entries = Map::new();
    for (key, value) in table {
        // A key that is no plain word may be a name, or a whole path.
        let is_plain = key.len() <= LONGEST_WORD
            && key.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_' | b'0'..=b'9'));
        let name = if is_plain { key.as_str() } else { WITHHELD };
        let found = match value {
            _ if SECRET.contains(&key.as_str()) => WITHHELD.into(),
            toml::Value::Table(chosen) if CHOSEN.contains(&key.as_str()) => {
                json!({ "entries": chosen.len() })
            }
            value => shown(value, WORDS.contains(&key.as_str())),
        };
        entries.insert(name.to_string(), found);
    }
    Value::Object(entries)
}

fn shown(value: &toml::Value, is_word: bool) -> Value {
    match value {
        toml::Value::Table(table) => shown_table(table),
        toml::Value::Array(values) if values.iter().any(toml::Value::is_str) && !is_word => {
            json!({ "entries": values.len() })
        }
        toml::Value::Array(values) => values.iter().map(|value| shown(value, is_word)).collect(),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(switch) => json!(switch),
        toml::Value::String(text) if is_word && is_plain_word(text) => json!(text),
        toml::Value::String(_) | toml::Value::Datetime(_) => json!(WITHHELD),
    }
}

fn is_plain_word(text: &str) -> bool {
    text.len() <= LONGEST_WORD
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_are_shown_and_all_else_is_withheld() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("party.toml");
        let text = r#"
            name = "s3cret-name"
            seed = 77123
            preset = "tabular"
            state = "/home/s3cret/state"
            clip = 2.5
            null_values = ["s3cret"]
            run = { parties = ["s3cret"], bits = 16, seed = 77123, task = "binary", batch_rows = "auto" }
            columns = { format = "sql", query = "SELECT s3cret", id = ["s3cret"], tables = { s3cret = { location = "s3cret" } } }
            types = { s3cret = "category" }
            codes = { s3cret = { latents = 1, bits_per_latent = 4 } }
            encoder = { model = { kind = "mlp", hidden = [64] } }
            identity = { names = { "cn:s3cret" = "party/s3cret" } }
            device = "S3cret word"
            "s3cret/key" = 1
        "#;
        fs::write(&path, text).unwrap();
        let shown = without_secrets(&path).unwrap().to_string();
        assert!(!shown.to_lowercase().contains("s3cret") && !shown.contains("77123"), "{shown}");
        for expected in [
            r#""preset":"tabular""#,
            r#""clip":2.5"#,
            r#""bits":16"#,
            r#""batch_rows":"auto""#,
            r#""hidden":[64]"#,
            r#""parties":{"entries":1}"#,
            r#""types":{"entries":1}"#,
        ] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        fs::write(&path, "s3cret = ").unwrap();
        let error = without_secrets(&path).unwrap_err().to_string();
        assert!(error.contains("is not valid TOML") && !error.contains("s3cret"), "{error}");
    }
}
