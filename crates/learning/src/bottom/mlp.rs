//! Linear layers with ReLU between them; also the top model. Its backward pass is written out: for so few and small
//! products a graph costs as much as the products.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::{stream, uniform};
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{BottomError, check_units};
use crate::device::is_cpu;
use crate::gradients::Gradients;
use crate::init::Init;
use crate::snapshot::{Snapshot, SnapshotError, to_host};
use crate::threads::vectorized;

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

/// What a forward pass leaves for its backward pass: the input of each layer, and by what dropout scaled those of
/// hidden layers that it kept.
pub struct MlpActivations {
    inputs: Vec<Tensor<2>>,
    kept: f32,
}

impl MlpActivations {
    /// The input of the last layer.
    pub fn into_last_input(mut self) -> Tensor<2> {
        // Unwrap safety: it holds the model's input at least.
        self.inputs.pop().expect("an input")
    }
}

impl Mlp {
    /// A model of the sizes that `snapshot` holds under `prefix`, with its weights.
    pub fn of_snapshot(snapshot: &Snapshot, prefix: &str, device: &Device) -> Result<Self, SnapshotError> {
        let shape = |layer: usize| snapshot.arrays.get(&format!("{prefix}.layers.{layer}.weight"));
        let sizes: Vec<[usize; 2]> =
            (0..).map_while(shape).map_while(|a| a.shape[..].try_into().ok()).collect();
        if sizes.is_empty() {
            return Err(SnapshotError::Missing(format!("{prefix}.layers")));
        }
        // Every weight is replaced below.
        let mut init = Init::new(stream(0, "replaced", &[]), device);
        let layers = sizes.iter().map(|[inputs, outputs]| init.linear(*inputs, *outputs)).collect();
        snapshot.load_module(prefix, Self { layers })
    }

    /// Inputs and outputs.
    pub fn sizes(&self) -> (usize, usize) {
        let side = |layer: Option<&Linear>, side: usize| layer.map_or(0, |layer| layer.weight.dims()[side]);
        (side(self.layers.first(), 0), side(self.layers.last(), 1))
    }

    /// Weights `[inputs, outputs]` and biases `[outputs]` of each layer.
    pub fn layers(&self) -> Vec<(Vec<f32>, Vec<f32>)> {
        let bias = |layer: &Linear| layer.bias.as_ref().map_or_else(Vec::new, |bias| to_host(bias.val()));
        self.layers.iter().map(|layer| (to_host(layer.weight.val()), bias(layer))).collect()
    }

    /// The same with this `bias`, one value for each output, of the last layer.
    pub fn with_output_bias(mut self, bias: Vec<f32>, device: &Device) -> Self {
        if let Some(last) = self.layers.last_mut() {
            let outputs = bias.len();
            last.bias = Some(Param::from_data(TensorData::new(bias, [outputs]), device));
        }
        self
    }

    /// Inputs of the last layer.
    pub fn features(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.weight.dims()[0])
    }

    /// [rows, inputs] to [rows, outputs], outside any graph.
    pub fn forward(&self, input: Tensor<2>, dropout: &mut Dropout) -> (Tensor<2>, MlpActivations) {
        forward(&self.layers, input, dropout)
    }

    /// Width of the input.
    pub(super) fn inputs(&self) -> usize {
        self.layers[0].weight.dims()[0]
    }

    /// Gradients of the weights and the input, for a gradient [rows, outputs].
    pub fn backward(&self, trace: MlpActivations, gradient: Tensor<2>) -> (Gradients, Tensor<2>) {
        let mut gradients = Gradients::default();
        let first = backward(&self.layers, trace, gradient, &mut gradients);
        (gradients, to_input(&self.layers[0], first))
    }

    /// The same where nobody needs the input's.
    pub fn backward_weights(&self, trace: MlpActivations, gradient: Tensor<2>) -> Gradients {
        let mut gradients = Gradients::default();
        backward(&self.layers, trace, gradient, &mut gradients);
        gradients
    }
}

/// `input` through `layers` with ReLU and dropout between them.
pub(super) fn forward(
    layers: &[Linear],
    input: Tensor<2>,
    dropout: &mut Dropout,
) -> (Tensor<2>, MlpActivations) {
    let mut inputs = vec![input];
    for (index, layer) in layers.iter().enumerate() {
        let bias = layer.bias.as_ref().map(|bias| bias.val().inner().unsqueeze());
        let product = inputs[index].clone().matmul(layer.weight.val().inner());
        let output = bias.map_or(product.clone(), |bias| product + bias);
        inputs.push(if index + 1 < layers.len() { dropout.apply(relu(output)) } else { output });
    }
    // Unwrap safety: it holds the input at least.
    let output = inputs.pop().expect("an output");
    (output, MlpActivations { inputs, kept: dropout.kept() })
}

/// Puts the weights' gradients and returns the gradient of the first layer's output.
pub(super) fn backward(
    layers: &[Linear],
    trace: MlpActivations,
    gradient: Tensor<2>,
    gradients: &mut Gradients,
) -> Tensor<2> {
    let MlpActivations { inputs, kept } = trace;
    let mut gradient = gradient;
    for (index, (layer, input)) in layers.iter().zip(inputs).enumerate().rev() {
        gradients.put(&layer.weight, input.clone().transpose().matmul(gradient.clone()));
        if let Some(bias) = &layer.bias {
            gradients.put(bias, gradient.clone().sum_dim(0));
        }
        if index > 0 {
            gradient = through_relu(to_input(layer, gradient), input, kept);
        }
    }
    gradient
}

