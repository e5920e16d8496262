//! The data sets: what each party holds of the records, and their labels, as the files have them.
//!
//! Nothing is reordered here. A [`Split`] says which record of the files stands at which row of a run.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use hashvfl_core::Task;
use hashvfl_data::{
    ColumnsSource, Crop, CsvColumns, CsvLabels, IdxLabels, ImageColumns, LabelsSource, Matrix, Table, Target,
    load, load_labels,
};
use hashvfl_learning::top::loss::Labels;

use crate::numpy::permutation;

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

/// What one party holds.
pub struct Columns {
    /// The party.
    pub name: &'static str,
    /// Its columns, in the order of the files.
    pub matrix: Matrix,
    /// Channels, height and width, where the columns are an image.
    pub image: Option<[usize; 3]>,
}

/// Records, cut into columns, and their labels.
pub struct Dataset {
    /// What each party holds.
    pub parties: Vec<Columns>,
    /// Class of each record.
    pub classes: Vec<u32>,
    /// Number of classes.
    pub class_count: usize,
    /// What is predicted.
    pub task: Task,
}

impl Dataset {
    /// Number of records.
    pub fn records(&self) -> usize {
        self.classes.len()
    }

    /// The labels of the records of `order`, in that order.
    pub fn labels(&self, order: &[u32]) -> Labels {
        let index = order.iter().map(|record| self.classes[*record as usize]).collect();
        Labels::Classes { count: self.class_count, index }
    }
}

/// The records in the order of a run, test records last.
#[derive(Debug, Clone)]
pub struct Split {
    /// What to call it.
    pub name: String,
    /// For each row of the run, the record of the files.
    pub order: Vec<u32>,
    /// How many of the last rows are test records.
    pub test: usize,
}

impl Split {
    /// Records shuffled by numpy's `RandomState(seed).permutation`, the last fifth for the test.
    pub fn shuffled(seed: u32, records: usize) -> Self {
        let order = permutation(seed, records as u32);
        Self { name: format!("split {seed}"), order, test: records - records * 4 / 5 }
    }

    /// `folds` splits of records shuffled by `RandomState(0)`, each with another fold for the test.
    pub fn folds(folds: usize, records: usize) -> Vec<Self> {
        cut(&permutation(0, records as u32), folds, "fold")
    }

    /// `folds` splits of the records outside the test part, each with another fold in the test's place: for choosing
    /// recipes.
    pub fn development(&self, folds: usize) -> Vec<Self> {
        cut(&self.order[..self.order.len() - self.test], folds, &format!("{}, fold", self.name))
    }

    /// Records as they come, the last `test` for the test.
    pub fn published(records: usize, test: usize) -> Self {
        Self { name: "published split".into(), order: (0..records as u32).collect(), test }
    }
}

/// Splits of `order` into `folds`, each with another fold at the end, for the test.
fn cut(order: &[u32], folds: usize, name: &str) -> Vec<Split> {
    let fold = |index: usize| {
        let range = order.len() * index / folds..order.len() * (index + 1) / folds;
        let (test, count) = (&order[range.clone()], range.len());
        let order = [&order[..range.start], &order[range.end..], test].concat();
        Split { name: format!("{name} {index}"), order, test: count }
    };
    (0..folds).map(fold).collect()
}

/// Credit card defaults: guest.csv's 13 columns, host.csv's 10. FATE scaled both on all rows.
pub fn credit_default(folder: &Path) -> anyhow::Result<Dataset> {
    fate(&folder.join("credit-default"), Task::Binary)
}

/// The same records, columns and order from raw.csv, each party's columns to be standardised on training rows.
pub fn credit_default_raw(folder: &Path) -> anyhow::Result<Dataset> {
    let scaled = folder.join("credit-default");
    let (ids, classes, class_count) = labels_of(&file(&scaled, "guest.csv")?, Task::Binary)?;
    let raw = file(&scaled, "raw.csv")?;
    let columns = |name, columns: &[&str]| {
        let columns = Some(columns.iter().map(|name| (*name).to_string()).collect());
        let table = csv(&raw, "ID", columns, &[])?;
        Ok(Columns { name, matrix: in_order(&table, &ids)?, image: None })
    };
    let parties: anyhow::Result<Vec<Columns>> =
        [columns("guest", &RAW_GUEST), columns("host", &RAW_HOST)].into_iter().collect();
    Ok(Dataset { parties: parties?, classes, class_count, task: Task::Binary })
}

