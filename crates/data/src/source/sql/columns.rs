//! The columns of a query's result: their types, which one holds the ids, and their texts.

use std::collections::HashSet;
use std::path::Path;

use datafusion::arrow::array::{Array, ArrayRef, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::arrow::error::ArrowError;

use super::SqlError;
use crate::encoding::treatment::ColumnType;
use crate::names;

/// Stands for the file in errors about columns.
pub(super) const RESULT: &str = "the query's result";

/// Checks the types of all columns of a result, and returns the position of the ids.
pub(super) fn check(schema: &Schema, id: &str) -> Result<usize, SqlError> {
    let mut seen = HashSet::new();
    if !schema.fields().iter().all(|field| seen.insert(field.name())) {
        return Err(SqlError::SameName);
    }
    let all: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let at = names::find(Path::new(RESULT), &all, "id", id)
        .map_err(|error| SqlError::Query { reason: error.to_string() })?;
    for (position, field) in schema.fields().iter().enumerate() {
        let (column, found) = (field.name().clone(), field.data_type().to_string());
        match kind(field.data_type()) {
            None => return Err(SqlError::Type { column, found }),
            Some(_) if position == at && !is_id(field.data_type()) => {
                return Err(SqlError::IdType { column, found });
            }
            Some(_) => {}
        }
    }
    Ok(at)
}

/// What a column of this type holds; `None` if neither numbers nor texts.
pub(super) fn kind(data_type: &DataType) -> Option<ColumnType> {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(ColumnType::Category),
        DataType::Boolean | DataType::Null => Some(ColumnType::Number),
        DataType::Dictionary(_, values) => kind(values),
        number if number.is_numeric() => Some(ColumnType::Number),
        _ => None,
    }
}

fn is_id(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_id(values),
        other => other.is_integer() || kind(other) == Some(ColumnType::Category),
    }
}

/// A column as texts; nulls stay.
pub(super) fn texts(column: &ArrayRef) -> Result<StringArray, SqlError> {
    let texts = cast(column, &DataType::Utf8).map_err(|error| failed(&error))?;
    Ok(StringArray::from(texts.to_data()))
}

/// An error of arrow, without its words, which may hold values.
pub(super) fn failed(_: &ArrowError) -> SqlError {
    SqlError::Run { reason: "a value could not be converted to its column's type".to_owned() }
}
