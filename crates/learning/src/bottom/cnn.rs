//! A small convolutional network.

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::convolution::{Convolution, Weights, swap};
use super::mlp::{self, Dropout};
use super::{BottomError, check_units};
use crate::device;
use crate::gradients::Gradients;
use crate::init::{ConvSpec, Init};
use crate::snapshot::to_host;

/// Convolutions, each followed by ReLU, then linear layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CnnConfig {
    /// Channels of each convolution, first to last.
    pub channels: Vec<usize>,
    /// Side of every kernel; inputs are padded by half of it.
    pub kernel: usize,
    /// Whether a 2 x 2 maximum follows each convolution.
    pub pool: bool,
    /// Units of the hidden layer behind the convolutions, 0 for none.
    pub hidden: usize,
}

impl Default for CnnConfig {
    fn default() -> Self {
        Self { channels: vec![16, 32], kernel: 3, pool: true, hidden: 0 }
    }
}

impl CnnConfig {
    /// A new model from an image [channels, height, width] to `bits` outputs.
    pub fn init(&self, image: [usize; 3], bits: usize, init: &mut Init) -> Result<Cnn, BottomError> {
        check_units(&self.channels)?;
        let in_range = (1..=15).contains(&self.kernel) && self.hidden <= 65_536;
        if !in_range || self.channels.is_empty() {
            return Err(BottomError::Layer);
        }
        let [mut inputs, mut height, mut width] = image;
        let mut convolutions = Vec::new();
        for &outputs in &self.channels {
            let padding = self.kernel / 2;
            let spec = ConvSpec { inputs, outputs, kernel: self.kernel, stride: 1, padding, bias: true };
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

/// What a forward pass leaves for its backward pass.
pub struct CnnActivations {
    features: Features,
    linear: mlp::MlpActivations,
}

/// The convolutions' part of it.
enum Features {
    /// Their output, with burn's graph.
    Graph(Box<Tensor<2>>),
    /// The layers on the host.
    Host(Vec<Layer>),
}

/// A convolution on the host, with what went in and what [`Convolution::backward`] needs of what came out.
struct Layer {
    convolution: Convolution,
    images: Vec<f32>,
    weights: Weights,
    winners: Vec<u32>,
}

impl Cnn {
    /// [rows, channels x height x width] to [rows, bits], outside any graph.
    pub fn forward(&self, columns: Tensor<2>, dropout: &mut Dropout) -> (Tensor<2>, CnnActivations) {
        let (output, features) = if device::is_cpu(&columns.device()) {
            let (output, layers) = self.on_host(columns);
            (output, Features::Host(layers))
        } else {
            let output = self.in_graph(Tensor::from_inner(columns));
            (output.clone().inner(), Features::Graph(Box::new(output)))
        };
        let (output, linear) = mlp::forward(&self.linear, output, dropout);
        (output, CnnActivations { features, linear })
    }

    /// The first `blocks` convolutions alone.
    pub(crate) fn cut(&self, blocks: usize) -> Option<Self> {
        let there = (1..=self.convolutions.len()).contains(&blocks);
        there.then(|| Self { convolutions: self.convolutions[..blocks].to_vec(), ..self.clone() })
    }

    /// What the first `blocks` convolutions give with their ReLU and maximum, [rows, channels x height x width], with
    /// channels, height and width.
    pub fn features(&self, columns: Tensor<2>, blocks: usize) -> Option<(Tensor<2>, [usize; 3])> {
        let (features, layers) = self.cut(blocks)?.on_host(columns);
        let last = layers.last()?;
        let [height, width] = last.convolution.output();
        Some((features, [last.weights.biases.len(), height, width]))
    }

    /// What the convolutions give.
    pub(crate) fn convolved(&self, columns: Tensor<2>) -> Tensor<2> {
        self.on_host(columns).0
    }

    /// Gradients of the convolutions' weights, where `of` gives that of their output.
    pub(crate) fn gradients_of_features(
        &self,
        columns: Tensor<2>,
        of: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Gradients {
        let (features, layers) = self.on_host(columns);
        let mut gradients = Gradients::default();
        self.back_on_host(layers, of(features), &mut gradients, false);
        gradients
    }

    /// The gradient of `columns`, where `of` gives that of those features.
    pub fn pull_features(
        &self,
        columns: Tensor<2>,
        blocks: usize,
        of: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Option<Tensor<2>> {
        Some(self.cut(blocks)?.pull_convolutions(columns, of))
    }

    /// The gradient of `columns`, where `of` gives that of their embedding.
    pub fn pull(&self, columns: Tensor<2>, of: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        self.pull_convolutions(columns, |features| {
            let (embedding, linear) = mlp::forward(&self.linear, features, &mut Dropout::off());
            let first = mlp::backward(&self.linear, linear, of(embedding), &mut Gradients::default());
            mlp::to_input(&self.linear[0], first)
        })
    }

    fn pull_convolutions(&self, columns: Tensor<2>, of: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let [rows, width] = columns.dims();
        let device = columns.device();
        let (features, layers) = self.on_host(columns);
        let gradient = self.back_on_host(layers, of(features), &mut Gradients::default(), true);
        let columns = swap(&gradient, width / self.image[0], self.image[0]);
        Tensor::from_data(TensorData::new(columns, [rows, width]), &device)
    }

    /// Gradients of the weights, for a gradient [rows, bits].
    pub fn backward(&self, trace: CnnActivations, gradient: Tensor<2>) -> Gradients {
        let mut gradients = Gradients::default();
        let first = mlp::backward(&self.linear, trace.linear, gradient, &mut gradients);
        let gradient = mlp::to_input(&self.linear[0], first);
        match trace.features {
            Features::Graph(output) => gradients.extend(Gradients::of_graph(self, *output, gradient)),
            Features::Host(layers) => drop(self.back_on_host(layers, gradient, &mut gradients, false)),
        }
        gradients
    }

    /// The convolutions with burn's own operations.
    fn in_graph(&self, columns: Tensor<2>) -> Tensor<2> {
        let [rows, _] = columns.dims();
        let [channels, height, width] = self.image;
        let mut x: Tensor<4> = columns.reshape([rows, channels, height, width]);
        for convolution in &self.convolutions {
            x = relu(convolution.forward(x));
            if self.pool {
                x = max_pool2d(x, MaxPoolOptions::new([2, 2]));
            }
        }
        x.flatten(1, 3)
    }

    /// The same on the CPU, where burn's are slow.
    fn on_host(&self, columns: Tensor<2>) -> (Tensor<2>, Vec<Layer>) {
        let ([rows, _], device) = (columns.dims(), columns.device());
        let [mut channels, height, width] = self.image;
        let mut sides = [height, width];
        let mut images = swap(&to_host(columns), channels, height * width);
        let mut layers = Vec::new();
        for conv in &self.convolutions {
            let [outputs, inputs, kernel, _] = conv.weight.dims();
            let spec = ConvSpec { inputs, outputs, kernel, stride: 1, padding: kernel / 2, bias: true };
            let convolution = Convolution::new(spec, sides, if self.pool { 2 } else { 1 });
            let weights = Weights {
                kernels: swap(&to_host(conv.weight.val().inner()), inputs, kernel * kernel),
                biases: conv.bias.as_ref().map(|bias| to_host(bias.val().inner())).unwrap_or_default(),
            };
            let (values, winners) = convolution.forward(&images, &weights);
            (sides, channels) = (convolution.output(), outputs);
            let images = std::mem::replace(&mut images, values);
            layers.push(Layer { convolution, images, weights, winners });
        }
        let features = swap(&images, sides[0] * sides[1], channels);
        let width = features.len() / rows;
        (Tensor::from_data(TensorData::new(features, [rows, width]), &device), layers)
    }

    /// Puts the convolutions' gradients; the images' too, channels-last, where `to_images`.
    fn back_on_host(
        &self,
        layers: Vec<Layer>,
        gradient: Tensor<2>,
        gradients: &mut Gradients,
        to_images: bool,
    ) -> Vec<f32> {
        let [_, features] = gradient.dims();
        let channels = self.convolutions.last().map_or(1, |last| last.weight.dims()[0]);
        let mut gradient = swap(&to_host(gradient), channels, features / channels);
        for (index, (conv, layer)) in self.convolutions.iter().zip(layers).enumerate().rev() {
            let Layer { convolution, images, weights, winners } = layer;
            let (found, back) =
                convolution.backward(&images, &weights, &winners, &gradient, index > 0 || to_images);
            let [_, inputs, kernel, _] = conv.weight.dims();
            let kernels = swap(&found.kernels, kernel * kernel, inputs);
            let flat = |values: Vec<f32>| {
                let count = values.len();
                Tensor::<1>::from_data(TensorData::new(values, [count]), &Device::flex())
            };
            gradients.put(&conv.weight, flat(kernels));
            if let Some(bias) = &conv.bias {
                gradients.put(bias, flat(found.biases));
            }
            gradient = back;
        }
        gradient
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{stream, uniform};

    use super::*;

    fn draw(count: usize, purpose: &str) -> Vec<f32> {
        let mut rng = stream(0, purpose, &[]);
        (0..count).map(|_| uniform(&mut rng) - 0.5).collect()
    }

    /// Features and all gradients of convolutions on the host are those of burn's operations.
    fn check(config: &CnnConfig, image: [usize; 3]) {
        let device = Device::flex().autodiff();
        let model = config.init(image, 4, &mut Init::new(stream(0, "weights", &[]), &device)).unwrap();
        let (rows, columns) = (37, image.iter().product());
        let data = TensorData::new(draw(rows * columns, "columns"), [rows, columns]);
        let input = Tensor::<2>::from_data(data, &Device::flex());

        let expected = model.in_graph(Tensor::from_inner(input.clone()));
        let (found, layers) = model.on_host(input);
        let apart = (found - expected.clone().inner()).abs().max().into_scalar::<f32>();
        assert!(apart < 1e-5, "features of {config:?} differ by {apart}");

        let [_, features] = expected.dims();
        let data = TensorData::new(draw(rows * features, "gradient"), [rows, features]);
        let gradient = Tensor::<2>::from_data(data, &Device::flex());
        let mut expected = Gradients::of_graph(&model, expected, gradient.clone());
        let mut found = Gradients::default();
        model.back_on_host(layers, gradient, &mut found, false);
        for conv in &model.convolutions {
            for id in [conv.weight.id, conv.bias.as_ref().unwrap().id] {
                let expected = expected.take(id).unwrap().values;
                let apart =
                    (found.take(id).unwrap().values - expected.clone()).abs().max().into_scalar::<f32>();
                let largest = expected.abs().max().into_scalar::<f32>();
                assert!(apart < 1e-5 * largest.max(1.0), "gradients of {config:?} differ by {apart}");
            }
        }
    }

    #[test]
    fn columns_get_the_gradient_of_burns_graph() {
        let device = Device::flex().autodiff();
        let config = CnnConfig { channels: vec![3, 5], hidden: 6, ..CnnConfig::default() };
        let model = config.init([2, 9, 11], 4, &mut Init::new(stream(0, "weights", &[]), &device)).unwrap();
        let data = TensorData::new(draw(13 * 198, "columns"), [13, 198]);
        let leaf = Tensor::<2>::from_data(data.clone(), &device).require_grad();
        let layers = model.linear.iter().enumerate();
        let embedding = layers.fold(model.in_graph(leaf.clone()), |x, (index, layer)| {
            let x = layer.forward(x);
            if index == 0 { relu(x) } else { x }
        });
        let mut graph = (embedding.clone() * embedding).sum().backward();
        let expected = leaf.grad_remove(&mut graph).unwrap();
        let found =
            model.pull(Tensor::from_data(data, &Device::flex()), |embedding| embedding.mul_scalar(2.0));
        let largest = expected.clone().abs().max().into_scalar::<f32>();
        let apart = (found - expected).abs().max().into_scalar::<f32>();
        assert!(apart < 1e-5 * largest.max(1.0), "{apart} of {largest}");
    }

    #[test]
    fn convolutions_on_the_host_are_those_of_burn() {
        let config = CnnConfig::default();
        check(&config, [1, 28, 14]);
        check(&CnnConfig { channels: vec![3, 5, 7], ..config.clone() }, [3, 11, 9]);
        check(&CnnConfig { channels: vec![4, 6], kernel: 5, pool: false, hidden: 0 }, [2, 12, 13]);
        check(&CnnConfig { channels: vec![4, 6], kernel: 4, pool: false, hidden: 3 }, [1, 20, 7]);
        check(&CnnConfig { kernel: 1, ..config }, [2, 6, 4]);
    }
}
