use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array,
    Int64Array, RecordBatch,
};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::parquet::arrow::ArrowWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::{
    ColumnsSource, Content, Faulty, KeyColumns, Order, RecordStore, Table, TableError, Treatment, Types,
    encoding::content::is_faulty, load_as, source::row_source::load_fingerprinted, source::tests::visited,
};

#[path = "tests_lossless.rs"]
mod lossless;

/// A folder with the tables that the tests query.
struct Bank {
    folder: TempDir,
}

impl Bank {
    fn new() -> Self {
        let bank = Self { folder: tempfile::tempdir().unwrap() };
        bank.write("customers.csv", "id,AGE,job\n10,31,clerk\n9,,\"cook, chef\"\n7,52,clerk\n8,47,\n");
        fs::create_dir(bank.path("calls")).unwrap();
        bank.write(
            "calls/a.json",
            "{\"customer\": 7, \"seconds\": 60.5}\n{\"customer\": 10, \"seconds\": 1}\n",
        );
        bank.write("calls/b.json", "{\"customer\": 7, \"seconds\": 2}\n");
        bank.write("calls/_SUCCESS", "not a table");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("customer", Arc::new(Int32Array::from(vec![7, 8, 9, 10]))),
            (
                "limit",
                Arc::new(
                    Decimal128Array::from(vec![150, 250, 350, 450]).with_precision_and_scale(9, 1).unwrap(),
                ),
            ),
            ("active", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
            ("since", Arc::new(Date32Array::from(vec![0, 366, 1, 2]))),
            (
                "region",
                Arc::new(
                    vec!["north", "south", "north", "north"]
                        .into_iter()
                        .collect::<DictionaryArray<Int32Type>>(),
                ),
            ),
        ];
        bank.parquet("accounts.parquet", columns);
        bank
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn parquet(&self, name: &str, columns: Vec<(&str, ArrayRef)>) {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        )
        .unwrap();
        let mut writer =
            ArrowWriter::try_new(File::create(self.path(name)).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    fn source(&self, query: &str) -> ColumnsSource {
        self.source_with(query, "")
    }

    fn source_with(&self, query: &str, more: &str) -> ColumnsSource {
        let text = format!(
            "format = \"sql\"\nquery = {query:?}\nid = \"id\"\n{more}\n[tables]\n\
             customers = {{ location = \"customers.csv\" }}\n\
             calls = {{ location = \"calls\", format = \"json\" }}\n\
             accounts = {{ location = \"accounts.parquet\" }}\n"
        );
        let mut source: ColumnsSource = toml::from_str(&text).unwrap();
        source.resolve(self.folder.path());
        source
    }

    fn load(&self, query: &str, treatment: &Treatment) -> Result<Table, TableError> {
        load_as(&self.source(query), treatment)
    }

    fn refused(&self, query: &str) -> String {
        let message = self.load(query, &filled()).unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        message
    }
}

fn filled() -> Treatment {
    Treatment { missing: crate::Missing::Fill, ..Treatment::default() }
}

fn types(text: &str) -> Types {
    toml::from_str(text).unwrap()
}

/// One table of this text, as `t`.
fn one(folder: &Path, name: &str, query: &str, more: &str) -> ColumnsSource {
    let text = format!(
        "format = \"sql\"\nquery = {query:?}\nid = \"id\"\ntables = {{ t = {{ location = {name:?}{more} }} }}"
    );
    let mut source: ColumnsSource = toml::from_str(&text).unwrap();
    source.resolve(folder);
    source
}

#[test]
fn csv_parquet_and_json_are_joined_and_sorted_by_id() {
    let bank = Bank::new();
    let table = bank
        .load(
            "SELECT c.id, c.AGE AS age, c.job, SUM(s.seconds) AS seconds, a.\"limit\", a.active, a.region \
             FROM customers c LEFT JOIN calls s ON s.customer = c.id JOIN accounts a ON a.customer = c.id \
             GROUP BY c.id, c.AGE, c.job, a.\"limit\", a.active, a.region",
            &filled(),
        )
        .unwrap();
    assert_eq!(table.ids, ["10", "7", "8", "9"]);
    assert_eq!(table.names, ["age", "job", "seconds", "limit", "active", "region"]);
    let categories =
        |names: &[&str]| Content::Category(names.iter().map(|name| (*name).to_owned()).collect());
    let numbers = Content::Number;
    let expected = [
        numbers.clone(),
        categories(&["clerk", "cook, chef"]),
        numbers.clone(),
        numbers.clone(),
        numbers,
        categories(&["north", "south"]),
    ];
    assert_eq!(table.contents, expected);
    assert_eq!(table.matrix.row(0), [31.0, 0.0, 1.0, 45.0, 1.0, 0.0]);
    assert_eq!(table.matrix.row(1), [52.0, 0.0, 62.5, 15.0, 1.0, 0.0]);
    let third = table.matrix.row(2);
    assert!(third[1].is_nan() && third[2].is_nan() && third[5] == 1.0, "{third:?}");
    let fourth = table.matrix.row(3);
    assert!(fourth[0].is_nan() && fourth[1] == 1.0 && fourth[4].is_nan(), "{fourth:?}");
}

#[test]
fn declared_types_and_nulls_come_first() {
    let bank = Bank::new();
    bank.write("customers.csv", "id,AGE,job\na,31,1.5\nb,?,2\nc,31,?\nd,7,x\n");
    let treatment = |text: &str| Treatment { types: types(text), null_values: vec!["?".into()], ..filled() };
    let query = "SELECT * FROM customers WHERE id <> 'd'";
    let table = bank.load(query, &treatment("AGE = \"number\"\njob = \"number\"")).unwrap();
    assert_eq!(table.contents, [Content::Number, Content::Number]);
    assert_eq!((table.matrix.row(0), table.matrix.row(1)[0].is_nan()), (&[31.0, 1.5][..], true));

    let ages = "SELECT customer AS id, customer + 20 AS age, active FROM accounts";
    let table = bank.load(ages, &treatment("age = \"category\"\nactive = \"category\"")).unwrap();
    let categories =
        |names: &[&str]| Content::Category(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(table.contents, [categories(&["30", "27", "28", "29"]), categories(&["true", "false"])]);

    let message =
        bank.load("SELECT * FROM customers", &treatment("job = \"number\"")).unwrap_err().to_string();
    assert!(message.contains("\"job\": expected a number, found text that is not a number"), "{message}");
    let table = bank.load(query, &Treatment::default()).unwrap();
    assert_eq!(table.contents[0], categories(&["31", "?"]), "texts without `null_values` are categories");
    let strict = Treatment::default();
    let message = bank.load("SELECT customer AS id, active FROM accounts", &strict).unwrap_err().to_string();
    assert!(
        message.contains("\"active\": expected a number, found an empty cell; give it one with COALESCE"),
        "{message}"
    );
    let message = bank.load(ages, &treatment("since = \"number\"")).unwrap_err().to_string();
    assert!(message.contains("no column \"since\", which `types` names"), "{message}");
}

#[test]
fn values_that_are_no_numbers_are_faults_unless_listed() {
    let bank = Bank::new();
    bank.parquet(
        "accounts.parquet",
        vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2]))),
            ("a", Arc::new(Float64Array::from(vec![1.0, f64::NAN]))),
        ],
    );
    // The least and the largest value in the file's statistics are 1: they leave NaN out.
    assert!(bank.refused("SELECT * FROM accounts").contains("not finite"));
    let treatment = Treatment { null_values: vec!["NaN".into()], ..filled() };
    assert!(bank.load("SELECT * FROM accounts", &treatment).unwrap().matrix.row(1)[0].is_nan());
    assert!(bank.refused("SELECT id, 1e39 AS a FROM accounts").contains("not finite"));
}

