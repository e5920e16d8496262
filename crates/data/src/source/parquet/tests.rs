//! Tables and labels from Parquet files, which are written here column by column, and a message for every fault.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashvfl_core::Task;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType,
    Int32Type, Int64Type, Int96, Int96Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use crate::encoding::content::is_faulty;
use crate::source::tests::visited;
use crate::{
    ColumnsSource, Content, Faulty, LabelTable, LabelsSource, Missing, Order, RecordStore, Table, TableError,
    Target, Treatment, fingerprint, load_as, load_in_order, load_labels,
};

/// The stored values of a column.
enum Values {
    Bools(Vec<bool>),
    Ints(Vec<i32>),
    Longs(Vec<i64>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Texts(Vec<&'static str>),
    Fixed(Vec<Vec<u8>>),
    Int96s(usize),
}

/// A column: its line of the schema, its values, and for each record 1 if it has one, 0 if not.
struct Column(&'static str, Values, Vec<i16>);

/// A column whose values are all there.
fn full(schema: &'static str, values: Values) -> Column {
    Column(schema, values, Vec::new())
}

fn write_column(column: &Column, writer: &mut SerializedColumnWriter<'_>) {
    let levels = Some(column.2.as_slice()).filter(|levels| !levels.is_empty());
    let written = match &column.1 {
        Values::Bools(values) => writer.typed::<BoolType>().write_batch(values, levels, None),
        Values::Ints(values) => writer.typed::<Int32Type>().write_batch(values, levels, None),
        Values::Longs(values) => writer.typed::<Int64Type>().write_batch(values, levels, None),
        Values::Floats(values) => writer.typed::<FloatType>().write_batch(values, levels, None),
        Values::Doubles(values) => writer.typed::<DoubleType>().write_batch(values, levels, None),
        Values::Texts(values) => {
            let values: Vec<ByteArray> = values.iter().map(|text| ByteArray::from(*text)).collect();
            writer.typed::<ByteArrayType>().write_batch(&values, levels, None)
        }
        Values::Fixed(values) => {
            let values: Vec<FixedLenByteArray> = values.iter().map(|bytes| bytes.clone().into()).collect();
            writer.typed::<FixedLenByteArrayType>().write_batch(&values, levels, None)
        }
        Values::Int96s(count) => {
            writer.typed::<Int96Type>().write_batch(&vec![Int96::new(); *count], levels, None)
        }
    };
    written.unwrap();
}

/// Writes a file of these columns, of one row group or, of as many records again, of several.
fn write(path: &Path, columns: &[Column], groups: usize) {
    let lines: Vec<&str> = columns.iter().map(|column| column.0).collect();
    let schema = Arc::new(parse_message_type(&format!("message m {{ {} }}", lines.join(" "))).unwrap());
    let properties = Arc::new(WriterProperties::default());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    for _ in 0..groups {
        let mut group = writer.next_row_group().unwrap();
        for column in columns {
            let mut cells = group.next_column().unwrap().unwrap();
            write_column(column, &mut cells);
            cells.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn ids() -> Column {
    full("REQUIRED BYTE_ARRAY id (STRING);", Values::Texts(vec!["k1", "k2", "k3"]))
}

fn source(paths: &[PathBuf], settings: &str) -> ColumnsSource {
    toml::from_str(&format!("format = \"parquet\"\npaths = {paths:?}\nid = \"id\"\n{settings}")).unwrap()
}

fn filled() -> Treatment {
    Treatment { missing: Missing::Fill, ..Treatment::default() }
}

/// The table of one file with these columns behind the ids.
fn load(columns: Vec<Column>, settings: &str, treatment: &Treatment) -> Result<Table, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let columns: Vec<Column> = std::iter::once(ids()).chain(columns).collect();
    write(&path, &columns, 1);
    load_as(&source(&[path], settings), treatment).map_err(|error| error.to_string())
}

/// The values of the only column.
fn values(column: Column, treatment: &Treatment) -> Result<Vec<f32>, String> {
    load(vec![column], "", treatment).map(|table| table.matrix.into_values())
}

#[test]
fn values_are_what_their_logical_types_say() {
    let treatment = Treatment::default();
    for (schema, stored, expected) in [
        ("REQUIRED BOOLEAN a;", Values::Bools(vec![true, false, true]), [1.0, 0.0, 1.0]),
        ("REQUIRED INT32 a;", Values::Ints(vec![3, -1, 0]), [3.0, -1.0, 0.0]),
        ("REQUIRED INT32 a (INTEGER(32, false));", Values::Ints(vec![3, -1, 0]), [3.0, 4_294_967_296.0, 0.0]),
        ("REQUIRED INT64 a (INT_64);", Values::Longs(vec![3, -1, 0]), [3.0, -1.0, 0.0]),
        ("REQUIRED INT32 a (DECIMAL(9, 2));", Values::Ints(vec![1250, -5, 0]), [12.5, -0.05, 0.0]),
        ("REQUIRED INT64 a (DECIMAL(12, 0));", Values::Longs(vec![3, -1, 0]), [3.0, -1.0, 0.0]),
        (
            "REQUIRED FIXED_LEN_BYTE_ARRAY (5) a (DECIMAL(10, 1));",
            Values::Fixed(vec![vec![0, 0, 0, 0, 15], vec![255; 5], vec![0; 5]]),
            [1.5, -0.1, 0.0],
        ),
        ("REQUIRED FLOAT a;", Values::Floats(vec![0.1, -2.0, 0.0]), [0.1, -2.0, 0.0]),
        ("REQUIRED DOUBLE a;", Values::Doubles(vec![0.1, -2.0, 0.0]), [0.1, -2.0, 0.0]),
    ] {
        assert_eq!(values(full(schema, stored), &treatment).unwrap(), expected, "{schema}");
    }
}

#[test]
fn texts_are_categories_and_declared_types_come_first() {
    let texts = || full("REQUIRED BYTE_ARRAY a (STRING);", Values::Texts(vec!["7", " cook", "7"]));
    let table = load(vec![texts()], "", &Treatment::default()).unwrap();
    assert_eq!(table.contents, [Content::Category(vec!["7".into(), "cook".into()])]);
    assert_eq!(table.matrix.values(), [0.0, 1.0, 0.0]);
    let types = |kind: &str| Treatment {
        types: toml::from_str(&format!("a = \"{kind}\"")).unwrap(),
        ..Treatment::default()
    };
    let message = load(vec![texts()], "", &types("number")).unwrap_err();
    assert!(message.contains("record 2, column \"a\": expected a number, found text that is not a number"));
    for (column, expected) in [
        (full("REQUIRED INT64 a;", Values::Longs(vec![9_007_199_254_740_993, 1, 1])), "9007199254740993"),
        (full("REQUIRED DOUBLE a;", Values::Doubles(vec![2.0, 1.0, 1.0])), "2"),
        (full("REQUIRED FLOAT a;", Values::Floats(vec![0.1, 1.0, 1.0])), "0.1"),
        (full("REQUIRED INT32 a (DECIMAL(9, 2));", Values::Ints(vec![1250, 100, 100])), "12.50"),
        (full("REQUIRED BOOLEAN a;", Values::Bools(vec![true, false, false])), "true"),
    ] {
        let table = load(vec![column], "", &types("category")).unwrap();
        let second = if expected == "true" { "false" } else { "1" };
        assert_eq!(table.contents, [Content::Category(vec![expected.into(), second.into()])]);
    }
}

#[test]
fn nulls_and_listed_values_are_missing() {
    let gap = || Column("OPTIONAL INT32 a;", Values::Ints(vec![5, -999]), vec![1, 0, 1]);
    let message = values(gap(), &Treatment::default()).unwrap_err();
    assert!(message.contains("a.parquet, record 2, column \"a\": expected a number, found an empty cell"));
    let found = values(gap(), &filled()).unwrap();
    assert!(found[0] == 5.0 && found[1].is_nan() && found[2] == -999.0, "{found:?}");
    let listed = Treatment { null_values: vec!["-999".into(), "NaN".into()], ..filled() };
    let found = values(gap(), &listed).unwrap();
    assert!(found[1].is_nan() && found[2].is_nan(), "{found:?}");
    let nan = || full("REQUIRED DOUBLE a;", Values::Doubles(vec![f64::NAN, 1e18, 2.0]));
    assert!(values(nan(), &filled()).unwrap_err().contains("not finite"));
    let found = values(nan(), &listed).unwrap();
    assert!(found[0].is_nan() && found[1..] == [1e18, 2.0], "{found:?}");
    let mut categories = filled();
    categories.types = toml::from_str("a = \"category\"").unwrap();
    assert!(values(nan(), &categories).unwrap_err().contains("not finite"), "NaN is no category");
    let fills = Treatment { null_values: vec!["-99.9".into(), "1e20".into()], ..filled() };
    for column in [
        full("REQUIRED FLOAT a;", Values::Floats(vec![-99.9, 7.0, 1e20])),
        full("REQUIRED DOUBLE a;", Values::Doubles(vec![-99.9, 7.0, 1e20])),
        full("REQUIRED INT32 a (DECIMAL(6, 2));", Values::Ints(vec![-9990, 700, -9990])),
        full("REQUIRED BYTE_ARRAY a (STRING);", Values::Texts(vec!["-99.90", "cook", "1E+20"])),
    ] {
        let found = values(column, &fills).unwrap();
        assert!(found[0].is_nan() && found[1].is_finite() && found[2].is_nan(), "{found:?}");
    }
    let texts = Column("OPTIONAL BYTE_ARRAY a (UTF8);", Values::Texts(vec!["", "x"]), vec![1, 1, 0]);
    let found = values(texts, &filled()).unwrap();
    assert!(found[0].is_nan() && found[1] == 0.0 && found[2].is_nan(), "{found:?}");
}

#[test]
fn numbers_are_held_to_the_rules_of_csv() {
    let treatment = Treatment::default();
    let refused = |schema, stored| values(full(schema, stored), &treatment).unwrap_err();
    let wide = refused("REQUIRED INT64 a;", Values::Longs(vec![1, 9_007_199_254_740_993, 2]));
    assert!(wide.contains("record 2, column \"a\"") && wide.contains("more digits"), "{wide}");
    assert!(!wide.contains("9007"), "{wide}");
    let exact = Values::Longs(vec![1, 1 << 60, 2]);
    assert_eq!(values(full("REQUIRED INT64 a;", exact), &treatment).unwrap()[1], (1_u64 << 60) as f32);
    let large = refused("REQUIRED DOUBLE a;", Values::Doubles(vec![1.0, 1e39, 2.0]));
    assert!(large.contains("too large for a 32-bit float"), "{large}");
    let stamps = Values::Longs(vec![1_700_000_001, 1_700_000_002, 1_700_000_003]);
    assert!(refused("REQUIRED INT64 a;", stamps).contains("3 distinct numbers become 1 in 32 bits"));
}

#[test]
fn other_types_are_refused_by_name_unless_they_are_left_out() {
    let bytes = |count| Values::Fixed(vec![vec![1; count]; 3]);
    for (schema, stored, expected) in [
        ("REQUIRED INT32 a (DATE);", Values::Ints(vec![1, 2, 3]), "DATE"),
        ("REQUIRED INT32 a (TIME(MILLIS, true));", Values::Ints(vec![1, 2, 3]), "TIME"),
        ("REQUIRED INT64 a (TIMESTAMP(MICROS, true));", Values::Longs(vec![1, 2, 3]), "TIMESTAMP"),
        ("REQUIRED INT64 a (TIMESTAMP_MILLIS);", Values::Longs(vec![1, 2, 3]), "TIMESTAMP"),
        ("REQUIRED INT96 a;", Values::Int96s(3), "INT96"),
        ("REQUIRED BYTE_ARRAY a (DECIMAL(20, 2));", Values::Texts(vec!["1", "2", "3"]), "DECIMAL(20, 2)"),
        ("REQUIRED BYTE_ARRAY a (JSON);", Values::Texts(vec!["1", "2", "3"]), "JSON"),
        ("REQUIRED BYTE_ARRAY a (BSON);", Values::Texts(vec!["1", "2", "3"]), "BSON"),
        ("REQUIRED FIXED_LEN_BYTE_ARRAY (16) a (UUID);", bytes(16), "UUID"),
        ("REQUIRED FIXED_LEN_BYTE_ARRAY (2) a (FLOAT16);", bytes(2), "FLOAT16"),
        ("REQUIRED FIXED_LEN_BYTE_ARRAY (3) a;", bytes(3), "FIXED_LEN_BYTE_ARRAY"),
        ("REQUIRED GROUP a { REQUIRED INT32 b; }", Values::Ints(vec![1, 2, 3]), "nested"),
    ] {
        let columns =
            |stored| vec![full(schema, stored), full("REQUIRED INT32 c;", Values::Ints(vec![1, 2, 3]))];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let all: Vec<Column> = std::iter::once(ids()).chain(columns(stored)).collect();
        write(&path, &all, 1);
        let load = |settings: &str| load_as(&source(std::slice::from_ref(&path), settings), &filled());
        let message = load("").unwrap_err().to_string();
        assert!(message.contains("column \"a\" is of type") && message.contains(expected), "{message}");
        assert!(message.contains("a.parquet") && message.contains("`ignore`"), "{message}");
        assert_eq!(load("ignore = [\"a\"]").unwrap().names, ["c"], "{schema}");
    }
}

#[test]
fn a_table_is_that_of_the_same_csv() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = (folder.path().join("a.parquet"), folder.path().join("a.csv"));
    let columns = [
        full("REQUIRED INT64 id;", Values::Longs(vec![10, 9, 11])),
        Column("OPTIONAL DOUBLE age;", Values::Doubles(vec![31.5, 4.25]), vec![1, 0, 1]),
        Column(
            "OPTIONAL BYTE_ARRAY job (STRING);",
            Values::Texts(vec!["clerk", "cook, chef"]),
            vec![1, 1, 0],
        ),
    ];
    write(&path, &columns, 1);
    std::fs::write(&text, "id,age,job\n10,31.5,clerk\n9,,\"cook, chef\"\n11,4.25,\n").unwrap();
    let csv: ColumnsSource =
        toml::from_str(&format!("format = \"csv\"\npaths = [{text:?}]\nid = \"id\"")).unwrap();
    let parquet = source(&[path], "");
    let (found, expected) = (load_as(&parquet, &filled()).unwrap(), load_as(&csv, &filled()).unwrap());
    let bits = |table: &Table| table.matrix.values().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&found), bits(&expected));
    assert_eq!((found.ids, found.names, found.contents), (expected.ids, expected.names, expected.contents));
    assert_eq!(parquet.excluded(2).unwrap(), Some(0));
    assert_eq!(parquet.excluded(1).unwrap(), csv.excluded(1).unwrap());
}

#[test]
fn files_and_row_groups_are_put_one_below_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|name| folder.path().join(format!("{name}.parquet")));
    let rows = 20_000;
    let part = |first: i64| {
        let numbers: Vec<i64> = (first..first + rows).collect();
        let halves = numbers.iter().map(|number| *number as f64 / 2.0).collect();
        [
            full("REQUIRED INT64 id;", Values::Longs(numbers)),
            full("REQUIRED DOUBLE half;", Values::Doubles(halves)),
        ]
    };
    write(&paths[0], &part(0), 1);
    write(&paths[1], &part(rows), 1);
    let source = source(&paths, "");
    let table = load_as(&source, &Treatment::default()).unwrap();
    assert_eq!(table.matrix.rows() as i64, 2 * rows);
    assert_eq!((table.ids[39_999].as_str(), table.matrix.row(39_999)), ("39999", &[19_999.5][..]));
    // Read in an order, and through a cache.
    let ids = vec!["30000".to_owned(), "7".to_owned()];
    let order = folder.path().join("order.csv");
    let agreed = Order::new(ids.clone(), Some(fingerprint(source.files()).unwrap()));
    std::fs::write(&order, agreed.to_bytes()).unwrap();
    let held = load_in_order(&source, Some(&order), &Treatment::default()).unwrap();
    assert_eq!((held.ids, held.matrix.into_values()), (ids, vec![15_000.0, 3.5]));
    let cache = folder.path().join("cache");
    let records = RecordStore::load(&source, None, &Treatment::default(), Some(&cache)).unwrap();
    assert_eq!(records.ids(), table.ids);
    // Two row groups of the same ids.
    write(&paths[0], &part(0), 2);
    let message = load_as(&source, &Treatment::default()).unwrap_err().to_string();
    assert!(message.starts_with("20000 records with the id of an earlier record"), "{message}");
    assert!(message.contains("a.parquet, record 1 and") && message.contains("a.parquet, record 20001"));
}

