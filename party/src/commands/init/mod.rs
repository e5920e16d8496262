//! `party init`: a commented config file from a table's records, and with `--align` all that an aligned run needs beside
//! it. What is written is read back and tried first; nothing is written that `--check` would refuse.

mod columns;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use hashvfl_alignment::FirstAlignment;
use hashvfl_cli::config::FirstCodes;
use hashvfl_core::text::counted;
use hashvfl_core::{Address, PartyName, RunId, Task};
use hashvfl_data::{
    ColumnsSource, CsvColumns, FirstLine, Hints, KeyColumns, Survey, fill, preset_of, quoted, quoted_list,
    survey,
};
use hashvfl_files::{say, write_whole};
use hashvfl_monitor::first_monitor;

use crate::commands::check;
use crate::config::PartyConfig;
use columns::{ColumnOverrides, ColumnPlan};

/// What to write a config for.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The CSV table; its header names the columns, its records tell their types.
    #[arg(long, value_name = "TABLE")]
    from: PathBuf,
    /// The party's name.
    #[arg(long, default_value = "bank")]
    name: PartyName,
    /// All parties of the run, this one included, in the agreed order, as at the coordinator.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', default_value = "bank,telecom")]
    parties: Vec<PartyName>,
    /// The column of record ids; guessed if left out. Repeat it for an id of several columns.
    #[arg(long, value_name = "COLUMN")]
    id: Vec<String>,
    /// A column that must not be used, such as the label. Repeat it for each column.
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
    /// A column to treat as categories, whatever it looks like. Repeat it for each column.
    #[arg(long, value_name = "COLUMN")]
    category: Vec<String>,
    /// A text that stands for a missing value, in addition to the usual ones. Repeat it for each text.
    #[arg(long, value_name = "TEXT")]
    null: Vec<String>,
    /// Treat the first line as a header, even if the records do not show that it is one.
    #[arg(long)]
    header: bool,
    /// What is predicted: binary, multiclass or regression. If left out: what an ignored column of labels shows, or binary.
    #[arg(long)]
    task: Option<Task>,
    #[command(flatten)]
    codes: FirstCodes,
    /// The run's id, the same at all sides.
    #[arg(long, value_name = "ID", default_value = "first-run")]
    run_id: RunId,
    // A text until it is looked at: errors of the command line show what they refuse, and it may hold a password.
    /// Where the coordinator listens.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7433")]
    coordinator: String,
    /// Also write a key, a policy and [alignment], for tables that are not in the same order.
    #[arg(long)]
    align: bool,
    /// The label holder's name in alignments.
    #[arg(long, value_name = "NAME", default_value = "labels")]
    labels: PartyName,
    /// A table of new records to predict, with the same columns. It is written into [serve].
    #[arg(long, value_name = "TABLE")]
    new: Option<PathBuf>,
    /// The file to write; it must not exist.
    #[arg(long, value_name = "FILE", default_value = "party.toml")]
    out: PathBuf,
}

/// Writes the config.
pub fn write(arguments: &Arguments) -> anyhow::Result<()> {
    let (table, out) = (&arguments.from, &arguments.out);
    ensure!(!out.exists(), "{} already exists: choose another file with --out", out.display());
    check_parties(arguments)?;
    coordinator(arguments)?;
    let survey = survey(table, &hints(arguments))?;
    check_first_line(arguments, &survey)?;
    survey.check_id(table)?;
    let columns = ColumnPlan::decide(
        &survey,
        &ColumnOverrides { ignore: &arguments.ignore, category: &arguments.category },
    )?;
    say!(
        "{}: {}; id {}",
        table.display(),
        counted(survey.records, "record"),
        survey.id.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(" and ")
    );
    say!("{}", columns.for_screen().trim_end());
    check_decided(table, &columns)?;
    let task = task(arguments, &survey)?;
    arguments.codes.check(task, &arguments.parties)?;
    let alignment = alignment(arguments, &survey)?;
    let source = source(table, &survey, &columns)?;
    let text = config_text(arguments, task, &survey, &columns, &source, alignment.as_ref())?;
    let folder = folder_of(out);
    let config = read_back(&text, folder, &source, &survey)?;
    check::data(&config).context("no config is written, since --check would refuse it")?;
    write_files(arguments, &text, &config, alignment.as_ref())
}

/// What the table's owner says of it. A column of which something else was said is no id.
fn hints(arguments: &Arguments) -> Hints {
    let Arguments { id, null, ignore, category, .. } = arguments;
    let not_id = ignore.iter().chain(category).cloned().collect();
    Hints { id: id.clone(), not_id, null_values: null.clone() }
}

fn coordinator(arguments: &Arguments) -> anyhow::Result<Address> {
    arguments.coordinator.parse().context("--coordinator")
}

