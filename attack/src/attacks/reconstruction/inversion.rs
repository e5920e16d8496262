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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
}

/// Distance beyond the threshold at which a bit counts as matched, in standard deviations of the value.
const MARGIN: f32 = 0.3;
/// Steps of a white-box search, the same at every cut.
pub const STEPS: u32 = 250;
/// Its rate, in standard deviations of a column.
const RATE: f32 = 0.05;

/// The model between the columns and what was seen.
#[derive(Clone, Copy)]
pub enum AttackedModel<'a> {
    /// The whole encoder.
    Encoder(&'a Encoder),
    /// So many of its first blocks, which it has.
    Blocks(&'a Encoder, usize),
}

impl AttackedModel<'_> {
    fn pull(self, columns: Tensor<2>, of: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        match self {
            Self::Encoder(encoder) => encoder.pull(columns, of),
            // Unwrap safety: it has these blocks.
            Self::Blocks(encoder, blocks) => encoder.pull_features(columns, blocks, of).expect("its blocks"),
        }
    }
}

/// A search for columns.
#[derive(Clone, Copy)]
pub struct Inversion<'a> {
    /// What gave what was seen.
    pub through: AttackedModel<'a>,
    /// Channels, height and width, where columns are an image.
    pub image: Option<[usize; 3]>,
    /// Standard deviations of columns around the start; 0 for a constant one.
    pub deviation: &'a [f32],
    /// What is made to agree.
    pub matching: Matching,
    /// Weight of the penalty against the match.
    pub prior: f32,
    /// Steps of the search.
    pub steps: u32,
}

impl Inversion<'_> {
    /// The same search under another penalty.
    pub fn with_prior(self, prior: f32) -> Self {
        Self { prior, ..self }
    }

    /// Columns [rows, columns] that give `seen` [rows, bits], looked for around `start` [rows, columns].
    pub fn run(&self, start: &[f32], seen: &[f32], rows: usize) -> Vec<f32> {
        let device = Device::flex();
        let columns = self.deviation.len();
        let (start, seen) = (tensor(start, rows, &device), tensor(seen, rows, &device));
        let deviation = tensor(self.deviation, 1, &device);
        let mut z = Tensor::<2>::zeros([rows, columns], &device);
        let (mut first, mut second) = (z.clone(), z.clone());
        for step in 1..=self.steps {
            let progress = (step - 1) as f32 / self.steps as f32;
            let x = z.clone() * deviation.clone() + start.clone();
            let gradient = self.through.pull(x, |values| self.mismatch(values, &seen, progress))
                * deviation.clone()
                + self.penalty(z.clone()).mul_scalar(self.prior);
            // Adam (Kingma and Ba 2015).
            first = first.mul_scalar(0.9) + gradient.clone().mul_scalar(0.1);
            second = second.mul_scalar(0.999) + (gradient.clone() * gradient).mul_scalar(0.001);
            let (c1, c2) = (1.0 - 0.9_f32.powi(step as i32), 1.0 - 0.999_f32.powi(step as i32));
            let scaled = first.clone().div_scalar(c1) / second.clone().div_scalar(c2).sqrt().add_scalar(1e-8);
            z = z - scaled.mul_scalar(RATE * (1.0 - 0.9 * progress));
        }
        to_host(z * deviation + start)
    }

    /// The gradient, with respect to `values`, of a mismatch that is a mean over bits and a sum over records.
    fn mismatch(&self, values: Tensor<2>, seen: &Tensor<2>, progress: f32) -> Tensor<2> {
        let bits = seen.dims()[1] as f32;
        let gradient = match self.matching {
            // (v - s)^2
            Matching::Value => (values - seen.clone()).mul_scalar(2.0),
            // max(0, margin - s v)
            Matching::Hinge => {
                let matched = (values * seen.clone()).greater_elem(MARGIN);
                seen.clone().neg().mask_fill(matched, 0.0)
            }
            // (tanh(beta v) - s)^2
            Matching::AnnealedTanh => {
                let beta = 10.0_f32.powf(progress);
                let tanh = values.mul_scalar(beta).tanh();
                let slope = (tanh.clone() * tanh.clone()).neg().add_scalar(1.0);
                (tanh - seen.clone()) * slope.mul_scalar(2.0 * beta)
            }
            // (sign(v) - s)^2, the sign's slope taken as one
            Matching::StraightThrough => (values.sign() - seen.clone()).mul_scalar(2.0),
        };
        gradient.div_scalar(bits)
    }

    /// The gradient of the mean square of standardised columns and, for images, of their mean total variation.
    fn penalty(&self, z: Tensor<2>) -> Tensor<2> {
        let [rows, columns] = z.dims();
        let squares = z.clone().mul_scalar(2.0 / columns as f32);
        let Some([channels, height, width]) = self.image else { return squares };
        let image: Tensor<4> = z.reshape([rows, channels, height, width]);
        let both = variation(&image, 2) + variation(&image, 3);
        squares + both.div_scalar(columns as f32).reshape([rows, columns])
    }
}