#[test]
fn ids_that_are_missing_or_repeated_are_counted_and_not_shown() {
    let bank = Bank::new();
    bank.write("customers.csv", "id,a\nsecret1,1\nsecret1,2\nsecret2,3\nsecret1,4\n,5\n\" \",6\n");
    let repeated = bank.refused("SELECT * FROM customers WHERE a < 5");
    assert!(repeated.contains("2 of the query's records repeat"), "{repeated}");
    let missing = bank.refused("SELECT * FROM customers WHERE a > 2");
    assert!(missing.contains("2 of the query's records have no id in column \"id\""), "{missing}");
    assert!(!(repeated + &missing).contains("secret"));
    let source = bank.source("SELECT * FROM customers");
    let mut seen = 0;
    let visited = source.visit_ids(|_| {
        seen += 1;
        Ok::<(), TableError>(())
    });
    assert!(visited.unwrap_err().to_string().contains("a record of the query has no id"));
    assert_eq!(source.ids().count_at_most().unwrap(), 6);
}

#[test]
fn records_without_an_id_of_their_own_stop_no_serving_from_a_query() {
    let bank = Bank::new();
    bank.write(
        "customers.csv",
        "id,a,b\nk3,1,x\nk1,2,x\n,3,x\nk2,4,y\nk1,5,y\n\" \",6,y\nk1,7,x\nk4,8,z\nk4,9,z\n",
    );
    let source = bank.source("SELECT * FROM customers");
    let served = Treatment { faulty: Faulty::Mark, ..Treatment::default() };
    for cache in [None, Some(bank.folder.path().join("cache"))] {
        let records = RecordStore::load(&source, None, &served, cache.as_deref()).unwrap();
        assert_eq!(records.ids(), ["k1", "k2", "k3", "k4"]);
    }
    let table = load_as(&source, &served).unwrap();
    let unusable = |row: usize| table.matrix.row(row).iter().all(|value| is_faulty(*value));
    assert_eq!(
        [0, 1, 2, 3].map(unusable),
        [true, false, false, true],
        "nobody knows which record of k1 is meant"
    );
    assert_eq!((table.matrix.row(1)[0], table.matrix.row(2)[0]), (4.0, 1.0));
    let ids = visited(&source);
    assert_eq!(ids.iter().flatten().count(), 7);
    assert_eq!(ids.len(), 9);
    assert!(load_as(&source, &Treatment::default()).is_err(), "a training takes none of them");
}

