//! A query that selects all of a table's files gives what was written to them, sorted by id, or is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hashvfl_data::{ColumnType, Table};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::expected::{ascii_trimmed, bits, categories, category, numbers, texts};
use crate::parquet_tables::{Record, record, write};
use crate::{cases, read, settings};

const TYPES: &str = "figure = \"number\"\nword = \"category\"";

/// What a table says of each record.
fn by_id(table: &Table) -> BTreeMap<String, (u32, Option<String>)> {
    let at = |name: &str| table.names.iter().position(|found| found == name).unwrap();
    let cells = bits(table, at("figure")).into_iter().zip(categories(table, at("word")));
    table.ids.iter().cloned().zip(cells).collect()
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn a_query_gives_what_the_file_holds(
        records in prop::collection::vec(("[a-c]{0,2}[0-9]{1,3}", numbers(), texts()), 1..10),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut writer = csv::Writer::from_path(&path).unwrap();
        writer.write_record(["id", "figure", "word"]).unwrap();
        records.iter().for_each(|(id, figure, word)| writer.write_record([id, figure, word]).unwrap());
        drop(writer);
        let query = format!(
            "format = \"sql\"\nid = \"id\"\nquery = \"SELECT * FROM t\"\n[tables]\nt = {{ location = {path:?}, text = [\"id\", \"figure\", \"word\"] }}"
        );
        let own = read(&settings("csv", &path), TYPES);
        if let Ok(found) = read(&query, TYPES) {
            prop_assert_eq!(found.ids.len(), records.len());
            if let Ok(own) = own {
                prop_assert_eq!(by_id(&found), by_id(&own));
            }
        }
        // A quote where none belongs takes no record away without a word.
        let mut text = fs::read(&path).unwrap();
        text.insert(text.len() / 2, b'"');
        fs::write(&path, &text).unwrap();
        if let Ok(found) = read(&query, TYPES) {
            prop_assert_eq!(found.ids.len(), records.len());
        }
    }
}

/// The query of all records of the files in `folder`, or of a file, whose ids are texts.
fn of_all(location: &Path, format: &str, more: &str) -> String {
    format!(
        "format = \"sql\"\nid = \"id\"\nquery = \"SELECT * FROM t\"\n[tables]\nt = {{ location = {location:?}, format = {format:?}{more} }}"
    )
}

/// Whether what column `at` of the table says of row `row` is what a cell says, be it taken for a number or a category.
fn says(table: &Table, at: usize, row: usize, cell: &str) -> bool {
    let found = table.matrix.row(row)[at];
    if cell.trim().is_empty() {
        return found.is_nan();
    }
    match table.contents[at].kind() {
        ColumnType::Number => ascii_trimmed(cell).parse::<f64>().is_ok_and(|number| number as f32 == found),
        ColumnType::Category => categories(table, at)[row] == category(cell),
    }
}

/// Texts of a column of which the engine decides what it holds.
fn figures() -> impl Strategy<Value = Vec<String>> {
    let whole = (-1000_i32..1000).prop_map(|number| number.to_string());
    let fraction = (-1000_i32..1000).prop_map(|number| format!("{:.2}", f64::from(number) / 8.0));
    prop_oneof![
        3 => prop::collection::vec(whole, 12),
        3 => prop::collection::vec(fraction, 12),
        2 => prop::collection::vec(numbers(), 12),
    ]
}

