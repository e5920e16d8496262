//! Tables from CSV texts: what is loaded, and for every fault the message that names its place.

use std::path::PathBuf;

use crate::encoding::content::is_faulty;
use crate::source::tests::visited;
use crate::{ColumnsSource, Faulty, Table, TableError, Treatment, load, load_as};

/// Writes each text as `0.csv`, `1.csv`, ... and loads them with these settings.
fn load_texts(texts: &[&str], settings: &str) -> Result<Table, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut paths: Vec<PathBuf> = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let path = folder.path().join(format!("{number}.csv"));
        std::fs::write(&path, text).unwrap();
        paths.push(path);
    }
    let config = format!("format = \"csv\"\npaths = {paths:?}\n{settings}");
    let source: ColumnsSource = toml::from_str(&config).unwrap();
    load(&source).map_err(|error| error.to_string())
}

const ID: &str = "id = \"id\"\n";

#[test]
fn all_but_id_and_ignored_columns_are_loaded() {
    let text = "id,y,a,b\n k1,yes,1,2.5\nk2,no,-3,4e2\n";
    let table = load_texts(&[text], &format!("{ID}ignore = [\"y\"]")).unwrap();
    assert_eq!(table.ids, ["k1", "k2"]);
    assert_eq!(table.names, ["a", "b"]);
    assert_eq!(table.matrix.values(), [1.0, 2.5, -3.0, 400.0]);
    assert_eq!((table.matrix.rows(), table.matrix.cols()), (2, 2));
    assert!(table.image.is_none());
}

#[test]
fn named_columns_keep_the_order_of_the_names() {
    let text = "a,b,id,c\n1,2,k1,3\n";
    let table = load_texts(&[text], &format!("{ID}columns = [\"c\", \"a\"]")).unwrap();
    assert_eq!(table.names, ["c", "a"]);
    assert_eq!(table.matrix.values(), [3.0, 1.0]);
}

#[test]
fn files_are_put_one_below_the_other() {
    let table = load_texts(&["id,a\nk1,1\n", "id,a\r\nk2,2"], ID).unwrap();
    assert_eq!(table.ids, ["k1", "k2"]);
    assert_eq!(table.matrix.values(), [1.0, 2.0]);
}

#[test]
fn columns_can_be_an_image() {
    let text = "id,0,1,2,3\nk1,1,2,3,4\n";
    let image = "image = { channels = 1, height = 2, width = 2 }";
    let table = load_texts(&[text], &format!("{ID}{image}")).unwrap();
    assert_eq!(table.image.unwrap().width, 2);
}

#[test]
fn the_matrix_is_allocated_once() {
    let text: String = (0..3000).map(|row| format!("{row},1,2\n")).collect();
    let table = load_texts(&[&format!("id,a,b\n{text}")], ID).unwrap();
    let values = table.matrix.into_values();
    assert_eq!(values.len(), 6000);
    let lines = 3001; // with the header's
    assert_eq!(values.capacity(), lines * 2, "grown instead of reserved");
}

/// Every fault: the file's text, the settings and what the message must contain.
#[test]
fn faults_are_named_with_their_place() {
    let cases = [
        ("", ID, "0.csv holds no records"),
        ("id,a\n", ID, "0.csv holds no records"),
        ("id,a\n1,2\n", "id = \"idd\"", "no column \"idd\", which `id` names; a name that differs"),
        ("key,a\n1,2\n", ID, "no column \"id\", which `id` names; none of its 2 columns has a similar name"),
        ("7213,0.5\n1,2\n", ID, "looks like a record"),
        (
            "id,income\n1,2\n",
            "id = \"id\"\ncolumns = [\"incme\"]",
            "no column \"incme\", which `columns` names; a name that differs",
        ),
        ("id,a\n1,2\n", "id = \"id\"\nignore = [\"y\"]", "no column \"y\", which `ignore` names"),
        ("id,a,b,a\n1,2,3,4\n", ID, "columns 2 and 4 of"),
        ("id,7213,7213\n1,2,3\n", ID, "looks like a record"),
        ("id,,a\n1,2,3\n", ID, "column 2 of"),
        ("id,y\n1,2\n", "id = \"id\"\nignore = [\"y\"]", "no column left"),
        ("id,a\n1,2\n", "id = \"id\"\ncolumns = []", "no column left"),
        ("id,a\n1,2\n", "id = \"id\"\ncolumns = [\"id\"]", "named in both `id` and `columns`"),
        ("id,a\n1,2\n", "id = \"id\"\nignore = [\"id\"]", "named in both `id` and `ignore`"),
        (
            "id,a\n1,2\n",
            "id = \"id\"\ncolumns = [\"a\"]\nignore = [\"a\"]",
            "named in both `columns` and `ignore`",
        ),
        ("id,a\n1,2\n", "id = \"id\"\ncolumns = [\"a\", \"a\"]", "named twice in `columns`"),
        ("id,a,b\n1,2,3\n2,7213\n", ID, "0.csv, line 3: 2 cells, but the header has 3"),
        ("id,a,b\n1,2,3\n2,7213,1,1\n", ID, "0.csv, line 3: 4 cells, but the header has 3"),
        ("id,a\n1,2\n2,\n", ID, "0.csv, line 3, column \"a\": expected a number, found an empty cell"),
        (
            "id,a\n1,2\n\n2,secret\n",
            ID,
            "0.csv, line 4, column \"a\": expected a number, found text that is not a number; correct the file, list the column in `ignore`, declare it a category",
        ),
        (
            "id,a\n1,NaN\n",
            ID,
            "0.csv, line 2, column \"a\": expected a number, found a value that is not finite",
        ),
        ("id,a\r\n1,2\r\n2,-inf\r\n", ID, "0.csv, line 3, column \"a\""),
        ("id,a\nsecret,2\nother,1\nsecret,7\nsecret,8\n", ID, "2 records with the id of an earlier record"),
        ("id,a\n1,2\n ,3\n", ID, "line 3, column \"id\": expected a record id, found an empty cell"),
        (
            "id,a\n1,2\n",
            "id = \"id\"\nimage = { channels = 1, height = 2, width = 2 }",
            "1 channels of 2 x 2 pixels, whose product must equal the 1 loaded columns",
        ),
    ];
    for (text, settings, expected) in cases {
        let message = load_texts(&[text], settings).unwrap_err();
        assert!(message.contains(expected), "{text:?} gave: {message}");
        assert!(!message.contains("secret"), "a cell is shown: {message}");
        assert!(!message.contains("7213"), "a cell is shown: {message}");
    }
}

