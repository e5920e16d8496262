//! Data sets that are lists of comma-separated values without a header, the class last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use anyhow::Context;
use flate2::read::GzDecoder;
use hashvfl_core::Task;
use hashvfl_data::Matrix;

use super::{Dataset, PartyColumns};

/// Census income: two classes.
///
/// # Errors
/// If the file is missing or damaged.
pub fn adult(folder: &Path) -> anyhow::Result<Dataset> {
    listed(&read_cells(&folder.join("adult/adult.data"), 1)?, 1, Task::Binary)
}

/// A twentieth of the network connections of KDD Cup 1999; classes have very different sizes, at least 50 records.
///
/// # Errors
/// If the file is missing or damaged.
pub fn kdd99(folder: &Path) -> anyhow::Result<Dataset> {
    listed(&read_cells(&folder.join("kdd99/kddcup.data_10_percent.gz"), 20)?, 50, Task::Multiclass)
}

/// The trimmed cells of every `nth` line; lines without a comma are left out.
///
/// # Errors
/// If the file cannot be read.
pub fn read_cells(path: &Path, nth: usize) -> anyhow::Result<Vec<Vec<String>>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let zipped = path.extension().is_some_and(|end| end == "gz");
    let file: Box<dyn Read> = if zipped { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut cells = Vec::new();
    for line in BufReader::new(file).lines().step_by(nth) {
        let line: Vec<String> = line?.split(',').map(|cell| cell.trim().to_string()).collect();
        if line.len() > 1 {
            cells.push(line);
        }
    }
    Ok(cells)
}

/// Classes of `least` records or more. Words are numbered in the order of the alphabet, and columns are cut in the middle.
fn listed(cells: &[Vec<String>], least: usize, task: Task) -> anyhow::Result<Dataset> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for record in cells {
        *counts.entry(class_of(record)).or_default() += 1;
    }
    let records: Vec<&[String]> =
        cells.iter().map(Vec::as_slice).filter(|record| counts[class_of(record)] >= least).collect();
    let width = records.first().context("no records")?.len();
    let columns: Vec<Vec<f32>> = (0..width).map(|column| numbered(&records, column)).collect();
    let classes: Vec<u32> = columns[width - 1].iter().map(|class| *class as u32).collect();
    let middle = (width - 1) / 2;
    Ok(Dataset {
        parties: vec![
            PartyColumns { name: "a", matrix: part(&columns, 0..middle)?, image: None },
            PartyColumns { name: "b", matrix: part(&columns, middle..width - 1)?, image: None },
        ],
        class_count: classes.iter().max().map_or(0, |most| *most as usize + 1),
        classes,
        task,
    })
}

fn class_of(record: &[String]) -> &str {
    record.last().map_or("", String::as_str)
}

/// A column as numbers.
fn numbered(records: &[&[String]], column: usize) -> Vec<f32> {
    let words: BTreeSet<&str> = records.iter().map(|record| record[column].as_str()).collect();
    let place: BTreeMap<&str, usize> =
        words.into_iter().enumerate().map(|(place, word)| (word, place)).collect();
    let mut values = Vec::with_capacity(records.len());
    for record in records {
        let cell = record[column].as_str();
        values.push(cell.parse().unwrap_or(place[cell] as f32));
    }
    values
}

/// Some columns as a matrix.
fn part(columns: &[Vec<f32>], range: Range<usize>) -> anyhow::Result<Matrix> {
    let rows = columns.first().map_or(0, Vec::len);
    let mut values = Vec::with_capacity(rows * range.len());
    for row in 0..rows {
        values.extend(columns[range.clone()].iter().map(|column| column[row]));
    }
    Ok(Matrix::new(rows, range.len(), values)?)
}
