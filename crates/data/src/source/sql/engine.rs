//! Runs one query on an engine of its own: read-only, within its memory, sorted by record id.

use std::collections::BTreeSet;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr, cast};
use datafusion::prelude::SQLOptions;
use futures_util::TryStreamExt;
use tokio::runtime::{Builder, Runtime};

use super::{SqlColumns, SqlError, cluster, columns, failure, session, tables};
use crate::cell::CellFault;
use crate::error::TableError;

/// Batches that may wait for their reader.
const WAITING: usize = 2;

/// Runs the query and hands its records to `each`, batch by batch, sorted by the bytes of their ids' text.
///
/// The engine runs on threads of its own, so that the caller may itself be an asynchronous task.
pub(super) fn visit<E: From<TableError>>(
    source: &SqlColumns,
    mut each: impl FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        scope.spawn(move || {
            let produced = runtime(source).and_then(|runtime| runtime.block_on(produce(source, &sender)));
            if let Err(error) = produced {
                // If the reader has failed, nobody receives any more.
                let _ = sender.send(Err(error));
            }
        });
        receiver.into_iter().try_for_each(|batch| each(&batch.map_err(TableError::from)?))
    })
}

/// What `work` gives on a thread of its own, so that the caller may itself be an asynchronous task.
fn apart<T: Send>(work: impl FnOnce() -> Result<T, SqlError> + Send) -> Result<T, TableError> {
    match thread::scope(|scope| scope.spawn(work).join()) {
        Ok(done) => Ok(done?),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The number of records that the query returns.
pub(crate) fn count(source: &SqlColumns) -> Result<u64, TableError> {
    apart(|| count_here(source)).map(|rows| rows as u64)
}

/// The same on this thread.
fn count_here(source: &SqlColumns) -> Result<usize, SqlError> {
    runtime(source)?.block_on(async {
        let result = query(source, false).await?;
        limited(source, result.count()).await
    })
}

/// What a person is to know of the tables' files: those that are left out.
pub(crate) fn remarks(source: &SqlColumns) -> Result<Vec<String>, TableError> {
    apart(|| remarks_here(source))
}

/// The same on this thread, by this process, which reads the tables' columns in any case.
fn remarks_here(source: &SqlColumns) -> Result<Vec<String>, SqlError> {
    runtime(source)?.block_on(async {
        let session = session::local(source)?;
        let mut remarks = Vec::new();
        for (name, table) in &source.tables {
            remarks.extend(tables::remarks(&session, name, table).await?);
        }
        Ok(remarks)
    })
}

async fn produce(
    source: &SqlColumns,
    sender: &SyncSender<Result<RecordBatch, SqlError>>,
) -> Result<(), SqlError> {
    let sorted = sorted(query(source, true).await?, source)?;
    let mut batches = limited(source, sorted.execute_stream()).await?;
    while let Some(batch) = limited(source, batches.try_next()).await? {
        if sender.send(Ok(batch)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Waits for `work`, no longer than `timeout_s` if a cluster does it.
async fn limited<T>(
    source: &SqlColumns,
    work: impl Future<Output = Result<T, DataFusionError>>,
) -> Result<T, SqlError> {
    let Some(address) = &source.engine else {
        return work.await.map_err(|error| failure::running(&error, source));
    };
    let limit = Duration::from_secs(source.timeout_s.get());
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(|error| failure::running(&error, source)),
        Err(_) => Err(SqlError::Cluster {
            address: address.to_string(),
            reason: format!(
                "no records arrived within timeout_s = {} s: does the cluster have executors, and are they running?",
                source.timeout_s
            ),
        }),
    }
}

/// The query, planned over its tables. `tells`: whether to say what of their cells is not as they are written.
async fn query(source: &SqlColumns, tells: bool) -> Result<DataFrame, SqlError> {
    let session = match &source.engine {
        Some(address) => cluster::session(source, address).await?,
        None => session::local(source)?,
    };
    let mut rounded = BTreeSet::new();
    for (name, table) in &source.tables {
        let columns = tables::register(&session, name, table, tells).await?;
        rounded.extend(columns.into_iter().map(|column| (name.as_str(), column)));
    }
    let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let result = session.sql_with_options(&source.query, reading).await;
    let result = result.map_err(|error| failure::planning(&error))?;
    check_rounded(&result, &rounded)?;
    Ok(result)
}

/// Fails where the query uses one of the columns with numbers that the engine rounds.
fn check_rounded(result: &DataFrame, rounded: &BTreeSet<(&str, String)>) -> Result<(), SqlError> {
    if rounded.is_empty() {
        return Ok(());
    }
    let plan = result.clone().into_optimized_plan().map_err(|error| failure::planning(&error))?;
    let mut used = None;
    let looked = plan.apply_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(TreeNodeRecursion::Continue) };
        for field in scan.projected_schema.fields() {
            let column = (scan.table_name.table(), field.name().clone());
            if rounded.contains(&column) {
                used = Some((column.0.to_owned(), column.1));
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    looked.map_err(|error| failure::planning(&error))?;
    let Some((table, column)) = used else { return Ok(()) };
    let reason = format!(
        "column {column:?} holds {}, which the engine would round: write such numbers as texts (CSV: list the column in \
         `text`), or subtract a constant in the file",
        CellFault::TooManyDigits
    );
    Err(SqlError::Table { table, reason })
}

/// The same records with one column of ids. Several columns that are an id together are joined as
/// [`hashvfl_core::records::composite_id`] does it; the id is null if a part is missing or blank.
fn joined(result: DataFrame, source: &SqlColumns) -> Result<DataFrame, SqlError> {
    let names: Vec<&str> = source.id.names().iter().map(String::as_str).collect();
    let [_, _, ..] = names[..] else { return Ok(result) };
    let mut parts = Vec::new();
    for name in &names {
        columns::check(result.schema().as_arrow(), name)?;
        let text = format!("CAST(\"{}\" AS VARCHAR)", name.replace('"', "\"\""));
        parts.push(format!(
            "CASE WHEN btrim({text}) = '' THEN NULL ELSE CAST(octet_length({text}) AS VARCHAR) || ':' || {text} END"
        ));
    }
    let key = result.parse_sql_expr(&parts.join(" || "));
    let joined = key.and_then(|key| result.with_column(&source.key(), key)?.drop_columns(&names));
    joined.map_err(|error| failure::planning(&error))
}

/// The same records in the order of their ids, as bytes of UTF-8.
fn sorted(result: DataFrame, source: &SqlColumns) -> Result<DataFrame, SqlError> {
    let result = joined(result, source)?;
    let at = columns::check(result.schema().as_arrow(), &source.key())?;
    let (table, field) = result.schema().qualified_field(at);
    let id = Expr::Column(Column::new(table.cloned(), field.name()));
    let by_text = SortExpr::new(cast(id, DataType::Utf8), true, true);
    result.sort(vec![by_text]).map_err(|error| failure::planning(&error))
}

fn runtime(source: &SqlColumns) -> Result<Runtime, SqlError> {
    let mut builder = Builder::new_multi_thread();
    let built = builder.worker_threads(source.threads.get()).enable_all().build();
    built.map_err(|reason| SqlError::Start { reason: reason.to_string() })
}
