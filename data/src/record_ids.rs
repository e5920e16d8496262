//! Record ids alone: of the records that are served, and of those that a client asks about. They are handed on one
//! by one, so that a file of any length needs no more memory than a row group.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde::{Deserialize, Serialize};

use crate::csv_file::CsvFiles;
use crate::error::TableError;
use crate::idx::IdxFile;
use crate::names;
use crate::number::parse_text;
use crate::source::resolve;
use crate::sql::{self, SqlColumns};

/// Values that are read at once.
const BATCH: usize = 1 << 14;

/// Where record ids are, as in a configuration file; `format` chooses the kind.
///
/// ```
/// use hashvfl_data::IdsSource;
///
/// let source: IdsSource = toml::from_str(r#"
///     format = "parquet"
///     paths = ["customers.parquet"]
///     id = "customer_id"
/// "#).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "lowercase", deny_unknown_fields)]
pub enum IdsSource {
    /// A column of text files; gzip is recognised.
    Csv {
        /// The files, read one after the other; all have the same header.
        paths: Vec<PathBuf>,
        /// Name of the column with the record ids.
        id: String,
    },
    /// A column of Parquet files, of texts or whole numbers.
    Parquet {
        /// The files, read one after the other.
        paths: Vec<PathBuf>,
        /// Name of the column with the record ids.
        id: String,
    },
    /// IDX files: the ids are the records' numbers, from "0", counted on from file to file.
    Idx {
        /// The files.
        paths: Vec<PathBuf>,
        /// Dimensions that they have, the records counted as one: labels alone, unless a table of images says otherwise.
        #[serde(skip, default = "one")]
        dimensions: usize,
    },
    /// The records that a query returns, sorted by id: of a table, never by a setting of its own.
    #[serde(skip)]
    Sql(SqlColumns),
}

fn one() -> usize {
    1
}

impl IdsSource {
    /// The ids in the column `id` of one file: Parquet where its name ends so, text otherwise.
    pub fn of_file(path: &Path, id: &str) -> Self {
        let (paths, id) = (vec![path.to_owned()], id.to_owned());
        let parquet = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
        if parquet { Self::Parquet { paths, id } } else { Self::Csv { paths, id } }
    }

    /// Makes relative paths relative to `folder`, usually that of the configuration file.
    pub fn resolve(&mut self, folder: &Path) {
        match self {
            Self::Csv { paths, .. } | Self::Parquet { paths, .. } | Self::Idx { paths, .. } => {
                resolve(paths, folder)
            }
            Self::Sql(sql) => sql.resolve(folder),
        }
    }

    /// At least the number of ids; exact but for text files, whose lines are counted.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn count_at_most(&self) -> Result<u64, TableError> {
        match self {
            Self::Csv { paths, .. } => CsvFiles::open(paths)?.records_at_most(),
            Self::Parquet { paths, .. } => paths.iter().map(|path| Ok(Ids::open(path)?.records())).sum(),
            Self::Idx { paths, dimensions } => {
                paths.iter().map(|path| Ok(IdxFile::open(path, *dimensions)?.records())).sum()
            }
            Self::Sql(sql) => sql::count(sql),
        }
    }

    /// Hands every id to `each`, in order. An id may come more than once: only its reader knows whether that is wrong.
    ///
    /// # Errors
    /// When a file cannot be read, a column is not there, or a record has no id. No error shows an id.
    pub fn visit<E: From<TableError>>(&self, mut each: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Csv { paths, id } => {
                let files = CsvFiles::open(paths)?;
                let at = names::find(files.first_path(), files.names(), "id", id)?;
                files.visit(|spot, record| {
                    let text = parse_text(&record[at]).map_err(|fault| TableError::BadId {
                        place: spot.place(),
                        column: id.clone(),
                        fault,
                    })?;
                    each(text)
                })
            }
            Self::Parquet { paths, id } => {
                if paths.is_empty() {
                    return Err(TableError::NoPaths.into());
                }
                paths.iter().try_for_each(|path| Ids::open(path)?.visit(id, &mut each))
            }
            Self::Idx { .. } => (0..self.count_at_most()?).try_for_each(|row| each(&row.to_string())),
            Self::Sql(sql) => sql::visit_ids(sql, each).map(drop),
        }
    }
}

/// An open Parquet file.
struct Ids<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
}

impl<'a> Ids<'a> {
    fn open(path: &'a Path) -> Result<Self, TableError> {
        let file = File::open(path).map_err(|reason| TableError::Open { path: path.to_owned(), reason })?;
        let reader = SerializedFileReader::new(file).map_err(|error| broken(path, &error))?;
        Ok(Self { path, reader })
    }

