//! Labels in Parquet files of two row groups, of each type that labels can have.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use hashvfl_core::Task;
use hashvfl_data::{LabelsSource, Target, load_labels};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use crate::cases;
use crate::expected::texts;
use crate::labels::{class, is_missing};

/// Writes a label of the Parquet type `kind` for each record; `None` is a null.
pub fn write<T: DataType>(path: &Path, kind: &str, labels: &[Option<T::T>]) {
    let schema = format!("message m {{ REQUIRED BYTE_ARRAY id (STRING); OPTIONAL {kind}; }}");
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
    let (first, second) = labels.split_at(labels.len() / 2);
    for (from, labels) in [(0, first), (first.len(), second)] {
        let mut group = writer.next_row_group().unwrap();
        let ids = (from..from + labels.len()).map(|row| ByteArray::from(format!("k{row}").as_str()));
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&ids.collect::<Vec<_>>(), None, None).unwrap();
        column.close().unwrap();
        let levels: Vec<i16> = labels.iter().map(|label| i16::from(label.is_some())).collect();
        let values: Vec<T::T> = labels.iter().flatten().cloned().collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<T>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn load<T: DataType>(kind: &str, labels: &[Option<T::T>], task: Task) -> Result<Target, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("y.parquet");
    write::<T>(&path, kind, labels);
    let config = format!("format = \"parquet\"\npaths = [{path:?}]\nid = \"id\"\ncolumn = \"y\"");
    let source: LabelsSource = toml::from_str(&config).unwrap();
    let loaded = load_labels(&source, task).map_err(|error| error.to_string())?;
    let ids: Vec<String> = (0..labels.len()).map(|row| format!("k{row}")).collect();
    assert_eq!(loaded.ids, ids);
    Ok(loaded.target)
}

/// Each record's class is that of its label, and two records are of one class where their labels are.
fn check_classes(target: &Target, labels: &[String]) -> Result<(), TestCaseError> {
    let Target::Classes { names, index } = target else { panic!("classes") };
    prop_assert_eq!(index.len(), labels.len());
    for (one, label) in labels.iter().enumerate() {
        prop_assert_eq!(class(&names[index[one] as usize]), class(label));
        for (other, second) in labels.iter().enumerate() {
            prop_assert_eq!(index[one] == index[other], class(label) == class(second));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(200))]

    /// A null and a word for nothing are no class: the file is refused.
    #[test]
    fn texts_are_classes_or_refused(labels in prop::collection::vec(prop::option::weighted(0.97, texts()), 2..12)) {
        let bytes: Vec<Option<ByteArray>> =
            labels.iter().map(|label| label.as_deref().map(ByteArray::from)).collect();
        let Ok(target) = load::<ByteArrayType>("BYTE_ARRAY y (STRING)", &bytes, Task::Multiclass) else {
            return Ok(());
        };
        let labels: Option<Vec<String>> = labels.into_iter().collect();
        let Some(labels) = labels else { panic!("a null was taken for a class") };
        prop_assert!(!labels.iter().any(|label| is_missing(label)));
        check_classes(&target, &labels)?;
    }

    #[test]
    fn whole_numbers_are_classes_and_targets(
        labels in prop::collection::vec(prop_oneof![4 => -3_i64..4, 1 => any::<i64>()], 2..12),
        missing in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let mut cells: Vec<Option<i64>> = labels.iter().copied().map(Some).collect();
        if let Some(missing) = missing {
            cells[missing.index(labels.len())] = None;
        }
        let classes = load::<Int64Type>("INT64 y", &cells, Task::Multiclass);
        let numbers = load::<Int64Type>("INT64 y", &cells, Task::Regression);
        if missing.is_some() {
            prop_assert!(classes.is_err() && numbers.is_err());
            return Ok(());
        }
        let written: Vec<String> = labels.iter().map(i64::to_string).collect();
        let several = written.iter().any(|label| *label != written[0]);
        let small = labels.iter().all(|label| label.abs_diff(0) < 1 << 24);
        match classes {
            Ok(target) => check_classes(&target, &written)?,
            Err(message) => prop_assert!(!several || !small, "{}", message),
        }
        match numbers {
            Ok(target) => {
                let expected: Vec<f32> = labels.iter().map(|label| *label as f32).collect();
                prop_assert_eq!(target, Target::Real(expected));
            }
            Err(message) => prop_assert!(!small, "{}", message),
        }
    }

    #[test]
    fn fractions_are_targets(labels in prop::collection::vec(prop_oneof![4 => -1e3_f64..1e3, 1 => any::<f64>()], 2..12)) {
        let cells: Vec<Option<f64>> = labels.iter().copied().map(Some).collect();
        match load::<DoubleType>("DOUBLE y", &cells, Task::Regression) {
            Ok(target) => {
                let expected: Vec<f32> = labels.iter().map(|label| *label as f32).collect();
                prop_assert_eq!(target, Target::Real(expected));
            }
            Err(message) => {
                let plain = labels.iter().all(|label| (1e-3..1e3).contains(&label.abs()));
                prop_assert!(!plain, "{}", message);
            }
        }
    }

    #[test]
    fn truths_are_two_classes(labels in prop::collection::vec(any::<bool>(), 2..12)) {
        let cells: Vec<Option<bool>> = labels.iter().copied().map(Some).collect();
        let written: Vec<String> = labels.iter().map(bool::to_string).collect();
        match load::<BoolType>("BOOLEAN y", &cells, Task::Binary) {
            Ok(target) => check_classes(&target, &written)?,
            Err(message) => prop_assert!(labels.iter().all(|label| *label == labels[0]), "{}", message),
        }
    }
}
