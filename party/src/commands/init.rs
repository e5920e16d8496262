//! `party init`: a commented config file from a table's records.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::ensure;
use hashvfl_core::PartyName;
use hashvfl_data::{ColumnType, Survey, Surveyed, survey};
use hashvfl_files::{say, write_whole};

/// Whole numbers of no more values than this may be codes.
const FEW_NUMBERS: usize = 12;

/// Writes the config.
pub fn write(table: &Path, name: &str, out: &Path) -> anyhow::Result<()> {
    let name = PartyName::new(name)?;
    ensure!(!out.exists(), "{} is there already: name another file with --out", out.display());
    let survey = survey(table)?;
    let table_path = fs::canonicalize(table).unwrap_or_else(|_| table.to_path_buf());
    let (columns, ignored): (Vec<&Surveyed>, Vec<&Surveyed>) =
        survey.columns.iter().partition(|column| column.unfit(survey.records).is_none());
    ensure!(
        !columns.is_empty(),
        "{} has no column to train on besides {:?}: {}",
        table.display(),
        survey.header.id,
        ignored_columns(&ignored, survey.records)
    );
    let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    // The names that `coordinator init` writes, this party's among them.
    let first = if name.as_str() == "telecom" { "bank" } else { name.as_str() };
    let text = include_str!("init.toml")
        .replace("{parties}", &format!("{first:?}, \"telecom\""))
        .replace("{name}", name.as_str())
        .replace("{table}", &quoted(&table_path.display().to_string()))
        .replace("{id}", &quoted(&survey.header.id))
        .replace("{columns}", &names.join(", "))
        .replace("{ignored}", &ignored_columns(&ignored, survey.records))
        .replace("{null_values}", &null_values(&survey.null_values))
        .replace("{types}", &types(&columns, &survey));
    write_whole(out, text.as_bytes())?;
    say!(
        "{} written: read it, agree on [run] with the others, then `party --config {} --check`",
        out.display(),
        out.display()
    );
    Ok(())
}

/// A text as TOML has it: its basic strings are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn ignored_columns(columns: &[&Surveyed], records: u64) -> String {
    if columns.is_empty() {
        return "none".to_string();
    }
    let reason = |column: &&Surveyed| {
        format!("{} ({})", quoted(&column.name), column.unfit(records).unwrap_or("no use"))
    };
    columns.iter().map(reason).collect::<Vec<_>>().join(", ")
}

fn null_values(found: &[String]) -> String {
    let list = |texts: &[String]| texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ");
    match found {
        [] => "# null_values = [\"NA\", \"?\"]".to_string(),
        found => format!("null_values = [{}]", list(found)),
    }
}

/// One line per column: its type, and what a missing value becomes where some are.
fn types(columns: &[&Surveyed], survey: &Survey) -> String {
    let mut text = String::new();
    for column in columns {
        let kind = match column.kind {
            ColumnType::Number => "number",
            ColumnType::Category => "category",
        };
        let rules = match column.missing {
            0 => format!("\"{kind}\""),
            _ => format!("{{ kind = \"{kind}\", missing = \"fill\" }}"),
        };
        let note = note(column, survey.records);
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "{} = {rules}{}{}",
            quoted(&column.name),
            if note.is_empty() { "" } else { "  # " },
            note
        );
        text.push('\n');
    }
    text
}

fn note(column: &Surveyed, records: u64) -> String {
    let mut notes = Vec::new();
    match (column.kind, column.distinct) {
        (ColumnType::Category, Some(distinct)) => notes.push(format!("{distinct} categories")),
        (ColumnType::Number, Some(distinct)) if column.whole && distinct <= FEW_NUMBERS => {
            notes.push(format!("{distinct} whole numbers: \"category\" if they are codes"));
        }
        _ => {}
    }
    if column.missing > 0 {
        let share = 100.0 * column.missing as f64 / records as f64;
        let becomes = match column.kind {
            ColumnType::Number => "the mean of training records, and a column that says so",
            ColumnType::Category => "one category more",
        };
        notes.push(format!("{} of {records} missing ({share:.1} %): {becomes}", column.missing));
    }
    notes.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PartyConfig;

    #[test]
    fn the_written_config_loads_the_table_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (table, out) = (folder.path().join("bank.csv"), folder.path().join("party.toml"));
        let rows: String = (0..300)
            .map(|row| {
                let pay = if row % 10 == 0 { "NA".to_string() } else { format!("{row}.5") };
                let job = ["clerk", "smith", ""][row % 3];
                format!("k{row},{},{pay},{job},name {row},same\n", row % 4)
            })
            .collect();
        fs::write(&table, format!("id,\"co\"\"de\",pay,job,full.name,country\n{rows}")).unwrap();
        write(&table, "bank", &out).unwrap();
        let text = fs::read_to_string(&out).unwrap();
        for line in [
            r#"columns = ["co\"de", "pay", "job"]"#,
            r#""full.name" (an id or free text), "country" (the same in every record)"#,
            r#"null_values = ["NA"]"#,
            r#""co\"de" = "number"  # 4 whole numbers: "category" if they are codes"#,
            r#""pay" = { kind = "number", missing = "fill" }  # 30 of 300 missing (10.0 %)"#,
            r#""job" = { kind = "category", missing = "fill" }  # 2 categories; 100 of 300 missing (33.3 %): one category more"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("clerk"), "{text}");
        let config = PartyConfig::read(&out).unwrap();
        let second = folder.path().join("second.toml");
        write(&table, "telecom", &second).unwrap();
        assert_eq!(PartyConfig::read(&second).unwrap().run.parties, config.run.parties, "two that fit");
        let loaded = hashvfl_data::load_as(&config.columns, &config.treatment()).unwrap();
        assert_eq!((loaded.ids.len(), loaded.names.len()), (300, 3));
        fs::write(&table, "id,country\n1,x\n2,x\n").unwrap();
        let error = write(&table, "bank", &folder.path().join("other.toml")).unwrap_err().to_string();
        assert!(
            error.contains("no column to train on") && error.contains("the same in every record"),
            "{error}"
        );
    }
}