#[test]
fn faults_of_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let number = |schema| full(schema, Values::Ints(vec![1, 2, 3]));
    write(&path("a.parquet"), &[ids(), number("REQUIRED INT32 a;")], 1);
    write(&path("b.parquet"), &[ids(), number("REQUIRED INT32 b;")], 1);
    write(&path("none.parquet"), &[ids(), number("REQUIRED INT32 a;")], 0);
    write(
        &path("gap.parquet"),
        &[
            Column("OPTIONAL BYTE_ARRAY id;", Values::Texts(vec!["secret", "x"]), vec![1, 0, 1]),
            number("REQUIRED INT32 a;"),
        ],
        1,
    );
    let filled = full("REQUIRED FIXED_LEN_BYTE_ARRAY (40) a (UNKNOWN);", Values::Fixed(vec![vec![1; 40]; 3]));
    write(&path("filled.parquet"), &[ids(), filled], 1);
    std::fs::write(path("text.parquet"), "id,a\nsecret,1\n").unwrap();
    let message = |names: &[&str], settings: &str| {
        let paths: Vec<PathBuf> = names.iter().map(|name| path(name)).collect();
        let message = load_as(&source(&paths, settings), &Treatment::default()).unwrap_err().to_string();
        assert!(!message.contains("secret"), "{message}");
        message
    };
    for (names, settings, expected) in [
        (&[][..], "", "`paths` is empty"),
        (&["nowhere.parquet"], "", "cannot open"),
        (&["text.parquet"], "", "text.parquet: "),
        (&["none.parquet"], "", "none.parquet holds no records"),
        (&["filled.parquet"], "", "a column declared to be all null holds values"),
        (&["a.parquet", "b.parquet"], "", "b.parquet is not that of"),
        (
            &["gap.parquet"],
            "",
            "gap.parquet, record 2, column \"id\": expected a record id, found an empty cell",
        ),
        (&["a.parquet"], "ignore = [\"b\"]", "no column \"b\", which `ignore` names"),
        (&["a.parquet"], "columns = [\"id\"]", "named in both `id` and `columns`"),
        (&["a.parquet"], "image = { channels = 1, height = 2, width = 2 }", "1 channels of 2 x 2"),
    ] {
        let found = message(names, settings);
        assert!(found.contains(expected), "{names:?}: {found}");
    }
}

