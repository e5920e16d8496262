//! The first blocks of a cnn by themselves: what an adversary trains in place of a victim's.

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::stream;

use crate::adam::{Adam, AdamConfig};
use crate::bottom::{BottomError, Cnn, CnnConfig};
use crate::init::Init;
use crate::snapshot::to_host;

/// Blocks (convolution, ReLU, maximum) of weights of their own, with an optimiser, on the CPU.
pub struct Front {
    model: Cnn,
    adam: Adam,
}

impl Front {
    /// The first `blocks` of a cnn for images [channels, height, width]; `None` for blocks that it does not have.
    ///
    /// # Errors
    /// If no such cnn can be.
    pub fn new(
        config: &CnnConfig,
        image: [usize; 3],
        blocks: usize,
        seed: u64,
    ) -> Result<Option<Self>, BottomError> {
        let device = Device::flex().autodiff();
        let mut init = Init::new(stream(seed, "front", &[]), &device);
        let model = config.init(image, 1, &mut init)?.cut(blocks);
        Ok(model.map(|model| Self { model, adam: Adam::new(AdamConfig::default()) }))
    }

    /// Features [rows, channels x height x width] of images `columns` [rows, pixels].
    pub fn features(&self, columns: Vec<f32>, rows: usize) -> Vec<f32> {
        to_host(self.model.convolved(tensor(columns, rows)))
    }

    /// One update by Adam on images `columns` [rows, pixels]; `gradient` gives that of their features.
    pub fn learn(
        &mut self,
        columns: Vec<f32>,
        rows: usize,
        rate: f64,
        gradient: impl FnOnce(&[f32]) -> Vec<f32>,
    ) {
        let mut gradients = self.model.gradients_of_features(tensor(columns, rows), |features| {
            let dims = features.dims();
            let gradient = gradient(&to_host(features));
            Tensor::from_data(TensorData::new(gradient, dims), &Device::flex())
        });
        self.model = self.adam.update(self.model.clone(), &mut gradients, rate);
    }
}

fn tensor(values: Vec<f32>, rows: usize) -> Tensor<2> {
    let width = values.len() / rows.max(1);
    Tensor::from_data(TensorData::new(values, [rows, width]), &Device::flex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_the_features_of_another() {
        let config = CnnConfig::default();
        let front = |blocks, seed| Front::new(&config, [1, 8, 8], blocks, seed).unwrap();
        let (other, mut front) = (front(1, 1).unwrap(), front(1, 2).unwrap());
        assert!(Front::new(&config, [1, 8, 8], 3, 0).unwrap().is_none());
        let images: Vec<f32> = (0..20 * 64).map(|at| (at * 37 % 101) as f32 / 101.0).collect();
        let wanted = other.features(images.clone(), 20);
        let apart = |found: &[f32]| found.iter().zip(&wanted).map(|(f, w)| (f - w).powi(2)).sum::<f32>();
        let before = apart(&front.features(images.clone(), 20));
        for _ in 0..200 {
            let gradient = |found: &[f32]| found.iter().zip(&wanted).map(|(f, w)| (f - w) / 20.0).collect();
            front.learn(images.clone(), 20, 0.01, gradient);
        }
        let after = apart(&front.features(images, 20));
        assert!(after < 0.3 * before, "{after} of {before}");
    }
}
