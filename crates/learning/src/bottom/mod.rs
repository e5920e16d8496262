//! Bottom models: a party's columns to an embedding of d floats.

mod cnn;
mod convolution;
mod embedded;
pub mod front;
mod mlp;
mod resnet18;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use cnn::{Cnn, CnnConfig};
pub use embedded::Embedded;
pub use mlp::{Dropout, Mlp, MlpConfig};
pub use resnet18::ResNet18Config;

use crate::gradients::Gradients;
use crate::init::Init;

/// The `[encoder.model]` table of a party; it stays private to the party.
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

/// A column of positions in a list of categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Categories {
    /// The column, from 0.
    pub column: usize,
    /// Positions, from 0.
    pub count: usize,
    /// Floats that each of them becomes.
    pub width: usize,
}

/// Columns of a record, or how they form an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InputShape {
    /// Number of columns; channels x height x width of an image, in that order.
    pub columns: usize,
    /// Channels, height and width, where the columns are an image.
    pub image: Option<[usize; 3]>,
    /// Those that hold positions of categories, rising.
    pub categories: Vec<Categories>,
}

/// A model and columns that do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BottomError {
    /// An image model on columns that are no image.
    #[error("model.kind = \"{0}\" needs images: set `image` in [columns], or use kind = \"mlp\"")]
    NoImage(&'static str),
    /// Positions of categories and a model of images.
    #[error(
        "model.kind = \"{0}\" does not support embedded categories: use kind = \"mlp\", or set embedding = 0 in \
         [types]"
    )]
    NoEmbedding(&'static str),
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
    #[error("model layers must have 1 to 65536 units or channels, kernels 1 to 15")]
    Layer,
}

impl BottomConfig {
    /// A new model from `input` to `bits` outputs.
    pub fn init(&self, input: InputShape, bits: usize, init: &mut Init) -> Result<BottomModel, BottomError> {
        let image = |kind| match input.image {
            _ if !input.categories.is_empty() => Err(BottomError::NoEmbedding(kind)),
            Some(image) => Ok(image),
            None => Err(BottomError::NoImage(kind)),
        };
        match self {
            Self::Mlp(config) if !input.categories.is_empty() => {
                Embedded::init(config, &input, bits, init).map(BottomModel::Embedded)
            }
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
    /// The same behind embeddings of categories.
    Embedded(Embedded),
    /// See [`BottomConfig::Cnn`].
    Cnn(cnn::Cnn),
    /// See [`BottomConfig::ResNet18`].
    ResNet18(resnet18::ResNet18),
}

/// What a forward pass leaves for its backward pass.
pub enum BottomActivations {
    /// Of linear layers.
    Mlp(mlp::MlpActivations),
    /// Of the same behind embeddings.
    Embedded(embedded::EmbeddedActivations),
    /// Of convolutions.
    Cnn(cnn::CnnActivations),
    /// The embedding, with burn's graph.
    Graph(Box<Tensor<2>>),
}

impl BottomModel {
    /// `columns` [rows, columns] to an embedding [rows, bits], outside any graph.
    pub fn forward(&self, columns: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Mlp(model) => model.forward(columns, &mut Dropout::off()).0,
            Self::Embedded(model) => model.forward(columns, &mut Dropout::off()).0,
            Self::Cnn(model) => model.forward(columns, &mut Dropout::off()).0,
            Self::ResNet18(model) => model.valid().forward(columns),
        }
    }

    /// What the first `blocks` blocks of a cnn give, [rows, channels x height x width], with channels, height and
    /// width; `None` for other models.
    pub fn features(&self, columns: Tensor<2>, blocks: usize) -> Option<(Tensor<2>, [usize; 3])> {
        match self {
            Self::Cnn(model) => model.features(columns, blocks),
            Self::Mlp(_) | Self::Embedded(_) | Self::ResNet18(_) => None,
        }
    }

    /// The gradient of `columns` [rows, columns], where `of` gives that of those features.
    pub fn pull_features(
        &self,
        columns: Tensor<2>,
        blocks: usize,
        of: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Option<Tensor<2>> {
        match self {
            Self::Cnn(model) => model.pull_features(columns, blocks, of),
            Self::Mlp(_) | Self::Embedded(_) | Self::ResNet18(_) => None,
        }
    }

    /// The gradient of `columns` [rows, columns], where `of` gives that of their embedding [rows, bits]: for attacks
    /// that know the weights.
    pub fn pull(&self, columns: Tensor<2>, of: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        match self {
            Self::Mlp(model) => {
                let (embedding, trace) = model.forward(columns, &mut Dropout::off());
                model.backward(trace, of(embedding)).1
            }
            Self::Embedded(model) => model.pull(columns, of),
            Self::Cnn(model) => model.pull(columns, of),
            Self::ResNet18(model) => {
                let columns = Tensor::from_inner(columns).require_grad();
                let embedding = model.forward(columns.clone());
                let gradient = Tensor::from_inner(of(embedding.clone().inner()));
                let mut graph = (embedding * gradient).sum().backward();
                // Unwrap safety: the embedding depends on the columns.
                columns.grad_remove(&mut graph).expect("a gradient of the columns")
            }
        }
    }

    /// The same in training, with what [`Self::backward`] needs.
    pub fn learn(&self, columns: Tensor<2>, dropout: &mut Dropout) -> (Tensor<2>, BottomActivations) {
        match self {
            Self::Mlp(model) => {
                let (embedding, trace) = model.forward(columns, dropout);
                (embedding, BottomActivations::Mlp(trace))
            }
            Self::Embedded(model) => {
                let (embedding, trace) = model.forward(columns, dropout);
                (embedding, BottomActivations::Embedded(trace))
            }
            Self::Cnn(model) => {
                let (embedding, trace) = model.forward(columns, dropout);
                (embedding, BottomActivations::Cnn(trace))
            }
            Self::ResNet18(model) => {
                let embedding = model.forward(Tensor::from_inner(columns));
                (embedding.clone().inner(), BottomActivations::Graph(Box::new(embedding)))
            }
        }
    }

    /// Gradients of the weights, for a gradient of the embedding.
    ///
    /// # Panics
    /// If the trace is another model's.
    pub fn backward(&self, trace: BottomActivations, gradient: Tensor<2>) -> Gradients {
        match (self, trace) {
            (Self::Mlp(model), BottomActivations::Mlp(trace)) => model.backward_weights(trace, gradient),
            (Self::Embedded(model), BottomActivations::Embedded(trace)) => model.backward(trace, gradient),
            (Self::Cnn(model), BottomActivations::Cnn(trace)) => model.backward(trace, gradient),
            (Self::ResNet18(model), BottomActivations::Graph(embedding)) => {
                Gradients::of_graph(model, *embedding, gradient)
            }
            _ => panic!("a trace of another model"),
        }
    }
}

fn check_units(units: &[usize]) -> Result<(), BottomError> {
    if units.iter().all(|n| (1..=65_536).contains(n)) { Ok(()) } else { Err(BottomError::Layer) }
}
