//! Turns the engine's errors into ours. Errors from before it reads records are passed on in its words. Later ones may hold
//! values of records, so only their kind is passed on.

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use super::{SqlColumns, SqlError};

/// An error about the query alone.
pub(super) fn planning(error: &DataFusionError) -> SqlError {
    match error.find_root() {
        // Without a header the names of columns are cells, so only names that the query uses are shown.
        DataFusionError::SchemaError(error, _) => SqlError::Query { reason: without_names(error) },
        // Constants are computed while the query is planned; files may be opened.
        root @ (DataFusionError::SQL(..) | DataFusionError::Plan(_) | DataFusionError::NotImplemented(_)) => {
            SqlError::Query { reason: text(root) }
        }
        root => SqlError::Query { reason: without_values(root, "") },
    }
}

/// What is wrong with names of columns, without those that the query does not name.
fn without_names(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound { field, .. } => {
            format!(
                "no field named {}; letter case matters in names, quoted or not",
                field.quoted_flat_name()
            )
        }
        SchemaError::AmbiguousReference { field } => {
            format!("the field {} is in several tables; say which", field.quoted_flat_name())
        }
        SchemaError::DuplicateQualifiedField { .. } | SchemaError::DuplicateUnqualifiedField { .. } => {
            "two columns have the same name; rename one with AS".to_owned()
        }
    }
}

/// An error of a query that runs.
pub(super) fn running(error: &DataFusionError, source: &SqlColumns) -> SqlError {
    if let Some(address) = &source.engine {
        let reason = "it could not run the query; the logs of its scheduler and executors say why".to_owned();
        return SqlError::Cluster { address: address.to_string(), reason };
    }
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => SqlError::Memory { memory_mib: source.memory_mib },
        root => {
            let widest = source.tables.values().map(|table| table.infer_rows.get()).max().unwrap_or(0);
            let advice = format!(
                ", which its first records decided: raise infer_rows above {widest}, list the column in `text`, or clean the \
                 file"
            );
            SqlError::Run { reason: without_values(root, &advice) }
        }
    }
}

/// An error about the files of the table `name`.
pub(super) fn of_table(name: &str, error: &DataFusionError) -> SqlError {
    SqlError::Table { table: name.to_owned(), reason: without_values(error.find_root(), "") }
}

/// The kind of an error that may hold values of records.
pub(super) fn without_values(root: &DataFusionError, advice: &str) -> String {
    match root {
        DataFusionError::ObjectStore(error) => one_line(&error.to_string()),
        DataFusionError::IoError(error) => one_line(&error.to_string()),
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::ParseError(text) => match csv_column(text) {
                Some(number) => {
                    format!("a cell in column {number} of a CSV table is not of the column's type{advice}")
                }
                None => "a text cannot be read as the type that the query or the table gives it".to_owned(),
            },
            ArrowError::CastError(_) => {
                "a value does not fit the type that the query casts it to; see TRY_CAST".into()
            }
            ArrowError::CsvError(_) => {
                "a CSV table has a line with more or fewer cells than its header, two columns with the same name, or \
                 is damaged".into()
            }
            ArrowError::JsonError(_) => {
                "a line of a JSON table is not an object, or a key has values of several types".into()
            }
            ArrowError::DivideByZero => "a division by zero; see NULLIF".into(),
            ArrowError::ArithmeticOverflow(_) => {
                "a number became too large for its type; CAST it to a wider one".into()
            }
            ArrowError::ParquetError(_) => "a Parquet file is damaged".into(),
            _ => "the engine could not compute a value".into(),
        },
        DataFusionError::ParquetError(_) => {
            "a Parquet file is damaged, or its compression is not supported".into()
        }
        DataFusionError::NotImplemented(_) => "the query asks for something that the engine cannot do".into(),
        _ => "the engine failed".into(),
    }
}

/// The engine's own words, in one line.
pub(super) fn text(error: &DataFusionError) -> String {
    one_line(&error.strip_backtrace())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The number of the column in arrow's message about a cell of CSV, from 1. The message also holds the cell and its record;
/// `None` if one of them looks like the part with the number.
fn csv_column(text: &str) -> Option<usize> {
    let mut parts = text.split("' for column ");
    let number = parts.nth(1)?.split(' ').next()?.parse::<usize>().ok()?;
    if parts.next().is_some() { None } else { number.checked_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_columns_are_taken_from_messages() {
        let message = |cell: &str| {
            format!(
                "Error while parsing value '{cell}' as type 'Int64' for column 3 at line 7. Row data: '[1,{cell}]'"
            )
        };
        assert_eq!(csv_column(&message("x")), Some(4));
        assert_eq!(csv_column(&message("' for column 17 ")), None);
        assert_eq!(csv_column("Parser error: secret"), None);
    }
}