/// The gradient of a layer's input, for one of its output.
pub(super) fn to_input(layer: &Linear, gradient: Tensor<2>) -> Tensor<2> {
    gradient.matmul(layer.weight.val().inner().transpose())
}

/// The gradient before ReLU and dropout, whose output was `hidden`: zero where that is zero.
fn through_relu(gradient: Tensor<2>, hidden: Tensor<2>, kept: f32) -> Tensor<2> {
    let device = hidden.device();
    if !is_cpu(&device) {
        return gradient.mask_fill(hidden.lower_equal_elem(0.0), 0.0).mul_scalar(kept);
    }
    let (mut gradient, hidden) = (gradient.into_data(), hidden.into_data());
    // Unwrap safety: every tensor of this crate is f32.
    let values = gradient.as_mut_slice::<f32>().expect("f32 tensor");
    let hidden = hidden.as_slice::<f32>().expect("f32 tensor");
    vectorized(
        #[inline(always)]
        || {
            for (value, hidden) in values.iter_mut().zip(hidden) {
                let scaled = *value * kept;
                *value = if *hidden > 0.0 { scaled } else { 0.0 };
            }
        },
    );
    Tensor::from_data(gradient, &device)
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

    /// By what units that stay are scaled.
    fn kept(&self) -> f32 {
        self.training.as_ref().map_or(1.0, |(_, rate)| 1.0 / (1.0 - rate))
    }

    fn apply(&mut self, x: Tensor<2>) -> Tensor<2> {
        let kept = self.kept();
        let Some((rng, rate)) = &mut self.training else { return x };
        let dims = x.dims();
        let mask = (0..dims[0] * dims[1]).map(|_| if uniform(rng) < *rate { 0.0 } else { kept }).collect();
        let mask = Tensor::<2>::from_data(TensorData::new::<f32, _>(mask, dims), &x.device());
        x * mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adam::{Adam, AdamConfig};

    impl Mlp {
        /// The same through burn's own layers.
        pub fn graph(&self, mut x: Tensor<2>) -> Tensor<2> {
            for (index, layer) in self.layers.iter().enumerate() {
                x = layer.forward(x);
                x = if index + 1 < self.layers.len() { relu(x) } else { x };
            }
            x
        }
    }

    fn draw(dims: [usize; 2], purpose: &str) -> Tensor<2> {
        let mut rng = stream(0, purpose, &[]);
        let values = (0..dims[0] * dims[1]).map(|_| uniform(&mut rng) - 0.5).collect();
        Tensor::from_data(TensorData::new::<f32, _>(values, dims), &Device::flex())
    }

    fn apart<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
        (a - b).abs().max().into_scalar()
    }

    #[test]
    fn the_gradients_are_those_of_a_graph() {
        let device = Device::flex().autodiff();
        let config = MlpConfig { hidden: vec![7, 5] };
        let model = config.init(6, 3, &mut Init::new(stream(0, "weights", &[]), &device)).unwrap();
        let (input, gradient) = (draw([9, 6], "input"), draw([9, 3], "gradient"));
        for rate in [0.0, 0.4] {
            let dropout = || Dropout::new(rate, stream(0, "dropout", &[]));
            let (output, trace) = model.forward(input.clone(), &mut dropout());
            let (mut found, to_input) = model.backward(trace, gradient.clone());

            let mut masks = dropout();
            let leaf = Tensor::<2>::from_inner(input.clone()).require_grad();
            let mut x = leaf.clone();
            for (index, layer) in model.layers.iter().enumerate() {
                x = layer.forward(x);
                if index + 1 < model.layers.len() {
                    let ones = Tensor::<2>::ones(x.dims(), &Device::flex());
                    x = relu(x) * Tensor::from_inner(masks.apply(ones));
                }
            }
            assert!(apart(x.clone().inner(), output) < 1e-6);
            let mut graph = (x * Tensor::from_inner(gradient.clone())).sum().backward();
            assert!(apart(leaf.grad_remove(&mut graph).unwrap(), to_input) < 1e-6);
            for layer in &model.layers {
                let (weight, bias) = (&layer.weight, layer.bias.as_ref().unwrap());
                let expected = weight.val().grad_remove(&mut graph).unwrap().flatten(0, 1);
                assert!(apart(found.take(weight.id).unwrap().values, expected) < 1e-6);
                let expected = bias.val().grad_remove(&mut graph).unwrap();
                assert!(apart(found.take(bias.id).unwrap().values, expected) < 1e-6);
            }
        }
    }

    /// burn's graph forgets what is in it by a backward pass alone, and there is none here: a run would grow step by step.
    #[test]
    fn after_an_update_no_weight_is_in_burns_graph() {
        let device = Device::flex().autodiff();
        let model = MlpConfig { hidden: vec![4] };
        let mut model = model.init(3, 2, &mut Init::new(stream(0, "init", &[]), &device)).unwrap();
        let mut adam = Adam::new(AdamConfig::default());
        let ones = |columns: usize| Tensor::<2>::ones([5, columns], &Device::flex());
        let (_, trace) = model.forward(ones(3), &mut Dropout::off());
        let (mut gradients, _) = model.backward(trace, ones(2));
        model = adam.update(model, &mut gradients, 0.1);
        for layer in &model.layers {
            assert!(!layer.weight.val().is_require_grad());
            assert!(!layer.bias.as_ref().unwrap().val().is_require_grad());
        }
    }
}
