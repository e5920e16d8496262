//! Record ids alone: of the records that are served, and of those that a client asks about. They are handed on one
//! by one, so that a file of any length needs no more memory than a row group.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::TableError;
use crate::ids::key_columns::KeyColumns;
use crate::parquet_ids::ParquetIds;
use crate::source::csv::file::CsvFiles;
use crate::source::idx::format::IdxFile;
use crate::source::npy::format::NpyFile;
use crate::source::png::folder;
use crate::source::resolve;
use crate::source::sql::{self, SqlColumns};

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
        /// Name of the column with the record ids, or names of several.
        id: KeyColumns,
    },
    /// A column of Parquet files, of texts or whole numbers.
    Parquet {
        /// The files, read one after the other.
        paths: Vec<PathBuf>,
        /// Name of the column with the record ids, or names of several.
        id: KeyColumns,
    },
    /// IDX files: the ids are the records' numbers, from "0", counted on from file to file.
    Idx {
        /// The files.
        paths: Vec<PathBuf>,
        /// Dimensions that they have, the records counted as one: labels alone, unless a table of images says otherwise.
        #[serde(skip, default = "one")]
        dimensions: usize,
    },
    /// Folders of PNG images: the ids are the files' names. Never in a configuration: a table of images has them.
    #[serde(skip)]
    Png {
        /// The folders.
        paths: Vec<PathBuf>,
    },
    /// NumPy files: the ids are the records' numbers. Never in a configuration: a table of arrays has them.
    #[serde(skip)]
    Npy {
        /// The files.
        paths: Vec<PathBuf>,
    },
    /// The records that a query returns, sorted by id: of a table, never by a setting of its own.
    #[serde(skip)]
    Sql(SqlColumns),
}

fn one() -> usize {
    1
}

impl IdsSource {
    /// The ids in the column or columns `id` of one file: Parquet where its name ends so, text otherwise.
    pub fn of_file(path: &Path, id: impl Into<KeyColumns>) -> Self {
        let (paths, id) = (vec![path.to_owned()], id.into());
        let parquet = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
        if parquet { Self::Parquet { paths, id } } else { Self::Csv { paths, id } }
    }

