//! The columns of a table of several files: the union of theirs, each of a type that holds the values of all files.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::datasource::listing::{ListingOptions, ListingTableUrl};
use datafusion::logical_expr::binary::type_union_resolution;
use datafusion::object_store::ObjectMeta;
use datafusion::prelude::SessionContext;
use futures_util::TryStreamExt;
use hashvfl_core::text::counted;

use super::{SqlError, failure};

/// The files of table `name` at `url`, sorted by their names: what columns there are, and in which order, does not depend on
/// the store's.
pub(super) async fn files(
    session: &SessionContext,
    name: &str,
    url: &ListingTableUrl,
    extension: &str,
) -> Result<Vec<ObjectMeta>, SqlError> {
    let store = session.runtime_env().object_store(url).map_err(|error| failure::of_table(name, &error))?;
    let state = session.state();
    let listed = url
        .list_all_files(&state, store.as_ref(), extension)
        .await
        .map_err(|error| failure::of_table(name, &error))?;
    let mut files: Vec<ObjectMeta> =
        listed.try_collect().await.map_err(|error| failure::of_table(name, &error))?;
    files.sort_unstable_by(|one, other| one.location.cmp(&other.location));
    if files.is_empty() {
        return Err(SqlError::NoFiles {
            table: name.to_owned(),
            location: url.to_string(),
            extension: extension.to_owned(),
        });
    }
    Ok(files)
}

/// The columns of `files`, which lie at `url`, and what to know of those that not all files have.
///
/// Whole numbers in one file and fractions in another make a column of fractions; the engine alone would refuse them. In CSV,
/// numbers in one file and texts in another make texts, as within one file.
pub(super) async fn of(
    session: &SessionContext,
    name: &str,
    url: &ListingTableUrl,
    files: Vec<ObjectMeta>,
    options: &ListingOptions,
) -> Result<(SchemaRef, Option<String>), SqlError> {
    let state = session.state();
    let store = session.runtime_env().object_store(url).map_err(|error| failure::of_table(name, &error))?;
    let files: Vec<ObjectMeta> = files.into_iter().filter(|file| file.size > 0).collect();
    let is_csv = options.format.get_ext() == "csv";
    let mut merged: Option<Schema> = None;
    let mut having: HashMap<String, usize> = HashMap::new();
    for file in &files {
        let found = options
            .format
            .infer_schema(&state, &store, std::slice::from_ref(file))
            .await
            .map_err(|error| failure::of_table(name, &error))?;
        found.fields().iter().for_each(|field| *having.entry(field.name().clone()).or_default() += 1);
        merged = Some(match merged {
            None => found.as_ref().clone(),
            Some(so_far) => union(name, &so_far, &found, is_csv)?,
        });
    }
    let lacking = having.values().filter(|count| **count < files.len()).count();
    let told = (lacking > 0).then(|| {
        format!(
            "tables.{name}: {} missing from some of its {} files, whose records have null there",
            counted(lacking, "column"),
            files.len()
        )
    });
    Ok((Arc::new(merged.unwrap_or_else(Schema::empty)), told))
}

/// The same schema with these columns as texts.
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

/// The same schema, where columns of CSV that have no value in the records that decide are numbers. The reader would pass over
/// all that stands in them later; a later text is an error now.
pub(super) fn with_numbers_for_nulls(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Null => Arc::new(Field::new(field.name(), DataType::Float64, true)),
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

/// The columns of both schemas, by name; where `is_text`, their files are text, so that a column of two types is one of texts.
fn union(table: &str, first: &Schema, second: &Schema, is_text: bool) -> Result<Schema, SqlError> {
    let mut fields: Vec<Arc<Field>> = first.fields().iter().cloned().collect();
    for field in second.fields() {
        let Some(known) = fields.iter_mut().find(|known| known.name() == field.name()) else {
            fields.push(Arc::clone(field));
            continue;
        };
        let both = [known.data_type().clone(), field.data_type().clone()];
        // The engine takes a number for a text where it can; a reader of JSON cannot.
        let alike = both[0].is_numeric() == both[1].is_numeric() || both.contains(&DataType::Null);
        let common = type_union_resolution(&both).filter(|_| alike).or(is_text.then_some(DataType::Utf8));
        let Some(common) = common else {
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
