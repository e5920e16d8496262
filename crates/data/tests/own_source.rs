//! A source of rows from outside of the crate: nothing but its public traits is needed.

use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use hashvfl_data::{
    ColumnBuilder, Counted, Frame, IdSource, Order, Place, RecordStore, RowSink, RowSource, TableError,
    Treatment, load_as, load_in_order,
};

/// A table that is computed: records 1 to `records` with their squares and whether they are even.
#[derive(Debug, Clone)]
struct Squares {
    records: u32,
}

impl Squares {
    fn digest(&self) -> Digest {
        Digest::of(&self.records.to_le_bytes())
    }
}

impl RowSource for Squares {
    fn files(&self) -> &[PathBuf] {
        &[]
    }

    fn resolve(&mut self, _: &Path) {}

    fn schema(&self) -> Result<Option<Vec<String>>, TableError> {
        Ok(None)
    }

    fn lines(&self) -> Result<Option<u64>, TableError> {
        Ok(None)
    }

    fn is_cacheable(&self) -> bool {
        true
    }

    fn ids(&self) -> Box<dyn IdSource> {
        Box::new(self.clone())
    }

    fn read(
        &self,
        treatment: &Treatment,
        sink: &mut dyn RowSink,
    ) -> Result<(Frame, Option<Digest>), TableError> {
        let mut square = ColumnBuilder::new("square", treatment);
        let mut even = ColumnBuilder::new("even", treatment);
        sink.start(2, &mut || Ok(self.records.into()))?;
        let mut ids = Vec::new();
        for record in 1..=self.records {
            ids.push(record.to_string());
            let word: &[u8] = if record % 2 == 0 { b"even" } else { b"odd" };
            let place = Place { path: "squares".into(), counted: Counted::Record, number: record.into() };
            let row = [
                square
                    .push_number(f64::from(record * record))
                    .map_err(|fault| square.fault_at(place.clone(), fault))?,
                even.push_cell(word, treatment).map_err(|fault| even.fault_at(place, fault))?,
            ];
            sink.push(&row)?;
        }
        let names = vec![square.name().to_owned(), even.name().to_owned()];
        let contents = vec![square.finish()?, even.finish()?];
        Ok((Frame { ids, names, contents, image: None }, Some(self.digest())))
    }
}

impl IdSource for Squares {
    fn key_columns(&self) -> usize {
        1
    }

    fn files(&self) -> &[PathBuf] {
        &[]
    }

    fn resolve(&mut self, _: &Path) {}

    fn count_at_most(&self) -> Result<u64, TableError> {
        Ok(self.records.into())
    }

    fn read(
        &self,
        each: &mut dyn FnMut(&str) -> Result<(), TableError>,
    ) -> Result<Option<Digest>, TableError> {
        for record in 1..=self.records {
            each(&record.to_string())?;
        }
        Ok(Some(self.digest()))
    }
}

#[test]
fn a_source_of_ones_own_is_loaded_ordered_and_cached() {
    let folder = tempfile::tempdir().unwrap();
    let (source, treatment) = (Squares { records: 5 }, Treatment::default());
    let table = load_as(&source, &treatment).unwrap();
    assert_eq!(table.ids, ["1", "2", "3", "4", "5"]);
    assert_eq!(table.matrix.row(2), [9.0, 0.0]);

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
    assert_eq!(ordered.matrix.values(), [16.0, 1.0, 1.0, 0.0]);

    let cache = folder.path().join("cache");
    let records = RecordStore::load(&source, Some(&path), &treatment, Some(&cache)).unwrap();
    assert_eq!(records.ids(), ["4", "1"]);
    let changed = RecordStore::load(&Squares { records: 6 }, Some(&path), &treatment, Some(&cache));
    assert!(changed.err().unwrap().to_string().contains("align again"));
}
