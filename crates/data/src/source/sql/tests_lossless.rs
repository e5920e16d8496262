//! What a query would lose or change without a word.

use super::*;

#[test]
fn csv_tables_are_held_to_rfc_4180_and_no_cell_of_a_headerless_one_is_shown() {
    let bank = Bank::new();
    let refused = |name: &str, text: &str, query: &str, more: &str| {
        if name.ends_with(".gz") {
            let mut gzip = GzEncoder::new(File::create(bank.path(name)).unwrap(), Compression::fast());
            gzip.write_all(text.as_bytes()).unwrap();
            gzip.finish().unwrap();
        } else {
            bank.write(name, text);
        }
        let message =
            load_as(&one(bank.folder.path(), name, query, more), &filled()).unwrap_err().to_string();
        assert!(!message.contains("secret") && !message.contains('\n'), "{message}");
        message
    };
    let open = "id,a,town\nk1,1,x\nk2,2,\"secret\nk3,3,x\n";
    for name in ["open.csv", "open.csv.gz"] {
        let message = refused(name, open, "SELECT * FROM t", "");
        assert!(message.contains(&format!("{name}, line 3: a quoted cell begins here")), "{message}");
    }
    let semicolons = open.replace(',', ";");
    assert!(refused("semi.csv", &semicolons, "SELECT * FROM t", ", delimiter = \";\"").contains("line 3"));

    let people = "C000,secret smith,secret leeds\nC001,Bob,York\n";
    for query in ["SELECT * FROM t", "SELECT id FROM t", "SELECT nothing AS id FROM t"] {
        assert!(refused("people.csv", people, query, "").contains("id") || query.contains("nothing"));
    }
    let twice = refused("twice.csv", "id,secret,secret\nk1,1,2\n", "SELECT * FROM t", "");
    assert!(
        twice.contains("tables.t") || twice.contains("the same name") || twice.contains("of one name"),
        "{twice}"
    );

    // Cells of several lines are read as such, also where the engine reads in parts.
    bank.write("lines.csv", "id,a,note\nk1,1,\"one\ntwo, three\"\nk2,2,x\n");
    let table = load_as(&one(bank.folder.path(), "lines.csv", "SELECT * FROM t", ""), &filled()).unwrap();
    assert_eq!((table.ids.len(), table.matrix.row(1)[0]), (2, 2.0));
}

#[test]
fn whole_numbers_that_64_bits_of_a_float_do_not_hold_are_refused() {
    let bank = Bank::new();
    let column = |from: i64| -> Vec<(&str, ArrayRef)> {
        let ids: Vec<i64> = (0..100).collect();
        let values: Vec<i64> = (0..100).map(|row| from + row).collect();
        vec![("id", Arc::new(Int64Array::from(ids))), ("a", Arc::new(Int64Array::from(values)))]
    };
    for (from, expected) in [
        ((1 << 53) + 1, "a number of more digits than 64 bits hold; subtract a constant in the query"),
        (1_700_000_000, "\"a\": 100 distinct numbers become 2 in 32 bits"),
    ] {
        bank.parquet("accounts.parquet", column(from));
        let message = bank.refused("SELECT * FROM accounts");
        assert!(message.contains(expected), "{message}");
    }
    let treatment = Treatment { types: types("a = \"category\""), ..filled() };
    bank.parquet("accounts.parquet", column((1 << 53) + 1));
    let table = bank.load("SELECT * FROM accounts", &treatment).unwrap();
    let Content::Category(names) = &table.contents[0] else { panic!("categories") };
    assert_eq!(names.len(), 100, "texts are exact");
}

#[test]
fn a_number_that_is_none_is_no_category() {
    let bank = Bank::new();
    bank.parquet(
        "accounts.parquet",
        vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2]))),
            ("a", Arc::new(Float64Array::from(vec![2.0, f64::NAN]))),
        ],
    );
    let declared = Treatment { types: types("a = \"category\""), ..filled() };
    let message = bank.load("SELECT * FROM accounts", &declared).unwrap_err().to_string();
    assert!(message.contains("not finite"), "{message}");
    let listed = Treatment { null_values: vec!["NaN".into()], ..declared };
    assert!(bank.load("SELECT * FROM accounts", &listed).unwrap().matrix.values()[1].is_nan());
}

#[test]
fn numbers_that_stand_for_a_missing_value_do_so_in_a_query_too() {
    let bank = Bank::new();
    bank.write("customers.csv", "id,whole,real\nk1,-999,1.5\nk2,3,-999.0\nk3,4,2.5\n");
    let treatment = Treatment { null_values: vec!["-999".into()], ..filled() };
    let table = bank.load("SELECT *, id <> 'k1' AS truth FROM customers", &treatment).unwrap();
    assert!(table.matrix.row(0)[0].is_nan() && table.matrix.row(1)[1].is_nan());
    assert_eq!(table.matrix.row(2), [4.0, 2.5, 1.0]);
    let zero = Treatment { null_values: vec!["0".into()], ..filled() };
    let table = bank.load("SELECT *, id <> 'k1' AS truth FROM customers", &zero).unwrap();
    assert_eq!(table.matrix.row(0)[2], 0.0, "a truth is no number that is written");
    let strict = Treatment { null_values: vec!["-999".into()], ..Treatment::default() };
    let message = bank.load("SELECT * FROM customers", &strict).unwrap_err().to_string();
    assert!(message.contains("found an empty cell"), "{message}");
}

