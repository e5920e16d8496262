//! White-box inversion: who knows the encoder's weights looks for columns that give what was seen (rMLE, He et al.
//! 2019, "Model inversion attacks against collaborative inference", adapted to the sign).
//!
//! The exact sign has no gradient. Three stand-ins are tried on the code; the fourth attacks the value before the
//! sign, as HashVFL's authors did, which no adversary sees. A penalty holds columns near where the search
//! starts: the mean of auxiliary records, as the authors of the attack had it, or the conditional mean given the code.
//! Without it the search stops as soon as signs agree and says nothing.

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_learning::encoder::Encoder;
use hashvfl_learning::snapshot::to_host;

/// What the search makes agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matching {
    /// Each value on its bit's side of the threshold by a margin.
    Hinge,
    /// `tanh(beta v)` with the bit, beta growing from 1 to 10.
    AnnealedTanh,
    /// The sign itself, its gradient taken as one.
    StraightThrough,
    /// The value itself: for float embeddings, or before the sign.
    Value,
}

impl Matching {
    /// The ways to match a code.
    pub const OF_CODES: [Self; 3] = [Self::Hinge, Self::AnnealedTanh, Self::StraightThrough];

    /// As a report says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hinge => "hinge",
            Self::AnnealedTanh => "annealed tanh",
            Self::StraightThrough => "straight-through",
            Self::Value => "value",
        }
    }
}

/// Distance beyond the threshold at which a bit counts as matched, in standard deviations of the value.
const MARGIN: f32 = 0.3;
/// Steps of the search and its rate, in standard deviations of a column. The same at every cut.
const STEPS: u32 = 250;
const RATE: f32 = 0.05;

/// A search for columns.
pub struct Inversion<'a> {
    /// The victim's encoder.
    pub encoder: &'a Encoder,
    /// Channels, height and width, where columns are an image.
    pub image: Option<[usize; 3]>,
    /// Standard deviations of columns around the start; 0 for a constant one.
    pub deviation: &'a [f32],
    /// What is made to agree.
    pub matching: Matching,
    /// Weight of the penalty against the match.
    pub prior: f32,
}

impl Inversion<'_> {
    /// Columns [rows, columns] that give `seen` [rows, bits], looked for around `start` [rows, columns].
    pub fn run(&self, start: &[f32], seen: &[f32], rows: usize) -> Vec<f32> {
        let device = Device::flex().autodiff();
        let plain = device.clone().inner();
        let columns = self.deviation.len();
        let tensor = |values: Vec<f32>, rows: usize| {
            let width = values.len() / rows.max(1);
            Tensor::<2>::from_data(TensorData::new(values, [rows, width]), &plain)
        };
        let (start, deviation) = (tensor(start.to_vec(), rows), tensor(self.deviation.to_vec(), 1));
        let seen = tensor(seen.to_vec(), rows);
        let mut z = Tensor::<2>::zeros([rows, columns], &plain);
        let (mut first, mut second) = (z.clone(), z.clone());
        for step in 1..=STEPS {
            let variable = Tensor::from_inner(z.clone()).require_grad();
            let x =
                variable.clone() * Tensor::from_inner(deviation.clone()) + Tensor::from_inner(start.clone());
            let progress = (step - 1) as f32 / STEPS as f32;
            let loss = self.mismatch(self.encoder.trace(x), &seen, progress)
                + self.penalty(variable.clone()).mul_scalar(self.prior);
            let mut gradients = loss.backward();
            // Unwrap safety: the loss depends on the variable.
            let gradient = variable.grad_remove(&mut gradients).expect("a gradient of the columns");
            // Adam (Kingma and Ba 2015).
            first = first.mul_scalar(0.9) + gradient.clone().mul_scalar(0.1);
            second = second.mul_scalar(0.999) + (gradient.clone() * gradient).mul_scalar(0.001);
            let (c1, c2) = (1.0 - 0.9_f32.powi(step as i32), 1.0 - 0.999_f32.powi(step as i32));
            let scaled = first.clone().div_scalar(c1) / second.clone().div_scalar(c2).sqrt().add_scalar(1e-8);
            z = z - scaled.mul_scalar(RATE * (1.0 - 0.9 * progress));
        }
        to_host(z * deviation + start)
    }

    /// Summed over records, a mean over bits.
    fn mismatch(&self, values: Tensor<2>, seen: &Tensor<2>, progress: f32) -> Tensor<1> {
        let bits = seen.dims()[1] as f32;
        let constant = |tensor: Tensor<2>| Tensor::<2>::from_inner(tensor);
        let loss = match self.matching {
            Matching::Value => {
                let difference = values - constant(seen.clone());
                (difference.clone() * difference).sum()
            }
            Matching::Hinge => {
                let agreement = values * constant(seen.clone());
                burn::tensor::activation::relu(agreement.neg().add_scalar(MARGIN)).sum()
            }
            Matching::AnnealedTanh => {
                let beta = 10.0_f32.powf(progress);
                let difference = values.mul_scalar(beta).tanh() - constant(seen.clone());
                (difference.clone() * difference).sum()
            }
            Matching::StraightThrough => {
                let sign = values.clone().inner().sign();
                (values * constant(sign - seen.clone())).sum()
            }
        };
        loss.div_scalar(bits)
    }

    /// Summed over records: squares of standardised columns, and for images their total variation.
    fn penalty(&self, z: Tensor<2>) -> Tensor<1> {
        let [rows, columns] = z.dims();
        let squares = (z.clone() * z.clone()).sum().div_scalar(columns as f32);
        let Some([channels, height, width]) = self.image else { return squares };
        let image = z.reshape([rows, channels, height, width]);
        let shifted = |axis: usize, size: usize| {
            let near = image.clone().narrow(axis, 0, size - 1);
            (image.clone().narrow(axis, 1, size - 1) - near).abs().sum()
        };
        squares + (shifted(2, height) + shifted(3, width)).div_scalar(columns as f32)
    }
}
