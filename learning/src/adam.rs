//! Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019).
//!
//! burn's own optimiser keeps its moments under ids drawn anew in each process and loads them onto the default
//! device; a checkpoint that another process resumes bit for bit needs them by the parameter's name.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::gradients::Gradients;
use crate::range::{RangeError, above_zero, share};
use crate::snapshot::{Array, Snapshot, SnapshotError, to_host};

/// Adam's settings beside the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Added to the root of the latter.
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
        share("adam.beta1", self.beta1)?;
        share("adam.beta2", self.beta2)?;
        above_zero("adam.epsilon", f64::from(self.epsilon))?;
        share("adam.weight_decay", self.weight_decay)
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
        let Some(gradient) = self.gradients.take(id) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let AdamConfig { beta1, beta2, epsilon, weight_decay } = self.adam.config;
        let dims = tensor.dims();
        let old = self.adam.moments.remove(&self.path.join("."));
        let (mean, square) = match old {
            Some(old) => (
                old.mean.mul_scalar(beta1) + gradient.clone().mul_scalar(1.0 - beta1),
                old.square.mul_scalar(beta2) + (gradient.clone() * gradient).mul_scalar(1.0 - beta2),
            ),
            None => (
                gradient.clone().mul_scalar(1.0 - beta1),
                (gradient.clone() * gradient).mul_scalar(1.0 - beta2),
            ),
        };
        // mean / c1 / (sqrt(square / c2) + epsilon), with the two corrections folded into scalars.
        let (first, second) = (self.corrections.0, self.corrections.1.sqrt());
        let denominator = square.clone().sqrt().add_scalar(epsilon * second);
        let change = (mean.clone() / denominator).mul_scalar(self.learning_rate * second / first);
        let kept = tensor.inner().mul_scalar(1.0 - self.learning_rate * weight_decay);
        let moved = kept - change.reshape(dims);
        let moments = Moments { shape: dims.to_vec(), mean, square };
        self.adam.moments.insert(self.path.join("."), moments);
        Param::from_mapped_value(id, Tensor::from_inner(moved).require_grad(), mapper)
    }
}
