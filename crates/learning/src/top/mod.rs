//! The top model: training it, predicting with it, its losses.

pub mod classifier;
pub mod consistency;
pub mod evaluation;
pub mod loss;
mod memory;
pub mod predictor;
pub mod self_distillation;
