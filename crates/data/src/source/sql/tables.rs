//! Makes a declared table known to the engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::prelude::SessionContext;

use super::excluded_files::ExcludedFiles;
use super::{SqlError, SqlFormat, SqlTable, cells, failure, schema, strict};
use crate::names;
use tracing::warn;

/// How names of environment variables that configure object stores begin.
const STORE_VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// Makes `table` known to the query as `name`. `tells`: whether to say what of its cells is not as they are written.
///
/// Returns its columns with numbers that the engine rounds.
pub(super) async fn register(
    session: &SessionContext,
    name: &str,
    table: &SqlTable,
    tells: bool,
) -> Result<Vec<String>, SqlError> {
    let url = locate(session, name, table)?;
    let (format, ending) = format(name, table, url.is_collection())?;
    let is_csv = format == SqlFormat::Csv;
    let compression = compression(&ending);
    let extension = if url.is_collection() { ending } else { String::new() };
    if tells {
        ExcludedFiles::of(session, name, &url, format, &extension).await?.check(name, table, &extension)?;
    }
    let files = schema::files(session, name, &url, &extension).await?;
    let store = session.runtime_env().object_store(&url).map_err(|error| failure::of_table(name, &error))?;
    let (mut seen, mut long_keys) = (strict::Seen::default(), BTreeSet::new());
    match format {
        SqlFormat::Csv => {
            let delimiter = delimiter(name, table)?;
            seen = strict::check(name, store.as_ref(), &files, delimiter, compression).await?;
        }
        SqlFormat::Json => {
            long_keys = strict::check_objects(name, store.as_ref(), &files, compression).await?;
        }
        SqlFormat::Parquet => {}
    }
    let options = ListingOptions::new(reader(name, table, format, compression, seen.cells_of_lines)?)
        .with_file_extension(extension);
    let ends = seen.told_of_ends(name, files.len());
    let (schema, told) = schema::of(session, name, &url, files, &options).await?;
    let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    // Without a header the "names" are cells, which no error may show.
    if is_csv && names::looks_like_data(&columns) {
        let reason = "the first line looks like a record, expected a header with the names of the columns";
        return Err(SqlError::Setting { table: name.to_owned(), reason });
    }
    if is_csv && columns.len() == 1 && columns[0].contains([';', '\t', '|', ',']) {
        let reason = "its header is one column with semicolons, tabs, bars or commas in it: set `delimiter` to what stands between \
                      the cells";
        return Err(SqlError::Setting { table: name.to_owned(), reason });
    }
    if !is_csv && !table.text.is_empty() {
        let reason = "`text` is only for CSV; other formats declare their types";
        return Err(SqlError::Setting { table: name.to_owned(), reason });
    }
    let schema = schema::with_texts(name, schema, &table.text)?;
    let schema = if is_csv { schema::with_numbers_for_nulls(&schema) } else { schema };
    if tells {
        let of_cells = cells::warnings(name, &schema, &seen.cells);
        told.into_iter().chain(ends).chain(of_cells).for_each(|told| warn!("{told}"));
    }
    let mut rounded = cells::rounded(&schema, &seen.cells);
    let of_keys = schema.fields().iter().filter(|field| field.data_type().is_floating());
    rounded.extend(of_keys.map(|field| field.name().clone()).filter(|name| long_keys.contains(name)));
    let listing = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    let provider = ListingTable::try_new(listing).map_err(|error| failure::of_table(name, &error))?;
    session
        .register_table(TableReference::bare(name), Arc::new(provider))
        .map_err(|error| failure::of_table(name, &error))?;
    Ok(rounded)
}

/// What a person is to know of the files of `table`, which the query calls `name`.
pub(super) async fn remarks(
    session: &SessionContext,
    name: &str,
    table: &SqlTable,
) -> Result<Vec<String>, SqlError> {
    let url = locate(session, name, table)?;
    let (format, ending) = format(name, table, url.is_collection())?;
    Ok(ExcludedFiles::of(session, name, &url, format, &ending).await?.remarks(name, &ending))
}

/// The table's location; its object store is made known.
fn locate(session: &SessionContext, name: &str, table: &SqlTable) -> Result<ListingTableUrl, SqlError> {
    let wrong = |reason: String| SqlError::Location { table: name.to_owned(), reason };
    let credentials = "it holds a user, a password or a signature; give credentials in the environment";
    let authority = table.location.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
    // The error about an invalid URL would show it with its password.
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err(wrong(credentials.to_owned()));
    }
    let url = ListingTableUrl::parse(&table.location).map_err(|error| wrong(failure::text(&error)))?;
    let parsed: &url::Url = url.as_ref();
    if !parsed.username().is_empty() || parsed.password().is_some() || parsed.query().is_some() {
        return Err(wrong(credentials.to_owned()));
    }
    if url.scheme() != "file" {
        let settings =
            std::env::vars().filter(|(key, _)| STORE_VARIABLES.iter().any(|own| key.starts_with(own)));
        let (store, _) =
            object_store::parse_url_opts(parsed, settings).map_err(|error| wrong(error.to_string()))?;
        session.register_object_store(url.object_store().as_ref(), Arc::from(store));
    }
    Ok(url)
}

/// The table's format, and how names of its files end.
fn format(name: &str, table: &SqlTable, is_folder: bool) -> Result<(SqlFormat, String), SqlError> {
    let file = if is_folder { table.extension.as_deref() } else { Some(table.location.as_str()) };
    let by_name = file.and_then(|file| SqlFormat::of_name(&format!("x.{file}")));
    let format = table.format.or(by_name).ok_or_else(|| SqlError::Format { table: name.to_owned() })?;
    let ending = match &table.extension {
        Some(extension) => extension.trim_start_matches('.').to_owned(),
        None if is_folder => format.extension().to_owned(),
        None => table.location.clone(),
    };
    Ok((format, if is_folder { format!(".{ending}") } else { ending }))
}

/// The compression of files whose names end with `ending`.
fn compression(ending: &str) -> FileCompressionType {
    let gzip = ending.to_ascii_lowercase().ends_with(".gz");
    if gzip { FileCompressionType::GZIP } else { FileCompressionType::UNCOMPRESSED }
}

fn delimiter(name: &str, table: &SqlTable) -> Result<u8, SqlError> {
    u8::try_from(table.delimiter)
        .map_err(|_| SqlError::Setting { table: name.to_owned(), reason: "delimiter must be one byte" })
}

fn reader(
    name: &str,
    table: &SqlTable,
    format: SqlFormat,
    compression: FileCompressionType,
    cells_of_lines: bool,
) -> Result<Arc<dyn FileFormat>, SqlError> {
    Ok(match format {
        SqlFormat::Csv => {
            let csv = CsvFormat::default().with_has_header(true).with_delimiter(delimiter(name, table)?);
            // If a file is read in parts, these must not begin within a cell.
            let csv = csv.with_newlines_in_values(cells_of_lines);
            Arc::new(
                csv.with_file_compression_type(compression).with_schema_infer_max_rec(table.infer_rows.get()),
            )
        }
        SqlFormat::Json => {
            let json = JsonFormat::default().with_file_compression_type(compression);
            // All records decide: the reader cuts fractions off in a column of whole numbers, and passes over keys that are
            // no columns.
            Arc::new(json.with_schema_infer_max_rec(usize::MAX))
        }
        SqlFormat::Parquet => Arc::new(ParquetFormat::default()),
    })
}
