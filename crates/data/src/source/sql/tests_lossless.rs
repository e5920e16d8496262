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
