//! Why a query gave no table. Messages name tables, columns and types, never values or ids.

use crate::cell::CellFault;
use crate::error::TableError;

/// Why a query gave no table.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The program was built without DataFusion.
    #[error(
        "format = \"sql\" needs the feature `sql`, which this program was built without; build `party` with its \
         default features"
    )]
    NotBuilt,
    /// The program was built without support for clusters.
    #[error(
        "engine = \"ballista://...\" needs the feature `cluster`, which this program was built without; build it with \
         `cargo build --release -p hashvfl-party --features cluster`"
    )]
    ClusterNotBuilt,
    /// The cluster cannot be reached, or has failed.
    #[error("engine = \"{address}\": {reason}")]
    Cluster {
        /// Where its scheduler is.
        address: String,
        /// Why.
        reason: String,
    },
    /// The query engine could not be set up.
    #[error("cannot start the query: {reason}")]
    Start {
        /// Why.
        reason: String,
    },
    /// A table's location cannot be read.
    #[error("tables.{table}.location: {reason}")]
    Location {
        /// The table.
        table: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither a setting nor a file's name tells a table's format.
    #[error(
        "tables.{table}: the format cannot be inferred from the location; set format = \"csv\", \"parquet\" or \
         \"json\""
    )]
    Format {
        /// The table.
        table: String,
    },
    /// A table's settings contradict each other.
    #[error("tables.{table}: {reason}")]
    Setting {
        /// The table.
        table: String,
        /// How.
        reason: &'static str,
    },
    /// No file is there.
    #[error("tables.{table}: no file{} at {location}", ending(.extension))]
    NoFiles {
        /// The table.
        table: String,
        /// Its location.
        location: String,
        /// How names of files have to end; empty for one file.
        extension: String,
    },
    /// A table cannot be read, or its columns are not usable.
    #[error("tables.{table}: {reason}")]
    Table {
        /// The table.
        table: String,
        /// Why.
        reason: String,
    },
    /// The query is not valid over the declared tables.
    #[error("the query: {reason}")]
    Query {
        /// The engine's reason.
        reason: String,
    },
    /// The query needs more memory than it may have.
    #[error(
        "the query needs more memory than memory_mib = {memory_mib} MiB; raise memory_mib, or select less"
    )]
    Memory {
        /// The setting.
        memory_mib: u64,
    },
    /// The query failed while it ran.
    #[error("the query failed while it ran: {reason}")]
    Run {
        /// Why.
        reason: String,
    },
    /// The query returned nothing.
    #[error("the query returned no record; check its conditions and its tables")]
    Empty,
    /// Two columns of the result have one name.
    #[error("the query returns two columns with the same name; rename one with AS")]
    SameName,
    /// A column has a type that is neither number nor text.
    #[error(
        "the query's column {column:?} is of type {found}, expected a number, a text or a truth value; in the query, \
         CAST it or take a part of it: CAST({column} AS VARCHAR), date_part('year', {column})"
    )]
    Type {
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// The column of ids holds neither texts nor whole numbers.
    #[error(
        "the query's column {column:?} is of type {found}, expected record ids as texts or whole numbers; in the \
         query, CAST({column} AS VARCHAR)"
    )]
    IdType {
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// A record has no id.
    #[error(
        "{count} of the query's records have no id in column {column:?}, or an id with a line break; exclude them \
         with WHERE {column} IS NOT NULL AND {column} <> ''"
    )]
    NoId {
        /// The column of ids.
        column: String,
        /// How many.
        count: u64,
    },
    /// The same, of the one record that a list of ids ends at.
    #[error(
        "a record of the query has no id in column {column:?}, or an id with a line break; exclude such records with \
         WHERE {column} IS NOT NULL AND {column} <> ''"
    )]
    RecordWithoutId {
        /// The column of ids.
        column: String,
    },
    /// Some ids occur more than once.
    #[error(
        "{count} of the query's records repeat the id of another one in column {column:?}; use GROUP BY, or look for \
         a join that multiplies records"
    )]
    RepeatedIds {
        /// The column of ids.
        column: String,
        /// How many records repeat one.
        count: u64,
    },
    /// A value does not fit its column.
    #[error("the query's column {column:?}: expected {expected}, found {fault}; {}", remedy(.fault))]
    Cell {
        /// The column.
        column: String,
        /// What the column holds.
        expected: &'static str,
        /// What is wrong with the value.
        fault: CellFault,
    },
}

impl From<SqlError> for TableError {
    fn from(error: SqlError) -> Self {
        Self::Format(Box::new(error))
    }
}

fn ending(extension: &str) -> String {
    if extension.is_empty() { String::new() } else { format!(" whose name ends in {extension:?}") }
}

/// What to do about a value, in the query.
fn remedy(fault: &CellFault) -> &'static str {
    match fault {
        CellFault::Empty => {
            "give it one with COALESCE, leave the record out with WHERE, or set missing = \"fill\""
        }
        CellFault::NotANumber => {
            "declare the column a category in [types], or list what stands for a missing value in `null_values`"
        }
        CellFault::NotFinite => "use NULLIF or a CASE, or list \"NaN\" in `null_values`",
        CellFault::TooManyCategories => "leave the column out of the query: it is an id or free text",
        CellFault::TooManyDigits => {
            "subtract a constant in the query, or declare the column a category in [types]"
        }
        CellFault::NotUtf8 | CellFault::OtherType | CellFault::ControlCharacter => {
            "leave the column out of the query, or CAST it"
        }
    }
}
