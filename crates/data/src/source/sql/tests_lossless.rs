//! What a query would lose or change without a word.

use datafusion::arrow::array::{Float32Array, UInt64Array};
use datafusion::arrow::datatypes::DataType;

use super::*;
use crate::source::sql::session::local;

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
    assert!(twice.contains("tables.t") || twice.contains("the same name"), "{twice}");

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
        (
            (1 << 53) + 1,
            "a number with more digits than a 64-bit float can hold; subtract a constant in the query",
        ),
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
fn whole_numbers_that_become_too_large_end_the_query_and_do_not_wrap_around() {
    let bank = Bank::new();
    let stamp = 1_700_000_000_000_000_000_i64;
    bank.parquet(
        "accounts.parquet",
        vec![
            ("id", Arc::new(Int64Array::from_iter_values(0..6))),
            ("half", Arc::new(Int32Array::from(vec![70_000; 6]))),
            ("large", Arc::new(Int64Array::from(vec![5_000_000_000; 6]))),
            ("stamp", Arc::new(Int64Array::from(vec![stamp; 6]))),
            ("unsigned", Arc::new(UInt64Array::from(vec![3; 6]))),
        ],
    );
    for query in [
        "SELECT id, large * large AS a FROM accounts",
        "SELECT id, half * half AS a FROM accounts",
        "SELECT id, stamp + stamp + stamp + stamp + stamp + stamp AS a FROM accounts",
        "SELECT id, -stamp - 8000000000000000000 AS a FROM accounts",
        "SELECT id, unsigned - CAST(5 AS BIGINT UNSIGNED) AS a FROM accounts",
        "SELECT 1 AS id, SUM(stamp) AS a FROM accounts",
        "SELECT id / 9 AS id, SUM(stamp) AS a FROM accounts GROUP BY id / 9",
        "SELECT id / 9 AS id, SUM(large * large) AS a FROM accounts GROUP BY id / 9",
        "SELECT id, SUM(stamp) OVER (ORDER BY id) AS a FROM accounts",
        "SELECT id, SUM(stamp) OVER (ORDER BY id ROWS BETWEEN 5 PRECEDING AND CURRENT ROW) AS a FROM accounts",
        "SELECT id, half AS a FROM accounts WHERE large * large > 5",
    ] {
        let message = bank.refused(query);
        assert!(
            message.contains("too large for its type") && !message.contains("1700"),
            "{query}: {message}"
        );
    }
    let values = |query: &str| bank.load(query, &filled()).unwrap().matrix.into_values();
    let wide = "CAST(large AS DECIMAL(20, 0)) * 2 AS a";
    assert_eq!(values(&format!("SELECT id, {wide} FROM accounts WHERE id = 0")), [1e10]);
    assert_eq!(values("SELECT id, unsigned - 2 AS a FROM accounts WHERE id = 0"), [1.0]);
    assert_eq!(
        values("SELECT id / 2 AS id, SUM(id) + 2 * COUNT(*) AS a FROM accounts GROUP BY id / 2"),
        [5.0, 9.0, 13.0]
    );
    let distinct =
        "SELECT id / 3 AS id, SUM(DISTINCT half) AS a, SUM(unsigned) AS b FROM accounts GROUP BY id / 3";
    assert_eq!(values(distinct), [70_000.0, 9.0, 70_000.0, 9.0]);
    let sliding =
        "SELECT id, SUM(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS a FROM accounts";
    assert_eq!(values(sliding), [0.0, 1.0, 3.0, 5.0, 7.0, 9.0]);
    let empty =
        "SELECT id, (SELECT SUM(half) FROM accounts WHERE id > 9) AS a, half FROM accounts WHERE id = 0";
    assert!(values(empty)[0].is_nan(), "a sum of nothing");
}

