//! `coordinator init`: a commented config file from a table with labels, and with `--align` all that an aligned run needs
//! beside it. What is written is read back and tried first; nothing is written that `--check` would refuse.

mod parties;

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use hashvfl_alignment::FirstAlignment;
use hashvfl_cli::config::FirstCodes;
use hashvfl_core::text::counted;
use hashvfl_core::{PartyName, RunId, Task};
use hashvfl_data::{
    CsvLabels, FirstLine, Hints, KeyColumns, LabelsSource, Survey, Surveyed, fill, preset_of, quoted,
    quoted_list, survey,
};
use hashvfl_files::{say, write_whole};
use hashvfl_monitor::first_monitor;

use crate::commands::check;
use crate::config::CoordinatorConfig;

/// What to write a config for.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The CSV table with the labels; its header names the columns.
    #[arg(long, value_name = "TABLE")]
    from: PathBuf,
    /// The label's column.
    #[arg(long, value_name = "COLUMN", default_value = "y")]
    label: String,
    /// All parties of the run, in the agreed order.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', default_value = "bank,telecom")]
    parties: Vec<PartyName>,
    /// The column of record ids; guessed if left out. Repeat it for an id of several columns. Implies that the first line is
    /// a header.
    #[arg(long, value_name = "COLUMN")]
    id: Vec<String>,
    /// What is predicted: binary, multiclass or regression. If left out, the labels decide.
    #[arg(long)]
    task: Option<Task>,
    #[command(flatten)]
    codes: FirstCodes,
    /// The run's id, the same at all sides.
    #[arg(long, value_name = "ID", default_value = "first-run")]
    run_id: RunId,
    /// Where to listen for parties.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7433")]
    listen: SocketAddr,
    /// Also write a key, a policy and [alignment], for tables that are not in the same order.
    #[arg(long)]
    align: bool,
    /// The label holder's name in alignments.
    #[arg(long, value_name = "NAME", default_value = "labels")]
    labels: PartyName,
    /// A table with the ids of new records to predict, in the same column. It is written into [serve].
    #[arg(long, value_name = "TABLE")]
    new: Option<PathBuf>,
    /// The file to write; it must not exist.
    #[arg(long, value_name = "FILE", default_value = "coordinator.toml")]
    out: PathBuf,
}

/// Writes the config.
pub fn write(arguments: &Arguments) -> anyhow::Result<()> {
    let (table, out) = (&arguments.from, &arguments.out);
    ensure!(!out.exists(), "{} already exists: choose another file with --out", out.display());
    let not_id = vec![arguments.label.clone()];
    let survey = survey(table, &Hints { id: arguments.id.clone(), not_id, ..Hints::default() })?;
    let task = task(arguments, &survey)?;
    arguments.codes.check(task, &arguments.parties)?;
    survey.check_id(table)?;
    let id: Vec<String> = survey.id.iter().map(|name| quoted(name)).collect();
    say!(
        "{}: {}; id {}; label {}: {task}",
        table.display(),
        counted(survey.records, "record"),
        id.join(" and "),
        quoted(&arguments.label)
    );
    remark_on_label(arguments, &survey, task);
    let alignment = alignment(arguments, &survey)?;
    let source = CsvLabels {
        paths: vec![fs::canonicalize(table).unwrap_or_else(|_| table.clone())],
        id: KeyColumns::new(survey.id.clone()).map_err(anyhow::Error::msg)?,
        column: arguments.label.clone(),
    };
    let text = config_text(arguments, task, &source, alignment.as_ref())?;
    let folder = folder_of(out);
    let refused = "no config is written, since it would not be read as it is meant";
    let config = CoordinatorConfig::parse(&text, folder).context(refused)?;
    ensure!(config.labels == LabelsSource::Csv(source), "{refused}: look for odd names of columns");
    check::data(&config).context("no config is written, since --check would refuse it")?;
    write_files(arguments, &text, &survey, task, alignment.as_ref())
}

/// The folder in which the config `out` is written.
fn folder_of(out: &Path) -> &Path {
    out.parent().unwrap_or(Path::new("."))
}

/// What is predicted: as it was said, or as the labels tell.
fn task(arguments: &Arguments, survey: &Survey) -> anyhow::Result<Task> {
    let (table, name) = (arguments.from.display(), &arguments.label);
    ensure!(
        survey.first_line != FirstLine::Record || !arguments.id.is_empty(),
        "the first line of {table} looks like a record: put the names of its columns above it; if it is a header, name the \
         id's column with --id"
    );
    let Some(label) = survey.columns.iter().find(|column| column.name == *name) else {
        bail!("{table} has no column {name:?} besides its id: name the label's column with --label");
    };
    match arguments.task {
        Some(task) => Ok(task),
        None => label.task(survey.records).map_err(|reason| anyhow!("{table}, column {name:?}: {reason}")),
    }
}