/// Whether this party is one of the run's.
fn check_parties(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { name, parties, .. } = arguments;
    let names: Vec<&str> = parties.iter().map(PartyName::as_str).collect();
    ensure!(
        parties.contains(name),
        "the run's parties are {}, and this party is {name}: pass --parties with all of them, as `coordinator init` prints it",
        names.join(", ")
    );
    Ok(())
}

/// Names go into a config, cells must not.
fn check_first_line(arguments: &Arguments, survey: &Survey) -> anyhow::Result<()> {
    let named = arguments.header
        || !arguments.id.is_empty()
        || [&arguments.ignore, &arguments.category]
            .iter()
            .any(|names| names.iter().any(|name| survey.columns.iter().any(|column| column.name == *name)));
    let table = arguments.from.display();
    match survey.first_line {
        FirstLine::Names => Ok(()),
        FirstLine::Record | FirstLine::Unclear if named => Ok(()),
        FirstLine::Record => bail!(
            "the first line of {table} looks like a record: it holds numbers, or values that occur again below. \
             Put the names of the columns above it; if it is a header, pass --header"
        ),
        FirstLine::Unclear => bail!(
            "it is unclear whether the first line of {table} is a header or a record, and it may be a record: if it holds the \
             names of the columns, pass --header; if not, put them above it"
        ),
    }
}

fn check_decided(table: &Path, columns: &ColumnPlan) -> anyhow::Result<()> {
    let undecided = columns.undecided();
    if !undecided.is_empty() {
        let names: Vec<String> = undecided.iter().map(|name| quoted(name)).collect();
        bail!(
            "{}: cannot tell the type of {}. For each, write plain numbers into the file, or pass --ignore COLUMN or \
             --category COLUMN; if a text stands for a missing value, pass --null TEXT. No config was written",
            table.display(),
            names.join(", ")
        );
    }
    ensure!(
        columns.count() > 0,
        "{} has one column only, which would be the id: if it holds several, write commas between their cells",
        table.display()
    );
    ensure!(
        columns.taken().next().is_some(),
        "{} has no column to train on besides its id: {}",
        table.display(),
        columns.excluded()
    );
    Ok(())
}

/// What is predicted: as it was said, or as a column of labels tells that is not to be used.
fn task(arguments: &Arguments, survey: &Survey) -> anyhow::Result<Task> {
    if let Some(task) = arguments.task {
        return Ok(task);
    }
    let ignored = survey.columns.iter().filter(|column| arguments.ignore.contains(&column.name));
    match ignored.collect::<Vec<_>>().as_slice() {
        [label] => {
            let name = quoted(&label.name);
            match label.task(survey.records) {
                Ok(task) => {
                    say!("task: {task}, inferred from the ignored column {name}; --task sets another");
                    Ok(task)
                }
                Err(reason) => {
                    say!(
                        "task: binary, the default, since the ignored column {name} shows none ({reason}); if it is the label, \
                         pass the --task that `coordinator init` prints"
                    );
                    Ok(Task::Binary)
                }
            }
        }
        _ => {
            say!(
                "task: binary, the default; if there are not two classes, pass the --task that `coordinator init` \
                 prints"
            );
            Ok(Task::Binary)
        }
    }
}

fn alignment(arguments: &Arguments, survey: &Survey) -> anyhow::Result<Option<FirstAlignment>> {
    if !arguments.align {
        return Ok(None);
    }
    let first = FirstAlignment {
        name: arguments.name.clone(),
        parties: arguments.parties.clone(),
        labels: arguments.labels.clone(),
        run: arguments.run_id.clone(),
        key_columns: survey.id.len(),
    };
    first.check()?;
    Ok(Some(first))
}

/// The table as the config names it.
fn source(table: &Path, survey: &Survey, columns: &ColumnPlan) -> anyhow::Result<CsvColumns> {
    let path = fs::canonicalize(table).unwrap_or_else(|_| table.to_path_buf());
    Ok(CsvColumns {
        paths: vec![path],
        id: KeyColumns::new(survey.id.clone()).map_err(anyhow::Error::msg)?,
        columns: Some(columns.taken().map(|(column, _)| column.name.clone()).collect()),
        ignore: Vec::new(),
        image: None,
    })
}