fn labels(column: Column, task: Task) -> Result<LabelTable, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("y.parquet");
    write(&path, &[ids(), column], 1);
    let config = format!("format = \"parquet\"\npaths = [{path:?}]\nid = \"id\"\ncolumn = \"y\"");
    let source: LabelsSource = toml::from_str(&config).unwrap();
    load_labels(&source, task).map_err(|error| error.to_string())
}

#[test]
fn labels_are_classes_or_numbers() {
    let texts = full("REQUIRED BYTE_ARRAY y (STRING);", Values::Texts(vec!["yes", "no", "yes"]));
    let found = labels(texts, Task::Binary).unwrap();
    assert_eq!(found.ids, ["k1", "k2", "k3"]);
    let classes = |names: &[&str], index: &[u32]| Target::Classes {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        index: index.to_vec(),
    };
    assert_eq!(found.target, classes(&["no", "yes"], &[1, 0, 1]));
    let truths = full("REQUIRED BOOLEAN y;", Values::Bools(vec![true, false, false]));
    assert_eq!(labels(truths, Task::Binary).unwrap().target, classes(&["false", "true"], &[1, 0, 0]));
    let numbers = || full("REQUIRED DOUBLE y;", Values::Doubles(vec![10.0, 9.0, 1.5]));
    assert_eq!(labels(numbers(), Task::Multiclass).unwrap().target, classes(&["1.5", "9", "10"], &[2, 1, 0]));
    assert_eq!(labels(numbers(), Task::Regression).unwrap().target, Target::Real(vec![10.0, 9.0, 1.5]));
    let large = full("REQUIRED DOUBLE y;", Values::Doubles(vec![1.152921504606847e18, 0.0, 1.0]));
    assert_eq!(
        labels(large, Task::Regression).unwrap().target,
        Target::Real(vec![(1_u64 << 60) as f32, 0.0, 1.0])
    );
}

