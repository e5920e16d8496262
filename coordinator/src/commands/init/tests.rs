use clap::Parser;
use hashvfl_core::CodeForm;
use hashvfl_core::settings::BatchRows;
use hashvfl_learning::training::Validate;
use proptest::prelude::*;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new(table: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("labels.csv"), table).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn init(&self, out: &str, more: &[&str]) -> Result<CoordinatorConfig, String> {
        let (table, out) = (self.path("labels.csv"), self.path(out));
        let line = ["init", "--from", table.to_str().unwrap(), "--out", out.to_str().unwrap()];
        let line = Line::try_parse_from(line.iter().chain(more)).map_err(|error| error.to_string())?;
        write(&line.arguments).map_err(|error| format!("{error:#}"))?;
        Ok(CoordinatorConfig::read(&out).unwrap())
    }
}

fn table(header: &str, records: usize, line: impl Fn(usize) -> String) -> String {
    let lines: String = (0..records).map(|row| line(row) + "\n").collect();
    format!("{header}\n{lines}")
}

#[test]
fn the_labels_tell_the_task() {
    for (label, expected) in [
        (&(|row: usize| (row % 2).to_string()) as &dyn Fn(usize) -> String, Task::Binary),
        (&|row| ["a", "b", "c"][row % 3].to_string(), Task::Multiclass),
        (&|row| format!("{row}.5"), Task::Regression),
    ] {
        let case = Case::new(&table("id,y", 60, |row| format!("k{row},{}", label(row))));
        let run = case.init("coordinator.toml", &[]).unwrap().run;
        assert_eq!((run.task, run.batch_rows), (expected, BatchRows::Auto));
        let bits = match expected {
            Task::Binary => 16,
            Task::Multiclass => 64,
            Task::Regression => 64,
        };
        assert_eq!(run.bits, bits);
    }
    let case = Case::new(&table("id,y", 60, |row| format!("k{row},{}", row % 5)));
    assert_eq!(case.init("a.toml", &["--task", "regression"]).unwrap().run.task, Task::Regression);
}

#[test]
fn a_private_config_has_short_codes() {
    let case = Case::new(&table("id,y", 60, |row| format!("k{row},{}", row % 2)));
    let local = ["--short-codes", "--listen", "127.0.0.1:0"];
    let config = case.init("short.toml", &local).unwrap();
    assert_eq!(config.run.code_forms().collect::<Vec<_>>(), [CodeForm::new(1, 5); 2]);
    let run = &config.run;
    assert_eq!(
        (run.batch_rows, run.epochs, run.cycles),
        (BatchRows::Rows(128), 30, 3),
        "those of the preset"
    );
    assert_eq!(config.top.validate, Validate::LastCycle);
    check::check(&config, &case.path("short.toml")).unwrap();
    let own = case.init("own.toml", &[&local[..], &["--own", "bank", "--align"]].concat()).unwrap();
    assert_eq!(own.run.code_forms().collect::<Vec<_>>(), [CodeForm::new(16, 4), CodeForm::new(1, 5)]);
    check::check(&own, &case.path("own.toml")).unwrap();

    let values = Case::new(&table("id,y", 60, |row| format!("k{row},{row}.5")));
    for (case, more, expected) in [
        (&values, &["--short-codes"][..], "--short-codes is for two classes, and the task is regression"),
        (&case, &["--short-codes", "--own", "shop"], "--own names shop"),
        (&case, &["--own", "bank"], "--short-codes"),
    ] {
        let error = case.init("refused.toml", more).unwrap_err();
        assert!(error.contains(expected) && !case.path("refused.toml").exists(), "{error}");
    }
}

#[test]
fn the_label_is_not_taken_for_the_id() {
    let case = Case::new(&table("y,customer", 60, |row| format!("{},c{row}", row % 2)));
    let config = case.init("coordinator.toml", &[]).unwrap();
    let LabelsSource::Csv(labels) = config.labels else { panic!("labels of CSV") };
    assert_eq!((labels.id.names(), labels.column.as_str()), (&["customer".to_owned()][..], "y"));
    let case = Case::new(&table("y,age", 60, |row| format!("{},{row}", row % 2)));
    let error = case.init("coordinator.toml", &[]).unwrap_err();
    assert!(error.contains("has the name of an id") && error.contains("--id"), "{error}");
}

