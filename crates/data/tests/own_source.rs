//! The example of a source of rows of one's own: nothing but public traits is needed to load, order and cache it.

use hashvfl_data::{Order, RecordStore, RowSource, TableError, Treatment, load_as, load_in_order};

#[path = "../../../examples/own_source.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod example;

use example::Squares;

#[test]
fn a_source_of_ones_own_is_loaded_ordered_and_cached() {
    let folder = tempfile::tempdir().unwrap();
    let (source, treatment) = (Squares { records: 5 }, Treatment::default());
    let table = load_as(&source, &treatment).unwrap();
    assert_eq!(table.ids, ["1", "2", "3", "4", "5"]);
    assert_eq!(table.matrix.row(2), [9.0]);

    let own: &dyn RowSource = &source;
    let mut ids = Vec::new();
    let fingerprint = own
        .visit_ids(|id| {
            ids.push(id.to_owned());
            Ok::<(), TableError>(())
        })
        .unwrap();
    assert_eq!(ids, table.ids);

    let path = folder.path().join("order.csv");
    let order = Order::new(vec!["4".to_owned(), "1".to_owned()], Some(fingerprint));
    std::fs::write(&path, order.to_bytes()).unwrap();
    let ordered = load_in_order(&source, Some(&path), &treatment).unwrap();
    assert_eq!(ordered.matrix.values(), [16.0, 1.0]);

    let cache = folder.path().join("cache");
    let records = RecordStore::load(&source, Some(&path), &treatment, Some(&cache)).unwrap();
    assert_eq!(records.ids(), ["4", "1"]);
    let changed = RecordStore::load(&Squares { records: 6 }, Some(&path), &treatment, Some(&cache));
    assert!(changed.err().unwrap().to_string().contains("align again"));
}