/// `values` [rows, columns] as a tensor.
fn tensor(values: &[f32], rows: usize, device: &Device) -> Tensor<2> {
    let width = values.len() / rows.max(1);
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, width]), device)
}

/// The gradient of the sum of absolute differences between neighbours along an axis of images.
fn variation(images: &Tensor<4>, axis: usize) -> Tensor<4> {
    let mut edge = images.dims();
    let size = edge[axis];
    let near = images.clone().narrow(axis, 0, size - 1);
    let sign = (images.clone().narrow(axis, 1, size - 1) - near).sign();
    edge[axis] = 1;
    let zeros = Tensor::<4>::zeros(edge, &images.device());
    // Each difference pulls its later pixel one way and its earlier one the other.
    Tensor::cat(vec![zeros.clone(), sign.clone()], axis) - Tensor::cat(vec![sign, zeros], axis)
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{stream, uniform};
    use hashvfl_core::{CodeForm, PartyName, RunSettings, Task};
    use hashvfl_learning::EncoderConfig;
    use hashvfl_learning::bottom::{BottomConfig, CnnConfig, InputShape};
    use hashvfl_learning::encoder::CutLayer;
    use hashvfl_learning::schedule::Rates;

    use super::*;

    /// Who knows the weights finds images that give what the first block gave, and are nearer to the true ones.
    #[test]
    fn features_of_a_block_are_inverted() {
        let parties = vec![PartyName::new("a").unwrap()];
        let rates = Rates::of_run(&RunSettings::new(parties, Task::Binary, 4, 1), 1);
        let model = BottomConfig::Cnn(CnnConfig { channels: vec![12], ..CnnConfig::default() });
        let input = InputShape { columns: 80, image: Some([1, 10, 8]), ..InputShape::default() };
        let config = EncoderConfig { model, ..EncoderConfig::default() };
        let device = Device::flex();
        let encoder =
            Encoder::new(config, CutLayer::SimulatedFloat, input, CodeForm::signs(4), rates, 3, &device)
                .unwrap();
        let mut rng = stream(1, "images", &[]);
        let (rows, columns) = (6, 80);
        let images: Vec<f32> = (0..rows * columns).map(|_| uniform(&mut rng)).collect();
        let (seen, shape) = encoder.features(images.clone(), rows, 1).unwrap();
        assert_eq!(shape, [12, 5, 4]);
        assert!(encoder.features(images.clone(), rows, 2).is_none());
        let (mean, deviation) = (vec![0.5; rows * columns], vec![0.29; columns]);
        let search = Inversion {
            through: AttackedModel::Blocks(&encoder, 1),
            image: None,
            deviation: &deviation,
            matching: Matching::Value,
            prior: 1e-5,
            steps: STEPS,
        };
        let guess = search.run(&mean, &seen, rows);
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let features = |images: &[f32]| encoder.features(images.to_vec(), rows, 1).unwrap().0;
        let (found, before) = (distance(&features(&guess), &seen), distance(&features(&mean), &seen));
        assert!(found < 0.1 * before, "{found} of {before}: the search does not reach what was seen");
        // Images of noise, whose neighbours say nothing of a pixel that the maximum passes over.
        let (found, before) = (distance(&guess, &images), distance(&mean, &images));
        assert!(found < 0.75 * before, "{found} of {before}");
    }
}
