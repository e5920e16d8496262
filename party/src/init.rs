//! `party init`: a commented config file from a table's header.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use hashvfl_core::PartyName;

/// Writes the config.
pub fn write(table: &Path, name: &str, out: &Path) -> anyhow::Result<()> {
    let name = PartyName::new(name)?;
    ensure!(!out.exists(), "{} is there already: name another file with --out", out.display());
    let header = hashvfl_data::describe(table)?;
    let columns: Vec<&String> =
        header.columns.iter().filter(|c| **c != header.id && !header.not_numeric.contains(c)).collect();
    let quoted = |names: &[&String]| names.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ");
    let ignored: Vec<&String> = header.not_numeric.iter().filter(|c| **c != header.id).collect();
    let table_path = fs::canonicalize(table).unwrap_or_else(|_| table.to_path_buf());
    let text = include_str!("init.toml")
        .replace("{name}", name.as_str())
        .replace("{table}", &format!("{:?}", table_path.display().to_string()))
        .replace("{id}", &format!("{:?}", header.id))
        .replace("{columns}", &quoted(&columns))
        .replace("{ignored}", &if ignored.is_empty() { "none".to_string() } else { quoted(&ignored) });
    fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))?;
    println!(
        "{} written: read it, agree on [run] with the others, then `party --config {} --check`",
        out.display(),
        out.display()
    );
    Ok(())
}
