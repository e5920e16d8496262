//! The query and its tables, as in a configuration file.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::address::{ClusterAddress, ClusterTls};
use crate::ids::key_columns::KeyColumns;
use crate::table::ImageShape;

/// Least and most memory for a query, in MiB.
const MEMORY_MIB: std::ops::RangeInclusive<u64> = 64..=1 << 24;

/// Columns by a SQL query.
///
/// ```
/// use hashvfl_data::ColumnsSource;
///
/// let source: ColumnsSource = toml::from_str(r#"
///     format = "sql"
///     query = """
///         SELECT c.customer_id, c.age, SUM(p.amount) AS paid
///         FROM customers c LEFT JOIN payments p ON p.customer_id = c.customer_id
///         GROUP BY c.customer_id, c.age
///     """
///     id = "customer_id"
///
///     [tables]
///     customers = { location = "customers.csv" }
///     payments = { location = "s3://bank-data/payments/", format = "parquet" }
/// "#).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlColumns {
    /// One `SELECT` in DataFusion's SQL; names are taken as they are written, in upper and lower case.
    pub query: String,
    /// Name of the result's column with the record ids, of texts or whole numbers, or names of several that are an id
    /// together; every other column is loaded.
    pub id: KeyColumns,
    /// The tables, by the names that the query uses.
    pub tables: BTreeMap<String, SqlTable>,
    /// The Ballista cluster that runs it; without one, this process does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<ClusterAddress>,
    /// Certificates, which a cluster needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClusterTls>,
    /// The longest wait for a cluster's first records, and between any two batches of them, in seconds.
    #[serde(default = "timeout_s")]
    pub timeout_s: NonZeroU64,
    /// The most memory of the query, in MiB, not counting the table that it returns. What needs more goes to disk if it can.
    #[serde(default = "memory_mib", deserialize_with = "checked_memory")]
    pub memory_mib: u64,
    /// Parts of the query that run at once. With one, sums of floating-point numbers are the same to the bit each time.
    #[serde(default = "threads")]
    pub threads: NonZeroUsize,
    /// The folder for what does not fit into that memory; without it the system's folder of temporary files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spill: Option<PathBuf>,
    /// Says that the columns are pixels of an image, channel by channel and row by row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageShape>,
}

/// A table of a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlTable {
    /// A file, a folder (its files below one another, but not those in folders within it), or the URL of either: `s3://`,
    /// `gs://`, `az://`, `https://`, `file://`. A folder's URL ends in `/`. Credentials come from the environment, never from
    /// here.
    pub location: String,
    /// The files' format; without it that of a file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<SqlFormat>,
    /// The ending of names of a folder's files; others are left out. Without it `csv`, `parquet` or `json`. Text is
    /// decompressed if the ending, or a file's name, ends in `.gz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// Columns of CSV that are texts, whatever they look like. Ids with leading zeros would otherwise be numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<String>,
    /// What separates cells of CSV.
    #[serde(default = "delimiter")]
    pub delimiter: char,
    /// How many records of each file decide the types of CSV columns. Of JSON all do.
    #[serde(default = "infer_rows")]
    pub infer_rows: NonZeroUsize,
}

/// Formats of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SqlFormat {
    /// Text with a header; gzip where the name ends in `.gz`.
    Csv,
    /// Parquet.
    Parquet,
    /// One JSON object per line; gzip where the name ends in `.gz`.
    Json,
}

impl SqlFormat {
    /// How names of its files end.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Json => "json",
        }
    }

    /// By the end of a file's name.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            "json" | "jsonl" | "ndjson" => Some(Self::Json),
            _ => None,
        }
    }
}

impl SqlColumns {
    /// The name of the column of ids, one or joined of several.
    #[cfg(feature = "sql")]
    pub(crate) fn key(&self) -> String {
        self.id.names().join("+")
    }

