//! Linear layers with ReLU between them; also the top model.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Tensor, TensorData};
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{BottomError, check_units};
use crate::init::{Init, uniform};

/// Units of the hidden layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MlpConfig {
    /// Units of each hidden layer, first to last; may be empty.
    pub hidden: Vec<usize>,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self { hidden: vec![64] }
    }
}

impl MlpConfig {
    /// A new model from `inputs` to `outputs`.
    pub fn init(&self, inputs: usize, outputs: usize, init: &mut Init) -> Result<Mlp, BottomError> {
        check_units(&self.hidden)?;
        let sizes: Vec<usize> =
            [inputs].into_iter().chain(self.hidden.iter().copied()).chain([outputs]).collect();
        Ok(Mlp { layers: sizes.windows(2).map(|pair| init.linear(pair[0], pair[1])).collect() })
    }
}

/// A multilayer perceptron.
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// [rows, inputs] to [rows, outputs].
    pub fn forward(&self, input: Tensor<2>, dropout: &mut Dropout) -> Tensor<2> {
        forward_layers(&self.layers, input, dropout)
    }
}

/// `input` through `layers` with ReLU and dropout between them.
pub(super) fn forward_layers(layers: &[Linear], input: Tensor<2>, dropout: &mut Dropout) -> Tensor<2> {
    let last = layers.len() - 1;
    layers.iter().enumerate().fold(input, |x, (index, layer)| {
        let x = layer.forward(x);
        if index < last { dropout.apply(relu(x)) } else { x }
    })
}

/// Dropout of hidden units (Srivastava et al. 2014), its masks drawn on the host.
pub struct Dropout {
    training: Option<(ChaCha8Rng, f32)>,
}

impl Dropout {
    /// Outside training: nothing is dropped.
    pub fn off() -> Self {
        Self { training: None }
    }

    /// In training: each unit is zero with probability `rate`, else scaled by `1 / (1 - rate)`.
    pub fn new(rate: f32, rng: ChaCha8Rng) -> Self {
        Self { training: (rate > 0.0).then_some((rng, rate)) }
    }

    fn apply(&mut self, x: Tensor<2>) -> Tensor<2> {
        let Some((rng, rate)) = &mut self.training else { return x };
        let dims = x.dims();
        let kept = 1.0 / (1.0 - *rate);
        let mask = (0..dims[0] * dims[1]).map(|_| if uniform(rng) < *rate { 0.0 } else { kept }).collect();
        let mask = Tensor::<2>::from_data(TensorData::new::<f32, _>(mask, dims), &x.device().inner());
        x * Tensor::from_inner(mask)
    }
}
