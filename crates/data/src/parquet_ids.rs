//! Record ids in a column, or several, of a Parquet file. How a value is stored is not what it means: an unsigned number, a
//! decimal, a date and a time stamp are all stored as whole numbers, and the column's logical type tells which.

use std::fs::File;
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::error::TableError;
use crate::ids::key_columns::KeyColumns;
use crate::names;
use crate::source::number::parse_id;

/// Values that are read at once.
const BATCH: usize = 1 << 14;

/// An open Parquet file.
pub(crate) struct ParquetIds<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
}

impl<'a> ParquetIds<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, TableError> {
        let file = File::open(path).map_err(|reason| TableError::Open { path: path.to_owned(), reason })?;
        let reader = SerializedFileReader::new(file).map_err(|error| broken(path, &error))?;
        Ok(Self { path, reader })
    }

    pub(crate) fn records(&self) -> u64 {
        u64::try_from(self.reader.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Hands every id to `each`, in the order of the records.
    pub(crate) fn visit<E: From<TableError>>(
        &self,
        id: &KeyColumns,
        each: &mut impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let columns = id.names().iter().map(|name| self.find(name)).collect::<Result<Vec<usize>, _>>()?;
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group).map_err(|error| broken(self.path, &error))?;
            let named = id.names().iter().zip(&columns);
            let parts = named.map(|(name, at)| self.part(group.as_ref(), name, *at));
            let mut parts: Vec<(&str, Box<dyn Part>)> = parts.collect::<Result<_, _>>()?;
            while let Some(records) = self.fill(&mut parts)? {
                for at in 0..records {
                    let text =
                        |(name, part): &(&str, Box<dyn Part>)| part.text(at).ok_or_else(|| self.no_id(name));
                    if let [part] = parts.as_slice() {
                        each(&text(part)?)?;
                        continue;
                    }
                    let texts = parts.iter().map(text).collect::<Result<Vec<String>, _>>()?;
                    each(&KeyColumns::join(&texts.iter().map(String::as_str).collect::<Vec<_>>()))?;
                }
            }
        }
        Ok(())
    }

    /// The column `name`, which holds texts or whole numbers.
    fn find(&self, name: &str) -> Result<usize, TableError> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let all: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
        let at = names::find(self.path, &all, "id", name)?;
        let column = schema.column(at);
        if Meaning::of(&column).is_none() || column.max_rep_level() > 0 {
            let reason = format!(
                "column {name:?} holds neither texts nor whole numbers, by its logical type; write ids as texts or whole numbers"
            );
            return Err(TableError::Parquet { path: self.path.to_owned(), reason });
        }
        Ok(at)
    }

    /// The column `name` of a row group.
    fn part<'n>(
        &self,
        group: &dyn RowGroupReader,
        name: &'n str,
        at: usize,
    ) -> Result<(&'n str, Box<dyn Part>), TableError> {
        let column = self.reader.metadata().file_metadata().schema_descr().column(at);
        let unsigned = Meaning::of(&column) == Some(Meaning::Unsigned);
        let part: Box<dyn Part> =
            match group.get_column_reader(at).map_err(|error| broken(self.path, &error))? {
                ColumnReader::ByteArrayColumnReader(reader) => Box::new(Values::new(reader, unsigned)),
                ColumnReader::Int32ColumnReader(reader) => Box::new(Values::new(reader, unsigned)),
                ColumnReader::Int64ColumnReader(reader) => Box::new(Values::new(reader, unsigned)),
                _ => return Err(self.no_id(name)),
            };
        Ok((name, part))
    }

    /// Reads on in every part: the number of records that are there now, the same in each.
    fn fill(&self, parts: &mut [(&str, Box<dyn Part>)]) -> Result<Option<usize>, TableError> {
        let mut records = None;
        for (name, part) in parts {
            let (found, values) = part.fill().map_err(|error| broken(self.path, &error))?;
            if values != found || records.is_some_and(|records| records != found) {
                return Err(self.no_id(name));
            }
            records = Some(found);
        }
        Ok(records.filter(|records| *records > 0))
    }

    fn no_id(&self, id: &str) -> TableError {
        let reason = format!("a record has no id in column {id:?}, or one that is no line of text");
        TableError::Parquet { path: self.path.to_owned(), reason }
    }
}

