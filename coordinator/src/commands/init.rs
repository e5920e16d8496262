//! `coordinator init`: a commented config file from a table with labels.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use hashvfl_files::{say, write_whole};

/// Writes the config.
pub fn write(table: &Path, label: &str, out: &Path) -> anyhow::Result<()> {
    ensure!(!out.exists(), "{} is there already: name another file with --out", out.display());
    let header = hashvfl_data::describe(table)?;
    let known = header.columns.iter().any(|column| column == label);
    ensure!(known, "{} has no column {label:?}: name the label's column with --label", table.display());
    let table_path = fs::canonicalize(table).unwrap_or_else(|_| table.to_path_buf());
    let text = include_str!("init.toml")
        .replace("{table}", &format!("{:?}", table_path.display().to_string()))
        .replace("{id}", &format!("{:?}", header.id))
        .replace("{label}", &format!("{label:?}"));
    write_whole(out, text.as_bytes())?;
    let out = out.display();
    say!("{out} written: read it, agree on [run] with the others, then `coordinator --config {out} --check`");
    Ok(())
}
