//! Labels from CSV and IDX: order of the classes, and a message for every fault.

use super::*;
use crate::MAX_CLASSES;
use crate::{CsvLabels, IdxLabels, LabelsSource, load_labels};

fn load_text(text: &str, task: &str) -> Result<LabelTable, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("y.csv");
    std::fs::write(&path, text).unwrap();
    let config = format!("format = \"csv\"\npaths = [{path:?}]\nid = \"id\"\ncolumn = \"y\"");
    let task = match task {
        "binary" => Task::Binary,
        "multiclass" => Task::Multiclass,
        _ => Task::Regression,
    };
    load_labels(&toml::from_str(&config).unwrap(), task).map_err(|error| error.to_string())
}

fn load_bytes(bytes: &[u8], task: Task) -> Result<LabelTable, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels");
    std::fs::write(&path, bytes).unwrap();
    let source = LabelsSource::Idx(IdxLabels { paths: vec![path] });
    load_labels(&source, task).map_err(|error| error.to_string())
}

#[track_caller]
fn classes(labels: LabelTable) -> (Vec<String>, Vec<u32>) {
    match labels.target {
        Target::Classes { names, index } => (names, index),
        Target::Real(_) => panic!("expected classes"),
    }
}

#[test]
fn the_second_of_two_classes_is_the_positive_one() {
    let labels = load_text("id,x,y\nk1,text,1\nk2,,0\nk3,?,1\n", "binary").unwrap();
    assert_eq!(labels.ids, ["k1", "k2", "k3"]);
    let (names, index) = classes(labels);
    assert_eq!(names, ["0", "1"]);
    assert_eq!(index, [1, 0, 1]);
}

#[test]
fn numbers_of_one_value_are_one_class_and_that_is_told() {
    let labels = load_text("id,y\nk1,1.0\nk2,0\nk3,+1\n", "binary").unwrap();
    assert_eq!(
        labels.note.clone().unwrap(),
        "2 classes occur in 3 spellings: equal numbers count as one class"
    );
    assert_eq!(classes(labels), (vec!["0".into(), "+1".into()], vec![1, 0, 1]));
    assert!(load_text("id,y\nk1,1\nk2,0\n", "binary").unwrap().note.is_none());
}

#[test]
fn many_classes_are_sorted() {
    let labels = load_text("id,y\n1,10\n2,9\n3,8\n", "multiclass").unwrap();
    assert_eq!(labels.target.len(), 3);
    let (names, index) = classes(labels);
    assert_eq!(names, ["8", "9", "10"]);
    assert_eq!(index, [2, 1, 0]);
}

#[test]
fn a_regression_has_numbers() {
    let labels = load_text("id,y\n1,0.5\n2,-3\n", "regression").unwrap();
    assert!(matches!(labels.target, Target::Real(values) if values == [0.5, -3.0]));
    let labels = load_text("id,y\n1,0.5\n2,\u{2212}3\n", "regression").unwrap();
    assert!(matches!(labels.target, Target::Real(values) if values == [0.5, -3.0]));
}

