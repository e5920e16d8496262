//! A query that selects all of a file gives what the file's own reader gives, sorted by id, or is refused.

use std::collections::BTreeMap;
use std::fs;

use hashvfl_data::Table;
use proptest::prelude::*;

use crate::expected::{bits, categories, numbers, texts};
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
