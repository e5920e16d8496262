//! What a program without the feature `cluster` says.

use datafusion::prelude::SessionContext;

use super::{ClusterAddress, SqlColumns, SqlError};

pub(super) async fn session(_: &SqlColumns, _: &ClusterAddress) -> Result<SessionContext, SqlError> {
    Err(SqlError::ClusterNotBuilt)
}
