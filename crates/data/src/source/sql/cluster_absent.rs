//! Stands for `cluster` in a program without that feature: says so.

use datafusion::prelude::SessionContext;

use super::{ClusterAddress, SqlColumns, SqlError};

pub(super) async fn session(_: &SqlColumns, _: &ClusterAddress) -> Result<SessionContext, SqlError> {
    Err(SqlError::ClusterNotBuilt)
}