#[test]
fn columns_that_are_not_there_or_of_no_use_are_named() {
    let bank = Bank::new();
    for (query, expected) in [
        ("SELECT customer, active FROM accounts", "no column \"id\", which `id` names"),
        ("SELECT customer AS Id, active FROM accounts", "that of column 1"),
        ("SELECT nothing FROM accounts", "no field named nothing"),
        ("SELECT id, age FROM customers", "letter case matters in names, quoted or not"),
        ("SELECT id, \"age\" FROM customers", "letter case matters in names, quoted or not"),
        ("SELECT * FROM account", "account"),
        ("SELEC * FROM accounts", "SELEC"),
        ("SELECT customer AS id, since FROM accounts", "column \"since\" is of type Date32"),
        ("SELECT since AS id, active FROM accounts", "CAST(id AS VARCHAR)"),
        ("SELECT \"limit\" AS id, active FROM accounts", "expected record ids as texts or whole numbers"),
        ("SELECT customer AS id FROM accounts", "no column left"),
        ("SELECT customer AS id, active FROM accounts WHERE customer < 0", "returned no record"),
        (
            "SELECT a.customer AS id, c.AGE, b.AGE FROM accounts a, customers c, customers b",
            "two columns with the same name",
        ),
        ("SELECT customer AS id, active FROM accounts; SELECT 1", "single"),
    ] {
        let message = bank.refused(query);
        assert!(message.contains(expected), "{query}: {message}");
    }
    assert_eq!(bank.load("SELECT id, AGE FROM customers", &filled()).unwrap().names, ["AGE"]);
    let dates = bank.load("SELECT customer AS id, date_part('year', since) AS year FROM accounts", &filled());
    assert_eq!(dates.unwrap().matrix.values(), [1970.0, 1970.0, 1971.0, 1970.0]);
}

#[test]
fn a_query_only_reads() {
    let bank = Bank::new();
    let out = bank.path("out.csv");
    for query in [
        format!("COPY (SELECT 1) TO '{out}'"),
        "INSERT INTO customers VALUES (1, 2, 'x')".to_owned(),
        format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{out}'"),
        "CREATE TABLE x AS SELECT 1 AS id".to_owned(),
        "DROP TABLE customers".to_owned(),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        format!("SELECT * FROM '{}'", bank.path("customers.csv")),
        "SELECT * FROM information_schema.tables".to_owned(),
    ] {
        let message = bank.refused(&query);
        assert!(message.starts_with("the query: "), "{query}: {message}");
    }
    assert!(!Path::new(&out).exists());
    assert_eq!(fs::read_to_string(bank.path("customers.csv")).unwrap().lines().count(), 5);
}

