//! A small network on the CPU with its optimiser, values in and out on the host: for what needs no graph of its own.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::adam::{Adam, AdamConfig};
use crate::bottom::{BottomError, Dropout, Mlp, MlpConfig};
use crate::init::Init;
use crate::snapshot::{Array, Snapshot, SnapshotError, to_host};

/// A multilayer perceptron with ReLU between its layers.
pub struct Network {
    model: Mlp,
    adam: Adam,
    device: Device,
    sizes: Vec<usize>,
}

/// The weights of a [`Network`], to be stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// Units of each layer, the inputs first.
    pub sizes: Vec<usize>,
    /// Weights and biases by name.
    pub arrays: BTreeMap<String, Array>,
}

/// Stored weights that make no network.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Sizes of layers that no network has, or another number of weights than they need.
    #[error("stored weights do not fit the sizes of their layers")]
    Sizes,
    /// An array is absent or of another shape.
    #[error(transparent)]
    Arrays(#[from] SnapshotError),
}

impl Network {
    /// A new network from the first of `sizes` units to the last, with weights drawn from `rng`.
    ///
    /// # Errors
    /// If a layer has no or too many units.
    ///
    /// # Panics
    /// If there are fewer than two sizes.
    pub fn new(sizes: &[usize], rng: ChaCha8Rng) -> Result<Self, BottomError> {
        let (inputs, outputs) = (sizes[0], sizes[sizes.len() - 1]);
        let device = Device::flex().autodiff();
        let hidden = sizes[1..sizes.len() - 1].to_vec();
        let model = MlpConfig { hidden }.init(inputs, outputs, &mut Init::new(rng, &device))?;
        Ok(Self { model, adam: Adam::new(AdamConfig::default()), device, sizes: sizes.to_vec() })
    }

    /// Units of each layer, the inputs first.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Row-major `input` [rows, inputs] to [rows, outputs].
    pub fn forward(&self, input: &[f32]) -> Vec<f32> {
        to_host(self.model.forward(self.tensor(input, self.sizes[0]), &mut Dropout::off()).0)
    }

    /// One update by Adam on `input` [rows, inputs]; `gradient` gives that of the outputs [rows, outputs]. Returns that
    /// of the input.
    pub fn learn(&mut self, input: &[f32], rate: f64, gradient: impl FnOnce(&[f32]) -> Vec<f32>) -> Vec<f32> {
        let (output, trace) = self.model.forward(self.tensor(input, self.sizes[0]), &mut Dropout::off());
        let gradient = gradient(&to_host(output));
        let gradient = self.tensor(&gradient, self.sizes[self.sizes.len() - 1]);
        let (mut gradients, to_input) = self.model.backward(trace, gradient);
        self.model = self.adam.update(self.model.clone(), &mut gradients, rate);
        to_host(to_input)
    }

    /// The weights, without the optimiser's moments.
    pub fn weights(&self) -> Weights {
        let mut snapshot = Snapshot::default();
        snapshot.put_module("model", &self.model);
        Weights { sizes: self.sizes.clone(), arrays: snapshot.arrays }
    }

    /// Weights `[inputs, outputs]` and biases `[outputs]` of each layer, the first first.
    pub fn layers(&self) -> Vec<(Vec<f32>, Vec<f32>)> {
        self.model.layers()
    }

    /// A network of stored weights.
    ///
    /// # Errors
    /// If they do not fit together.
    pub fn of_weights(weights: Weights) -> Result<Self, WeightsError> {
        let Weights { sizes, arrays } = weights;
        // Before anything is made: the sizes may ask for more memory than there is.
        let units = |pair: &[usize]| pair[0].checked_mul(pair[1]).and_then(|n| n.checked_add(pair[1]));
        let needed = sizes.windows(2).try_fold(0_usize, |sum, pair| sum.checked_add(units(pair)?));
        let found = arrays.values().map(|array| array.values.len()).sum::<usize>();
        if sizes.len() < 2 || sizes.contains(&0) || needed != Some(found) {
            return Err(WeightsError::Sizes);
        }
        let finite = arrays.values().flat_map(|array| &array.values).all(|value| value.is_finite());
        let shaped = arrays.values().all(|array| array.shape.iter().product::<usize>() == array.values.len());
        if !finite || !shaped {
            return Err(WeightsError::Sizes);
        }
        let rng = hashvfl_core::random::stream(0, "to be replaced", &[]);
        let mut network = Self::new(&sizes, rng).map_err(|_| WeightsError::Sizes)?;
        let snapshot = Snapshot { arrays, ..Snapshot::default() };
        network.model = snapshot.load_module("model", network.model)?;
        Ok(network)
    }

    fn tensor(&self, values: &[f32], width: usize) -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), [values.len() / width, width]);
        Tensor::from_data(data, &self.device.clone().inner())
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;

    use super::*;

    #[test]
    fn it_learns_and_its_weights_make_it_again() {
        let mut network = Network::new(&[2, 16, 1], stream(1, "weights", &[])).unwrap();
        let input: Vec<f32> = (0..64).map(|at| (at % 8) as f32 / 4.0 - 1.0).collect();
        let wanted: Vec<f32> = input.chunks_exact(2).map(|row| row[0] * row[1]).collect();
        let error = |output: &[f32]| output.iter().zip(&wanted).map(|(o, w)| (o - w).powi(2)).sum::<f32>();
        let before = error(&network.forward(&input));
        for _ in 0..300 {
            let gradient = |output: &[f32]| output.iter().zip(&wanted).map(|(o, w)| (o - w) / 32.0).collect();
            network.learn(&input, 0.01, gradient);
        }
        assert!(error(&network.forward(&input)) < 0.1 * before);
        let again = Network::of_weights(network.weights()).unwrap();
        assert_eq!(again.forward(&input), network.forward(&input));
    }

    #[test]
    fn weights_that_do_not_fit_are_refused() {
        let network = Network::new(&[2, 3, 1], stream(1, "weights", &[])).unwrap();
        let weights = network.weights();
        for sizes in [vec![2], vec![2, 3], vec![65_536, 65_536, 65_536], vec![usize::MAX, 2], vec![2, 0, 1]] {
            assert!(Network::of_weights(Weights { sizes, ..weights.clone() }).is_err());
        }
        let mut renamed = weights.clone();
        let (_, array) = renamed.arrays.pop_first().unwrap();
        renamed.arrays.insert("other".into(), array);
        assert!(matches!(Network::of_weights(renamed), Err(WeightsError::Arrays(_))));
    }
}
