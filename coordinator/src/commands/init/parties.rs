//! The commands with which the parties write configs that fit the coordinator's, one for each.

use std::borrow::Cow;

use hashvfl_core::{PartyName, Task};
use hashvfl_data::Survey;

use super::Arguments;

/// What is said of the parties' configs: what to replace in the commands, and the commands.
pub(super) fn lines(arguments: &Arguments, survey: &Survey, task: Task) -> Vec<String> {
    let label = with_label(arguments, survey);
    let mut lines = vec![
        "each party writes a config that fits with a command of its own, in which".to_string(),
        "  TABLE is the table with its columns".to_string(),
    ];
    if arguments.new.is_some() {
        lines.push("  NEW_TABLE is one with the same columns, of the records to predict".to_string());
    }
    if arguments.listen.ip().is_unspecified() {
        lines.push("  HOST is the name or address at which it reaches this machine".to_string());
    }
    if label.is_none() {
        let option = option("--ignore", &arguments.label);
        lines.push(format!("a party whose table has the label, too, adds{option}"));
    }
    for party in &arguments.parties {
        lines.push(format!("at {party}:"));
        lines.push(format!("  {}", command(arguments, task, party, label == Some(party))));
    }
    lines
}

/// The party whose table the one with the labels is, as far as its other columns and its name tell.
fn with_label<'a>(arguments: &'a Arguments, survey: &Survey) -> Option<&'a PartyName> {
    let has_others = survey.columns.iter().any(|column| column.name != arguments.label);
    let named = arguments.from.file_stem().and_then(|stem| stem.to_str());
    let mut parties = arguments.parties.iter();
    arguments
        .codes
        .own()
        .or_else(|| parties.find(|party| Some(party.as_str()) == named))
        .filter(|_| has_others)
}

fn command(arguments: &Arguments, task: Task, party: &PartyName, has_label: bool) -> String {
    let names: Vec<&str> = arguments.parties.iter().map(PartyName::as_str).collect();
    let table = match arguments.from.to_str() {
        Some(path) if has_label => quoted_for_shell(path),
        _ => "TABLE".into(),
    };
    let listen = arguments.listen;
    let host = match listen.ip().is_unspecified() {
        true => format!("HOST:{}", listen.port()),
        false => listen.to_string(),
    };
    let mut line = format!(
        "party init --from {table} --name {party} --parties {} --task {task} --run-id {} --coordinator http://{host}",
        names.join(","),
        arguments.run_id,
    );
    if has_label {
        line.extend(arguments.id.iter().map(|column| option("--id", column)));
        line += &option("--ignore", &arguments.label);
    }
    if arguments.align {
        line += &format!(" --align --labels {}", arguments.labels);
    }
    if arguments.new.is_some() {
        line += " --new NEW_TABLE";
    }
    line += &arguments.codes.flags();
    if listen.ip().is_loopback() {
        // All sides are on this machine, and may be in one folder.
        line += &format!(" --out {party}.toml");
    }
    line
}

/// An option with its value, whatever that starts with.
fn option(name: &str, value: &str) -> String {
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!(" {name}{between}{}", quoted_for_shell(value))
}

/// A word of a command line that a shell reads as it is.
fn quoted_for_shell(word: &str) -> Cow<'_, str> {
    if !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./,:@%+".contains(c)) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use hashvfl_data::{Hints, survey};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    /// What is said where the labels are in a file called `table` with this header, and `init` was called with `more`.
    fn said(table: &str, header: &str, more: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(table);
        let others = header.split(',').count() - 2;
        let record = |row: usize| format!("k{row},{}{}\n", row % 2, format!(",{row}.5").repeat(others));
        let records: String = (0..60).map(record).collect();
        std::fs::write(&path, format!("{header}\n{records}")).unwrap();
        let line = ["init", "--from", path.to_str().unwrap()];
        let Line { arguments } = Line::try_parse_from(line.iter().chain(more)).unwrap();
        let not_id = vec![arguments.label.clone()];
        let hints = Hints { id: arguments.id.clone(), not_id, ..Hints::default() };
        let lines = lines(&arguments, &survey(&path, &hints).unwrap(), Task::Binary);
        lines.iter().map(|line| line.replace(&format!("{}/", folder.path().display()), "")).collect()
    }

    #[test]
    fn each_party_has_a_command_of_its_own() {
        assert_eq!(
            said("labels.csv", "id,y", &["--listen", "0.0.0.0:7433", "--run-id", "spring"]),
            [
                "each party writes a config that fits with a command of its own, in which",
                "  TABLE is the table with its columns",
                "  HOST is the name or address at which it reaches this machine",
                "a party whose table has the label, too, adds --ignore y",
                "at bank:",
                "  party init --from TABLE --name bank --parties bank,telecom --task binary --run-id spring \
                 --coordinator http://HOST:7433",
                "at telecom:",
                "  party init --from TABLE --name telecom --parties bank,telecom --task binary --run-id spring \
                 --coordinator http://HOST:7433",
            ]
        );
    }

    #[test]
    fn the_party_whose_table_has_the_label_leaves_it_out() {
        let own = [
            "--short-codes",
            "--own",
            "telecom",
            "--label",
            "is due",
            "--id",
            "id",
            "--listen",
            "10.0.0.1:7433",
        ];
        for (table, more, expected) in [
            ("bank.csv", &[][..], "  party init --from bank.csv --name bank "),
            ("all.csv", &own, "  party init --from all.csv --name telecom "),
            ("all.csv", &[], "a party whose table has the label"),
        ] {
            let label = if more.is_empty() { "y" } else { "is due" };
            let lines = said(table, &format!("id,{label},age"), more);
            let with_label: Vec<&String> = lines.iter().filter(|line| line.contains("--ignore")).collect();
            assert_eq!(with_label.len(), 1, "{lines:?}");
            assert!(with_label[0].starts_with(expected), "{lines:?}");
        }
        let lines = said("all.csv", "id,is due,age", &own);
        let expected =
            "--coordinator http://10.0.0.1:7433 --id id --ignore 'is due' --short-codes --own telecom";
        assert!(lines.last().unwrap().ends_with(expected), "{lines:?}");
        // A table of nothing but labels is nobody's columns.
        assert!(!said("bank.csv", "id,y", &[]).concat().contains("--from bank.csv"));
    }

    #[test]
    fn commands_on_one_machine_write_files_of_their_own() {
        let lines = said("labels.csv", "id,y", &["--align", "--new", "new.csv"]);
        let expected = "http://127.0.0.1:7433 --align --labels labels --new NEW_TABLE --out telecom.toml";
        assert!(lines.last().unwrap().ends_with(expected), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("  NEW_TABLE is ")), "{lines:?}");
    }

    #[test]
    fn a_shell_reads_names_as_they_are() {
        for (name, expected) in [
            ("y", " --ignore y"),
            ("défaut_1", " --ignore défaut_1"),
            ("is due", " --ignore 'is due'"),
            ("it's $due", r" --ignore 'it'\''s $due'"),
            ("-y", " --ignore=-y"),
            ("~", " --ignore '~'"),
            ("", " --ignore ''"),
        ] {
            assert_eq!(option("--ignore", name), expected);
        }
    }
}