/// Says what of the numbers to predict may be something else, such as stand-ins for a missing label.
fn remark_on_label(arguments: &Arguments, survey: &Survey, task: Task) {
    let label = survey.columns.iter().find(|column| column.name == arguments.label);
    let remarks = label.filter(|_| task == Task::Regression).map(Surveyed::remarks_on_numbers);
    for remark in remarks.unwrap_or_default() {
        say!("label {}: {remark}", quoted(&arguments.label));
    }
}

fn alignment(arguments: &Arguments, survey: &Survey) -> anyhow::Result<Option<FirstAlignment>> {
    if !arguments.align {
        return Ok(None);
    }
    let first = FirstAlignment {
        name: arguments.labels.clone(),
        parties: arguments.parties.clone(),
        labels: arguments.labels.clone(),
        run: arguments.run_id.clone(),
        key_columns: survey.id.len(),
    };
    first.check()?;
    Ok(Some(first))
}

fn config_text(
    arguments: &Arguments,
    task: Task,
    source: &CsvLabels,
    alignment: Option<&FirstAlignment>,
) -> anyhow::Result<String> {
    let names: Vec<String> = arguments.parties.iter().map(PartyName::to_string).collect();
    let id = match source.id.names() {
        [one] => quoted(one),
        several => quoted_list(several),
    };
    let path = |path: &Path| {
        path.to_str().map(quoted).context("the path of the table is not UTF-8: move it to another folder")
    };
    let top = match alignment {
        Some(first) => format!(
            "\n# Pins the other holders' keys and limits alignments.\npolicy = {}\n\
             # The order of the common records, written by `coordinator align`. Records that are not in it are excluded.\n\
             order = {}\n",
            quoted(&first.policy_file()),
            quoted(&first.order())
        ),
        None => String::new(),
    };
    let codes = &arguments.codes;
    let mut optional_tables = codes.table();
    optional_tables += &alignment.map(|first| first.tables(true)).unwrap_or_default();
    if let Some(new) = &arguments.new {
        let new = fs::canonicalize(new).with_context(|| format!("cannot read {}", new.display()))?;
        let records = format!("{{ format = \"csv\", paths = [{}], id = {id} }}", path(&new)?);
        let _ = write!(optional_tables, "\n# The records to predict.\n[serve]\nrecords = {records}\n");
        if let Some(first) = alignment {
            let _ = writeln!(optional_tables, "order = {}", quoted(&first.served_order()));
        }
    }
    Ok(fill(
        include_str!("coordinator.toml"),
        &[
            ("run_id", arguments.run_id.as_str()),
            ("listen", &arguments.listen.to_string()),
            ("top", &top),
            ("monitor", &first_monitor(folder_of(&arguments.out), "coordinator")),
            ("table", &path(&source.paths[0])?),
            ("id", &id),
            ("label", &quoted(&source.column)),
            ("preset", codes.preset(preset_of(task))),
            ("parties", &quoted_list(&names)),
            ("task", &task.to_string()),
            ("batch_rows", codes.batch_rows()),
            ("optional_tables", &optional_tables),
        ],
    ))
}

fn write_files(
    arguments: &Arguments,
    text: &str,
    survey: &Survey,
    task: Task,
    alignment: Option<&FirstAlignment>,
) -> anyhow::Result<()> {
    let (out, folder) = (arguments.out.display(), folder_of(&arguments.out));
    let key = alignment.map(|first| first.write(folder, None)).transpose()?;
    write_whole(&arguments.out, text.as_bytes())?;
    match alignment.zip(key) {
        None => say!("wrote {out}: read it"),
        Some((first, key)) => {
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
    for line in parties::lines(arguments, survey, task) {
        say!("{line}");
    }
    Ok(())
}

/// What is left to do at the coordinator, each with its command.
fn next_steps(arguments: &Arguments, alignment: Option<&FirstAlignment>) -> Vec<String> {
    let out = arguments.out.display();
    let mut steps = vec![format!(
        "next, create the coordinator's identity:\n  coordinator identity init --config {out} --name NAME"
    )];
    steps.extend(alignment.into_iter().flat_map(|first| first.next_steps("coordinator", &arguments.out)));
    steps.push(format!("this lists what is left to do:\n  coordinator --config {out} --check"));
    steps
}

#[cfg(test)]
mod tests;
