//! A small convolutional network.

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use serde::{Deserialize, Serialize};

use super::mlp::{Dropout, forward_layers};
use super::{BottomError, check_units};
use crate::init::{ConvSpec, Init};

/// Convolutions, each followed by ReLU, then linear layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CnnConfig {
    /// Channels of each convolution, first to last.
    pub channels: Vec<usize>,
    /// Side of every kernel; inputs are padded by half of it.
    pub kernel: usize,
    /// Stride of every convolution.
    pub stride: usize,
    /// Whether a 2 x 2 maximum follows each convolution.
    pub pool: bool,
    /// Units of the hidden layer behind the convolutions, 0 for none.
    pub hidden: usize,
}

impl Default for CnnConfig {
    fn default() -> Self {
        Self { channels: vec![16, 32], kernel: 3, stride: 1, pool: true, hidden: 0 }
    }
}

impl CnnConfig {
    /// A new model from an image [channels, height, width] to `bits` outputs.
    pub fn init(&self, image: [usize; 3], bits: usize, init: &mut Init) -> Result<Cnn, BottomError> {
        check_units(&self.channels)?;
        let in_range =
            (1..=15).contains(&self.kernel) && (1..=4).contains(&self.stride) && self.hidden <= 65_536;
        if !in_range || self.channels.is_empty() {
            return Err(BottomError::Layer);
        }
        let [mut inputs, mut height, mut width] = image;
        let mut convolutions = Vec::new();
        for &outputs in &self.channels {
            let padding = self.kernel / 2;
            let spec =
                ConvSpec { inputs, outputs, kernel: self.kernel, stride: self.stride, padding, bias: true };
            convolutions.push(init.conv(spec));
            let shrink = if self.pool { 2 } else { 1 };
            (height, width) = (spec.output_side(height) / shrink, spec.output_side(width) / shrink);
            inputs = outputs;
        }
        if height == 0 || width == 0 {
            return Err(BottomError::TooSmall { kind: "cnn", height: image[1], width: image[2] });
        }
        let mut sizes = vec![inputs * height * width];
        sizes.extend((self.hidden > 0).then_some(self.hidden));
        sizes.push(bits);
        let linear = sizes.windows(2).map(|pair| init.linear(pair[0], pair[1])).collect();
        Ok(Cnn { convolutions, linear, image, pool: self.pool })
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct Cnn {
    convolutions: Vec<Conv2d>,
    linear: Vec<Linear>,
    image: [usize; 3],
    pool: bool,
}

impl Cnn {
    /// [rows, channels x height x width] to [rows, bits].
    pub fn forward(&self, columns: Tensor<2>, dropout: &mut Dropout) -> Tensor<2> {
        let [rows, _] = columns.dims();
        let [channels, height, width] = self.image;
        let mut x: Tensor<4> = columns.reshape([rows, channels, height, width]);
        for convolution in &self.convolutions {
            x = relu(convolution.forward(x));
            if self.pool {
                x = max_pool2d(x, MaxPoolOptions::new([2, 2]));
            }
        }
        forward_layers(&self.linear, x.flatten(1, 3), dropout)
    }
}
