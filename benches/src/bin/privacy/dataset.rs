//! The data of the story: digits that come with a dependency, or files that the user has; each with its recipe.

use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use hashvfl_core::settings::{RowOrder, RunSettings, Task};
use hashvfl_core::{GradientEncoding, PartyName};
use hashvfl_data::{ColumnsSource, CsvColumns, CsvLabels, ImageShape, LabelsSource, Preprocessing};
use hashvfl_learning::bottom::{BottomConfig, CnnConfig, MlpConfig};
use hashvfl_learning::{EncoderConfig, TopConfig};
use hashvfl_testbed::dataset::Sources;
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

/// The party whose columns are attacked, and the party of the coordinator's own organisation.
pub const fn roles(dataset: Dataset) -> (&'static str, &'static str) {
    match dataset {
        Dataset::CreditDefault => ("host", "guest"),
        Dataset::Digits | Dataset::Mnist => ("right", "left"),
    }
}

/// How a data set is trained.
struct Recipe {
    run: RunSettings,
    preprocessing: Preprocessing,
    encoder: EncoderConfig,
    top: TopConfig,
}

fn mlp(units: usize, dropout: f32) -> EncoderConfig {
    let model = BottomConfig::Mlp(MlpConfig { hidden: vec![units] });
    EncoderConfig { model, dropout, ..EncoderConfig::default() }
}

impl Dataset {
    /// The federation, its tables written below `out` where they are not files already.
    pub fn sides(
        self,
        data: Option<&Path>,
        out: &Path,
        bits: usize,
        bits_per_latent: usize,
        seed: u64,
    ) -> anyhow::Result<Sides> {
        let sources = self.sources(data, out)?;
        let Recipe { run, preprocessing, encoder, top } = self.recipe(&sources, bits, seed)?;
        let run = RunSettings { bits_per_latent, ..run };
        let mut parties = Vec::new();
        for ((_, columns), place) in sources.parties.into_iter().zip(1..) {
            parties.push(PartySide { columns, preprocessing, encoder: encoder.clone(), seed: seed + place });
        }
        let coordinator = CoordinatorSide { labels: sources.labels, top, seed, transcript: true };
        Ok(Sides { run, parties, coordinator })
    }

    fn sources(self, data: Option<&Path>, out: &Path) -> anyhow::Result<Sources> {
        let folder =
            data.context("this data set's files are not part of the program: name their folder with --data");
        match self {
            Self::Digits => write_digits(out),
            Self::CreditDefault => Sources::credit_default(folder?),
            Self::Mnist => Sources::mnist(folder?),
        }
    }

    fn recipe(self, sources: &Sources, bits: usize, seed: u64) -> anyhow::Result<Recipe> {
        let names: Result<Vec<PartyName>, _> =
            sources.parties.iter().map(|(name, _)| PartyName::new(*name)).collect();
        let epochs = match self {
            Self::Digits => 30,
            Self::CreditDefault => 16,
            Self::Mnist => 5,
        };
        let run = RunSettings { seed, ..RunSettings::new(names?, sources.task, bits, epochs) };
        Ok(match self {
            Self::Digits => Recipe {
                run: RunSettings { batch_rows: 64.into(), learning_rate: 0.01, ..run },
                preprocessing: Preprocessing::None,
                encoder: mlp(64, 0.0),
                top: TopConfig::default(),
            },
            Self::CreditDefault => Recipe {
                run: RunSettings {
                    batch_rows: 128.into(),
                    learning_rate: 3e-3,
                    gradient: GradientEncoding::Int8,
                    ..run
                },
                preprocessing: Preprocessing::Quantile,
                encoder: mlp(128, 0.1),
                top: TopConfig { dropout: 0.3, ..TopConfig::default() },
            },
            Self::Mnist => Recipe {
                run: RunSettings {
                    batch_rows: 256.into(),
                    learning_rate: 3e-3,
                    row_order: RowOrder::Given,
                    test_fraction: 1.0 / 7.0,
                    ..run
                },
                preprocessing: Preprocessing::None,
                encoder: EncoderConfig {
                    model: BottomConfig::Cnn(CnnConfig::default()),
                    ..EncoderConfig::default()
                },
                top: TopConfig::default(),
            },
        })
    }
}

/// Writes the tables of the digits into each organisation's folder below `out`. Pixels are 0 to 16.
fn write_digits(out: &Path) -> anyhow::Result<Sources> {
    let digits = Digits::load();
    for (half, name) in ["left", "right"].into_iter().enumerate() {
        write(&home(out, name)?.join("pixels.csv"), &digits.table(half))?;
    }
    write(&home(out, "coordinator")?.join("labels.csv"), &digits.label_table())?;
    let [channels, height, width] = Digits::HALF_SHAPE;
    let columns = ColumnsSource::Csv(CsvColumns {
        paths: vec!["pixels.csv".into()],
        id: "id".into(),
        columns: None,
        ignore: Vec::new(),
        image: Some(ImageShape { channels, height, width }),
    });
    let labels = CsvLabels { paths: vec!["labels.csv".into()], id: "id".into(), column: "digit".into() };
    Ok(Sources {
        parties: [("left", columns.clone()), ("right", columns)],
        labels: LabelsSource::Csv(labels),
        task: Task::Multiclass,
    })
}
