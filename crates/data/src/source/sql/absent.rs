//! What a program without the feature `sql` says.

use hashvfl_core::Digest;

use super::{SqlColumns, SqlError};
use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::source::Table;
use crate::store::sink::{Frame, Sink};

pub(crate) fn load(_: &SqlColumns, _: &Treatment) -> Result<(Table, Digest), TableError> {
    Err(SqlError::NotBuilt.into())
}

pub(crate) fn read(_: &SqlColumns, _: &Treatment, _: &mut dyn Sink) -> Result<(Frame, Digest), TableError> {
    Err(SqlError::NotBuilt.into())
}

pub(crate) fn visit_ids<E: From<TableError>>(
    _: &SqlColumns,
    _: impl FnMut(&str) -> Result<(), E>,
) -> Result<Digest, E> {
    Err(TableError::from(SqlError::NotBuilt).into())
}

pub(crate) fn count(_: &SqlColumns) -> Result<u64, TableError> {
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
