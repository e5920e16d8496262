//! Credit card defaults as the bank published them, in raw.csv.

use std::path::Path;

use anyhow::Context;
use hashvfl_data::{ColumnsSource, CsvColumns, Matrix, Table, load};

use super::sources::{Sources, file};
use super::{Dataset, PartyColumns};

/// Columns of raw.csv that are the host's; host.csv holds them as x0 to x9, in this order.
///
/// Found by matching ids and correlating: each column of guest.csv and host.csv has a correlation of 1.000000
/// with exactly one column of raw.csv, and its position follows the order of raw.csv in both files.
pub const RAW_HOST: [&str; 10] =
    ["LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE", "PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5"];

/// Columns of raw.csv that are the guest's; guest.csv holds them as x0 to x12, in this order.
pub const RAW_GUEST: [&str; 13] = [
    "PAY_6",
    "BILL_AMT1",
    "BILL_AMT2",
    "BILL_AMT3",
    "BILL_AMT4",
    "BILL_AMT5",
    "BILL_AMT6",
    "PAY_AMT1",
    "PAY_AMT2",
    "PAY_AMT3",
    "PAY_AMT4",
    "PAY_AMT5",
    "PAY_AMT6",
];

/// The records of [`Sources::credit_default`] in the same order, with each party's columns of raw.csv, which are not scaled.
///
/// # Errors
/// If a file is missing or damaged, or raw.csv lacks a record.
pub fn credit_default_raw(folder: &Path) -> anyhow::Result<Dataset> {
    let labels = Sources::credit_default(folder)?.load_labels()?;
    let raw = file(&folder.join("credit-default"), "raw.csv")?;
    let parties = vec![
        PartyColumns { name: "guest", matrix: columns(&raw, &RAW_GUEST, &labels.ids)?, image: None },
        PartyColumns { name: "host", matrix: columns(&raw, &RAW_HOST, &labels.ids)?, image: None },
    ];
    Ok(Dataset { parties, classes: labels.classes, class_count: labels.class_count, task: labels.task })
}

/// The columns `names` of raw.csv for the records `ids`.
fn columns(raw: &Path, names: &[&str], ids: &[String]) -> anyhow::Result<Matrix> {
    let table = load(&ColumnsSource::Csv(CsvColumns {
        paths: vec![raw.to_path_buf()],
        id: "ID".into(),
        columns: Some(names.iter().map(|name| (*name).to_string()).collect()),
        ignore: Vec::new(),
        image: None,
    }))?;
    in_order(&table, ids)
}

/// The rows of `table` in the order of `ids`.
fn in_order(table: &Table, ids: &[String]) -> anyhow::Result<Matrix> {
    let places: std::collections::HashMap<&str, usize> =
        table.ids.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
    let mut values = Vec::with_capacity(ids.len() * table.matrix.cols());
    for id in ids {
        let place = places.get(id.as_str()).context("raw.csv lacks a record of guest.csv")?;
        values.extend_from_slice(table.matrix.row(*place));
    }
    Ok(Matrix::new(ids.len(), table.matrix.cols(), values)?)
}
