//! ResNet-18 for small images: a 3x3 stem without pooling, four stages of two basic blocks (He et al. 2016).

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, BatchNormConfig, Linear};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use serde::{Deserialize, Serialize};

use super::{BottomError, check_units};
use crate::init::{ConvSpec, Init};

/// The network's width.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResNet18Config {
    /// Channels of the first stage, 64 in the paper; each later stage has twice those before.
    pub width: usize,
}

impl Default for ResNet18Config {
    fn default() -> Self {
        Self { width: 64 }
    }
}

impl ResNet18Config {
    /// A new model from an image [channels, height, width] to `bits` outputs.
    pub fn init(&self, image: [usize; 3], bits: usize, init: &mut Init) -> Result<ResNet18, BottomError> {
        check_units(&[self.width, self.width * 8])?;
        if image[1] == 0 || image[2] == 0 {
            return Err(BottomError::TooSmall { kind: "resnet18", height: image[1], width: image[2] });
        }
        let stem = ConvNorm::new(image[0], self.width, 3, 1, init);
        let mut blocks = Vec::new();
        let mut inputs = self.width;
        for stage in 0..4 {
            let outputs = self.width << stage;
            for block in 0..2 {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                blocks.push(Block::new(inputs, outputs, stride, init));
                inputs = outputs;
            }
        }
        Ok(ResNet18 { stem, blocks, linear: init.linear(inputs, bits), image })
    }
}

/// A convolution and its batch norm.
#[derive(Module, Debug)]
pub struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new(inputs: usize, outputs: usize, kernel: usize, stride: usize, init: &mut Init) -> Self {
        let spec = ConvSpec { inputs, outputs, kernel, stride, padding: kernel / 2, bias: false };
        Self { conv: init.conv(spec), norm: BatchNormConfig::new(outputs).init(init.device()) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

/// A basic block.
#[derive(Module, Debug)]
pub struct Block {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl Block {
    fn new(inputs: usize, outputs: usize, stride: usize, init: &mut Init) -> Self {
        let changes = stride != 1 || inputs != outputs;
        Self {
            first: ConvNorm::new(inputs, outputs, 3, stride, init),
            second: ConvNorm::new(outputs, outputs, 3, 1, init),
            shortcut: changes.then(|| ConvNorm::new(inputs, outputs, 1, stride, init)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.second.forward(relu(self.first.forward(x.clone())));
        let skip = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        relu(y + skip)
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct ResNet18 {
    stem: ConvNorm,
    blocks: Vec<Block>,
    linear: Linear,
    image: [usize; 3],
}

impl ResNet18 {
    /// [rows, channels x height x width] to [rows, bits].
    pub fn forward(&self, columns: Tensor<2>) -> Tensor<2> {
        let [rows, _] = columns.dims();
        let [channels, height, width] = self.image;
        let x = relu(self.stem.forward(columns.reshape([rows, channels, height, width])));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        let [rows, channels, ..] = x.dims();
        let pooled = x.reshape([rows, channels, 0]).mean_dim(2).reshape([rows, channels]);
        self.linear.forward(pooled)
    }
}
