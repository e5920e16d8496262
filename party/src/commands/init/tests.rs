use clap::Parser;
use hashvfl_core::CodeForm;
use hashvfl_core::settings::BatchRows;
use hashvfl_data::load_as;
use hashvfl_monitor::MonitorAddress;
use proptest::prelude::*;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// A folder with a table, and `init` on it.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new(table: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bank.csv"), table).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn init(&self, out: &str, more: &[&str]) -> Result<String, String> {
        let (table, out) = (self.path("bank.csv"), self.path(out));
        let line = ["init", "--from", table.to_str().unwrap(), "--out", out.to_str().unwrap()];
        let line = Line::try_parse_from(line.iter().chain(more)).map_err(|error| error.to_string())?;
        write(&line.arguments).map_err(|error| format!("{error:#}"))?;
        Ok(fs::read_to_string(&out).unwrap())
    }

    fn config(&self, out: &str) -> PartyConfig {
        PartyConfig::read(&self.path(out)).unwrap()
    }
}

/// A table of so many records, each line made of its number.
fn table(header: &str, records: usize, line: impl Fn(usize) -> String) -> String {
    let lines: String = (0..records).map(|row| line(row) + "\n").collect();
    format!("{header}\n{lines}")
}

#[test]
fn the_written_config_loads_the_table_as_it_is() {
    let case = Case::new(&table("id,\"co\"\"de\",pay,job,full.name,country", 300, |row| {
        let pay = if row % 10 == 0 { "NA".to_string() } else { format!("{row}.5") };
        format!("k{row},{},{pay},{},name {row},same", row % 4, ["clerk", "smith", ""][row % 3])
    }));
    let text = case.init("party.toml", &[]).unwrap();
    for line in [
        r#"columns = ["co\"de", "pay", "job"]"#,
        r#""full.name" (an id or free text), "country" (the same in every record)"#,
        r#"null_values = ["NA"]"#,
        r#""co\"de" = "number"  # 4 whole numbers: use "category" if they are codes"#,
        r#""pay" = { kind = "number", missing = "fill" }  # 30 of 300 missing (10.0 %)"#,
        r#""job" = { kind = "category", missing = "fill" }  # 2 categories; 100 of 300 missing (33.3 %): one category more"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("clerk"), "{text}");
    let config = case.config("party.toml");
    let socket = config.monitor.as_ref().and_then(MonitorAddress::socket);
    assert_eq!(socket, Some(case.path("bank.sock").as_path()));
    case.init("second.toml", &["--name", "telecom"]).unwrap();
    assert_eq!(case.config("second.toml").run.parties, config.run.parties, "two that fit");
    let loaded = load_as(&config.columns, &config.treatment()).unwrap();
    assert_eq!((loaded.ids.len(), loaded.names.len()), (300, 3));
    let again = case.init("party.toml", &[]).unwrap_err();
    assert!(again.contains("already exists"), "{again}");
}

#[test]
fn where_no_socket_can_be_made_none_is_named_and_the_check_is_content() {
    let case = Case::new(&table("id,age,y", 60, |row| format!("k{row},{row},{}", row % 2)));
    let folder = "f".repeat(120);
    fs::create_dir(case.path(&folder)).unwrap();
    let out = format!("{folder}/party.toml");
    let text = case.init(&out, &["--ignore", "y"]).unwrap();
    assert!(text.contains("\n# monitor = \"unix:bank.sock\"\n"), "{text}");
    let config = case.config(&out);
    assert_eq!(config.monitor, None);
    check::check(&config, &case.path(&out)).unwrap();
}

#[test]
fn the_preset_fits_the_task() {
    let case = Case::new(&table("id,age,y", 3000, |row| format!("k{row},{},{}.5", row % 50, row % 900)));
    case.init("classes.toml", &["--ignore", "y", "--task", "binary"]).unwrap();
    case.init("values.toml", &["--ignore", "y"]).unwrap();
    let (classes, values) = (case.config("classes.toml").run, case.config("values.toml").run);
    assert_eq!((classes.task, classes.bits, classes.batch_rows), (Task::Binary, 16, BatchRows::Auto));
    assert_eq!((values.task, values.bits, values.batch_rows), (Task::Regression, 64, BatchRows::Auto));
}

#[test]
fn a_private_config_has_the_short_code_except_for_the_party_that_is_named() {
    let case = Case::new(&table("id,age,y", 300, |row| format!("k{row},{},{}", row % 50, row % 2)));
    let of = |out: &str, more: &[&str]| {
        let text = case.init(out, &[&["--ignore", "y", "--short-codes"][..], more].concat()).unwrap();
        let config = case.config(out);
        check::check(&config, &case.path(out)).unwrap();
        (text, config)
    };
    let (text, config) = of("short.toml", &[]);
    assert!(text.contains("preset = \"tabular-short\"") && !text.contains("batch_rows"), "{text}");
    assert!(!text.contains("[run.codes") && !text.contains("[encoder"), "{text}");
    assert_eq!((config.code_form(), config.encoder.hash.noise), (CodeForm::new(1, 5), 0.1));
    let run = &config.run;
    assert_eq!(
        (run.batch_rows, run.epochs, run.cycles),
        (BatchRows::Rows(128), 30, 3),
        "those of the preset"
    );
    assert_eq!(config.encoder.hash.initial_noise, Some(3.0));

    let (_, bank) = of("bank.toml", &["--own", "bank"]);
    assert_eq!((bank.code_form(), bank.encoder.hash.noise), (CodeForm::new(16, 4), 0.4));
    assert_eq!(bank.encoder.hash.initial_noise, Some(3.0), "the preset's, beside a noise of its own");
    let (_, telecom) = of("telecom.toml", &["--own", "bank", "--name", "telecom", "--align"]);
    assert_eq!((telecom.code_form(), telecom.encoder.hash.noise), (CodeForm::new(1, 5), 0.1));
    assert_eq!(telecom.run, bank.run, "all sides have the same table");

    for (more, expected) in [
        (&["--short-codes", "--task", "multiclass"][..], "--short-codes is for two classes"),
        (&["--short-codes", "--own", "shop"], "--own names shop"),
        (&["--own", "bank"], "--short-codes"),
    ] {
        let error = case.init("refused.toml", more).unwrap_err();
        assert!(error.contains(expected) && !case.path("refused.toml").exists(), "{error}");
    }
}

#[test]
fn nothing_is_dropped_that_may_be_a_number() {
    let case = Case::new(&table("id,age,error,word,thousands,comma,percent,since", 250, |row| {
        let error = if row == 7 { "#DIV/0!".to_string() } else { format!("{}.5", row / 7) };
        let word = if row == 200 { "see file".to_string() } else { format!("{row}") };
        format!(
            "k{row},{},{error},{word},\"1,{row:03}\",\"{row},{}\",{}%,2024-01-{:02}",
            20 + row % 40,
            row % 7,
            row % 30,
            1 + row % 28
        )
    }));
    let error = case.init("party.toml", &[]).unwrap_err();
    assert!(error.contains("\"word\", \"thousands\", \"comma\", \"percent\". For each"), "{error}");
    assert!(
        error.contains("--null TEXT") && !error.contains("see file") && !case.path("party.toml").exists()
    );
    let wishes =
        ["--null", "see file", "--ignore", "thousands", "--ignore", "comma", "--category", "percent"];
    let text = case.init("party.toml", &wishes).unwrap();
    assert!(text.contains(r#"columns = ["age", "error", "word", "percent"]"#), "{text}");
    assert!(text.contains(r#""word" = { kind = "number", missing = "fill" }"#), "{text}");
    assert!(text.contains(r#""percent" = "category"  # 30 categories"#), "{text}");
    assert!(text.contains(r#""since" (dates or times"#), "{text}");
    let unknown = case.init("other.toml", &["--ignore", "tousands"]).unwrap_err();
    assert!(unknown.contains("\"tousands\", which --ignore names"), "{unknown}");
}

#[test]
fn what_is_on_screen_is_said_of_each_column() {
    let case = Case::new(&table("id,p0,p1,p2,job,town,word", 300, |row| {
        let word = if row == 1 { "x".to_string() } else { row.to_string() };
        format!("k{row},{row}.5,{row}.5,{row}.5,{},same,{word}", ["a", "b"][row % 2])
    }));
    let survey = survey(&case.path("bank.csv"), &Hints::default()).unwrap();
    let columns = ColumnPlan::decide(&survey, &ColumnOverrides { ignore: &[], category: &[] }).unwrap();
    assert_eq!(
        columns.for_screen(),
        "  \"p0\" to \"p2\" (3 columns): number\n  \"job\": category; 2 categories\n  \
         \"town\": excluded: the same in every record\n  \"word\": not decided: numbers, but text on line 3\n"
    );
}

#[test]
fn a_first_line_that_may_be_a_record_is_never_written() {
    let record =
        Case::new(&table("k0,secret,30", 50, |row| format!("k{row},{},{row}", ["secret", "x"][row % 2])));
    let unclear = Case::new("anna,berlin\nbert,paris\ncarl,rome\n");
    for (case, expected) in [(record, "looks like a record"), (unclear, "may be a record")] {
        let error = case.init("party.toml", &[]).unwrap_err();
        assert!(error.contains(expected) && error.contains("--header"), "{error}");
        assert!(!error.contains("secret") && !error.contains("berlin"), "{error}");
        assert!(!case.path("party.toml").exists());
    }
    let named =
        Case::new(&table("customer,town", 60, |row| format!("k{row},{}", ["rome", "paris"][row % 2])));
    assert!(named.init("a.toml", &[]).unwrap_err().contains("may be a record"));
    assert!(
        named.init("a.toml", &["--header"]).is_ok() && named.init("b.toml", &["--id", "customer"]).is_ok()
    );
}

#[test]
fn a_label_that_was_named_is_no_column_and_tells_the_task() {
    for (label, expected) in [("2", Task::Binary), ("3", Task::Multiclass)] {
        let classes: usize = label.parse().unwrap();
        let case = Case::new(&table("id,age,y", 60, |row| format!("k{row},{row},{}", row % classes)));
        let text = case.init("party.toml", &["--ignore", "y"]).unwrap();
        assert!(text.contains(r#"columns = ["age"]"#) && text.contains("\"y\" (--ignore)"), "{text}");
        assert_eq!(case.config("party.toml").run.task, expected);
        let said = case.init("said.toml", &["--ignore", "y", "--task", "regression"]).unwrap();
        assert!(said.contains("task = \"regression\""), "{said}");
    }
}

#[test]
fn no_measured_value_and_no_label_is_taken_for_the_id() {
    let case = Case::new(&table("price,area,rooms", 60, |row| format!("{row}.5,{},{}", row % 40, row % 5)));
    let error = case.init("party.toml", &[]).unwrap_err();
    assert!(error.contains("has the name of an id") && error.contains("--id"), "{error}");
    assert!(!case.path("party.toml").exists());
    let text = case.init("party.toml", &["--id", "price"]).unwrap();
    assert!(text.contains(r#"id = "price""#), "{text}");
    let case = Case::new(&table("age,customerId,pay", 60, |row| format!("{},c{row},{row}.5", row % 9)));
    let text = case.init("party.toml", &[]).unwrap();
    assert!(text.contains(r#"id = "customerId""#) && text.contains(r#"columns = ["age", "pay"]"#), "{text}");
    let case = Case::new(&table("y,customer,age", 60, |row| format!("{},c{row},{row}", row % 2)));
    let text = case.init("party.toml", &["--ignore", "y"]).unwrap();
    assert!(text.contains(r#"id = "customer""#) && text.contains(r#"columns = ["age"]"#), "{text}");
}

#[test]
fn what_cannot_be_trained_on_is_refused_with_the_reason() {
    for (text, more, expected) in [
        ("id,country\n1,x\n2,x\n", &[][..], "the same in every record"),
        ("id,a\n1,2\n2,3\n3,4\n", &[], "no config is written"),
        (
            "id,a\nk1,1\nk1,2\nk2,3\nk3,1\nk4,1\nk5,3\nk6,3\nk7,5\nk8,9\nk9,2\n",
            &[],
            "with the id of an earlier record",
        ),
        (
            "id,a\n1,2\n",
            &["--parties", "x,telecom"],
            "the run's parties are x, telecom, and this party is bank",
        ),
        ("id,a\n1,2\n", &["--name", "shop"], "the run's parties are bank, telecom, and this party is shop"),
        ("id,a\n1,2\n", &["--id", "key"], "no column \"key\""),
        ("id,a\n1,2\n", &["--coordinator", "http://user:secret@h:1"], "without a user or password"),
        ("id;a\n1;2\n", &[], "semicolons"),
        ("id a\n1 2\n2 3\n", &[], "has one column only"),
    ] {
        let case = Case::new(text);
        let error = case.init("party.toml", more).unwrap_err();
        assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 1, "nothing is written");
    }
}

#[test]
fn columns_without_a_name_and_braces_in_names_are_no_harm() {
    let case = Case::new(&table(",id,{{types}},{columns},\"a\u{301} \u{200b}\u{7f}\"\"\\\"", 50, |row| {
        format!("{row},k{row},{},{},{row}", row % 9, row % 7)
    }));
    let text = case.init("party.toml", &[]).unwrap();
    assert!(text.contains(r#""" (it has no name)"#), "{text}");
    let config = case.config("party.toml");
    let loaded = load_as(&config.columns, &config.treatment()).unwrap();
    assert_eq!(loaded.names, ["{{types}}", "{columns}", "a\u{301} \u{200b}\u{7f}\"\\"]);
}

#[test]
fn all_that_an_aligned_run_needs_is_written_beside_it() {
    let case = Case::new(&table("id,age,y", 60, |row| format!("k{row},{row},{}", row % 2)));
    fs::copy(case.path("bank.csv"), case.path("new.csv")).unwrap();
    let new = case.path("new.csv").display().to_string();
    let more = ["--parties", "bank,telecom", "--ignore", "y", "--align", "--new", &new];
    case.init("bank.toml", &more).unwrap();
    let config = case.config("bank.toml");
    assert_eq!(config.order, Some(case.path("bank-align/order.csv")));
    assert_eq!(config.serve.order, Some(case.path("bank-align-served/order.csv")));
    let checked = check::check(&config, Path::new("bank.toml")).unwrap();
    assert!(checked.to_do[0].contains("party identity request"), "{:?}", checked.to_do);
    let to_do = checked.to_do.join("\n");
    for expected in ["telecom=KEY labels=KEY", "party align --config", "party align --served --config"] {
        assert!(to_do.contains(expected), "{to_do}");
    }
    let key = fs::read(case.path("bank.key")).unwrap();
    case.init("again.toml", &more).unwrap();
    assert_eq!(fs::read(case.path("bank.key")).unwrap(), key, "the key is kept");
    let error = case.init("other.toml", &["--align", "--labels", "bank"]).unwrap_err();
    assert!(error.contains("--labels"), "{error}");
}

#[test]
fn what_comes_next_is_said_in_the_order_in_which_it_is_done() {
    let Line { arguments } = Line::try_parse_from(["init", "--from", "bank.csv", "--align"]).unwrap();
    let first = FirstAlignment {
        name: arguments.name.clone(),
        parties: arguments.parties.clone(),
        labels: arguments.labels.clone(),
        run: arguments.run_id.clone(),
        key_columns: 1,
    };
    let steps = next_steps(&arguments, Some(&first));
    let commands =
        ["identity request --config", "pin --config party.toml telecom=KEY labels=KEY", "align --config"];
    assert_eq!(steps.len(), 4);
    for (step, command) in steps.iter().zip(commands) {
        assert!(step.contains(&format!("\n  party {command}")), "{steps:?}");
    }
    assert_eq!(next_steps(&arguments, None).len(), 2, "nothing is aligned");
}

/// A name of a column or a cell in a line of CSV.
fn cell(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever a table holds: the config that is written loads all of it, or none is written.
    #[test]
    fn a_config_is_read_as_it_is_meant_or_not_written(
        names in prop::collection::vec("[\\PC\"\\\\\n\t{}\u{301}\u{200b}\u{7f}=#\\[\\]]{0,6}", 1..5),
        cells in prop::collection::vec("(-?[0-9]{1,4}(\\.[0-9])?|[a-z#/!%]{1,3}|\\PC{0,3}|)", 1..40),
    ) {
        let header = names.iter().map(|name| cell(name)).collect::<Vec<_>>().join(",");
        let case = Case::new(&table(&format!("id,{header}"), 30, |row| {
            let row_cells = (0..names.len()).map(|column| cell(&cells[(row * names.len() + column) % cells.len()]));
            format!("k{row},{}", row_cells.collect::<Vec<_>>().join(","))
        }));
        match case.init("party.toml", &[]) {
            Err(_) => prop_assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 1),
            Ok(_) => {
                let config = case.config("party.toml");
                let checked = check::check(&config, Path::new("party.toml"));
                prop_assert!(checked.is_ok(), "{:#}", checked.err().unwrap());
            }
        }
    }
}
