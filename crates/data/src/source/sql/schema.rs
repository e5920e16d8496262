//! The columns of a table of several files: those of all of them, in types that hold the values of each.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::datasource::listing::{ListingOptions, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::binary::type_union_resolution;
use datafusion::object_store::ObjectMeta;
use datafusion::prelude::SessionContext;
use futures_util::TryStreamExt;

use super::{SqlError, failure};

/// The files of table `name` at `url`.
pub(super) async fn files(
    session: &SessionContext,
    name: &str,
    url: &ListingTableUrl,
    extension: &str,
) -> Result<Vec<ObjectMeta>, SqlError> {
    let failed = |error: DataFusionError| SqlError::Table {
        table: name.to_owned(),
        reason: failure::without_values(error.find_root(), ""),
    };
    let store = session.runtime_env().object_store(url).map_err(failed)?;
    let state = session.state();
    let listed = url.list_all_files(&state, store.as_ref(), extension).await.map_err(failed)?;
    let files: Vec<ObjectMeta> = listed.try_collect().await.map_err(failed)?;
    if files.is_empty() {
        return Err(SqlError::NoFiles {
            table: name.to_owned(),
            location: url.to_string(),
            extension: extension.to_owned(),
        });
    }
    Ok(files)
}

/// The columns of `files`, which lie at `url`.
///
/// Whole numbers in one file of JSON or Parquet and fractions in another make a column of fractions; the engine alone
/// would refuse them. CSV files are looked at together, as the engine does it.
pub(super) async fn of(
    session: &SessionContext,
    name: &str,
    (url, files): (&ListingTableUrl, Vec<ObjectMeta>),
    options: &ListingOptions,
) -> Result<SchemaRef, SqlError> {
    let failed = |error: DataFusionError| SqlError::Table {
        table: name.to_owned(),
        reason: failure::without_values(error.find_root(), ""),
    };
    let state = session.state();
    let store = session.runtime_env().object_store(url).map_err(failed)?;
    let files: Vec<ObjectMeta> = files.into_iter().filter(|file| file.size > 0).collect();
    let together = options.format.get_ext() == "csv";
    let mut merged: Option<Schema> = None;
    for group in files.chunks(if together { files.len().max(1) } else { 1 }) {
        let found = options.format.infer_schema(&state, &store, group).await.map_err(failed)?;
        merged = Some(match merged {
            None => found.as_ref().clone(),
            Some(so_far) => union(name, &so_far, &found)?,
        });
    }
    Ok(Arc::new(merged.unwrap_or_else(Schema::empty)))
}

/// The same with these columns as texts.
pub(super) fn with_texts(table: &str, schema: SchemaRef, texts: &[String]) -> Result<SchemaRef, SqlError> {
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    for name in texts {
        let field = fields.iter_mut().find(|field| field.name() == name);
        let field = field.ok_or_else(|| SqlError::Table {
            table: table.to_owned(),
            reason: format!("it has no column {name:?}, which `text` names"),
        })?;
        *field = Arc::new(Field::new(name, DataType::Utf8, true));
    }
    Ok(Arc::new(Schema::new(Fields::from(fields))))
}

/// The columns of both, by name.
fn union(table: &str, first: &Schema, second: &Schema) -> Result<Schema, SqlError> {
    let mut fields: Vec<Arc<Field>> = first.fields().iter().cloned().collect();
    for field in second.fields() {
        let Some(known) = fields.iter_mut().find(|known| known.name() == field.name()) else {
            fields.push(Arc::clone(field));
            continue;
        };
        let both = [known.data_type().clone(), field.data_type().clone()];
        // The engine takes a number for a text where it can; a reader of JSON cannot.
        let alike = both[0].is_numeric() == both[1].is_numeric() || both.contains(&DataType::Null);
        let Some(common) = type_union_resolution(&both).filter(|_| alike) else {
            let [one, other] = both;
            let column = field.name();
            let reason = format!(
                "column {column:?} is of type {one} in one file and of type {other} in another, expected one type; \
                 write the files alike, or make them two tables"
            );
            return Err(SqlError::Table { table: table.to_owned(), reason });
        };
        *known = Arc::new(Field::new(field.name(), common, true));
    }
    Ok(Schema::new(Fields::from(fields)))
}
