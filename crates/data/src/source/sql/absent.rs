//! Stands for the engine in a program without the feature `sql`: says so.

use hashvfl_core::Digest;

use super::{SqlColumns, SqlError};
use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::table::sink::{Frame, RowSink};

pub(crate) fn read(
    _: &SqlColumns,
    _: &Treatment,
    _: &mut dyn RowSink,
) -> Result<(Frame, Digest), TableError> {
    Err(SqlError::NotBuilt.into())
}

pub(crate) fn visit_ids(
    _: &SqlColumns,
    _: &mut dyn FnMut(Result<&str, TableError>) -> Result<(), TableError>,
) -> Result<Digest, TableError> {
    Err(SqlError::NotBuilt.into())
}

pub(crate) fn count(_: &SqlColumns) -> Result<u64, TableError> {
    Err(SqlError::NotBuilt.into())
}

pub(crate) fn remarks(_: &SqlColumns) -> Result<Vec<String>, TableError> {
    Err(SqlError::NotBuilt.into())
}

#[cfg(test)]
mod tests {
    use crate::{ColumnsSource, load};

    #[test]
    fn the_missing_feature_is_named() {
        let source: ColumnsSource =
            toml::from_str("format = \"sql\"\nquery = \"SELECT 1\"\nid = \"id\"\ntables = {}").unwrap();
        let message = load(&source).unwrap_err().to_string();
        assert!(message.contains("feature `sql`"), "{message}");
    }
}