#[test]
fn labels_that_are_none_are_refused() {
    let missing = Column("OPTIONAL DOUBLE y;", Values::Doubles(vec![1.0, f64::NAN]), vec![1, 0, 1]);
    let message = labels(missing, Task::Regression).unwrap_err();
    assert!(message.contains("2 records without a label in column \"y\", the first at"), "{message}");
    assert!(message.contains("y.parquet, record 2"), "{message}");
    let dates = full("REQUIRED INT32 y (DATE);", Values::Ints(vec![1, 2, 3]));
    assert!(labels(dates, Task::Multiclass).unwrap_err().contains("of type DATE"));
    let texts = full("REQUIRED BYTE_ARRAY y (STRING);", Values::Texts(vec!["secret", "1", "2"]));
    let message = labels(texts, Task::Regression).unwrap_err();
    assert!(message.contains("record 1, column \"y\": expected a number") && !message.contains("secret"));
    let other = full("REQUIRED INT32 z;", Values::Ints(vec![1, 2, 3]));
    assert!(labels(other, Task::Binary).unwrap_err().contains("no column \"y\", which `column` names"));
}

#[test]
fn ids_of_a_table_are_those_of_its_list() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write(&path, &[ids(), full("REQUIRED INT32 a;", Values::Ints(vec![1, 2, 3]))], 1);
    let source = source(&[path], "");
    let mut found = Vec::new();
    let digest = source
        .visit_ids(|id| {
            found.push(id.to_owned());
            Ok::<(), TableError>(())
        })
        .unwrap();
    assert_eq!(found, load_as(&source, &Treatment::default()).unwrap().ids);
    assert_eq!(digest, fingerprint(source.files()).unwrap());
    assert_eq!(source.ids().count_at_most().unwrap(), 3);
}