fn config_text(
    arguments: &Arguments,
    task: Task,
    survey: &Survey,
    columns: &ColumnPlan,
    source: &CsvColumns,
    alignment: Option<&FirstAlignment>,
) -> anyhow::Result<String> {
    let names: Vec<String> = arguments.parties.iter().map(PartyName::to_string).collect();
    let policy = match alignment {
        Some(first) => format!("policy = {}", quoted(&first.policy_file())),
        None => "# policy = \"policy.toml\"".to_string(),
    };
    let order = match alignment {
        Some(first) => format!(
            "\n# The order of the common records, written by `party align`. Records that are not in it are \
             excluded.\norder = {}\n",
            quoted(&first.order())
        ),
        None => String::new(),
    };
    let null_values = match survey.null_values.as_slice() {
        [] => "# null_values = [\"NA\", \"?\"]".to_string(),
        found => format!("null_values = {}", quoted_list(found)),
    };
    let codes = &arguments.codes;
    let mut optional_tables = codes.table() + &codes.noise_of(&arguments.name);
    optional_tables += &alignment.map(|first| first.tables(false)).unwrap_or_default();
    if let Some(new) = &arguments.new {
        let new = fs::canonicalize(new).with_context(|| format!("cannot read {}", new.display()))?;
        optional_tables += "\n# The records to predict.\n[serve]\n";
        if let Some(first) = alignment {
            let _ = writeln!(optional_tables, "order = {}", quoted(&first.served_order()));
        }
        let _ = write!(
            optional_tables,
            "\n[serve.columns]\n{}",
            source_text(&CsvColumns { paths: vec![new], ..source.clone() })?
        );
    }
    Ok(fill(
        include_str!("party.toml"),
        &[
            ("name", arguments.name.as_str()),
            ("run_id", arguments.run_id.as_str()),
            ("coordinator", coordinator(arguments)?.as_str()),
            ("policy", &policy),
            ("order", &order),
            ("null_values", &null_values),
            ("monitor", &first_monitor(folder_of(&arguments.out), arguments.name.as_str())),
            ("excluded", &columns.excluded()),
            ("columns", &source_text(source)?),
            ("types", &columns.types()),
            ("preset", codes.preset(preset_of(task))),
            ("parties", &quoted_list(&names)),
            ("task", &task.to_string()),
            ("batch_rows", codes.batch_rows()),
            ("optional_tables", &optional_tables),
        ],
    ))
}

/// The folder in which the config `out` is written.
fn folder_of(out: &Path) -> &Path {
    out.parent().unwrap_or(Path::new("."))
}

/// The lines of a table `[columns]`.
fn source_text(source: &CsvColumns) -> anyhow::Result<String> {
    let path =
        source.paths[0].to_str().context("the path of the table is not UTF-8: move it to another folder")?;
    let id = match source.id.names() {
        [one] => quoted(one),
        several => quoted_list(several),
    };
    let columns = quoted_list(source.columns.as_deref().unwrap_or_default());
    Ok(format!("format = \"csv\"\npaths = [{}]\nid = {id}\ncolumns = {columns}\n", quoted(path)))
}

/// The config that `text` is read as, which must be the one that is meant.
fn read_back(text: &str, folder: &Path, source: &CsvColumns, survey: &Survey) -> anyhow::Result<PartyConfig> {
    let refused = "no config is written, since it would not be read as it is meant";
    let config = PartyConfig::parse(text, folder).context(refused)?;
    let meant = ColumnsSource::Csv(source.clone());
    ensure!(
        config.columns == meant && config.null_values == survey.null_values,
        "{refused}: look for odd names of columns"
    );
    Ok(config)
}

fn write_files(
    arguments: &Arguments,
    text: &str,
    config: &PartyConfig,
    alignment: Option<&FirstAlignment>,
) -> anyhow::Result<()> {
    let (out, folder) = (arguments.out.display(), folder_of(&arguments.out));
    let run = &config.run;
    let releases = run.epochs + u32::from(run.refits());
    let (codes, bits) = (counted(releases, "code"), counted(config.code_form().bits(), "bit"));
    say!("each training record releases up to {codes} of {bits}");
    match alignment {
        None => {
            write_whole(&arguments.out, text.as_bytes())?;
            say!("wrote {out}: read it, and agree on [run] with the other organisations");
        }
        Some(first) => {
            let released = u64::from(releases) * config.code_form().bits() as u64;
            let key = first.write(folder, Some(released))?;
            write_whole(&arguments.out, text.as_bytes())?;
            say!("{out} written, beside {} and {}", first.policy_file(), first.key_file());
            say!(
                "public key of {}, for the other holders, over another channel, such as the phone:\n{key}",
                first.name
            );
        }
    }
    for step in next_steps(arguments, alignment) {
        say!("{step}");
    }
    Ok(())
}

/// What is left to do, each with its command.
fn next_steps(arguments: &Arguments, alignment: Option<&FirstAlignment>) -> Vec<String> {
    let out = arguments.out.display();
    let mut steps =
        vec![format!("next, create this party's identity:\n  party identity request --config {out}")];
    steps.extend(alignment.into_iter().flat_map(|first| first.next_steps("party", &arguments.out)));
    steps.push(format!("this lists what is left to do:\n  party --config {out} --check"));
    steps
}

#[cfg(test)]
mod tests;
