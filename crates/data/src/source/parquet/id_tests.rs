//! Ids in Parquet files: what a stored value means, ids of several columns, and a message for every fault.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use crate::{IdsSource, KeyColumns, TableError};

fn ids(source: &IdsSource) -> Result<Vec<String>, TableError> {
    let mut found = Vec::new();
    source.visit(|id| {
        found.push(id.to_owned());
        Ok::<(), TableError>(())
    })?;
    Ok(found)
}

fn parquet<T: DataType>(path: &Path, schema: &str, groups: &[&[T::T]], levels: Option<&[i16]>) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::default())).unwrap();
    for values in groups {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<T>().write_batch(values, levels, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn ids_come_from_text_and_parquet_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.csv"), "x,id\n1,r1\n2, r2\n").unwrap();
    let csv = IdsSource::of_file(&path("a.csv"), "id");
    assert_eq!(ids(&csv).unwrap(), ["r1", "r2"]);
    assert!(csv.count_at_most().unwrap() >= 2);
    let texts = ["r1", "r2", "r3"].map(ByteArray::from);
    let schema = "message m { REQUIRED BYTE_ARRAY id (STRING); }";
    parquet::<ByteArrayType>(&path("a.parquet"), schema, &[&texts[..2], &texts[2..]], None);
    let source = IdsSource::of_file(&path("a.parquet"), "id");
    assert_eq!(
        (ids(&source).unwrap(), source.count_at_most().unwrap()),
        (vec!["r1".to_owned(), "r2".to_owned(), "r3".to_owned()], 3)
    );
    let numbers: Vec<i64> = (0..40_000).collect();
    parquet::<Int64Type>(
        &path("b.parquet"),
        "message m { OPTIONAL INT64 id; }",
        &[&numbers],
        Some(&[1; 40_000]),
    );
    let found = ids(&IdsSource::of_file(&path("b.parquet"), "id")).unwrap();
    assert_eq!((found.len(), found[39_999].as_str()), (40_000, "39999"));
}

#[test]
fn two_columns_named_like_the_id_are_no_list_of_ids() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let schema = "message m { REQUIRED INT64 id; REQUIRED INT64 id; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for values in [[1, 2], [3, 4]] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let message = ids(&IdsSource::of_file(&path, "id")).unwrap_err().to_string();
    assert!(message.contains("columns 1 and 2 of") && message.contains("the same name"), "{message}");
}

#[test]
fn several_columns_of_parquet_join_to_one_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let schema = "message m { REQUIRED INT32 branch; REQUIRED BYTE_ARRAY account (STRING); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(
        File::create(&path).unwrap(),
        schema,
        Arc::new(WriterProperties::default()),
    )
    .unwrap();
    for (branches, accounts) in [(&[1, 11][..], &["12", "2"][..]), (&[1], &["2"])] {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(branches, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let accounts: Vec<ByteArray> = accounts.iter().map(|text| ByteArray::from(*text)).collect();
        column.typed::<ByteArrayType>().write_batch(&accounts, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    let key = KeyColumns::new(vec!["branch".into(), "account".into()]).unwrap();
    let found = ids(&IdsSource::of_file(&path, key)).unwrap();
    assert_eq!(found, ["1:12:12", "2:111:2", "1:11:2"]);
}

#[test]
fn what_is_no_column_of_ids_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    parquet::<Int64Type>(&path("a.parquet"), "message m { OPTIONAL INT64 id; }", &[&[7]], Some(&[1, 0]));
    let error = |file: &str, id: &str| ids(&IdsSource::of_file(&path(file), id)).unwrap_err().to_string();
    assert!(
        error("a.parquet", "id")
            .contains("a.parquet, record 2, column \"id\": expected a record id, found an empty cell")
    );
    assert!(error("a.parquet", "ID").contains("has no column"));
    std::fs::write(path("b.parquet"), "id\nr1\n").unwrap();
    assert!(error("b.parquet", "id").contains("b.parquet"));
    assert!(error("c.csv", "id").contains("cannot open"));
}

#[test]
fn the_logical_type_tells_what_a_stored_value_means() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let found = |of: &str| {
        let schema = format!("message m {{ REQUIRED {of}; }}");
        match of.split(' ').next().unwrap() {
            "INT32" => parquet::<Int32Type>(&path, &schema, &[&[7, -1]], None),
            "INT64" => parquet::<Int64Type>(&path, &schema, &[&[7, -1]], None),
            "BYTE_ARRAY" => {
                parquet::<ByteArrayType>(&path, &schema, &[&["7", "-1"].map(ByteArray::from)], None);
            }
            _ => {
                let values: [FixedLenByteArray; 1] = [vec![55; 16].into()];
                parquet::<FixedLenByteArrayType>(&path, &schema, &[&values], None);
            }
        }
        ids(&IdsSource::of_file(&path, "id")).map_err(|error| error.to_string())
    };
    let signed = Ok(vec!["7".to_owned(), "-1".to_owned()]);
    for of in [
        "INT32 id",
        "INT64 id",
        "INT32 id (INTEGER(16, true))",
        "INT64 id (INT_64)",
        "INT64 id (DECIMAL(12, 0))",
        "BYTE_ARRAY id",
        "BYTE_ARRAY id (UTF8)",
        "BYTE_ARRAY id (ENUM)",
    ] {
        assert_eq!(found(of), signed, "{of}");
    }
    let unsigned = |last: &str| Ok(vec!["7".to_owned(), last.to_owned()]);
    assert_eq!(found("INT32 id (INTEGER(32, false))"), unsigned("4294967295"));
    assert_eq!(found("INT64 id (UINT_64)"), unsigned("18446744073709551615"));
    for of in [
        "INT32 id (DATE)",
        "INT32 id (DECIMAL(9, 2))",
        "INT32 id (TIME(MILLIS, true))",
        "INT64 id (TIMESTAMP(MICROS, true))",
        "INT64 id (TIMESTAMP_MILLIS)",
        "INT64 id (DECIMAL(12, 2))",
        "BYTE_ARRAY id (DECIMAL(20, 2))",
        "BYTE_ARRAY id (BSON)",
        "FIXED_LEN_BYTE_ARRAY (16) id (UUID)",
    ] {
        let message = found(of).unwrap_err();
        assert!(message.contains("expected record ids as texts or whole numbers"), "{of}: {message}");
    }
}

#[test]
fn blank_ids_and_ids_of_several_lines_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    for text in ["", "  ", "secret\n7"] {
        let schema = "message m { REQUIRED BYTE_ARRAY id (STRING); }";
        parquet::<ByteArrayType>(&path, schema, &[&[ByteArray::from(text)]], None);
        let message = ids(&IdsSource::of_file(&path, "id")).unwrap_err().to_string();
        assert!(
            message.contains("record 1, column \"id\": expected a record id") && !message.contains("secret"),
            "{message}"
        );
    }
}

proptest! {
    /// Ids that a writer wrote are read back, whatever row groups they are in.
    #[test]
    fn written_ids_are_read_back(groups in prop::collection::vec(prop::collection::vec("[ -~]{1,8}", 1..5), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let values: Vec<Vec<ByteArray>> =
            groups.iter().map(|group| group.iter().map(|id| ByteArray::from(id.as_str())).collect()).collect();
        let values: Vec<&[ByteArray]> = values.iter().map(Vec::as_slice).collect();
        parquet::<ByteArrayType>(&path, "message m { REQUIRED BYTE_ARRAY id (STRING); }", &values, None);
        if let Ok(found) = ids(&IdsSource::of_file(&path, "id")) {
            let expected: Vec<&str> = groups.iter().flatten().map(|id| id.trim()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