    /// Makes relative locations relative to `folder`.
    pub(crate) fn resolve_locations(&mut self, folder: &Path) {
        for table in self.tables.values_mut().filter(|table| !table.location.contains("://")) {
            let is_folder = table.location.ends_with('/');
            let location = folder.join(&table.location).display().to_string();
            table.location = if is_folder && !location.ends_with('/') { location + "/" } else { location };
        }
        self.spill = self.spill.take().map(|spill| folder.join(spill));
        self.tls.iter_mut().for_each(|tls| tls.resolve(folder));
    }
}

fn timeout_s() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(3599)
}

fn memory_mib() -> u64 {
    1024
}

fn threads() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn delimiter() -> char {
    ','
}

fn infer_rows() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(99_999)
}

fn checked_memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let mib = u64::deserialize(deserializer)?;
    if MEMORY_MIB.contains(&mib) {
        return Ok(mib);
    }
    Err(D::Error::custom(format!("memory_mib must be {} to {}", MEMORY_MIB.start(), MEMORY_MIB.end())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ColumnsSource;

    const SMALL: &str = "format = \"sql\"\nquery = \"SELECT * FROM t\"\nid = \"id\"\n\
                         tables = { t = { location = \"t.csv\" } }\n";

    #[test]
    fn relative_locations_are_resolved_and_urls_are_not() {
        let text = SMALL.replace(
            "} }",
            "}, u = { location = \"s3://b/u/\", format = \"parquet\" }, v = { location = \"v/\" } }",
        );
        let tls = "tls = { ca = \"ca.pem\", certificate = \"/etc/own.pem\", key = \"own.key\" }";
        let text = text + "spill = \"tmp\"\nengine = \"ballista://cluster\"\n" + tls;
        let mut source: ColumnsSource = toml::from_str(&text).unwrap();
        source.resolve(Path::new("/etc/party"));
        let again: ColumnsSource = toml::from_str(&toml::to_string(&source).unwrap()).unwrap();
        assert_eq!(source, again);
        let ColumnsSource::Sql(sql) = source else { panic!("expected sql") };
        assert_eq!(sql.tables["t"].location, "/etc/party/t.csv");
        assert_eq!(sql.tables["u"].location, "s3://b/u/");
        assert_eq!(sql.tables["v"].location, "/etc/party/v/");
        assert_eq!(sql.spill.unwrap(), Path::new("/etc/party/tmp"));
        assert_eq!(sql.engine.unwrap().to_string(), "ballista://cluster:50050");
        let tls = sql.tls.unwrap();
        assert_eq!(
            [&tls.ca, &tls.certificate, &tls.key].map(|path| path.as_path()),
            ["/etc/party/ca.pem", "/etc/own.pem", "/etc/party/own.key"].map(Path::new)
        );
    }

    #[test]
    fn what_is_not_known_or_out_of_range_is_refused() {
        for (from, to, expected) in [
            ("id =", "ignore = []\nid =", "unknown field `ignore`"),
            ("location", "path", "unknown field `path`"),
            ("id =", "memory_mib = 1\nid =", "memory_mib must be 64 to"),
            ("id =", "threads = 0\nid =", "nonzero"),
            ("id =", "engine = \"http://h:1\"\nid =", "engine must be \"ballista://HOST:PORT\""),
            ("id =", "tls = { ca = \"ca.pem\" }\nid =", "missing field `certificate`"),
            ("\"t.csv\"", "\"t.csv\", format = \"orc\"", "unknown variant `orc`"),
        ] {
            let message = toml::from_str::<ColumnsSource>(&SMALL.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn names_tell_formats() {
        for (name, expected) in [
            ("a.csv", Some(SqlFormat::Csv)),
            ("A.CSV.GZ", Some(SqlFormat::Csv)),
            ("a.parquet", Some(SqlFormat::Parquet)),
            ("a.ndjson.gz", Some(SqlFormat::Json)),
            ("a.xls", None),
            ("folder", None),
        ] {
            assert_eq!(SqlFormat::of_name(name), expected, "{name}");
        }
    }
}
