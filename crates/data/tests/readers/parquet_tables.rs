use std::collections::HashSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use crate::expected::{ascii_trimmed, bits, bits_of, categories, category, is_id, texts};
use crate::{cases, read, settings};

const SCHEMA: &str = "message m { REQUIRED BYTE_ARRAY id (STRING); OPTIONAL DOUBLE a; OPTIONAL INT64 b; \
                      OPTIONAL BYTE_ARRAY c (STRING); REQUIRED BOOLEAN d; }";

/// One record: its id, three cells that may be missing, and one that may not.
pub type Record = (String, Option<f64>, Option<i64>, Option<String>, bool);

pub fn write(path: &Path, groups: &[Vec<Record>], dictionary: bool) {
    let properties =
        WriterProperties::builder().set_dictionary_enabled(dictionary).set_data_page_row_count_limit(3);
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties.build())).unwrap();
    for records in groups {
        let mut group = writer.next_row_group().unwrap();
        write_group(&mut group, records);
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn levels<T>(cells: &[Option<T>]) -> Vec<i16> {
    cells.iter().map(|cell| i16::from(cell.is_some())).collect()
}

fn write_group(group: &mut SerializedRowGroupWriter<'_, File>, records: &[Record]) {
    let ids: Vec<ByteArray> = records.iter().map(|record| ByteArray::from(record.0.as_str())).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&ids, None, None).unwrap();
    column.close().unwrap();
    let cells: Vec<Option<f64>> = records.iter().map(|record| record.1).collect();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<f64> = cells.iter().flatten().copied().collect();
    column.typed::<DoubleType>().write_batch(&values, Some(&levels(&cells)), None).unwrap();
    column.close().unwrap();
    let cells: Vec<Option<i64>> = records.iter().map(|record| record.2).collect();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<i64> = cells.iter().flatten().copied().collect();
    column.typed::<Int64Type>().write_batch(&values, Some(&levels(&cells)), None).unwrap();
    column.close().unwrap();
    let cells: Vec<Option<&str>> = records.iter().map(|record| record.3.as_deref()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = cells.iter().flatten().map(|text| ByteArray::from(*text)).collect();
    column.typed::<ByteArrayType>().write_batch(&values, Some(&levels(&cells)), None).unwrap();
    column.close().unwrap();
    let values: Vec<bool> = records.iter().map(|record| record.4).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<BoolType>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
}

pub fn record() -> impl Strategy<Value = Record> {
    let double =
        prop_oneof![3 => (-1e3_f64..1e3).prop_map(|number| (number * 8.0).round() / 8.0), 1 => any::<f64>()];
    let whole = prop_oneof![3 => -1000_i64..1000, 1 => any::<i64>()];
    let (double, whole) = (prop::option::weighted(0.8, double), prop::option::weighted(0.8, whole));
    ("[a-c é,\"\n]{0,3}[0-9a-z]{1,4}", double, whole, prop::option::weighted(0.8, texts()), any::<bool>())
}

fn is_clean(records: &[&Record]) -> bool {
    let distinct: HashSet<&str> = records.iter().map(|record| ascii_trimmed(&record.0)).collect();
    let plain = |record: &&Record| {
        is_id(&record.0)
            && record.1.is_none_or(|number| number.abs() <= 1e3 && (number * 8.0).fract() == 0.0)
            && record.2.is_none_or(|number| number.abs() <= 1000)
    };
    distinct.len() == records.len() && records.iter().all(plain)
}

proptest! {
    #![proptest_config(cases(300))]

    /// Cells of every type come back to the bit over row groups and pages, or the file is refused.
    #[test]
    fn a_table_is_read_back_or_refused(
        groups in prop::collection::vec(prop::collection::vec(record(), 1..8), 1..4),
        dictionary: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        write(&path, &groups, dictionary);
        let records: Vec<&Record> = groups.iter().flatten().collect();
        match read(&settings("parquet", &path), "") {
            Ok(table) => {
                let ids: Vec<&str> = records.iter().map(|record| ascii_trimmed(&record.0)).collect();
                prop_assert_eq!(&table.ids, &ids);
                let doubles: Vec<u32> =
                    records.iter().map(|record| bits_of(record.1.map_or(f32::NAN, |number| number as f32))).collect();
                prop_assert_eq!(bits(&table, 0), doubles);
                let wholes: Vec<u32> =
                    records.iter().map(|record| bits_of(record.2.map_or(f32::NAN, |number| number as f32))).collect();
                prop_assert_eq!(bits(&table, 1), wholes);
                prop_assert!(records.iter().all(|record| record.1.is_none_or(f64::is_finite)));
                let words: Vec<Option<String>> =
                    records.iter().map(|record| record.3.as_deref().and_then(category)).collect();
                prop_assert_eq!(categories(&table, 2), words);
                let truths: Vec<u32> = records.iter().map(|record| bits_of(f32::from(u8::from(record.4)))).collect();
                prop_assert_eq!(bits(&table, 3), truths);
            }
            Err(message) => prop_assert!(!is_clean(&records), "{}", message),
        }
    }

    /// A file that was cut off is refused, and one with a changed bit has as many records, or is refused.
    #[test]
    fn a_damaged_file_loses_no_record_in_silence(
        records in prop::collection::vec((0_i64..1000, any::<bool>()), 1..20),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let records: Vec<Record> = records
            .into_iter()
            .enumerate()
            .map(|(row, (number, truth))| (format!("k{row}"), Some(number as f64), Some(number), Some("x".into()), truth))
            .collect();
        write(&path, std::slice::from_ref(&records), true);
        let whole = fs::read(&path).unwrap();
        let at = at.index(whole.len());
        fs::write(&path, &whole[..at]).unwrap();
        prop_assert!(read(&settings("parquet", &path), "").is_err());
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        fs::write(&path, flipped).unwrap();
        if let Ok(table) = read(&settings("parquet", &path), "") {
            prop_assert_eq!(table.ids.len(), records.len());
        }
    }
}

/// Ids, columns and labels within a group or a list are named and refused, not taken for another column.
#[test]
fn ids_in_nested_columns_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    for id in [
        "REQUIRED GROUP id { REQUIRED INT64 key; }",
        "OPTIONAL GROUP id (LIST) { REPEATED GROUP list { REQUIRED INT64 element; } }",
        "REPEATED INT64 id;",
    ] {
        let schema = format!("message m {{ {id} REQUIRED INT64 a; }}");
        let schema = Arc::new(parse_message_type(&schema).unwrap());
        let mut writer =
            SerializedFileWriter::new(File::create(&path).unwrap(), schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let levels = [vec![0_i16; 2], vec![1; 2], vec![2; 2]];
        let depth = if id.starts_with("REQUIRED") {
            0
        } else if id.starts_with("OPTIONAL") {
            2
        } else {
            1
        };
        let (defined, repeated) = match depth {
            0 => (None, None),
            depth => (Some(levels[depth].as_slice()), Some(levels[0].as_slice())),
        };
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[7, 8], defined, repeated).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[1, 2], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        let message = read(&settings("parquet", &path), "").unwrap_err();
        assert!(
            message.contains("column \"id\" is of type a list or another nested type"),
            "{id}: {message}"
        );
        assert!(message.contains("format = \"sql\""), "{message}");
        let source = hashvfl_data::IdsSource::of_file(&path, "id");
        let outcome = source.visit(|_| Ok::<(), hashvfl_data::TableError>(()));
        assert!(outcome.unwrap_err().to_string().contains("column \"id\" is of type a list"), "{id}");
    }
}
