//! Bottom models: a party's columns to an embedding of d floats.

mod cnn;
mod mlp;
mod resnet18;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use cnn::CnnConfig;
pub use mlp::{Dropout, Mlp, MlpConfig};
pub use resnet18::ResNet18Config;

use crate::init::Init;

/// The `[model]` table of a party: its own business, no other side learns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum BottomConfig {
    /// Linear layers with ReLU between them.
    Mlp(MlpConfig),
    /// Convolutions and a linear layer, for images.
    Cnn(CnnConfig),
    /// ResNet-18 with a 3x3 stem, for small images (He et al. 2016, section 4.2).
    ResNet18(ResNet18Config),
}

impl Default for BottomConfig {
    fn default() -> Self {
        Self::Mlp(MlpConfig::default())
    }
}

/// Columns of a record, or how they form an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputShape {
    /// Number of columns; channels x height x width of an image, in that order.
    pub columns: usize,
    /// Channels, height and width, where the columns are an image.
    pub image: Option<[usize; 3]>,
}

/// A model and columns that do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BottomError {
    /// An image model on columns that are no image.
    #[error("model.kind = \"{0}\" needs images: give the data's image shape, or use kind = \"mlp\"")]
    NoImage(&'static str),
    /// An image that the model's layers shrink to nothing.
    #[error("an image of {height} x {width} is too small for the layers of model.kind = \"{kind}\"")]
    TooSmall {
        /// The model.
        kind: &'static str,
        /// The image's height.
        height: usize,
        /// The image's width.
        width: usize,
    },
    /// A layer of no or too many units.
    #[error("model layers must have 1 to 65536 units or channels, kernels 1 to 15, strides 1 to 4")]
    Layer,
}

impl BottomConfig {
    /// A new model from `input` to `bits` outputs.
    pub fn init(&self, input: InputShape, bits: usize, init: &mut Init) -> Result<BottomModel, BottomError> {
        let image = |kind| input.image.ok_or(BottomError::NoImage(kind));
        match self {
            Self::Mlp(config) => config.init(input.columns, bits, init).map(BottomModel::Mlp),
            Self::Cnn(config) => config.init(image("cnn")?, bits, init).map(BottomModel::Cnn),
            Self::ResNet18(config) => config.init(image("resnet18")?, bits, init).map(BottomModel::ResNet18),
        }
    }
}

/// A bottom model.
// Few of them exist, each for a whole run: their size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum BottomModel {
    /// See [`BottomConfig::Mlp`].
    Mlp(Mlp),
    /// See [`BottomConfig::Cnn`].
    Cnn(cnn::Cnn),
    /// See [`BottomConfig::ResNet18`].
    ResNet18(resnet18::ResNet18),
}

impl BottomModel {
    /// `columns` [rows, columns] to an embedding [rows, bits].
    pub fn forward(&self, columns: Tensor<2>, dropout: &mut Dropout) -> Tensor<2> {
        match self {
            Self::Mlp(model) => model.forward(columns, dropout),
            Self::Cnn(model) => model.forward(columns, dropout),
            Self::ResNet18(model) => model.forward(columns),
        }
    }
}

fn check_units(units: &[usize]) -> Result<(), BottomError> {
    if units.iter().all(|n| (1..=65_536).contains(n)) { Ok(()) } else { Err(BottomError::Layer) }
}