#[test]
fn faults_are_named_with_their_place() {
    let too_many: String = (0..=MAX_CLASSES).map(|row| format!("{row},{row}\n")).collect();
    let too_many = format!("id,y\n{too_many}");
    for (text, task, expected) in [
        ("id,z\n1,2\n", "binary", "no column \"y\", which `column` names"),
        ("key,y\n1,2\n", "binary", "no column \"id\", which `id` names"),
        ("id,y,y\n1,2,2\n", "binary", "columns 2 and 3"),
        ("id,y\n", "binary", "holds no records"),
        ("id,y\n1,secret\n2,other\n3,third\n", "binary", "3 classes, but need exactly 2"),
        ("id,y\n1,secret\n", "binary", "1 class, but need exactly 2"),
        ("id,y\n1,secret\n", "multiclass", "1 class, but need at least 2"),
        ("id,y\n1,a\n2, \n3,\n", "binary", "2 records without a label in column \"y\", the first at"),
        (
            "id,y\n1,a\n2,NA\n3,b\n4,n/a\n",
            "binary",
            "2 records without a label in column \"y\", the first at",
        ),
        (
            "id,y\n1,a\n2,\\N\n3,b\n4,#DIV/0!\n5,(null)\n6,nil\n7,NaT\n",
            "binary",
            "5 records without a label in column \"y\", the first at",
        ),
        (
            "id,y\n1,a\n2,-nan\n3,b\n4,1.#QNAN\n5,#N/A N/A\n6,#NV\n7,\u{a0}\n8,NA\u{a0}\n9,\u{2013}\n",
            "multiclass",
            "7 records without a label in column \"y\", the first at",
        ),
        (
            "id,y\n1,a\n2,-inf\n3,b\n",
            "multiclass",
            "line 3, column \"y\": expected a class, found a value that",
        ),
        (
            "id,y\n1,0.5\n2,nan\n",
            "regression",
            "y.csv, line 3: the cell is empty or holds a text that stands for",
        ),
        (
            "id,y\n1,1700000001\n2,1700000002\n3,1700000003\n",
            "regression",
            "3 distinct numbers become 1 in 32 bits",
        ),
        ("id,y\n1,1e-40\n2,0\n3,-7e-40\n", "regression", "multiply them by a constant"),
        ("id,y\n1,secret\n", "regression", "line 2, column \"y\": expected a number, found text"),
        (
            "id,y\n1,10000000000000000000.50\n",
            "regression",
            "found a number with more digits than a 64-bit float can hold",
        ),
        ("id,y\n1,inf\n", "regression", "line 2, column \"y\": expected a number, found a value"),
        ("id,y\nsecret,0\nsecret,1\n", "binary", "1 record with the id of an earlier record"),
        ("id,y\n1\n", "binary", "line 2: 1 cell, but the header has 2"),
        (&too_many, "multiclass", "line 10002, column \"y\": more than 10000 classes"),
    ] {
        let message = load_text(text, task).unwrap_err();
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("secret"), "a cell is shown: {message}");
    }
}

#[test]
fn the_label_is_not_the_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("y.csv");
    std::fs::write(&path, "id,y\n1,2\n").unwrap();
    let source = LabelsSource::Csv(CsvLabels { paths: vec![path], id: "id".into(), column: "id".to_owned() });
    let message = load_labels(&source, Task::Binary).unwrap_err().to_string();
    assert!(message.contains("`id` and `column` both name"), "{message}");
}

#[test]
fn idx_labels_are_bytes() {
    let bytes = [0, 0, 8, 1, 0, 0, 0, 3, 7, 10, 9];
    let (names, index) = classes(load_bytes(&bytes, Task::Multiclass).unwrap());
    assert_eq!(names, ["7", "9", "10"]);
    assert_eq!(index, [0, 2, 1]);
    let labels = load_bytes(&bytes, Task::Regression).unwrap();
    assert_eq!(labels.ids, ["0", "1", "2"]);
    assert!(matches!(labels.target, Target::Real(values) if values == [7.0, 10.0, 9.0]));
    for (bytes, expected) in [
        (&bytes[..10], "ends after 2 of the 3 records"),
        (&[0, 0, 8, 1, 0, 0, 0, 0], "holds no records"),
        (&[0, 0, 8, 3, 0, 0, 0, 0], "has 3 dimensions instead of 1"),
    ] {
        let message = load_bytes(bytes, Task::Multiclass).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn debug_shows_no_label() {
    let labels = load_text("id,y\nsecret-1,secret\n2,b\n", "binary").unwrap();
    assert_eq!(format!("{labels:?}"), "Labels(2 records of 2 classes)");
}

#[test]
fn unknown_settings_are_refused() {
    for text in [
        "format = \"idx\"\npaths = []\ncolumn = \"y\"",
        "format = \"csv\"\npaths = []\nid = \"id\"\ncolumn = \"y\"\nsort = \"up\"",
    ] {
        assert!(toml::from_str::<LabelsSource>(text).is_err(), "{text}");
    }
}