    fn records(&self) -> u64 {
        u64::try_from(self.reader.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    fn visit<E: From<TableError>>(
        &self,
        id: &str,
        each: &mut impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let all: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
        let at = names::find(self.path, &all, "id", id)?;
        let column = schema.column(at);
        let texts = matches!(column.physical_type(), Type::BYTE_ARRAY | Type::INT32 | Type::INT64);
        if !texts || column.max_rep_level() > 0 {
            let reason = format!("column {id:?} holds neither texts nor whole numbers");
            return Err(TableError::Parquet { path: self.path.to_owned(), reason }.into());
        }
        let broken = |error: ParquetError| broken(self.path, &error);
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group).map_err(broken)?;
            match group.get_column_reader(at).map_err(broken)? {
                ColumnReader::ByteArrayColumnReader(reader) => self.column(
                    id,
                    reader,
                    |value, each| {
                        let text = std::str::from_utf8(value.data()).map_err(|_| self.no_id(id))?;
                        each(text)
                    },
                    each,
                )?,
                ColumnReader::Int32ColumnReader(reader) => {
                    self.column(id, reader, |value, each| each(&value.to_string()), each)?;
                }
                ColumnReader::Int64ColumnReader(reader) => {
                    self.column(id, reader, |value, each| each(&value.to_string()), each)?;
                }
                _ => return Err(self.no_id(id).into()),
            }
        }
        Ok(())
    }

    fn column<T: DataType, E: From<TableError>, F: FnMut(&str) -> Result<(), E>>(
        &self,
        id: &str,
        mut reader: ColumnReaderImpl<T>,
        hand_on: impl Fn(&T::T, &mut F) -> Result<(), E>,
        each: &mut F,
    ) -> Result<(), E> {
        let (mut values, mut levels) = (Vec::with_capacity(BATCH), Vec::new());
        loop {
            values.clear();
            levels.clear();
            let read = reader.read_records(BATCH, Some(&mut levels), None, &mut values);
            let (records, found, _) = read.map_err(|error| broken(self.path, &error))?;
            if records == 0 {
                return Ok(());
            }
            if found != records {
                return Err(self.no_id(id).into());
            }
            values.iter().try_for_each(|value| hand_on(value, each))?;
        }
    }

    fn no_id(&self, id: &str) -> TableError {
        let reason = format!("a record has no id in column {id:?}, or one that is no text");
        TableError::Parquet { path: self.path.to_owned(), reason }
    }
}

fn broken(path: &Path, error: &ParquetError) -> TableError {
    TableError::Parquet { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn ids(source: &IdsSource) -> Result<Vec<String>, TableError> {
        let mut found = Vec::new();
        source.visit(|id| {
            found.push(id.to_owned());
            Ok::<(), TableError>(())
        })?;
        Ok(found)
    }

    fn parquet<T: DataType>(path: &Path, schema: &str, groups: &[&[T::T]], levels: Option<&[i16]>) {
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let file = File::create(path).unwrap();
        let mut writer =
            SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::default())).unwrap();
        for values in groups {
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<T>().write_batch(values, levels, None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.close().unwrap();
    }

    #[test]
    fn ids_come_from_text_and_parquet_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.csv"), "x,id\n1,r1\n2, r2\n").unwrap();
        let csv = IdsSource::of_file(&path("a.csv"), "id");
        assert_eq!(ids(&csv).unwrap(), ["r1", "r2"]);
        assert!(csv.count_at_most().unwrap() >= 2);
        let texts = ["r1", "r2", "r3"].map(ByteArray::from);
        let schema = "message m { REQUIRED BYTE_ARRAY id (STRING); }";
        parquet::<ByteArrayType>(&path("a.parquet"), schema, &[&texts[..2], &texts[2..]], None);
        let source = IdsSource::of_file(&path("a.parquet"), "id");
        assert_eq!(
            (ids(&source).unwrap(), source.count_at_most().unwrap()),
            (vec!["r1".to_owned(), "r2".to_owned(), "r3".to_owned()], 3)
        );
        let numbers: Vec<i64> = (0..40_000).collect();
        parquet::<Int64Type>(
            &path("b.parquet"),
            "message m { OPTIONAL INT64 id; }",
            &[&numbers],
            Some(&[1; 40_000]),
        );
        let found = ids(&IdsSource::of_file(&path("b.parquet"), "id")).unwrap();
        assert_eq!((found.len(), found[39_999].as_str()), (40_000, "39999"));
    }

    #[test]
    fn what_is_no_column_of_ids_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        parquet::<Int64Type>(&path("a.parquet"), "message m { OPTIONAL INT64 id; }", &[&[7]], Some(&[1, 0]));
        let error = |file: &str, id: &str| ids(&IdsSource::of_file(&path(file), id)).unwrap_err().to_string();
        assert!(error("a.parquet", "id").contains("a record has no id"));
        assert!(error("a.parquet", "ID").contains("has no column"));
        std::fs::write(path("b.parquet"), "id\nr1\n").unwrap();
        assert!(error("b.parquet", "id").contains("b.parquet"));
        assert!(error("c.csv", "id").contains("cannot open"));
    }

    #[test]
    fn ids_come_in_the_order_of_the_table_and_a_missing_one_is_placed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let source: crate::ColumnsSource =
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
    }
}