/// A folder of these files as the table `t`, in the order of their names.
fn folder_of(files: &[&str], ending: &str, more: &str) -> (TempDir, ColumnsSource) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("t")).unwrap();
    for (at, text) in files.iter().enumerate() {
        fs::write(folder.path().join(format!("t/{at}.{ending}")), text).unwrap();
    }
    let more = format!(", format = {ending:?}{more}");
    let source = one(folder.path(), "t", "SELECT * FROM t", &more);
    (folder, source)
}

#[test]
fn csv_files_of_unlike_headers_are_no_table() {
    let refused = |files: &[&str], more: &str| {
        let (_folder, source) = folder_of(files, "csv", more);
        let message = load_as(&source, &filled()).unwrap_err().to_string();
        assert!(!message.contains("secret"), "{message}");
        message
    };
    let first = "id,age,income\nk1,31,1000\nk2,32,2000\n";
    let swapped = refused(&[first, "id,income,age\nk3,3000,33\n"], "");
    assert!(
        swapped.contains("1.csv is not that of") && swapped.contains("0.csv: column 2 differs"),
        "{swapped}"
    );
    assert!(swapped.contains("write one header"), "{swapped}");
    // Also behind the records that decide the types, and where a file has none.
    for later in
        ["id,income,age\nk3,3000,33\n", "secret,77,78\nk4,34,4000\n", "id,age\nk3,33\n", " id,age,income\n"]
    {
        assert!(refused(&[first, later], ", infer_rows = 2").contains("1.csv is not that of"), "{later}");
    }
    let (_folder, source) =
        folder_of(&[first, "\u{feff}\"id\",age,income\r\nk3,33,3000\r\n", "id,age,income\n"], "csv", "");
    let table = load_as(&source, &filled()).unwrap();
    assert_eq!((table.ids.len(), table.matrix.row(2)), (3, &[33.0, 3000.0][..]));
}

#[test]
fn csv_files_whose_types_differ_have_the_type_of_all() {
    let numbers = ["id,a\nk1,1\n", "id,a\n", "id,a\nk2,\nk3,0.5\n"];
    let (_folder, source) = folder_of(&numbers, "csv", "");
    let table = load_as(&source, &filled()).unwrap();
    assert_eq!((table.contents[0].kind(), table.matrix.row(0)), (crate::ColumnType::Number, &[1.0][..]));
    assert!(table.matrix.row(1)[0].is_nan() && table.matrix.row(2) == [0.5]);
    let (_folder, source) = folder_of(&["id,a\nk1,1\n", "id,a\nk2,x\n"], "csv", "");
    let table = load_as(&source, &filled()).unwrap();
    assert_eq!(table.contents, [Content::Category(vec!["1".into(), "x".into()])]);
}

#[test]
fn a_column_without_values_at_first_keeps_those_that_come() {
    let (_folder, source) = folder_of(&["id,a\nk1,\nk2,\nk3,0.5\n"], "csv", ", infer_rows = 2");
    let table = load_as(&source, &filled()).unwrap();
    assert_eq!((table.contents[0].kind(), table.matrix.row(2)), (crate::ColumnType::Number, &[0.5][..]));
    let (_folder, source) = folder_of(&["id,a\nk1,\nk2,\nk3,secret\n"], "csv", ", infer_rows = 2");
    let message = load_as(&source, &filled()).unwrap_err().to_string();
    assert!(message.contains("raise infer_rows above 2") && !message.contains("secret"), "{message}");
}

#[test]
fn json_keeps_fractions_and_keys_that_come_late() {
    let early = "{\"id\": \"k1\", \"rate\": 1}\n{\"id\": \"k2\", \"rate\": 2}\n";
    let late = "{\"id\": \"k3\", \"rate\": 0.7, \"late\": 5}\n";
    let whole = format!("{early}{late}");
    for files in [&[whole.as_str()][..], &[early, late]] {
        let (_folder, source) = folder_of(files, "json", ", infer_rows = 1");
        let table = load_as(&source, &filled()).unwrap();
        assert_eq!(table.names, ["rate", "late"]);
        assert_eq!((table.matrix.row(0)[0], table.matrix.row(2)), (1.0, &[0.7, 5.0][..]));
        assert!(table.matrix.row(1)[1].is_nan());
    }
    let (_folder, source) = folder_of(&[early, "{\"id\": \"k3\", \"rate\": \"secret\"}\n"], "json", "");
    let message = load_as(&source, &filled()).unwrap_err().to_string();
    assert!(message.contains("\"rate\"") && !message.contains("secret"), "{message}");
}

#[test]
fn numbers_that_are_stored_as_texts_are_no_categories_in_silence() {
    let rows: String = (0..20).map(|row| format!("k{row:02},\u{2212}{row}.5\n")).collect();
    let (_folder, source) = folder_of(&[&format!("id,a\n{rows}")], "csv", "");
    let message = load_as(&source, &filled()).unwrap_err().to_string();
    assert!(message.contains("\"a\" holds 20 distinct numbers and 0 texts"), "{message}");
    let declared = Treatment { types: types("a = \"number\""), ..filled() };
    assert_eq!(load_as(&source, &declared).unwrap().matrix.row(3), [-3.5]);
    let (_folder, source) = folder_of(&[&format!("id,a\n{rows}")], "csv", ", text = [\"a\"]");
    assert!(load_as(&source, &declared).is_ok() && load_as(&source, &filled()).is_err());
}
