//! The data, with the recipe that federations on it are trained by.

use std::path::Path;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use hashvfl_core::PartyName;
use hashvfl_core::settings::{RowOrder, RunSettings};
use hashvfl_data::{ColumnsSource, IdxColumns, Matrix, Preprocessing, load};
use hashvfl_learning::bottom::{BottomConfig, CnnConfig, MlpConfig};
use hashvfl_learning::top::loss::Labels;
use hashvfl_learning::{EncoderConfig, TopConfig};
use hashvfl_testbed::dataset::{self, Dataset};

/// What is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Digits of 8 x 8 pixels, left and right halves; they come with the program.
    Digits,
    /// Digits of 28 x 28 pixels, left and right halves.
    Mnist,
    /// Credit card defaults.
    CreditDefault,
    /// Network connections of KDD Cup 1999, at the parties alone: no codes.
    Kdd99,
}

/// Records in the order of a run, cut into the columns of two parties.
pub struct Set {
    /// Each party's columns, as the files have them.
    pub columns: Vec<Matrix>,
    /// Channels, height and width of each party's part, where columns are an image.
    pub image: Option<[usize; 3]>,
    /// The classes.
    pub labels: Labels,
    /// How it is trained.
    pub settings: RunSettings,
    /// What happens to columns first.
    pub preprocessing: Preprocessing,
    /// Each party's model.
    pub encoder: EncoderConfig,
    /// The top model.
    pub top: TopConfig,
}

impl Set {
    /// Loads `name` below `folder`, records shuffled by `seed`, but for published test records, which stay last.
    pub fn load(name: Name, folder: Option<&Path>, bits: usize, seed: u64) -> anyhow::Result<Self> {
        let dataset = load_dataset(name, folder)?;
        let names: Result<Vec<PartyName>, _> =
            dataset.parties.iter().map(|columns| PartyName::new(columns.name)).collect();
        let run = RunSettings { seed, ..RunSettings::new(names?, dataset.task, bits, 30) };
        let labels = dataset.all_labels();
        let image = dataset.parties[0].image;
        let columns = dataset.parties.into_iter().map(|columns| columns.matrix).collect();
        let set = Self {
            columns,
            image,
            labels,
            settings: run,
            preprocessing: Preprocessing::None,
            encoder: mlp(64, 0.0),
            top: TopConfig::default(),
        };
        Ok(set.with_recipe(name))
    }

    /// The same with the recipe of `name`.
    fn with_recipe(self, name: Name) -> Self {
        let run = self.settings.clone();
        match name {
            Name::Mnist => Self {
                settings: RunSettings {
                    batch_rows: 256.into(),
                    learning_rate: 3e-3,
                    epochs: 5,
                    row_order: RowOrder::Given,
                    test_fraction: 1.0 / 7.0,
                    ..run
                },
                encoder: EncoderConfig {
                    model: BottomConfig::Cnn(CnnConfig::default()),
                    ..EncoderConfig::default()
                },
                ..self
            },
            Name::CreditDefault => Self {
                settings: RunSettings {
                    batch_rows: 128.into(),
                    learning_rate: 3e-3,
                    epochs: 16,
                    test_fraction: 0.4,
                    ..run
                },
                preprocessing: Preprocessing::Quantile,
                encoder: mlp(128, 0.1),
                top: TopConfig { dropout: 0.3, ..TopConfig::default() },
                ..self
            },
            Name::Digits | Name::Kdd99 => Self {
                settings: RunSettings {
                    batch_rows: 64.into(),
                    learning_rate: 0.01,
                    test_fraction: 0.4,
                    ..run
                },
                ..self
            },
        }
    }

    /// Class of each record.
    pub fn classes(&self) -> &[u32] {
        match &self.labels {
            Labels::Classes { index, .. } => index,
            Labels::Real(_) => &[],
        }
    }
}

fn load_dataset(name: Name, folder: Option<&Path>) -> anyhow::Result<Dataset> {
    let folder =
        folder.context("this data set's files are not part of the program: name their folder with --data");
    match name {
        Name::Digits => digits(),
        Name::Mnist => dataset::mnist(folder?),
        Name::CreditDefault => dataset::credit_default(folder?),
        Name::Kdd99 => anyhow::bail!("kdd99 has no federation"),
    }
}

fn mlp(units: usize, dropout: f32) -> EncoderConfig {
    let model = BottomConfig::Mlp(MlpConfig { hidden: vec![units] });
    EncoderConfig { model, dropout, ..EncoderConfig::default() }
}

/// The digits with pixels from 0 to 1.
fn digits() -> anyhow::Result<Dataset> {
    let mut digits = dataset::digits();
    for columns in &mut digits.parties {
        let matrix = &columns.matrix;
        let values = matrix.values().iter().map(|value| value / 16.0).collect();
        columns.matrix = Matrix::new(matrix.rows(), matrix.cols(), values)?;
    }
    Ok(digits)
}

/// Left and right halves of the images of an IDX file, 28 x 28 pixels each: one row-major vector a party.
pub fn unlike(file: &Path) -> anyhow::Result<[Vec<f32>; 2]> {
    let source = IdxColumns { paths: vec![file.to_path_buf()], crop: None };
    let table = load(&ColumnsSource::Idx(source))?;
    ensure!(table.matrix.cols() == 28 * 28, "{}: images must have 28 x 28 pixels", file.display());
    let lines = table.matrix.values().chunks_exact(28);
    Ok([0, 14].map(|start| lines.clone().flat_map(|line| line[start..start + 14].to_vec()).collect()))
}
