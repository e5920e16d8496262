//! A source of rows of one's own: here a table that is computed.
//!
//!     cargo run --release -p hashvfl-examples --example own_source

use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use hashvfl_data::{
    ColumnBuilder, Counted, Frame, IdSource, Location, RowSink, RowSource, TableError, Treatment, load_as,
};

/// A table that is computed: records 1 to `records` with their squares.
#[derive(Debug, Clone)]
pub struct Squares {
    /// The number of records.
    pub records: u32,
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

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        Ok(Vec::new())
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
        let mut column = ColumnBuilder::new("square", treatment);
        let mut ids = Vec::new();
        sink.start(1, &mut || Ok(self.records.into()))?;
        for record in 1..=self.records {
            ids.push(record.to_string());
            let place = Location { path: "squares".into(), counted: Counted::Record, number: record.into() };
            let value = column.push_number(f64::from(record * record));
            sink.push(&[value.map_err(|fault| column.fault_at(place, fault))?])?;
        }
        let names = vec![column.name().to_owned()];
        let frame = Frame { ids, names, contents: vec![column.finish()?], image: None, pixels: None };
        Ok((frame, Some(Digest::of(&self.records.to_le_bytes())))) // what stands for the content of the table
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

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        Ok(Vec::new())
    }

    fn read(
        &self,
        each: &mut dyn FnMut(Result<&str, TableError>) -> Result<(), TableError>,
    ) -> Result<Option<Digest>, TableError> {
        for record in 1..=self.records {
            each(Ok(&record.to_string()))?;
        }
        Ok(Some(Digest::of(&self.records.to_le_bytes())))
    }
}

fn main() -> anyhow::Result<()> {
    let table = load_as(&Squares { records: 5 }, &Treatment::default())?;
    println!("{} records of {:?}", table.ids.len(), table.names);
    Ok(())
}
