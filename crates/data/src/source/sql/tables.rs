//! A declared table as one that the engine can read.

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

use super::{SqlError, SqlFormat, SqlTable, failure, schema, strict};
use crate::names;

/// Environment variables that object stores are configured by.
const STORE_VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// Makes `table` known to the query as `name`.
pub(super) async fn register(session: &SessionContext, name: &str, table: &SqlTable) -> Result<(), SqlError> {
    let url = locate(session, name, table)?;
    let failed = |error: DataFusionError| SqlError::Table {
        table: name.to_owned(),
        reason: failure::without_values(error.find_root(), ""),
    };
    let (format, ending) = format(name, table, url.is_collection())?;
    let is_csv = format == SqlFormat::Csv;
    let compression = compression(&ending);
    let extension = if url.is_collection() { ending } else { String::new() };
    let files = schema::files(session, name, &url, &extension).await?;
    let mut cells_of_lines = false;
    if is_csv {
        let store = session.runtime_env().object_store(&url).map_err(failed)?;
        for file in &files {
            let reading = (delimiter(name, table)?, compression);
            cells_of_lines |= strict::check(name, store.as_ref(), file, reading).await?;
        }
    }
    let options = ListingOptions::new(reader(name, table, format, (compression, cells_of_lines))?)
        .with_file_extension(extension);
    let schema = schema::of(session, name, (&url, files), &options).await?;
    let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    // Without a header the "names" are cells, which no error may show.
    if is_csv && names::looks_like_data(&columns) {
        let reason = "the first line looks like a record, expected a header with the names of the columns";
        return Err(SqlError::Setting { table: name.to_owned(), reason });
    }
    if !is_csv && !table.text.is_empty() {
        let reason = "text is for CSV: other formats have types";
        return Err(SqlError::Setting { table: name.to_owned(), reason });
    }
    let schema = schema::with_texts(name, schema, &table.text)?;
    let listing = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    let provider = ListingTable::try_new(listing).map_err(failed)?;
    session.register_table(TableReference::bare(name), Arc::new(provider)).map_err(failed)?;
    Ok(())
}

/// The table's location; its object store is made known.
fn locate(session: &SessionContext, name: &str, table: &SqlTable) -> Result<ListingTableUrl, SqlError> {
    let wrong = |reason: String| SqlError::Location { table: name.to_owned(), reason };
    let credentials = "it holds a user, a password or a signature; give credentials in the environment";
    let authority = table.location.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
    // What is no URL is shown by its error, a password with it.
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

/// How files whose names end so are compressed.
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
    (compression, cells_of_lines): (FileCompressionType, bool),
) -> Result<Arc<dyn FileFormat>, SqlError> {
    let rows = table.infer_rows.get();
    Ok(match format {
        SqlFormat::Csv => {
            let csv = CsvFormat::default().with_has_header(true).with_delimiter(delimiter(name, table)?);
            // Where a file is read in parts, these must not begin within a cell.
            let csv = csv.with_newlines_in_values(cells_of_lines);
            Arc::new(csv.with_file_compression_type(compression).with_schema_infer_max_rec(rows))
        }
        SqlFormat::Json => {
            let json = JsonFormat::default().with_file_compression_type(compression);
            Arc::new(json.with_schema_infer_max_rec(rows))
        }
        SqlFormat::Parquet => Arc::new(ParquetFormat::default()),
    })
}