/// One of an id's columns in a row group, some records at a time.
trait Part {
    /// Reads the next records: how many, and how many of them have a value.
    fn fill(&mut self) -> Result<(usize, usize), ParquetError>;

    /// The text of record `at` of those.
    fn text(&self, at: usize) -> Option<String>;
}

struct Values<T: DataType> {
    reader: ColumnReaderImpl<T>,
    unsigned: bool,
    values: Vec<T::T>,
    levels: Vec<i16>,
}

impl<T: DataType> Values<T> {
    fn new(reader: ColumnReaderImpl<T>, unsigned: bool) -> Self {
        Self { reader, unsigned, values: Vec::with_capacity(BATCH), levels: Vec::new() }
    }
}

impl<T: DataType> Part for Values<T>
where
    T::T: IdValue,
{
    fn fill(&mut self) -> Result<(usize, usize), ParquetError> {
        self.values.clear();
        self.levels.clear();
        let read = self.reader.read_records(BATCH, Some(&mut self.levels), None, &mut self.values)?;
        Ok((read.0, read.1))
    }

    fn text(&self, at: usize) -> Option<String> {
        self.values[at].text(self.unsigned)
    }
}

/// A value that can be part of an id.
trait IdValue {
    fn text(&self, unsigned: bool) -> Option<String>;
}

impl IdValue for ByteArray {
    fn text(&self, _: bool) -> Option<String> {
        parse_id(self.data()).ok().map(str::to_owned)
    }
}

impl IdValue for i32 {
    fn text(&self, unsigned: bool) -> Option<String> {
        Some(if unsigned { self.cast_unsigned().to_string() } else { self.to_string() })
    }
}

impl IdValue for i64 {
    fn text(&self, unsigned: bool) -> Option<String> {
        Some(if unsigned { self.cast_unsigned().to_string() } else { self.to_string() })
    }
}

/// What values of a column of ids mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Text,
    Signed,
    Unsigned,
}

impl Meaning {
    /// `None` where the column holds something else.
    fn of(column: &ColumnDescriptor) -> Option<Self> {
        let whole = matches!(column.physical_type(), Type::INT32 | Type::INT64);
        let text = column.physical_type() == Type::BYTE_ARRAY;
        match column.logical_type_ref() {
            Some(LogicalType::String | LogicalType::Enum) if text => return Some(Self::Text),
            Some(LogicalType::Integer(kind)) if whole => {
                return Some(if kind.is_signed { Self::Signed } else { Self::Unsigned });
            }
            Some(LogicalType::Decimal(kind)) if whole && kind.scale == 0 => return Some(Self::Signed),
            Some(_) => return None,
            None => {}
        }
        // Files of older writers have this alone.
        match column.converted_type() {
            ConvertedType::NONE if whole => Some(Self::Signed),
            ConvertedType::NONE | ConvertedType::UTF8 | ConvertedType::ENUM if text => Some(Self::Text),
            ConvertedType::INT_8 | ConvertedType::INT_16 | ConvertedType::INT_32 | ConvertedType::INT_64
                if whole =>
            {
                Some(Self::Signed)
            }
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64
                if whole =>
            {
                Some(Self::Unsigned)
            }
            ConvertedType::DECIMAL if whole && column.type_scale() == 0 => Some(Self::Signed),
            _ => None,
        }
    }
}

fn broken(path: &Path, error: &ParquetError) -> TableError {
    TableError::Parquet { path: path.to_owned(), reason: error.to_string() }
}
