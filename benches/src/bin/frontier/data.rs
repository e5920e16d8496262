//! The data sets: configs as `init` or a preset gives them, whose columns are attacked, and which forms are compared.

use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use hashvfl_benches::first_configs::{FirstConfigs, Setting};
use hashvfl_benches::tables::{Name, digits};
use hashvfl_testbed::dataset::Sources;

/// What is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Data {
    /// Handwritten digits of 8 x 8 pixels, left and right halves; they come with the program.
    Digits,
    /// UCI credit card defaults, raw.csv: host's and guest's columns.
    CreditDefault,
    /// UCI census income, adult.data.
    Adult,
    /// Statlog vehicle silhouettes.
    Vehicle,
    /// A twentieth of KDD Cup 1999's tenth.
    Kdd99,
    /// Handwritten digits of 28 x 28 pixels, left and right halves.
    Mnist,
}

const TWO_CLASSES: &[&str] = &[
    "16x1",
    "4x1",
    "1x5,noise=0.1",
    "2x3,noise=0.1",
    "16x4,noise=0.1",
    "16x4,victim=1x5,noise=0.1",
    "16x4,victim=2x3,noise=0.1",
    "16x1,cohort=0.2,batch=64",
    "16x1,epsilon=4",
    "16x1,epsilon=2",
    "16x1,floats",
    "16x1,one-bit",
];
const CLASSES: &[&str] = &[
    "32x2",
    "16x1",
    "4x1",
    "2x3,noise=0.1",
    "4x2,noise=0.1",
    "8x2,noise=0.1",
    "16x1,cohort=0.4",
    "16x1,epsilon=4",
    "16x1,epsilon=2",
    "16x1,floats",
    "16x1,one-bit",
];
const IMAGES: &[&str] = &[
    "32x1",
    "16x1",
    "8x1",
    "4x1",
    "4x2",
    "4x3",
    "8x2",
    "16x1,cohort=0.2",
    "16x1,epsilon=2",
    "16x1,floats",
    "16x1,one-bit",
];
const FEW: &[&str] =
    &["16x1", "4x1", "2x3,noise=0.1", "16x1,cohort=0.4", "16x1,epsilon=2", "16x1,floats", "16x1,one-bit"];

impl Data {
    /// Configs of all sides with `settings`, their tables below `folder` where they are not files of `data`.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub fn configs(
        self,
        data: Option<&Path>,
        folder: &Path,
        settings: &[Setting],
    ) -> anyhow::Result<FirstConfigs> {
        let name = match self {
            Self::Digits => return FirstConfigs::write(&digits(), folder, settings),
            Self::CreditDefault => Name::CreditDefault,
            Self::Adult => Name::Adult,
            Self::Vehicle => Name::Vehicle,
            Self::Kdd99 => Name::Kdd99,
            Self::Mnist => return FirstConfigs::of_images(Sources::mnist(files(data)?)?, settings),
        };
        FirstConfigs::write(&name.read(files(data)?)?, folder, settings)
    }

    /// Which party is attacked, and which belongs to the coordinator's organisation.
    pub fn roles(self) -> [usize; 2] {
        // The host of credit card defaults is the first, and has no labels.
        if self == Self::CreditDefault { [0, 1] } else { [1, 0] }
    }

    /// The forms that are compared where nobody names others, the recipe's own first.
    pub fn forms(self, quick: bool) -> &'static [&'static str] {
        match self {
            _ if quick => FEW,
            Self::CreditDefault | Self::Adult => TWO_CLASSES,
            Self::Digits | Self::Vehicle | Self::Kdd99 => CLASSES,
            Self::Mnist => IMAGES,
        }
    }
}

fn files(data: Option<&Path>) -> anyhow::Result<&Path> {
    data.context("this data set's files are not part of the program: name their folder with --data")
}