#[test]
fn what_is_no_table_of_labels_is_refused_with_the_reason() {
    for (text, more, expected) in [
        ("id,y\nk1,1\nk2,\nk3,0\n", &[][..], "1 of 3 records have no label"),
        ("id,y\nk1,1\nk2,0\nk3,0\n", &["--label", "z"], "no column \"z\""),
        ("id,y\nk1,Yes\nk2,yes\nk3,no\n", &[], "1 of its classes differ from another class only in spelling"),
        ("k1,1\nk2,0\nk3,0\n", &[], "looks like a record"),
        ("k1,1\nk2,0\nk3,0\n", &["--label", "1"], "looks like a record"),
        ("id,\"new\nline\"\nk1,1\nk2,0\n", &["--label", "new\nline"], "a column's name spans several lines"),
        ("id,y\nk1,1\nk1,0\nk3,0\n", &[], "with the id of an earlier record"),
        ("id;y\nk1;1\n", &[], "semicolons"),
        ("\0\0\u{8}\u{1}\0\0", &[], "an IDX file"),
    ] {
        let case = Case::new(text);
        let error = case.init("coordinator.toml", more).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 1, "nothing is written");
    }
}

#[test]
fn paths_and_names_are_read_back_as_they_are() {
    for name in ["re\u{301}sultats", "zero\u{200b}width", "a\"b\\c", "{{run_id}}"] {
        let case = Case::new("");
        let folder = case.path(name);
        fs::create_dir(&folder).unwrap();
        let quoted_name = format!("\"{}\"", name.replace('"', "\"\""));
        let text = table(&format!("id,{quoted_name}"), 60, |row| format!("k{row},{}", row % 2));
        fs::write(folder.join("labels.csv"), text).unwrap();
        let out = folder.join("coordinator.toml");
        let table = folder.join("labels.csv").display().to_string();
        let line = ["init", "--from", &table, "--label", name, "--out", out.to_str().unwrap()];
        write(&Line::try_parse_from(line).unwrap().arguments).unwrap();
        let config = CoordinatorConfig::read(&out).unwrap();
        let free = CoordinatorConfig { listen: "127.0.0.1:0".parse().unwrap(), ..config };
        check::check(&free, &out).unwrap();
    }
}

#[test]
fn all_that_an_aligned_run_needs_is_written_beside_it() {
    let case = Case::new(&table("id,y", 60, |row| format!("k{row},{}", row % 2)));
    fs::write(case.path("new.csv"), "id\nn1\nn2\n").unwrap();
    let new = case.path("new.csv").display().to_string();
    let config =
        case.init("coordinator.toml", &["--align", "--new", &new, "--listen", "127.0.0.1:0"]).unwrap();
    assert_eq!(config.order, Some(case.path("labels-align/order.csv")));
    assert_eq!(config.serve.order, Some(case.path("labels-align-served/order.csv")));
    let to_do = check::check(&config, Path::new("coordinator.toml")).unwrap().to_do;
    assert!(to_do[0].contains("coordinator identity init"), "{to_do:?}");
    let to_do = to_do.join("\n");
    for expected in ["bank=KEY telecom=KEY", "coordinator align --config", "coordinator align --served"] {
        assert!(to_do.contains(expected), "{to_do}");
    }
    assert!(case.path("labels.key").exists() && case.path("labels-policy.toml").exists());
}

#[test]
fn what_comes_next_is_said_in_the_order_in_which_it_is_done() {
    let Line { arguments } = Line::try_parse_from(["init", "--from", "labels.csv", "--align"]).unwrap();
    let first = FirstAlignment {
        name: arguments.labels.clone(),
        parties: arguments.parties.clone(),
        labels: arguments.labels.clone(),
        run: arguments.run_id.clone(),
        key_columns: 1,
    };
    let steps = next_steps(&arguments, Some(&first));
    let commands =
        ["identity init --config", "pin --config coordinator.toml bank=KEY telecom=KEY", "align --config"];
    assert_eq!(steps.len(), 4);
    for (step, command) in steps.iter().zip(commands) {
        assert!(step.contains(&format!("\n  coordinator {command}")), "{steps:?}");
    }
    assert_eq!(next_steps(&arguments, None).len(), 2, "nothing is aligned");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_config_is_read_as_it_is_meant_or_not_written(
        name in "[\\PC\"\\\\\n\t{}\u{301}\u{200b}\u{7f}]{1,6}",
        labels in prop::collection::vec("([0-3]|[a-c]|NA|)", 1..4),
    ) {
        let header = format!("id,\"{}\"", name.replace('"', "\"\""));
        let case = Case::new(&table(&header, 30, |row| format!("k{row},{}", labels[row % labels.len()])));
        match case.init("coordinator.toml", &[&format!("--label={name}"), "--listen", "127.0.0.1:0"]) {
            Err(_) => prop_assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 1),
            Ok(config) => prop_assert!(check::check(&config, Path::new("coordinator.toml")).is_ok()),
        }
    }
}
