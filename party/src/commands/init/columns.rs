//! What becomes of each column of a table in its first configuration.

use std::fmt::Write;

use anyhow::ensure;
use hashvfl_core::text::counted;
use hashvfl_data::{ColumnType, ColumnVerdict, NumberLikeText, Survey, Surveyed, quoted};

/// Names that labels often have.
const LABEL_NAMES: [&str; 8] = ["y", "label", "labels", "target", "class", "outcome", "default", "churn"];

/// The owner's instructions about columns.
pub struct ColumnOverrides<'a> {
    /// Never to be listed: the label, say.
    pub ignore: &'a [String],
    /// To be taken for categories, whatever they look like.
    pub category: &'a [String],
}

/// A column and what becomes of it.
struct PlannedColumn<'a> {
    column: &'a Surveyed,
    fate: ColumnFate,
}

enum ColumnFate {
    Taken(ColumnType),
    Excluded(&'static str),
    Undecided(NumberLikeText),
}

/// The columns of a table and what becomes of them.
pub struct ColumnPlan<'a> {
    survey: &'a Survey,
    decided: Vec<PlannedColumn<'a>>,
}

impl<'a> ColumnPlan<'a> {
    /// Of the table that was surveyed.
    ///
    /// # Errors
    /// If a wish is about a column that is not there.
    pub fn decide(survey: &'a Survey, wishes: &ColumnOverrides) -> anyhow::Result<Self> {
        for (option, names) in [("--ignore", wishes.ignore), ("--category", wishes.category)] {
            for name in names {
                let known = survey.columns.iter().any(|column| column.name == *name);
                ensure!(known, "the table has no column {name:?}, which {option} names, besides its id");
            }
        }
        let decided =
            survey.columns.iter().map(|column| PlannedColumn { column, fate: fate(column, survey, wishes) });
        Ok(Self { survey, decided: decided.collect() })
    }

    /// How many columns there are besides the id.
    pub fn count(&self) -> usize {
        self.decided.len()
    }

    /// The columns that are trained on.
    pub fn taken(&self) -> impl Iterator<Item = (&'a Surveyed, ColumnType)> {
        self.decided.iter().filter_map(|PlannedColumn { column, fate }| match fate {
            ColumnFate::Taken(kind) => Some((*column, *kind)),
            ColumnFate::Excluded(_) | ColumnFate::Undecided(_) => None,
        })
    }

    /// Columns about which only the table's owner can decide.
    pub fn undecided(&self) -> Vec<&'a str> {
        let undecided =
            self.decided.iter().filter(|decided| matches!(decided.fate, ColumnFate::Undecided(_)));
        undecided.map(|decided| decided.column.name.as_str()).collect()
    }

    /// A line a column for a terminal; neighbours of one fate share one.
    pub fn for_screen(&self) -> String {
        let mut lines: Vec<(String, String, usize)> = Vec::new();
        for decided in &self.decided {
            let (name, words) = (quoted(&decided.column.name), self.words(decided));
            match lines.last_mut() {
                Some((names, before, count)) if *before == words => {
                    *count += 1;
                    *names = format!("{} to {name}", names.split(" to ").next().unwrap_or_default());
                }
                _ => lines.push((name, words, 1)),
            }
        }
        let line = |(names, words, count): (String, String, usize)| match count {
            1 => format!("  {names}: {words}\n"),
            _ => format!("  {names} ({count} columns): {words}\n"),
        };
        lines.into_iter().map(line).collect()
    }

    fn words(&self, decided: &PlannedColumn) -> String {
        match decided.fate {
            ColumnFate::Excluded(reason) => format!("excluded: {reason}"),
            ColumnFate::Undecided(oddity) => format!("not decided: {oddity}"),
            ColumnFate::Taken(kind) => {
                let word = word(kind);
                let note = note(decided.column, kind, self.survey.records);
                if note.is_empty() { word.to_string() } else { format!("{word}; {note}") }
            }
        }
    }

    /// Those that were left out and why, in one line for a comment.
    pub fn excluded(&self) -> String {
        let excluded = self.decided.iter().filter_map(|PlannedColumn { column, fate }| match fate {
            ColumnFate::Excluded(reason) => Some(format!("{} ({reason})", quoted(&column.name))),
            ColumnFate::Taken(_) | ColumnFate::Undecided(_) => None,
        });
        let excluded: Vec<String> = excluded.collect();
        if excluded.is_empty() { "none".to_string() } else { excluded.join(", ") }
    }

    /// A line a column for `[types]`: its type, and what a missing value becomes where some are.
    pub fn types(&self) -> String {
        let mut text = String::new();
        for (column, kind) in self.taken() {
            let word = word(kind);
            let rules = match column.missing {
                0 => format!("\"{word}\""),
                _ => format!("{{ kind = \"{word}\", missing = \"fill\" }}"),
            };
            let note = note(column, kind, self.survey.records);
            let mark = if note.is_empty() { "" } else { "  # " };
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{} = {rules}{mark}{note}", quoted(&column.name));
        }
        text
    }
}

fn fate(column: &Surveyed, survey: &Survey, wishes: &ColumnOverrides) -> ColumnFate {
    if wishes.ignore.contains(&column.name) {
        return ColumnFate::Excluded("--ignore");
    }
    let wished = wishes.category.contains(&column.name);
    match column.verdict(survey.records) {
        ColumnVerdict::Taken if wished => ColumnFate::Taken(ColumnType::Category),
        ColumnVerdict::Taken => ColumnFate::Taken(column.kind),
        ColumnVerdict::Undecided(_) if wished => ColumnFate::Taken(ColumnType::Category),
        ColumnVerdict::Undecided(oddity) => ColumnFate::Undecided(oddity),
        ColumnVerdict::Excluded(_) if wished && column.distinct.is_some_and(|distinct| distinct > 1) => {
            ColumnFate::Taken(ColumnType::Category)
        }
        ColumnVerdict::Excluded(reason) => ColumnFate::Excluded(reason),
    }
}

fn word(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Number => "number",
        ColumnType::Category => "category",
    }
}

fn note(column: &Surveyed, kind: ColumnType, records: u64) -> String {
    let mut notes = Vec::new();
    if LABEL_NAMES.contains(&column.name.to_lowercase().as_str()) {
        notes.push("if it is the label, leave it out with --ignore".to_string());
    }
    if let (ColumnType::Category, Some(distinct)) = (kind, column.distinct) {
        notes.push(counted(distinct, "category"));
    }
    if kind == column.kind {
        notes.extend(column.remarks());
    }
    if column.missing > 0 {
        let share = 100.0 * column.missing as f64 / records as f64;
        let becomes = match kind {
            ColumnType::Number => {
                "replaced by the mean of the training records; an extra column marks these records"
            }
            ColumnType::Category => "one category more",
        };
        notes.push(format!("{} of {records} missing ({share:.1} %): {becomes}", column.missing));
    }
    notes.join("; ")
}
