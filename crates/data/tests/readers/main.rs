//! Every reader against files that another writer made: what is read back is what was written, or the file is refused. Files
//! that were cut off or changed by a byte never lose a record in silence. The cases are the same at each run.

#[cfg(feature = "sql")]
mod arithmetic;
mod csv_tables;
mod expected;
mod id_lists;
mod images;
mod labels;
mod parquet_labels;
mod parquet_tables;
mod parquet_types;
#[cfg(feature = "sql")]
mod queries;

use std::path::Path;

use hashvfl_data::{ColumnsSource, Missing, Table, Treatment, load_as};
use proptest::test_runner::{Config, RngSeed};

/// So many cases, drawn alike each time. With `READERS_TIMES=30` in the environment thirty times as many, and other ones each
/// time.
fn cases(count: u32) -> Config {
    let times = std::env::var("READERS_TIMES").ok().and_then(|times| times.parse::<u32>().ok());
    let rng_seed = if times.is_some() { RngSeed::Random } else { RngSeed::Fixed(22) };
    Config { cases: count * times.unwrap_or(1), rng_seed, failure_persistence: None, ..Config::default() }
}

/// The table that `settings` describe, where missing values are filled in; a refusal as its words.
fn read(settings: &str, types: &str) -> Result<Table, String> {
    let source: ColumnsSource = toml::from_str(settings).map_err(|error| error.to_string())?;
    let types = toml::from_str(types).map_err(|error| error.to_string())?;
    let treatment = Treatment { types, missing: Missing::Fill, ..Treatment::default() };
    load_as(&source, &treatment).map_err(|error| error.to_string())
}

/// Settings of a source of one file with the ids in the column `id`.
fn settings(format: &str, path: &Path) -> String {
    format!("format = {format:?}\npaths = [{path:?}]\nid = \"id\"\n")
}