#[test]
fn records_without_an_id_of_their_own_stop_no_serving() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let ids =
        Column("OPTIONAL BYTE_ARRAY id (STRING);", Values::Texts(vec!["k1", "k2", "k1"]), vec![1, 0, 1, 1]);
    write(&path, &[ids, full("REQUIRED INT32 a;", Values::Ints(vec![1, 2, 3, 4]))], 1);
    let source = source(&[path], "");
    let served = Treatment { faulty: Faulty::Mark, ..Treatment::default() };
    let table = load_as(&source, &served).unwrap();
    assert_eq!(table.ids, ["k1", "k2"]);
    assert!(is_faulty(table.matrix.row(0)[0]) && table.matrix.row(1) == [3.0]);
    assert!(load_as(&source, &Treatment::default()).unwrap_err().to_string().contains("record 2"));
    let ids = visited(&source);
    assert_eq!(ids, [Some("k1"), None, Some("k2"), Some("k1")].map(|id| id.map(str::to_owned)));
}

#[test]
fn numbers_that_are_stored_as_texts_are_no_categories_in_silence() {
    let texts =
        vec!["1.5", "2.5", "3.5", "4.5", "5.5", "6.5", "7.5", "8.5", "9.5", "10.5", "11.5", "12.5", "13.5"];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let ids = full("REQUIRED INT32 id;", Values::Ints((0..13).collect()));
    write(&path, &[ids, full("REQUIRED BYTE_ARRAY a (STRING);", Values::Texts(texts))], 1);
    let source = source(&[path], "");
    let message = load_as(&source, &Treatment::default()).unwrap_err().to_string();
    assert!(message.contains("\"a\" holds 13 distinct numbers and 0 distinct texts"), "{message}");
    for (kind, expected) in [("number", 2.5), ("category", 1.0)] {
        let types = toml::from_str(&format!("a = {kind:?}")).unwrap();
        let table = load_as(&source, &Treatment { types, ..Treatment::default() }).unwrap();
        assert_eq!(table.matrix.row(1), [expected]);
    }
}