#[test]
fn repeated_ids_are_placed_across_files() {
    let message = load_texts(&["id,a\nk1,1\nk2,2\n", "id,a\nk3,3\nk2,4\n"], ID).unwrap_err();
    assert!(message.contains("1 record with the id of an earlier record"), "{message}");
    assert!(message.contains("0.csv, line 3"), "{message}");
    assert!(message.contains("1.csv, line 3"), "{message}");
}

#[test]
fn every_file_needs_the_first_file_s_header() {
    for second in ["id,b\n2,2\n", "id,a,b\n2,2,2\n", "id\n2\n"] {
        let message = load_texts(&["id,a\n1,1\n", second], ID).unwrap_err();
        assert!(message.contains("1.csv is not that of"), "{message}");
    }
    let message = load_texts(&["id,a\n1,1\n", ""], ID).unwrap_err();
    assert!(message.contains("1.csv holds no records"), "{message}");
}

#[test]
fn no_paths_and_a_missing_file_are_errors() {
    assert!(load_texts(&[], ID).unwrap_err().contains("`paths` is empty"));
    let source = "format = \"csv\"\nid = \"id\"\npaths = [\"/nowhere/a.csv\"]";
    let source: ColumnsSource = toml::from_str(source).unwrap();
    let message = load(&source).unwrap_err().to_string();
    assert!(message.contains("cannot open /nowhere/a.csv"), "{message}");
}

#[test]
fn too_many_columns_are_refused() {
    let names: String = (0..70_000).map(|column| format!(",c{column}")).collect();
    let message = load_texts(&[&format!("id{names}\n")], ID).unwrap_err();
    assert!(message.contains("70000 columns"), "{message}");
}

#[test]
fn bytes_that_are_not_text_are_faults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let config = format!("format = \"csv\"\npaths = [{path:?}]\nid = \"id\"\nignore = [\"note\"]");
    let source: ColumnsSource = toml::from_str(&config).unwrap();
    for (bytes, expected) in [
        (&b"id,a\xff,note\n"[..], "the name of column 2"),
        (b"id,a,note\n\xff,1,x\n", "line 2, column \"id\""),
        (b"id,a,note\nk,\xff,x\n", "line 2, column \"a\""),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let message = load(&source).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("UTF-8"), "{message}");
    }
    std::fs::write(&path, b"id,a,note\nk,1,\xff\n").unwrap();
    assert!(load(&source).is_ok(), "an ignored column may hold anything");
}

#[test]
fn ids_come_in_the_order_of_the_table_and_a_missing_one_is_placed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let source: ColumnsSource =
        toml::from_str(&format!("format = \"csv\"\nid = \"id\"\npaths = [{path:?}]")).unwrap();
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let mut ids = Vec::new();
        source
            .ids()
            .visit(|id| {
                ids.push(id.to_string());
                Ok::<(), TableError>(())
            })
            .map(|()| ids)
    };
    assert_eq!(read("a,id\n1,x\n2, y \nz,x\n").unwrap(), ["x", "y", "x"]);
    let error = read("a,id\n1,x\n2,\n").unwrap_err().to_string();
    assert!(error.contains("a.csv, line 3") && error.contains("record id"), "{error}");
    // As a join of two tables writes it.
    let error = read("id,name,id\nk1,x,k2\n").unwrap_err().to_string();
    assert!(error.contains("columns 1 and 3 of") && error.contains("the same name"), "{error}");
    assert_eq!(read("id,a,a\nk1,1,2\n").unwrap(), ["k1"]);
}

#[test]
fn records_without_an_id_of_their_own_stop_no_serving() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "id,a,job\nk1,1,clerk\n,2,cook\nk2,3,cook\nk1,4,baker\nk3,5,clerk\n,,\n").unwrap();
    let source: ColumnsSource =
        toml::from_str(&format!("format = \"csv\"\npaths = [{path:?}]\n{ID}")).unwrap();
    let served = Treatment { faulty: Faulty::Mark, ..Treatment::default() };
    let table = load_as(&source, &served).unwrap();
    assert_eq!(table.ids, ["k1", "k2", "k3"]);
    let unusable: Vec<bool> =
        (0..3).map(|row| table.matrix.row(row).iter().all(|value| is_faulty(*value))).collect();
    assert_eq!(unusable, [true, false, false], "nobody knows which record of k1 is meant");
    assert_eq!(table.matrix.row(2)[0], 5.0);
    let message = load_as(&source, &Treatment::default()).unwrap_err().to_string();
    assert!(message.contains("line 3, column \"id\""), "{message}");

    let ids = visited(&source);
    let expected = [Some("k1"), None, Some("k2"), Some("k1"), Some("k3"), None];
    assert_eq!(ids, expected.map(|id| id.map(str::to_owned)));
}