    /// The files, or folders of images; none for a query.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Self::Csv { paths, .. }
            | Self::Parquet { paths, .. }
            | Self::Idx { paths, .. }
            | Self::Png { paths }
            | Self::Npy { paths } => paths,
            Self::Sql(_) => &[],
        }
    }

    /// Columns that are an id together.
    pub fn key_columns(&self) -> usize {
        match self {
            Self::Csv { id, .. } | Self::Parquet { id, .. } => id.names().len(),
            Self::Sql(sql) => sql.id.names().len(),
            _ => 1,
        }
    }

    /// Makes relative paths relative to `folder`, usually that of the configuration file.
    pub fn resolve(&mut self, folder: &Path) {
        match self {
            Self::Csv { paths, .. }
            | Self::Parquet { paths, .. }
            | Self::Idx { paths, .. }
            | Self::Png { paths }
            | Self::Npy { paths } => resolve(paths, folder),
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
            Self::Parquet { paths, .. } => {
                paths.iter().map(|path| Ok(ParquetIds::open(path)?.records())).sum()
            }
            Self::Idx { paths, dimensions } => {
                paths.iter().map(|path| Ok(IdxFile::open(path, *dimensions)?.records())).sum()
            }
            Self::Png { paths } => Ok(folder::list(paths)?.len() as u64),
            Self::Npy { paths } => paths.iter().map(|path| Ok(NpyFile::open(path)?.records())).sum(),
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
                let key = id.find(&files)?;
                files.visit(|spot, record| each(&key.read(spot, record)?))
            }
            Self::Parquet { paths, id } => {
                if paths.is_empty() {
                    return Err(TableError::NoPaths.into());
                }
                paths.iter().try_for_each(|path| ParquetIds::open(path)?.visit(id, &mut each))
            }
            Self::Png { paths } => folder::list(paths)?.iter().try_for_each(|file| each(&file.id)),
            Self::Idx { .. } | Self::Npy { .. } => {
                (0..self.count_at_most()?).try_for_each(|row| each(&row.to_string()))
            }
            Self::Sql(sql) => sql::visit_ids(sql, each).map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use parquet::data_type::{
        ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
    };
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use proptest::prelude::*;

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
    fn several_columns_of_parquet_join_to_one_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let schema = "message m { REQUIRED INT32 branch; REQUIRED BYTE_ARRAY account (STRING); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut writer = SerializedFileWriter::new(
            File::create(&path).unwrap(),
            schema,
            Arc::new(WriterProperties::default()),
        )
        .unwrap();
        for (branches, accounts) in [(&[1, 11][..], &["12", "2"][..]), (&[1], &["2"])] {
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<Int32Type>().write_batch(branches, None, None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let accounts: Vec<ByteArray> = accounts.iter().map(|text| ByteArray::from(*text)).collect();
            column.typed::<ByteArrayType>().write_batch(&accounts, None, None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.close().unwrap();
        let key = KeyColumns::new(vec!["branch".into(), "account".into()]).unwrap();
        let found = ids(&IdsSource::of_file(&path, key)).unwrap();
        assert_eq!(found, ["1:12:12", "2:111:2", "1:11:2"]);
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
    fn the_logical_type_tells_what_a_stored_value_means() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let found = |of: &str| {
            let schema = format!("message m {{ REQUIRED {of}; }}");
            match of.split(' ').next().unwrap() {
                "INT32" => parquet::<Int32Type>(&path, &schema, &[&[7, -1]], None),
                "INT64" => parquet::<Int64Type>(&path, &schema, &[&[7, -1]], None),
                "BYTE_ARRAY" => {
                    parquet::<ByteArrayType>(&path, &schema, &[&["7", "-1"].map(ByteArray::from)], None);
                }
                _ => {
                    let values: [FixedLenByteArray; 1] = [vec![55; 16].into()];
                    parquet::<FixedLenByteArrayType>(&path, &schema, &[&values], None);
                }
            }
            ids(&IdsSource::of_file(&path, "id")).map_err(|error| error.to_string())
        };
        let signed = Ok(vec!["7".to_owned(), "-1".to_owned()]);
        for of in [
            "INT32 id",
            "INT64 id",
            "INT32 id (INTEGER(16, true))",
            "INT64 id (INT_64)",
            "INT64 id (DECIMAL(12, 0))",
            "BYTE_ARRAY id",
            "BYTE_ARRAY id (UTF8)",
            "BYTE_ARRAY id (ENUM)",
        ] {
            assert_eq!(found(of), signed, "{of}");
        }
        let unsigned = |last: &str| Ok(vec!["7".to_owned(), last.to_owned()]);
        assert_eq!(found("INT32 id (INTEGER(32, false))"), unsigned("4294967295"));
        assert_eq!(found("INT64 id (UINT_64)"), unsigned("18446744073709551615"));
        for of in [
            "INT32 id (DATE)",
            "INT32 id (DECIMAL(9, 2))",
            "INT32 id (TIME(MILLIS, true))",
            "INT64 id (TIMESTAMP(MICROS, true))",
            "INT64 id (TIMESTAMP_MILLIS)",
            "INT64 id (DECIMAL(12, 2))",
            "BYTE_ARRAY id (DECIMAL(20, 2))",
            "BYTE_ARRAY id (BSON)",
            "FIXED_LEN_BYTE_ARRAY (16) id (UUID)",
        ] {
            let message = found(of).unwrap_err();
            assert!(message.contains("by its logical type"), "{of}: {message}");
        }
    }

    #[test]
    fn blank_ids_and_ids_of_several_lines_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        for text in ["", "  ", "secret\n7"] {
            let schema = "message m { REQUIRED BYTE_ARRAY id (STRING); }";
            parquet::<ByteArrayType>(&path, schema, &[&[ByteArray::from(text)]], None);
            let message = ids(&IdsSource::of_file(&path, "id")).unwrap_err().to_string();
            assert!(message.contains("a record has no id") && !message.contains("secret"), "{message}");
        }
    }

    proptest! {
        /// Ids that a writer wrote are read back, whatever row groups they are in.
        #[test]
        fn written_ids_are_read_back(groups in prop::collection::vec(prop::collection::vec("[ -~]{1,8}", 1..5), 1..4)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.parquet");
            let values: Vec<Vec<ByteArray>> =
                groups.iter().map(|group| group.iter().map(|id| ByteArray::from(id.as_str())).collect()).collect();
            let values: Vec<&[ByteArray]> = values.iter().map(Vec::as_slice).collect();
            parquet::<ByteArrayType>(&path, "message m { REQUIRED BYTE_ARRAY id (STRING); }", &values, None);
            if let Ok(found) = ids(&IdsSource::of_file(&path, "id")) {
                let expected: Vec<&str> = groups.iter().flatten().map(|id| id.trim()).collect();
                prop_assert_eq!(found, expected);
            }
        }
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
