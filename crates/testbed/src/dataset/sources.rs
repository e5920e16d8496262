//! Where the tables of a data set are, as the config files of a federation name them.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use hashvfl_core::Task;
use hashvfl_data::{
    ColumnsSource, Crop, CsvColumns, CsvLabels, IdxColumns, IdxLabels, LabelsSource, Target, load,
    load_labels,
};

use super::{Dataset, PartyColumns};

/// The tables of two parties and of the label holder, which hold the same records in the same order.
pub struct Sources {
    /// Name and columns of each party.
    pub parties: [(&'static str, ColumnsSource); 2],
    /// The labels.
    pub labels: LabelsSource,
    /// What is predicted.
    pub task: Task,
}

/// The label of each record.
pub struct Classes {
    /// The record ids, in the order of the files.
    pub ids: Vec<String>,
    /// The class of each record.
    pub classes: Vec<u32>,
    /// The number of classes.
    pub class_count: usize,
    /// What is predicted.
    pub task: Task,
}

impl Sources {
    /// Credit card defaults below `folder`: guest.csv's 13 columns, host.csv's 10. FATE scaled both on all rows.
    ///
    /// # Errors
    /// If a file is missing.
    pub fn credit_default(folder: &Path) -> anyhow::Result<Self> {
        fate(&folder.join("credit-default"), Task::Binary)
    }

    /// Statlog vehicle silhouettes: nine columns each, four classes.
    ///
    /// # Errors
    /// If a file is missing.
    pub fn vehicle(folder: &Path) -> anyhow::Result<Self> {
        fate(&folder.join("vehicle"), Task::Multiclass)
    }

    /// Wisconsin breast cancer: two classes that are easily told apart.
    ///
    /// # Errors
    /// If a file is missing.
    pub fn breast(folder: &Path) -> anyhow::Result<Self> {
        fate(&folder.join("breast"), Task::Binary)
    }

    /// Handwritten digits: the left and the right half of each, the published test records last.
    ///
    /// # Errors
    /// If a file is missing.
    pub fn mnist(folder: &Path) -> anyhow::Result<Self> {
        halves(&folder.join("mnist"), &["train", "t10k"])
    }

    /// Only the published test records of [`Self::mnist`].
    ///
    /// # Errors
    /// If a file is missing.
    pub fn mnist_test(folder: &Path) -> anyhow::Result<Self> {
        halves(&folder.join("mnist"), &["t10k"])
    }

    /// Reads all tables.
    ///
    /// # Errors
    /// If a table is damaged, or the tables hold other records.
    pub fn load(&self) -> anyhow::Result<Dataset> {
        let Classes { ids, classes, class_count, task } = self.load_labels()?;
        let mut parties = Vec::new();
        for (name, source) in &self.parties {
            let table = load(source)?;
            ensure!(
                table.ids == ids,
                "the table of {name} does not hold the same ids as the labels in the same order"
            );
            let image = table.image.map(|image| [image.channels, image.height, image.width]);
            parties.push(PartyColumns { name, matrix: table.matrix, image });
        }
        Ok(Dataset { parties, classes, class_count, task })
    }

    /// Reads the labels.
    ///
    /// # Errors
    /// If their table is damaged.
    pub fn load_labels(&self) -> anyhow::Result<Classes> {
        let labels = load_labels(&self.labels, self.task)?;
        match labels.target {
            Target::Classes { names, index } => {
                Ok(Classes { ids: labels.ids, classes: index, class_count: names.len(), task: self.task })
            }
            Target::Real(_) => anyhow::bail!("the labels of data sets are classes"),
        }
    }
}

/// A pair of files as the FATE project prepares them: guest.csv with ids, labels and columns, host.csv with the same ids
/// and more columns.
fn fate(folder: &Path, task: Task) -> anyhow::Result<Sources> {
    let (guest, host) = (file(folder, "guest.csv")?, file(folder, "host.csv")?);
    let labels = CsvLabels { paths: vec![guest.clone()], id: "id".into(), column: "y".into() };
    Ok(Sources {
        parties: [("guest", csv(guest, vec!["y".into()])), ("host", csv(host, Vec::new()))],
        labels: LabelsSource::Csv(labels),
        task,
    })
}

/// All columns of a CSV file but those to `ignore`, with its ids in the column `id`.
pub fn csv(path: impl Into<PathBuf>, ignore: Vec<String>) -> ColumnsSource {
    let path = path.into();
    ColumnsSource::Csv(CsvColumns { paths: vec![path], id: "id".into(), columns: None, ignore, image: None })
}

/// Left and right halves of the images of IDX files.
fn halves(folder: &Path, parts: &[&str]) -> anyhow::Result<Sources> {
    let images = idx(folder, parts, "images-idx3")?;
    Ok(Sources {
        parties: [("left", half(&images, 0)), ("right", half(&images, 14))],
        labels: LabelsSource::Idx(IdxLabels { paths: idx(folder, parts, "labels-idx1")? }),
        task: Task::Multiclass,
    })
}

fn half(images: &[PathBuf], left: usize) -> ColumnsSource {
    let crop = Some(Crop { top: 0, left, height: 28, width: 14 });
    ColumnsSource::Idx(IdxColumns { paths: images.to_vec(), crop })
}

fn idx(folder: &Path, parts: &[&str], kind: &str) -> anyhow::Result<Vec<PathBuf>> {
    parts.iter().map(|part| file(folder, &format!("{part}-{kind}-ubyte.gz"))).collect()
}

/// The whole path of a file, so that configs in other folders can name it.
pub(super) fn file(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    ensure!(
        path.is_file(),
        "{} does not exist: --data must name the folder of the data sets, with one folder for each, such as \
         credit-default/",
        path.display()
    );
    std::fs::canonicalize(&path).with_context(|| format!("cannot find {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let error = Sources::vehicle(Path::new("/nowhere")).err().unwrap().to_string();
        assert!(error.contains("/nowhere/vehicle/guest.csv does not exist: --data"), "{error}");
    }
}
