//! Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019).
//!
//! burn's own optimiser keeps its moments under ids drawn anew in each process and loads them onto the default
//! device; a checkpoint that another process resumes bit for bit needs them by the parameter's name.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::device::is_cpu;
use crate::gradients::{Gradients, ParameterGradient};
use crate::range::{RangeError, fraction};
use crate::snapshot::{Array, Snapshot, SnapshotError, to_host};
use crate::threads::vectorized;

/// Adam's settings beside the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Decay of the mean of gradients. No key of a config file, as the next two.
    #[serde(skip)]
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    #[serde(skip)]
    pub beta2: f32,
    /// Added to the root of the latter.
    #[serde(skip)]
    pub epsilon: f32,
    /// Share of the learning rate by which weights shrink at an update; biases shrink too.
    pub weight_decay: f32,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 1e-4 }
    }
}

impl AdamConfig {
    /// Checks every range.
    pub fn check(&self) -> Result<(), RangeError> {
        fraction("adam.weight_decay", self.weight_decay)
    }
}

struct Moments {
    shape: Vec<usize>,
    mean: Tensor<1>,
    square: Tensor<1>,
}

/// The optimiser of one model.
pub struct Adam {
    config: AdamConfig,
    updates: u64,
    moments: BTreeMap<String, Moments>,
}

impl Adam {
    /// An optimiser that has seen nothing.
    pub fn new(config: AdamConfig) -> Self {
        Self { config, updates: 0, moments: BTreeMap::new() }
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Moves every parameter that has a gradient.
    pub fn update<M: Module>(&mut self, module: M, gradients: &mut Gradients, learning_rate: f64) -> M {
        self.updates += 1;
        let exponent = self.updates.min(1 << 20) as i32;
        let corrections = (1.0 - self.config.beta1.powi(exponent), 1.0 - self.config.beta2.powi(exponent));
        let mut mapper = Update {
            path: Vec::new(),
            adam: self,
            gradients,
            learning_rate: learning_rate as f32,
            corrections,
        };
        module.map(&mut mapper)
    }

    /// Adds the moments to a snapshot.
    pub fn put(&self, snapshot: &mut Snapshot) {
        snapshot.text.insert("adam.updates".into(), self.updates.to_string());
        for (name, moments) in &self.moments {
            for (kind, tensor) in [("mean", &moments.mean), ("square", &moments.square)] {
                let array = Array { shape: moments.shape.clone(), values: to_host(tensor.clone()) };
                snapshot.arrays.insert(format!("adam.{kind}.{name}"), array);
            }
        }
    }

    /// Takes the moments from a snapshot, onto `device`.
    pub fn load(&mut self, snapshot: &Snapshot, device: &burn::tensor::Device) -> Result<(), SnapshotError> {
        self.updates = snapshot.number("adam.updates")?;
        self.moments.clear();
        let device = device.clone().inner();
        for (full, mean) in snapshot.arrays.range("adam.mean.".to_string()..) {
            let Some(name) = full.strip_prefix("adam.mean.") else { break };
            let square_name = format!("adam.square.{name}");
            let square = snapshot.arrays.get(&square_name).ok_or(SnapshotError::Missing(square_name))?;
            let flat = |array: &Array| {
                Tensor::<1>::from_data(TensorData::new(array.values.clone(), [array.values.len()]), &device)
            };
            let moments = Moments { shape: mean.shape.clone(), mean: flat(mean), square: flat(square) };
            self.moments.insert(name.to_string(), moments);
        }
        Ok(())
    }
}

struct Update<'a> {
    path: Vec<String>,
    adam: &'a mut Adam,
    gradients: &'a mut Gradients,
    learning_rate: f32,
    corrections: (f32, f32),
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(ParameterGradient { values: gradient, of_graph }) = self.gradients.take(id) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let dims = tensor.dims();
        let name = self.path.join(".");
        let moments = self.adam.moments.remove(&name).unwrap_or_else(|| Moments {
            shape: dims.to_vec(),
            mean: gradient.zeros_like(),
            square: gradient.zeros_like(),
        });
        let step = self.step();
        let weights = tensor.inner().reshape([gradient.dims()[0]]);
        let (weights, moments) = if is_cpu(&gradient.device()) {
            step.on_host(weights, moments, gradient)
        } else {
            step.on_device(weights, moments, gradient)
        };
        self.adam.moments.insert(name, moments);
        let weights = Tensor::from_inner(weights.reshape(dims));
        Param::from_mapped_value(id, if of_graph { weights.require_grad() } else { weights }, mapper)
    }
}