proptest! {
    #![proptest_config(cases(60))]

    /// Several CSV files whose types the engine infers, from the first records alone: each cell is what was written, or the
    /// table is refused. Files of unlike headers always are.
    #[test]
    fn several_csv_files_give_what_they_hold(
        figures in figures(),
        words in prop::collection::vec(texts(), 12),
        cut in 1_usize..11,
        infer_rows in 1_usize..12,
        swapped: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        for (file, rows) in [0..cut, cut..12].into_iter().enumerate() {
            let mut writer = csv::Writer::from_path(folder.path().join(format!("{file}.csv"))).unwrap();
            let is_swapped = swapped && file == 1;
            let line = |id: String, figure: &str, word: &str| match is_swapped {
                false => [id, figure.to_owned(), word.to_owned()],
                true => [id, word.to_owned(), figure.to_owned()],
            };
            writer.write_record(line("id".into(), "figure", "word")).unwrap();
            for row in rows {
                writer.write_record(line(format!("k{row:02}"), &figures[row], &words[row])).unwrap();
            }
        }
        let found = read(&of_all(folder.path(), "csv", &format!(", infer_rows = {infer_rows}")), "");
        prop_assert!(!swapped || found.is_err());
        if let Ok(table) = found {
            prop_assert_eq!(&table.names, &["figure", "word"]);
            prop_assert_eq!(table.ids.len(), 12);
            for row in 0..12 {
                prop_assert!(says(&table, 0, row, &figures[row]), "{:?} of {:?}", &figures[row], &figures);
                prop_assert!(says(&table, 1, row, &words[row]), "{:?} of {:?}", &words[row], &words);
            }
        }
    }

    /// JSON lines in two files: whole numbers and fractions of one column, keys that come late or never, in any order.
    #[test]
    fn json_lines_give_what_they_hold(
        records in prop::collection::vec((prop::option::weighted(0.8, figure()), prop::option::weighted(0.8, texts())), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        // A column without any value has no type.
        let mut all = vec![(Some(json!(1)), Some("a".to_owned()))];
        all.extend(records);
        let lines: Vec<String> = all.iter().enumerate().map(|(row, (figure, word))| {
            let mut object = Map::new();
            object.insert("id".into(), json!(format!("k{row:02}")));
            object.extend(figure.clone().map(|figure| ("figure".to_owned(), figure)));
            object.extend(word.clone().map(|word| ("word".to_owned(), json!(word))));
            Value::Object(object).to_string() + "\n"
        }).collect();
        let cut = 1 + cut.index(lines.len());
        let files = [&lines[..cut], &lines[cut..]];
        for (file, lines) in files.into_iter().filter(|lines| !lines.is_empty()).enumerate() {
            fs::write(folder.path().join(format!("{file}.json")), lines.concat()).unwrap();
        }
        let found = read(&of_all(folder.path(), "json", ", infer_rows = 1"), "");
        let is_plain = all.iter().flat_map(|record| &record.0).all(|figure| figure.as_f64().unwrap().abs() <= 1e6);
        prop_assert!(found.is_ok() || !is_plain, "{}", found.unwrap_err());
        if let Ok(table) = found {
            let at = |name: &str| table.names.iter().position(|found| found == name).unwrap();
            let (figures, words) = (at("figure"), categories(&table, at("word")));
            prop_assert_eq!(table.ids.len(), all.len());
            for (row, (figure, word)) in all.iter().enumerate() {
                let value = table.matrix.row(row)[figures];
                match figure {
                    Some(figure) => prop_assert_eq!(value, figure.as_f64().unwrap() as f32),
                    None => prop_assert!(value.is_nan()),
                }
                prop_assert_eq!(&words[row], &word.as_deref().and_then(category));
            }
        }
    }

    /// A Parquet file gives what its own reader gives.
    #[test]
    fn a_query_of_parquet_gives_what_the_file_holds(
        groups in prop::collection::vec(prop::collection::vec(record(), 1..8), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        write(&path, &groups, true);
        if let Ok(found) = read(&of_all(&path, "parquet", ""), "") {
            let records: Vec<&Record> = groups.iter().flatten().collect();
            prop_assert_eq!(found.ids.len(), records.len());
            if let Ok(own) = read(&settings("parquet", &path), "") {
                prop_assert_eq!(cells(&found), cells(&own));
            }
        }
    }
}

/// A number of JSON: whole or not, some of more digits than floats hold.
fn figure() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-1000_i64..1000).prop_map(|number| json!(number)),
        3 => (-1e6_f32..1e6).prop_map(|number| json!(f64::from(number))),
        1 => any::<i64>().prop_map(|number| json!(number)),
    ]
}

/// What a table of the columns a, b, c and d says of each record, by its id without blanks around it.
fn cells(table: &Table) -> BTreeMap<String, (Vec<u32>, Option<String>)> {
    let at = |name: &str| table.names.iter().position(|found| found == name).unwrap();
    let numbers: Vec<Vec<u32>> = ["a", "b", "d"].map(|name| bits(table, at(name))).into();
    let words = categories(table, at("c"));
    let of =
        |row: usize| (numbers.iter().map(|column| column[row]).collect::<Vec<u32>>(), words[row].clone());
    table.ids.iter().enumerate().map(|(row, id)| (ascii_trimmed(id).to_owned(), of(row))).collect()
}
