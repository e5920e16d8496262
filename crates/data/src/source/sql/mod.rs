//! Columns by a SQL query, run in this process by Apache DataFusion: over CSV, Parquet and JSON lines, in files,
//! folders and object stores. With the feature `cluster` and an `engine`, a Ballista cluster runs it.
//!
//! SQL has no order. Records are therefore sorted by the bytes of their ids' text, and the agreed order, where there
//! is one, is put on top of that by id. One pass over the query's records checks ids, takes the [fingerprint] and
//! hands on ids or values.
//!
//! [fingerprint]: crate::ColumnsSource::visit_ids

mod address;
mod config;
mod error;

#[cfg(feature = "sql")]
#[cfg_attr(not(feature = "cluster"), path = "cluster_absent.rs")]
mod cluster;
#[cfg(feature = "sql")]
mod engine;
#[cfg(feature = "sql")]
mod failure;
#[cfg(feature = "sql")]
mod records;
#[cfg(feature = "sql")]
mod schema;
#[cfg(feature = "sql")]
mod strict;
#[cfg(feature = "sql")]
mod table;
#[cfg(feature = "sql")]
mod tables;

pub use address::{ClusterAddress, ClusterTls};
pub use config::{SqlColumns, SqlFormat, SqlTable};
pub use error::SqlError;

#[cfg(feature = "sql")]
pub(crate) use records::{count, visit_ids};
#[cfg(feature = "sql")]
pub(crate) use table::{load, read};

#[cfg(not(feature = "sql"))]
mod absent;
#[cfg(not(feature = "sql"))]
pub(crate) use absent::{count, load, read, visit_ids};

#[cfg(all(test, feature = "sql"))]
mod tests;
