//! A session of the engine in this process: read-only, within its memory.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::AggregateUDF;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::operators::ExactOperators;
use super::sums::ExactSum;
use super::{SqlColumns, SqlError, failure};

/// A session in this process, with the limits of `source`, in which no whole number wraps around.
pub(super) fn local(source: &SqlColumns) -> Result<SessionContext, SqlError> {
    let memory = usize::try_from(source.memory_mib << 20).unwrap_or(usize::MAX);
    let mut environment = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(memory)));
    if let Some(folder) = &source.spill {
        let made = hashvfl_files::owner_only_folder().recursive(true).create(folder);
        made.map_err(|reason| SqlError::Start { reason: format!("spill = {}: {reason}", folder.display()) })?;
        let disk =
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![folder.clone()]));
        environment = environment.with_disk_manager_builder(disk);
    }
    let environment = environment.build_arc().map_err(|error| started(&error))?;
    let config = reading(SessionConfig::new()).with_target_partitions(source.threads.get());
    let mut session = SessionContext::new_with_config_rt(config, environment);
    session.register_udaf(AggregateUDF::from(ExactSum::default()));
    session.register_function_rewrite(Arc::new(ExactOperators)).map_err(|error| started(&error))?;
    Ok(session)
}

/// Sets what every session needs: names as they are written, and no use of statistics.
pub(super) fn reading(config: SessionConfig) -> SessionConfig {
    // Statistics ignore NaN: with them the engine would take a column of 1 and NaN for one that holds only 1.
    let mut config = config.with_collect_statistics(false);
    config.options_mut().sql_parser.enable_ident_normalization = false;
    config
}

fn started(error: &DataFusionError) -> SqlError {
    SqlError::Start { reason: failure::text(error) }
}
