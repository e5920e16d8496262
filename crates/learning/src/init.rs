//! First weights, drawn on the host: uniform in +-1/sqrt(fan in), as PyTorch draws them for linear layers and
//! convolutions (He et al. 2015, with a = sqrt 5).

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::uniform;
use rand::rngs::ChaCha8Rng;

/// Draws weights of one model, in the order in which its layers are made.
pub struct Init<'a> {
    rng: ChaCha8Rng,
    device: &'a Device,
}

impl<'a> Init<'a> {
    /// Draws from `rng` onto `device`.
    pub fn new(rng: ChaCha8Rng, device: &'a Device) -> Self {
        Self { rng, device }
    }

    /// The device that the weights go to.
    pub fn device(&self) -> &Device {
        self.device
    }

    fn uniform(&mut self, count: usize, fan_in: usize) -> Vec<f32> {
        let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
        (0..count).map(|_| (uniform(&mut self.rng) * 2.0 - 1.0) * bound).collect()
    }

    /// A linear layer, weight `[inputs, outputs]` and bias `[outputs]`.
    pub fn linear(&mut self, inputs: usize, outputs: usize) -> Linear {
        let mut layer = LinearConfig::new(inputs, outputs).init(self.device);
        let weight = TensorData::new(self.uniform(inputs * outputs, inputs), [inputs, outputs]);
        let bias = TensorData::new(self.uniform(outputs, inputs), [outputs]);
        layer.weight = Param::from_data(weight, self.device);
        layer.bias = Some(Param::from_data(bias, self.device));
        layer
    }

    /// An embedding of `count` positions, `[count, width]`. The first one is zero: it stands for what has no name.
    pub fn table(&mut self, count: usize, width: usize) -> Param<Tensor<2>> {
        let mut values = self.uniform(count * width, width);
        values[..width].fill(0.0);
        Param::from_data(TensorData::new(values, [count, width]), self.device)
    }

    /// A square convolution without bias or with one, weight [outputs, inputs, kernel, kernel].
    pub fn conv(&mut self, spec: ConvSpec) -> Conv2d {
        let ConvSpec { inputs, outputs, kernel, stride, padding, bias } = spec;
        let fan_in = inputs * kernel * kernel;
        let mut layer = Conv2dConfig::new([inputs, outputs], [kernel, kernel])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
            .with_bias(bias)
            .init(self.device);
        let weight =
            TensorData::new(self.uniform(outputs * fan_in, fan_in), [outputs, inputs, kernel, kernel]);
        layer.weight = Param::from_data(weight, self.device);
        layer.bias = bias.then(|| {
            let bias = TensorData::new(self.uniform(outputs, fan_in), [outputs]);
            Param::from_data(bias, self.device)
        });
        layer
    }
}

/// The shape of a square convolution.
#[derive(Debug, Clone, Copy)]
pub struct ConvSpec {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Kernel's side.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

impl ConvSpec {
    /// The output's side for an input's side, 0 where the kernel does not fit.
    pub fn output_side(&self, side: usize) -> usize {
        (side + 2 * self.padding).checked_sub(self.kernel).map_or(0, |room| room / self.stride + 1)
    }
}
