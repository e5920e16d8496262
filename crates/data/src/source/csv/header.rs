//! The header of a CSV file, for a first configuration.

use std::path::Path;

use crate::error::TableError;
use crate::names::looks_like_data;
use crate::source::csv::file::CsvFiles;

/// What the first line of a CSV file says about its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The names of all columns, in the file's order.
    pub columns: Vec<String>,
    /// The likely column of ids: `id`, otherwise the first that ends in `_id`, otherwise the first.
    pub id: String,
}

/// Reads the first line of a CSV file.
///
/// # Errors
/// When the file is missing, empty or damaged, or begins with a record instead of names (names
/// go into a configuration, cells must not).
pub fn describe(path: &Path) -> Result<Header, TableError> {
    header_of(path, CsvFiles::open(&[path.to_owned()])?.names().to_vec())
}

pub(crate) fn header_of(path: &Path, columns: Vec<String>) -> Result<Header, TableError> {
    if looks_like_data(&columns) {
        return Err(TableError::HeaderLooksLikeData { path: path.to_owned() });
    }
    Ok(Header { id: columns.get(guess_id(&columns)).cloned().unwrap_or_default(), columns })
}

/// Whether a name can only be that of a column of ids.
pub(crate) fn names_an_id(name: &str) -> bool {
    let name = name.to_lowercase();
    name == "id" || name.ends_with("_id")
}

fn guess_id(columns: &[String]) -> usize {
    let lower = || columns.iter().map(|name| name.to_lowercase());
    lower()
        .position(|name| name == "id")
        .or_else(|| lower().position(|name| name.ends_with("_id")))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe_text(text: &str) -> Result<Header, TableError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        describe(&path)
    }

    #[test]
    fn the_id_is_guessed_by_its_name() {
        for (text, expected) in [
            ("a,ID,b\n", "ID"),
            ("a,customer_id,id\n", "id"),
            ("a,Customer_ID,b\n", "Customer_ID"),
            ("key,a\n", "key"),
            ("paid,a,valid\n", "paid"),
        ] {
            assert_eq!(describe_text(text).unwrap().id, expected);
        }
    }

    #[test]
    fn a_file_without_header_is_refused() {
        for text in ["39,clerk,77516\n", ""] {
            let message = describe_text(text).unwrap_err().to_string();
            assert!(!message.contains("77516"), "{message}");
        }
    }
}