#[test]
fn values_never_reach_an_error_of_a_running_query() {
    let bank = Bank::new();
    bank.write("customers.csv", "id,AGE,job\n1,2,secret\n");
    let cast = bank.refused("SELECT id, CAST(job AS BIGINT) AS job FROM customers");
    assert!(cast.contains("failed while it ran"), "{cast}");
    assert!(bank.refused("SELECT id, 1 / (AGE - 2) AS a FROM customers").contains("division by zero"));

    let folder = bank.folder.path();
    bank.write("late.csv", "id,a\nk1,1\nk2,2\nk3,secret\n");
    let late = |rows: usize| {
        load_as(&one(folder, "late.csv", "SELECT * FROM t", &format!(", infer_rows = {rows}")), &filled())
    };
    let message = late(2).unwrap_err().to_string();
    assert!(
        message.contains("in column 2 of a CSV table") && message.contains("raise infer_rows above 2"),
        "{message}"
    );
    assert_eq!(late(3).unwrap().contents[0].kind(), crate::ColumnType::Category);

    bank.write("ragged.csv", "id,a\nsecret,1\nsecret,1,2\n");
    bank.write("broken.json", "{\"id\": \"secret\", \"a\": 1}\n\"secret\"\n");
    bank.write("nohead.csv", "17,4711\n18,4712\n");
    fs::write(bank.path("broken.parquet"), "secret").unwrap();
    for name in ["ragged.csv", "broken.json", "nohead.csv", "broken.parquet"] {
        let message = load_as(&one(folder, name, "SELECT * FROM t", ""), &filled()).unwrap_err().to_string();
        assert!(!message.contains("secret") && !message.contains("4711"), "{name}: {message}");
        assert!(message.contains("tables.t") || message.contains("failed while it ran"), "{name}: {message}");
    }
}

#[test]
fn tables_that_are_not_there_are_named() {
    let bank = Bank::new();
    let folder = bank.folder.path();
    fs::create_dir(bank.path("empty")).unwrap();
    bank.write("semicolons.csv", "id;hunter2\n1;2\n2;3\n");
    for (name, more, expected) in [
        ("nowhere.csv", "", "tables.t: no file at"),
        ("empty", ", format = \"csv\"", "no file whose name ends in \".csv\""),
        ("calls", "", "the format cannot be inferred"),
        ("calls", ", extension = \"txt\", format = \"csv\"", "no file whose name ends in \".txt\""),
        ("customers.csv", ", delimiter = \"\u{20ac}\"", "delimiter must be one byte"),
        ("semicolons.csv", "", "its header is one column"),
        ("ftp://host/a.csv", "", "tables.t.location"),
        ("https://user:hunter2@host/a.csv", "", "credentials in the environment"),
        ("https://user:hunter2@host:99999/a.csv", "", "credentials in the environment"),
        ("https://host/a.csv?signature=hunter2", "", "credentials in the environment"),
    ] {
        let message =
            load_as(&one(folder, name, "SELECT * FROM t", more), &filled()).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains("hunter2"), "{name}: {message}");
    }
}

#[test]
fn gzip_folders_delimiters_and_urls_are_read() {
    let bank = Bank::new();
    fs::create_dir(bank.path("days")).unwrap();
    for day in ["1", "2"] {
        let file = File::create(bank.path(&format!("days/{day}.csv.gz"))).unwrap();
        let mut gzip = GzEncoder::new(file, Compression::fast());
        write!(gzip, "id;a\nk{day};{day}\n").unwrap();
        gzip.finish().unwrap();
    }
    let more = ", extension = \"csv.gz\", delimiter = \";\"";
    let url = format!("file://{}/", bank.path("days"));
    for location in ["days", "days/", &url] {
        let table = load_as(&one(bank.folder.path(), location, "SELECT * FROM t", more), &filled()).unwrap();
        assert_eq!((table.ids, table.matrix.values()), (vec!["k1".into(), "k2".into()], &[1.0, 2.0][..]));
    }
    let one_file = one(bank.folder.path(), "days/2.csv.gz", "SELECT * FROM t", ", delimiter = \";\"");
    assert_eq!(load_as(&one_file, &filled()).unwrap().ids, ["k2"]);
}

#[test]
fn what_was_aligned_is_found_by_key_and_a_change_is_noticed() {
    let bank = Bank::new();
    let source = bank.source("SELECT id, AGE, job FROM customers");
    let mut ids = Vec::new();
    let print = source
        .visit_ids(|id| {
            ids.push(id.to_owned());
            Ok::<(), TableError>(())
        })
        .unwrap();
    assert_eq!(ids, ["10", "7", "8", "9"]);
    let order = Order::new(vec!["9".to_owned(), "10".to_owned()], Some(print));
    let (table, found) = load_fingerprinted(&source, &filled()).unwrap();
    assert!(order.check(Some(found), Path::new("order.csv")).is_ok());
    let table = table.in_order(&order).unwrap();
    assert_eq!((table.matrix.row(1)[0], table.matrix.row(0)[1]), (31.0, 1.0));

    // The same records in another order, and in another format, are the same.
    bank.write("customers.csv", "id,AGE,job\n8,47,\n7,52,clerk\n10,31,clerk\n9,,\"cook, chef\"\n");
    assert_eq!(load_fingerprinted(&source, &filled()).unwrap().1, print);
    for changed in [
        "id,AGE,job\n8,47,\n7,52,clerk\n10,32,clerk\n9,,\"cook, chef\"\n",
        "id,AGE,job\n8,47,\n7,52,clerk\n10,31,clerk\n9,,\"cook, chef\"\n6,,\n",
        "id,AGE,job\n8,47,\n7,52,clerk\n9,,\"cook, chef\"\n",
    ] {
        bank.write("customers.csv", changed);
        let (_, found) = load_fingerprinted(&source, &filled()).unwrap();
        let message = order.check(Some(found), Path::new("order.csv")).unwrap_err().to_string();
        assert!(message.contains("changed since order.csv was written"), "{message}");
    }
}

