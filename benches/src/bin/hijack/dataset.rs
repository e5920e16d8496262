//! The data sets: the gradient monitor was tuned on four of them and is measured on three.

use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use hashvfl_core::Task;
use hashvfl_core::normal::add_noise;
use hashvfl_core::random::{shuffle, stream};
use hashvfl_data::{Matrix, Preprocessing};
use hashvfl_learning::top::loss::Labels;
use hashvfl_testbed::dataset::{self, Sources};

/// What is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Digits of 8 x 8 pixels, ten classes.
    Digits,
    /// Statlog vehicle silhouettes, four classes.
    Vehicle,
    /// Wisconsin breast cancer, two classes that are easily told apart.
    Breast,
    /// Census income, two classes.
    Adult,
    /// Credit card defaults, two classes, hard.
    CreditDefault,
    /// Ten thousand digits of 28 x 28 pixels, ten classes.
    Mnist,
    /// A twentieth of the network connections of KDD Cup 1999, classes of very different sizes.
    Kdd99,
    /// Drawn columns, two classes by a weighted sum of them and some noise.
    Drawn,
    /// Drawn columns, a value that is a weighted sum of them and some noise.
    DrawnValues,
}

impl Name {
    /// The data sets that nobody looked at while the gradient monitor's constants were chosen on the other four.
    pub const UNSEEN: [Self; 3] = [Self::CreditDefault, Self::Mnist, Self::Kdd99];
}

/// Records cut into the columns of two parties, and their labels.
pub struct Dataset {
    /// Which data set.
    pub name: Name,
    /// What each party holds.
    columns: [Matrix; 2],
    /// Channels, height and width of a party's columns, where they are an image.
    pub image: Option<[usize; 3]>,
    /// What happens to columns first.
    pub preprocessing: Preprocessing,
    /// The labels.
    pub labels: Labels,
    /// What is predicted.
    pub task: Task,
}

impl Dataset {
    /// Reads `name` below `folder`.
    pub fn load(name: Name, folder: &Path) -> anyhow::Result<Self> {
        let data = match name {
            Name::Digits => dataset::digits(),
            Name::Vehicle => dataset::vehicle(folder)?,
            Name::Breast => Sources::breast(folder)?.load()?,
            Name::CreditDefault => dataset::credit_default(folder)?,
            Name::Mnist => Sources::mnist_test(folder)?.load()?,
            Name::Adult => dataset::adult(folder)?,
            Name::Kdd99 => dataset::kdd99(folder)?,
            Name::Drawn => return drawn(name, Task::Binary),
            Name::DrawnValues => return drawn(name, Task::Regression),
        };
        let preprocessing = match name {
            Name::Digits | Name::Mnist => Preprocessing::None,
            _ => Preprocessing::Quantile,
        };
        let (labels, task) = (data.all_labels(), data.task);
        let mut parties = data.parties.into_iter();
        let (Some(one), Some(other)) = (parties.next(), parties.next()) else {
            anyhow::bail!("{name:?}: two parties are needed");
        };
        let image = one.image;
        Ok(Self { name, columns: [one.matrix, other.matrix], image, preprocessing, labels, task })
    }

    /// A party's columns.
    pub fn columns(&self, party: usize) -> &Matrix {
        &self.columns[party]
    }

    /// The records with the rarest class thinned out, drawn by `seed`, until there are `ratio` others for each of its
    /// records, but ten at least. All records where it is as rare already, or labels are values.
    pub fn unbalanced(&self, ratio: usize, seed: u64) -> anyhow::Result<Self> {
        let all: Vec<u32> = (0..self.labels.len() as u32).collect();
        let Labels::Classes { count, index } = &self.labels else { return self.of_records(&all) };
        let mut of_class: Vec<Vec<u32>> = vec![Vec::new(); *count];
        for record in all {
            of_class[index[record as usize] as usize].push(record);
        }
        let present = of_class.iter_mut().filter(|records| !records.is_empty());
        let rarest = present.min_by_key(|records| records.len()).context("no records")?;
        let others = index.len() - rarest.len();
        shuffle(rarest, &mut stream(seed, "thinned", &[]));
        rarest.truncate((others / ratio).max(10));
        let mut kept = of_class.concat();
        kept.sort_unstable();
        self.of_records(&kept)
    }

    /// The same of some records.
    fn of_records(&self, records: &[u32]) -> anyhow::Result<Self> {
        let labels = match &self.labels {
            Labels::Classes { count, index } => Labels::Classes {
                count: *count,
                index: records.iter().map(|record| index[*record as usize]).collect(),
            },
            Labels::Real(values) => {
                Labels::Real(records.iter().map(|record| values[*record as usize]).collect())
            }
        };
        let columns = [picked(&self.columns[0], records)?, picked(&self.columns[1], records)?];
        Ok(Self { columns, labels, ..*self })
    }
}

fn picked(columns: &Matrix, records: &[u32]) -> anyhow::Result<Matrix> {
    Ok(Matrix::new(records.len(), columns.cols(), columns.gather(records))?)
}

/// Records of normal columns at two parties. What is predicted is a sum of all, with weights that fall, and of noise.
fn drawn(name: Name, task: Task) -> anyhow::Result<Dataset> {
    const RECORDS: usize = 6000;
    const COLUMNS: usize = 6;
    let mut rng = stream(1, "drawn records", &[]);
    let mut tables = [vec![0.0; RECORDS * COLUMNS], vec![0.0; RECORDS * COLUMNS]];
    for table in &mut tables {
        add_noise(table, 1.0, &mut rng);
    }
    let mut values = vec![0.0; RECORDS];
    add_noise(&mut values, 0.3, &mut rng);
    for (table, side) in tables.iter().zip([1.0, -1.0]) {
        for (row, value) in table.chunks_exact(COLUMNS).zip(&mut values) {
            for (column, cell) in row.iter().enumerate() {
                *value += side * cell / (1 + column) as f32;
            }
        }
    }
    let labels = match task {
        Task::Regression => Labels::Real(values),
        _ => {
            Labels::Classes { count: 2, index: values.iter().map(|value| u32::from(*value > 0.0)).collect() }
        }
    };
    let [one, other] = tables;
    let columns = [Matrix::new(RECORDS, COLUMNS, one)?, Matrix::new(RECORDS, COLUMNS, other)?];
    Ok(Dataset { name, columns, image: None, preprocessing: Preprocessing::Quantile, labels, task })
}
