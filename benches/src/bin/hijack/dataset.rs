//! The data sets: the gradient monitor was tuned on four of them and is measured on three.

use std::path::Path;

use clap::ValueEnum;
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
}

impl Name {
    /// The data sets that nobody looked at while the gradient monitor's constants were chosen on the other four.
    pub const UNSEEN: [Self; 3] = [Self::CreditDefault, Self::Mnist, Self::Kdd99];
}

/// Records cut into the columns of two parties, and their labels.
pub struct Dataset {
    /// Which data set.
    pub name: Name,
    /// What each party holds, and the classes.
    data: dataset::Dataset,
    /// What happens to columns first.
    pub preprocessing: Preprocessing,
    /// The labels.
    pub labels: Labels,
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
        };
        let preprocessing = match name {
            Name::Digits | Name::Mnist => Preprocessing::None,
            _ => Preprocessing::Quantile,
        };
        Ok(Self { name, preprocessing, labels: data.all_labels(), data })
    }

    /// A party's columns.
    pub fn columns(&self, party: usize) -> &Matrix {
        &self.data.parties[party].matrix
    }

    /// Channels, height and width of a party's columns, where they are an image.
    pub fn image(&self) -> Option<[usize; 3]> {
        self.data.parties[0].image
    }

    /// What is predicted.
    pub fn task(&self) -> hashvfl_core::Task {
        self.data.task
    }
}