#[test]
fn sums_and_products_of_whole_numbers_keep_their_names_and_types() {
    let bank = Bank::new();
    let table =
        bank.load("SELECT customer AS id, customer + 20, customer * customer FROM accounts", &filled());
    assert_eq!(
        table.unwrap().names,
        ["accounts.customer + Int64(20)", "accounts.customer * accounts.customer"]
    );
    let ColumnsSource::Sql(source) = bank.source("SELECT 1 AS id") else { panic!("a query") };
    let session = local(&source).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let batches = runtime.block_on(async {
        let query = "SELECT a * a AS square, SUM(a + a) AS total FROM (VALUES (CAST(2 AS INT))) AS t (a) GROUP BY a * a";
        session.sql(query).await.unwrap().collect().await.unwrap()
    });
    let types: Vec<_> = batches[0].schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types, [DataType::Int32, DataType::Int64]);
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
    let fills = Treatment { null_values: vec!["-99.90".into(), "1e20".into()], ..filled() };
    bank.parquet(
        "accounts.parquet",
        vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            ("narrow", Arc::new(Float32Array::from(vec![-99.9, 2.5, 1e20]))),
            ("wide", Arc::new(Float64Array::from(vec![-99.9, 2.5, 1e20]))),
        ],
    );
    let table = bank.load("SELECT * FROM accounts", &fills).unwrap();
    let missing: Vec<bool> = table.matrix.values().iter().map(|value| value.is_nan()).collect();
    assert_eq!(missing, [true, true, false, false, true, true]);
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
fn numbers_that_the_engine_would_round_are_refused_where_the_query_uses_them() {
    let csv = "id,a,b\nk1,9007199254740993,1\nk2,0.5,2\n";
    let json = "{\"id\":\"k1\",\"a\":9007199254740993,\"b\":1}\n{\"id\":\"k2\",\"a\":0.5,\"b\":2}\n";
    for (ending, text) in [("csv", csv), ("json", json)] {
        let (folder, source) = folder_of(&[text], ending, "");
        let message = load_as(&source, &filled()).unwrap_err().to_string();
        assert!(
            message.contains(
                "tables.t: column \"a\" holds a number with more digits than a 64-bit float can hold"
            ),
            "{message}"
        );
        assert!(!message.contains("9007"), "{message}");
        let format = format!(", format = {ending:?}");
        for (query, is_used) in [
            ("SELECT id, b FROM t", false),
            ("SELECT id, b FROM t WHERE a > 1", true),
            ("SELECT id, b FROM t WHERE b > (SELECT MIN(a) FROM t)", true),
        ] {
            let loaded = load_as(&one(folder.path(), "t", query, &format), &filled());
            assert_eq!(loaded.is_err(), is_used, "{query}");
        }
    }
    let (_folder, source) = folder_of(&[csv], "csv", ", text = [\"a\"]");
    let declared = Treatment { types: types("a = \"category\""), ..filled() };
    assert_eq!(load_as(&source, &declared).unwrap().matrix.row(1), [1.0, 2.0]);
    let (_folder, source) = folder_of(&["{\"id\":\"k1\",\"a\":1,\"a\":2}\n"], "json", "");
    let message = load_as(&source, &filled()).unwrap_err().to_string();
    assert!(message.contains("0.json, line 1: an object has a key twice"), "{message}");
}

#[test]
fn a_header_among_records_is_no_record() {
    for mark in ["", "\u{feff}"] {
        let text = format!("id,job\nk1,clerk\n{mark}id,job\nk2,smith\n");
        let (_folder, source) = folder_of(&[&text], "csv", "");
        let message = load_as(&source, &filled()).unwrap_err().to_string();
        assert!(message.contains("0.csv, line 3: the header is repeated"), "{message}");
    }
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
fn files_of_a_folder_that_are_left_out_are_told_or_no_table() {
    for other in ["1.CSV", "1.csv.gz"] {
        let (folder, source) = folder_of(&["id,a\nk1,1\n"], "csv", "");
        fs::write(folder.path().join("t").join(other), "id,a\nk2,2\n").unwrap();
        let message = load_as(&source, &filled()).unwrap_err().to_string();
        assert!(message.contains("its folder has 1 file of the table's format"), "{message}");
        assert!(message.contains("another ending than \".csv\"") && !message.contains(other), "{message}");
        let ending = ", format = \"csv\", extension = \"csv\"";
        let wanted = one(folder.path(), "t", "SELECT * FROM t", ending);
        assert_eq!(load_as(&wanted, &filled()).unwrap().ids, ["k1"]);
        assert_eq!(wanted.remarks().unwrap().len(), 1, "told where it is meant");
    }
    let (folder, source) = folder_of(&["id,a\nk1,1\n"], "csv", "");
    fs::write(folder.path().join("t/_SUCCESS"), "").unwrap();
    assert!(source.remarks().unwrap().is_empty());
    fs::write(folder.path().join("t/notes.txt"), "notes").unwrap();
    fs::create_dir(folder.path().join("t/old")).unwrap();
    fs::write(folder.path().join("t/old/0.csv"), "id,a\nk2,2\n").unwrap();
    assert_eq!(load_as(&source, &filled()).unwrap().ids, ["k1"]);
    let expected = [
        "tables.t: ignored 1 file with another ending than \".csv\"",
        "tables.t: ignored 1 file in folders within its folder",
    ];
    assert_eq!(source.remarks().unwrap(), expected);
    assert_eq!(source.ids().remarks().unwrap(), expected);
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
    assert!(message.contains("\"a\" holds 20 distinct numbers and 0 distinct texts"), "{message}");
    let declared = Treatment { types: types("a = \"number\""), ..filled() };
    assert_eq!(load_as(&source, &declared).unwrap().matrix.row(3), [-3.5]);
    let (_folder, source) = folder_of(&[&format!("id,a\n{rows}")], "csv", ", text = [\"a\"]");
    assert!(load_as(&source, &declared).is_ok() && load_as(&source, &filled()).is_err());
}
