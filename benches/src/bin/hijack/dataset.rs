//! The data sets: on four the gradient monitor was tuned, on three it is measured.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use flate2::read::GzDecoder;
use hashvfl_core::Task;
use hashvfl_data::{
    ColumnsSource, Crop, CsvColumns, CsvLabels, IdxLabels, ImageColumns, LabelsSource, Matrix, Preprocessing,
    Target, load, load_labels,
};
use hashvfl_learning::top::loss::Labels;
use hashvfl_testbed::digits::Digits;

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
    /// Network connections of KDD Cup 1999, a twentieth of them, classes of very different size.
    Kdd99,
}

impl Name {
    /// Those that were never looked at while the gradient monitor's constants were chosen; they were chosen on the other four.
    pub const UNSEEN: [Self; 3] = [Self::CreditDefault, Self::Mnist, Self::Kdd99];
}

/// Records cut into the columns of two parties, and their labels.
pub struct Dataset {
    /// Which.
    pub name: Name,
    /// Each party's columns.
    pub columns: [Matrix; 2],
    /// Channels, height and width, where columns are an image.
    pub image: Option<[usize; 3]>,
    /// What happens to columns first.
    pub preprocessing: Preprocessing,
    /// The classes.
    pub labels: Labels,
    /// What is predicted.
    pub task: Task,
}

impl Dataset {
    /// Reads `name` below `folder`.
    pub fn load(name: Name, folder: &Path) -> anyhow::Result<Self> {
        match name {
            Name::Digits => {
                let digits = Digits::load();
                let labels = digits.labels();
                let image = Some([1, 8, 4]);
                Ok(Self {
                    name,
                    columns: digits.halves,
                    image,
                    preprocessing: Preprocessing::None,
                    labels,
                    task: Task::Multiclass,
                })
            }
            Name::Vehicle => pair(name, &folder.join("vehicle"), Task::Multiclass),
            Name::Breast => pair(name, &folder.join("breast"), Task::Binary),
            Name::CreditDefault => pair(name, &folder.join("credit-default"), Task::Binary),
            Name::Adult => listed(name, File::open(folder.join("adult/adult.data"))?, (1, 1), Task::Binary),
            Name::Kdd99 => {
                let file = File::open(folder.join("kdd99/kddcup.data_10_percent.gz"))?;
                listed(name, GzDecoder::new(file), (20, 50), Task::Multiclass)
            }
            Name::Mnist => mnist(&folder.join("mnist")),
        }
    }
}

/// A pair of files as the FATE project prepares them.
fn pair(name: Name, folder: &Path, task: Task) -> anyhow::Result<Dataset> {
    let columns = |file: &str, ignore: Vec<String>| {
        let paths = vec![folder.join(file)];
        let source = CsvColumns { paths, id: "id".into(), columns: None, ignore, image: None };
        load(&ColumnsSource::Csv(source)).map(|table| table.matrix)
    };
    let source = CsvLabels { paths: vec![folder.join("guest.csv")], id: "id".into(), column: "y".into() };
    let labels = load_labels(&LabelsSource::Csv(source), task)?.target;
    Ok(Dataset {
        name,
        columns: [columns("guest.csv", vec!["y".into()])?, columns("host.csv", Vec::new())?],
        image: None,
        preprocessing: Preprocessing::Quantile,
        labels: classes(labels)?,
        task,
    })
}

fn mnist(folder: &Path) -> anyhow::Result<Dataset> {
    let half = |left| {
        let crop = Some(Crop { top: 0, left, height: 28, width: 14 });
        let paths = vec![folder.join("t10k-images-idx3-ubyte.gz")];
        load(&ColumnsSource::Idx(ImageColumns { paths, crop })).map(|table| table.matrix)
    };
    let source = IdxLabels { paths: vec![folder.join("t10k-labels-idx1-ubyte.gz")] };
    let labels = load_labels(&LabelsSource::Idx(source), Task::Multiclass)?.target;
    Ok(Dataset {
        name: Name::Mnist,
        columns: [half(0)?, half(14)?],
        image: Some([1, 28, 14]),
        preprocessing: Preprocessing::None,
        labels: classes(labels)?,
        task: Task::Multiclass,
    })
}

fn classes(target: Target) -> anyhow::Result<Labels> {
    match target {
        Target::Classes { names, index } => Ok(Labels::Classes { count: names.len(), index }),
        Target::Real(_) => anyhow::bail!("labels are classes here"),
    }
}

/// Lines of comma-separated values without a header, the class last: every `nth` line, classes of `least` records
/// or more, words numbered in the order of the alphabet, columns cut in the middle.
fn listed(name: Name, file: impl Read, (nth, least): (usize, usize), task: Task) -> anyhow::Result<Dataset> {
    let lines: Vec<String> = BufReader::new(file).lines().step_by(nth).collect::<Result<_, _>>()?;
    let mut records: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| line.split(',').map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells.len() > 1)
        .collect();
    let mut counts = BTreeMap::<&str, usize>::new();
    records
        .iter()
        .filter_map(|record| record.last())
        .for_each(|class| *counts.entry(class).or_default() += 1);
    records.retain(|record| record.last().is_some_and(|class| counts[class] >= least));
    let width = records.first().context("no records")?.len();
    let numbered = |column: usize| -> Vec<f32> {
        let words: std::collections::BTreeSet<&str> = records.iter().map(|record| record[column]).collect();
        let place: BTreeMap<&str, usize> =
            words.into_iter().enumerate().map(|(place, word)| (word, place)).collect();
        let number = |record: &Vec<&str>| record[column].parse().unwrap_or(place[record[column]] as f32);
        records.iter().map(number).collect()
    };
    let columns: Vec<Vec<f32>> = (0..width).map(numbered).collect();
    let part = |range: std::ops::Range<usize>| {
        let rows = 0..records.len();
        let values =
            rows.flat_map(|row| columns[range.clone()].iter().map(move |column| column[row])).collect();
        Matrix::new(records.len(), range.len(), values)
    };
    let index: Vec<u32> = columns[width - 1].iter().map(|class| *class as u32).collect();
    let count = index.iter().max().map_or(0, |most| *most as usize + 1);
    Ok(Dataset {
        name,
        columns: [part(0..(width - 1) / 2)?, part((width - 1) / 2..width - 1)?],
        image: None,
        preprocessing: Preprocessing::Quantile,
        labels: Labels::Classes { count, index },
        task,
    })
}
