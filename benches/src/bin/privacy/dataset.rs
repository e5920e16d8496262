//! The data of the story: digits that come with a dependency, or files that the user has.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use hashvfl_core::settings::{RowOrder, RunSettings, Task};
use hashvfl_core::{GradientEncoding, PartyName};
use hashvfl_data::{
    ColumnsSource, Crop, CsvColumns, CsvLabels, IdxLabels, ImageColumns, ImageShape, LabelsSource,
    Preprocessing,
};
use hashvfl_learning::bottom::{BottomConfig, CnnConfig, MlpConfig};
use hashvfl_learning::{EncoderConfig, TopConfig};
use hashvfl_testbed::digits::Digits;
use hashvfl_testbed::federation::{CoordinatorSide, PartySide, home, write};

/// What is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dataset {
    /// Handwritten digits of 8 x 8 pixels, left and right halves; they come with the program.
    Digits,
    /// Credit card defaults: guest.csv and host.csv of `--data`.
    CreditDefault,
    /// Handwritten digits of 28 x 28 pixels, left and right halves: IDX files of `--data`.
    Mnist,
}

/// A federation on it.
pub struct Sides {
    /// The agreed settings.
    pub run: RunSettings,
    /// The parties, in order.
    pub parties: Vec<PartySide>,
    /// The coordinator.
    pub coordinator: CoordinatorSide,
}

/// The party whose columns are attacked, and the one of the coordinator's own organisation.
pub const fn roles(dataset: Dataset) -> (&'static str, &'static str) {
    match dataset {
        Dataset::CreditDefault => ("host", "guest"),
        Dataset::Digits | Dataset::Mnist => ("right", "left"),
    }
}

fn names(names: [&str; 2]) -> anyhow::Result<Vec<PartyName>> {
    names.into_iter().map(|name| Ok(PartyName::new(name)?)).collect()
}

fn mlp(units: usize, dropout: f32) -> EncoderConfig {
    let model = BottomConfig::Mlp(MlpConfig { hidden: vec![units] });
    EncoderConfig { model, dropout, ..EncoderConfig::default() }
}

impl Dataset {
    /// The federation, its tables written below `out` where they are not files already.
    pub fn sides(self, data: Option<&Path>, out: &Path, bits: usize, seed: u64) -> anyhow::Result<Sides> {
        let file = |name: &str| -> anyhow::Result<PathBuf> {
            let folder = data.context(
                "this data set's files are not part of the program: name their folder with --data",
            )?;
            let path = folder.join(name);
            std::fs::canonicalize(&path).with_context(|| format!("cannot find {}", path.display()))
        };
        let coordinator = |labels, top| CoordinatorSide { labels, top, seed, transcript: true };
        match self {
            Self::Digits => {
                let digits = Digits::load();
                let mut parties = Vec::new();
                for (half, name) in ["left", "right"].into_iter().enumerate() {
                    write(&home(out, name)?.join("pixels.csv"), &digits.table(half))?;
                    let columns = ColumnsSource::Csv(CsvColumns {
                        paths: vec!["pixels.csv".into()],
                        id: "id".into(),
                        columns: None,
                        ignore: Vec::new(),
                        image: Some(ImageShape { channels: 1, height: 8, width: 4 }),
                    });
                    let preprocessing = Preprocessing::None;
                    // Pixels are 0 to 16.
                    parties.push(PartySide {
                        columns,
                        preprocessing,
                        encoder: mlp(64, 0.0),
                        seed: seed + 1 + half as u64,
                    });
                }
                write(&home(out, "coordinator")?.join("labels.csv"), &digits.label_table())?;
                let labels = LabelsSource::Csv(CsvLabels {
                    paths: vec!["labels.csv".into()],
                    id: "id".into(),
                    column: "digit".into(),
                });
                let run = RunSettings {
                    batch_rows: 64,
                    learning_rate: 0.01,
                    seed,
                    ..RunSettings::new(names(["left", "right"])?, Task::Multiclass, bits, 30)
                };
                Ok(Sides { run, parties, coordinator: coordinator(labels, TopConfig::default()) })
            }
            Self::CreditDefault => {
                let side = |name: &str, ignore: Vec<String>, seed| -> anyhow::Result<PartySide> {
                    let columns = ColumnsSource::Csv(CsvColumns {
                        paths: vec![file(&format!("credit-default/{name}.csv"))?],
                        id: "id".into(),
                        columns: None,
                        ignore,
                        image: None,
                    });
                    Ok(PartySide {
                        columns,
                        preprocessing: Preprocessing::Quantile,
                        encoder: mlp(128, 0.1),
                        seed,
                    })
                };
                let parties =
                    vec![side("guest", vec!["y".into()], seed + 1)?, side("host", Vec::new(), seed + 2)?];
                let labels = LabelsSource::Csv(CsvLabels {
                    paths: vec![file("credit-default/guest.csv")?],
                    id: "id".into(),
                    column: "y".into(),
                });
                let run = RunSettings {
                    batch_rows: 128,
                    learning_rate: 3e-3,
                    gradient: GradientEncoding::Int8,
                    seed,
                    ..RunSettings::new(names(["guest", "host"])?, Task::Binary, bits, 16)
                };
                let top = TopConfig { dropout: 0.3, ..TopConfig::default() };
                Ok(Sides { run, parties, coordinator: coordinator(labels, top) })
            }
            Self::Mnist => {
                let paths = |kind: &str| -> anyhow::Result<Vec<PathBuf>> {
                    ["train", "t10k"]
                        .iter()
                        .map(|part| file(&format!("mnist/{part}-{kind}-ubyte.gz")))
                        .collect()
                };
                let images = paths("images-idx3")?;
                let side = |left: usize, seed| PartySide {
                    columns: ColumnsSource::Idx(ImageColumns {
                        paths: images.clone(),
                        crop: Some(Crop { top: 0, left, height: 28, width: 14 }),
                    }),
                    preprocessing: Preprocessing::None,
                    encoder: EncoderConfig {
                        model: BottomConfig::Cnn(CnnConfig::default()),
                        ..EncoderConfig::default()
                    },
                    seed,
                };
                let labels = LabelsSource::Idx(IdxLabels { paths: paths("labels-idx1")? });
                let run = RunSettings {
                    batch_rows: 256,
                    learning_rate: 3e-3,
                    row_order: RowOrder::Given,
                    test_fraction: 1.0 / 7.0,
                    seed,
                    ..RunSettings::new(names(["left", "right"])?, Task::Multiclass, bits, 5)
                };
                let parties = vec![side(0, seed + 1), side(14, seed + 2)];
                Ok(Sides { run, parties, coordinator: coordinator(labels, TopConfig::default()) })
            }
        }
    }
}
