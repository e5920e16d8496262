//! Columns by a SQL query, run in this process by Apache DataFusion: over CSV, Parquet and JSON lines, in files,
//! folders and object stores. With the feature `cluster` and an `engine`, a Ballista cluster runs it.
//!
//! SQL has no order. Records are therefore sorted by the bytes of their ids' text. An agreed order, if there is one, is then
//! applied by id. One pass over the query's records checks ids, takes the [fingerprint] and
//! hands on ids or values.
//!
//! [fingerprint]: crate::source::row_source::RowSource

mod address;
mod config;
mod error;

#[cfg(feature = "sql")]
mod again;
#[cfg(feature = "sql")]
mod cells;
#[cfg(feature = "sql")]
#[cfg_attr(not(feature = "cluster"), path = "cluster_absent.rs")]
mod cluster;
#[cfg(feature = "sql")]
mod columns;
#[cfg(feature = "sql")]
mod engine;
#[cfg(feature = "sql")]
mod excluded_files;
#[cfg(feature = "sql")]
mod failure;
#[cfg(feature = "sql")]
mod objects;
#[cfg(feature = "sql")]
mod operators;
#[cfg(feature = "sql")]
mod records;
#[cfg(feature = "sql")]
mod schema;
#[cfg(feature = "sql")]
mod session;
#[cfg(feature = "sql")]
mod strict;
#[cfg(feature = "sql")]
mod sums;
#[cfg(feature = "sql")]
mod table;
#[cfg(feature = "sql")]
mod tables;

#[cfg(not(feature = "sql"))]
mod absent;
#[cfg(not(feature = "sql"))]
use absent::{count, read, remarks, visit_ids};
#[cfg(feature = "sql")]
use engine::{count, remarks};
#[cfg(feature = "sql")]
use table::{read, visit_ids};

use std::path::{Path, PathBuf};

use hashvfl_core::Digest;

pub use address::{ClusterAddress, ClusterTls};
pub use config::{SqlColumns, SqlFormat, SqlTable};
pub use error::SqlError;

use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::ids::id_source::IdSource;
use crate::source::row_source::RowSource;
use crate::table::sink::{Frame, RowSink};

impl RowSource for SqlColumns {
    fn files(&self) -> &[PathBuf] {
        &[]
    }

    fn resolve(&mut self, folder: &Path) {
        self.resolve_locations(folder);
    }

    fn schema(&self) -> Result<Option<Vec<String>>, TableError> {
        Ok(None)
    }

    fn lines(&self) -> Result<Option<u64>, TableError> {
        Ok(None)
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        remarks(self)
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
        let (frame, fingerprint) = read(self, treatment, sink)?;
        Ok((frame, Some(fingerprint)))
    }
}

impl IdSource for SqlColumns {
    fn key_columns(&self) -> usize {
        self.id.names().len()
    }

    fn files(&self) -> &[PathBuf] {
        &[]
    }

    fn resolve(&mut self, folder: &Path) {
        self.resolve_locations(folder);
    }

    fn count_at_most(&self) -> Result<u64, TableError> {
        count(self)
    }

    fn remarks(&self) -> Result<Vec<String>, TableError> {
        remarks(self)
    }

    fn read(
        &self,
        each: &mut dyn FnMut(Result<&str, TableError>) -> Result<(), TableError>,
    ) -> Result<Option<Digest>, TableError> {
        visit_ids(self, each).map(Some)
    }
}

#[cfg(all(test, feature = "sql"))]
mod tests;
