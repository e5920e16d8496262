//! One query on an engine of its own: read-only, within its memory, sorted by record id.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{Expr, SortExpr, cast};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures_util::TryStreamExt;
use tokio::runtime::{Builder, Runtime};

use super::{SqlColumns, SqlError, cluster, failure, records, tables};
use crate::error::TableError;

/// Batches that wait for their reader.
const WAITING: usize = 2;

/// Runs the query and hands its records to `each`, batch by batch, sorted by the bytes of their ids' text.
///
/// The engine runs on threads of its own, so that a caller may be anywhere, in an asynchronous task too.
pub(super) fn visit<E: From<TableError>>(
    source: &SqlColumns,
    mut each: impl FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        scope.spawn(move || {
            let produced = runtime(source).and_then(|runtime| runtime.block_on(produce(source, &sender)));
            if let Err(error) = produced {
                // Nobody listens any more where the reader has failed itself.
                let _ = sender.send(Err(error));
            }
        });
        receiver.into_iter().try_for_each(|batch| each(&batch.map_err(TableError::from)?))
    })
}

/// The number of records that the query returns.
pub(super) fn count(source: &SqlColumns) -> Result<u64, TableError> {
    let counting = || {
        runtime(source)?.block_on(async {
            let result = query(source).await?;
            limited(source, result.count()).await
        })
    };
    let counted = thread::scope(|scope| scope.spawn(counting).join());
    match counted {
        Ok(rows) => Ok(rows? as u64),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

async fn produce(
    source: &SqlColumns,
    sender: &SyncSender<Result<RecordBatch, SqlError>>,
) -> Result<(), SqlError> {
    let sorted = sorted(query(source).await?, source)?;
    let mut batches = limited(source, sorted.execute_stream()).await?;
    while let Some(batch) = limited(source, batches.try_next()).await? {
        if sender.send(Ok(batch)).is_err() {
            break;
        }
    }
    Ok(())
}

/// What comes of `work`: within the limit, where other machines do it.
async fn limited<T>(
    source: &SqlColumns,
    work: impl Future<Output = Result<T, DataFusionError>>,
) -> Result<T, SqlError> {
    let Some(address) = &source.engine else {
        return work.await.map_err(|error| failure::running(&error, source));
    };
    let limit = Duration::from_secs(source.timeout_s.get());
    let waited = |_| SqlError::Cluster {
        address: address.to_string(),
        reason: format!(
            "nothing came within timeout_s = {}: has it executors, and are they at work?",
            source.timeout_s
        ),
    };
    let done = tokio::time::timeout(limit, work).await.map_err(waited)?;
    done.map_err(|error| failure::running(&error, source))
}

/// The query, planned over its tables.
async fn query(source: &SqlColumns) -> Result<DataFrame, SqlError> {
    let session = match &source.engine {
        Some(address) => cluster::session(source, address).await?,
        None => session(source)?,
    };
    for (name, table) in &source.tables {
        tables::register(&session, name, table).await?;
    }
    let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    session.sql_with_options(&source.query, reading).await.map_err(|error| failure::planning(&error))
}

/// The same records with one column of ids, where several are an id together, as [`hashvfl_core::records::composite_id`] joins them: none
/// where a part is missing or blank.
fn joined(result: DataFrame, source: &SqlColumns) -> Result<DataFrame, SqlError> {
    let names: Vec<&str> = source.id.names().iter().map(String::as_str).collect();
    let [_, _, ..] = names[..] else { return Ok(result) };
    let mut parts = Vec::new();
    for name in &names {
        records::check(result.schema().as_arrow(), name)?;
        let text = format!("CAST(\"{}\" AS VARCHAR)", name.replace('"', "\"\""));
        parts.push(format!(
            "CASE WHEN btrim({text}) = '' THEN NULL ELSE CAST(octet_length({text}) AS VARCHAR) || ':' || {text} END"
        ));
    }
    let failed = |error| failure::planning(&error);
    let key = result.parse_sql_expr(&parts.join(" || ")).map_err(failed)?;
    result.with_column(&source.key(), key).and_then(|result| result.drop_columns(&names)).map_err(failed)
}

/// The same records in the order of their ids, as bytes of UTF-8.
fn sorted(result: DataFrame, source: &SqlColumns) -> Result<DataFrame, SqlError> {
    let result = joined(result, source)?;
    let at = records::check(result.schema().as_arrow(), &source.key())?;
    let (table, field) = result.schema().qualified_field(at);
    let id = Expr::Column(Column::new(table.cloned(), field.name()));
    let by_text = SortExpr::new(cast(id, DataType::Utf8), true, true);
    result.sort(vec![by_text]).map_err(|error| failure::planning(&error))
}

fn session(source: &SqlColumns) -> Result<SessionContext, SqlError> {
    let started = |error: DataFusionError| SqlError::Start { reason: failure::text(&error) };
    let memory = usize::try_from(source.memory_mib << 20).unwrap_or(usize::MAX);
    let mut environment = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(memory)));
    if let Some(folder) = &source.spill {
        std::fs::create_dir_all(folder).map_err(|reason| SqlError::Start {
            reason: format!("spill = {}: {reason}", folder.display()),
        })?;
        let disk =
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![folder.clone()]));
        environment = environment.with_disk_manager_builder(disk);
    }
    let environment = environment.build_arc().map_err(started)?;
    let config = reading(SessionConfig::new()).with_target_partitions(source.threads.get());
    Ok(SessionContext::new_with_config_rt(config, environment))
}

/// Settings of every session: names as they are written, and results by what tables hold.
pub(super) fn reading(config: SessionConfig) -> SessionConfig {
    // Statistics know nothing of NaN: by them the engine takes a column of 1 and NaN for one of 1 alone.
    let mut config = config.with_collect_statistics(false);
    config.options_mut().sql_parser.enable_ident_normalization = false;
    config
}

fn runtime(source: &SqlColumns) -> Result<Runtime, SqlError> {
    let mut builder = Builder::new_multi_thread();
    let built = builder.worker_threads(source.threads.get()).enable_all().build();
    built.map_err(|reason| SqlError::Start { reason: reason.to_string() })
}