/// Statlog vehicle silhouettes: nine columns each, four classes.
pub fn vehicle(folder: &Path) -> anyhow::Result<Dataset> {
    fate(&folder.join("vehicle"), Task::Multiclass)
}

/// Handwritten digits: the left and the right half of each, the published test records last.
pub fn mnist(folder: &Path) -> anyhow::Result<Dataset> {
    let folder = folder.join("mnist");
    let both = |kind: &str| -> anyhow::Result<Vec<PathBuf>> {
        ["train", "t10k"].iter().map(|part| file(&folder, &format!("{part}-{kind}-ubyte.gz"))).collect()
    };
    let images = both("images-idx3")?;
    let half = |name, left| -> anyhow::Result<Columns> {
        let crop = Some(Crop { top: 0, left, height: 28, width: 14 });
        let table = load(&ColumnsSource::Idx(ImageColumns { paths: images.clone(), crop }))?;
        Ok(Columns { name, matrix: table.matrix, image: Some([1, 28, 14]) })
    };
    let parties = vec![half("left", 0)?, half("right", 14)?];
    let labels =
        load_labels(&LabelsSource::Idx(IdxLabels { paths: both("labels-idx1")? }), Task::Multiclass)?;
    let (classes, class_count) = classes_of(labels.target)?;
    Ok(Dataset { parties, classes, class_count, task: Task::Multiclass })
}

/// A pair of files as the FATE project prepares them: guest.csv with ids, labels and columns, host.csv with the
/// same ids and more columns.
fn fate(folder: &Path, task: Task) -> anyhow::Result<Dataset> {
    let (guest, host) = (file(folder, "guest.csv")?, file(folder, "host.csv")?);
    let (ids, classes, class_count) = labels_of(&guest, task)?;
    let columns = |name, path: &Path, ignore: &[&str]| -> anyhow::Result<Columns> {
        let table = csv(path, "id", None, ignore)?;
        ensure!(table.ids == ids, "{} holds other ids than guest.csv, or in another order", path.display());
        Ok(Columns { name, matrix: table.matrix, image: None })
    };
    let parties = vec![columns("guest", &guest, &["y"])?, columns("host", &host, &[])?];
    Ok(Dataset { parties, classes, class_count, task })
}

fn file(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    ensure!(
        path.is_file(),
        "{} is not there: --data names the folder that holds credit-default/, vehicle/ and mnist/",
        path.display()
    );
    Ok(path)
}

fn csv(path: &Path, id: &str, columns: Option<Vec<String>>, ignore: &[&str]) -> anyhow::Result<Table> {
    let ignore = ignore.iter().map(|name| (*name).to_string()).collect();
    let source = CsvColumns { paths: vec![path.to_path_buf()], id: id.into(), columns, ignore, image: None };
    Ok(load(&ColumnsSource::Csv(source))?)
}

fn labels_of(guest: &Path, task: Task) -> anyhow::Result<(Vec<String>, Vec<u32>, usize)> {
    let source = CsvLabels { paths: vec![guest.to_path_buf()], id: "id".into(), column: "y".into() };
    let labels = load_labels(&LabelsSource::Csv(source), task)?;
    let (classes, count) = classes_of(labels.target)?;
    Ok((labels.ids, classes, count))
}

fn classes_of(target: Target) -> anyhow::Result<(Vec<u32>, usize)> {
    match target {
        Target::Classes { names, index } => Ok((index, names.len())),
        Target::Real(_) => anyhow::bail!("the benchmark's labels are classes"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_test_every_record_once() {
        let folds = Split::folds(5, 846);
        let mut tested: Vec<u32> =
            folds.iter().flat_map(|fold| fold.order[846 - fold.test..].to_vec()).collect();
        tested.sort_unstable();
        assert_eq!(tested, (0..846).collect::<Vec<u32>>());
        for fold in folds {
            let mut all = fold.order.clone();
            all.sort_unstable();
            assert_eq!(all, (0..846).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = vehicle(Path::new("/nowhere")).err().unwrap().to_string();
        assert!(error.contains("/nowhere/vehicle/guest.csv is not there: --data"), "{error}");
    }
}