#[test]
fn ids_keep_their_leading_zeros_where_they_are_texts() {
    let bank = Bank::new();
    bank.write("customers.csv", "id,age\n007,31\n7,52\n");
    let repeated = bank.refused("SELECT * FROM customers");
    assert!(repeated.contains('1') && repeated.contains("repeat"), "{repeated}");
    let of = |text: &str| {
        one(bank.folder.path(), "customers.csv", "SELECT * FROM t", &format!(", text = [{text}]"))
    };
    assert_eq!(load_as(&of("\"id\""), &filled()).unwrap().ids, ["007", "7"]);
    let message = load_as(&of("\"number\""), &filled()).unwrap_err().to_string();
    assert!(message.contains("no column \"number\", which `text` names"), "{message}");
    let message = load_as(
        &one(bank.folder.path(), "accounts.parquet", "SELECT * FROM t", ", text = [\"id\"]"),
        &filled(),
    );
    assert!(message.unwrap_err().to_string().contains("`text` is only for CSV"));
}

#[test]
fn several_columns_are_an_id_together() {
    let bank = Bank::new();
    bank.write("customers.csv", "branch,number,age\nnorth,7,31\nsouth,7,52\nnorth,12,40\n");
    let mut source = bank.source("SELECT * FROM customers");
    let ColumnsSource::Sql(sql) = &mut source else { panic!("expected sql") };
    sql.id = KeyColumns::new(vec!["branch".into(), "number".into()]).unwrap();
    let table = load_as(&source, &filled()).unwrap();
    assert_eq!(table.ids, ["5:north1:7", "5:north2:12", "5:south1:7"]);
    assert_eq!((table.names, table.matrix.row(1)), (vec!["age".to_owned()], &[40.0][..]));
    assert_eq!(source.ids().key_columns(), 2);

    bank.write("customers.csv", "branch,number,age\nnorth,7,31\n ,7,52\nnorth,,40\n");
    let message = load_as(&source, &filled()).unwrap_err().to_string();
    assert!(message.contains("branch+number") && message.contains('2'), "{message}");
    bank.write("customers.csv", "branch,number,age\nnorth,7.5,31\n");
    let message = load_as(&source, &filled()).unwrap_err().to_string();
    assert!(message.contains("\"number\""), "{message}");
}

#[test]
fn memory_is_bounded_and_what_does_not_fit_is_put_on_disk() {
    let bank = Bank::new();
    let rows: String = (0..200_000).map(|row| format!("k{row:0>200},{}\n", row % 7)).collect();
    bank.write("customers.csv", &format!("id,a\n{rows}"));
    let settings = format!("memory_mib = 64\nspill = {:?}", bank.path("spill"));
    let wide = "SELECT id, a, concat(id, 'x') AS b FROM customers WHERE a < 7";
    // 200,000 records of 400 bytes and more are sorted in 64 MiB.
    let query = wide.replace("AS b", "AS b, concat(id, 'y') AS c");
    let source = bank.source_with(&query, &settings);
    let mut last = String::new();
    let mut count = 0;
    source
        .visit_ids(|id| {
            assert!(last.as_str() < id);
            last = id.to_owned();
            count += 1;
            Ok::<(), TableError>(())
        })
        .unwrap();
    assert_eq!(count, 200_000);
    assert_eq!(fs::read_dir(bank.path("spill")).unwrap().count(), 0, "nothing is left on disk");
    // One record of a gigabyte fits nowhere.
    let source = bank.source_with(
        "SELECT 1 AS id, string_agg(c.id, '') AS a FROM customers c, (SELECT a FROM customers LIMIT 25) b",
        &settings,
    );
    let message = load_as(&source, &filled()).unwrap_err().to_string();
    assert!(message.contains("memory_mib = 64"), "{message}");
}

#[test]
fn a_query_runs_inside_an_asynchronous_task() {
    let bank = Bank::new();
    let source = bank.source("SELECT id, AGE FROM customers");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let table = runtime.block_on(async { load_as(&source, &filled()) }).unwrap();
    assert_eq!(table.matrix.rows(), 4);
}