impl Update<'_> {
    fn step(&self) -> Step {
        let AdamConfig { beta1, beta2, epsilon, weight_decay } = self.adam.config;
        // mean / c1 / (sqrt(square / c2) + epsilon), with the two corrections folded into scalars.
        let (first, second) = (self.corrections.0, self.corrections.1.sqrt());
        Step {
            beta1,
            beta2,
            epsilon: epsilon * second,
            rate: self.learning_rate * second / first,
            keep: 1.0 - self.learning_rate * weight_decay,
        }
    }
}

/// One update's numbers.
#[derive(Clone, Copy)]
struct Step {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    rate: f32,
    keep: f32,
}

impl Step {
    fn on_device(self, weights: Tensor<1>, old: Moments, gradient: Tensor<1>) -> (Tensor<1>, Moments) {
        let mean = old.mean.mul_scalar(self.beta1) + gradient.clone().mul_scalar(1.0 - self.beta1);
        let squared = gradient.clone() * gradient;
        let square = old.square.mul_scalar(self.beta2) + squared.mul_scalar(1.0 - self.beta2);
        let denominator = square.clone().sqrt().add_scalar(self.epsilon);
        let change = (mean.clone() / denominator).mul_scalar(self.rate);
        (weights.mul_scalar(self.keep) - change, Moments { shape: old.shape, mean, square })
    }

    /// The same in one pass over the host's memory.
    fn on_host(self, weights: Tensor<1>, old: Moments, gradient: Tensor<1>) -> (Tensor<1>, Moments) {
        let Self { beta1, beta2, epsilon, rate, keep } = self;
        let [mut weights, mut mean, mut square] = [weights, old.mean, old.square].map(Tensor::into_data);
        let gradient = gradient.into_data();
        {
            // Unwrap safety: every tensor of this crate is f32.
            let [weights, means, squares] =
                [&mut weights, &mut mean, &mut square].map(|data| data.as_mut_slice::<f32>().expect("f32"));
            let gradient = gradient.as_slice::<f32>().expect("f32");
            let moments = means.iter_mut().zip(squares);
            vectorized(
                #[inline(always)]
                || {
                    for ((weight, (mean, square)), gradient) in weights.iter_mut().zip(moments).zip(gradient)
                    {
                        *mean = *mean * beta1 + gradient * (1.0 - beta1);
                        *square = *square * beta2 + gradient * gradient * (1.0 - beta2);
                        *weight = *weight * keep - *mean / (square.sqrt() + epsilon) * rate;
                    }
                },
            );
        }
        let device = Device::flex();
        let [weights, mean, square] = [weights, mean, square].map(|data| Tensor::from_data(data, &device));
        (weights, Moments { shape: old.shape, mean, square })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_device_take_the_same_step() {
        let step = Step { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, rate: 0.01, keep: 0.999 };
        let draw = |factor: usize| {
            let values: Vec<f32> = (1..100).map(|i| ((i * factor % 23) as f32).sin()).collect();
            Tensor::<1>::from_data(TensorData::new(values, [99]), &Device::flex())
        };
        let moments = || Moments { shape: vec![99], mean: draw(3), square: draw(5).abs() };
        let (weights, found) = step.on_host(draw(7), moments(), draw(11));
        let (expected, of_device) = step.on_device(draw(7), moments(), draw(11));
        let pairs = [(weights, expected), (found.mean, of_device.mean), (found.square, of_device.square)];
        for (a, b) in pairs {
            assert!((a - b).abs().max().into_scalar::<f32>() < 1e-6);
        }
    }
}
