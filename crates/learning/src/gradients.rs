//! Gradients of a model's parameters, whether written out or taken from burn's graph.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

/// A gradient for each parameter that has one, flat, outside any graph.
#[derive(Default)]
pub struct Gradients(HashMap<ParamId, ParameterGradient>);

/// One parameter's gradient.
pub struct ParameterGradient {
    /// Its values, flat.
    pub values: Tensor<1>,
    /// Whether burn's graph gave it, in which the parameter must be once more for the next one. A parameter that is in the
    /// graph without a backward pass through it stays in memory for good.
    pub of_graph: bool,
}

impl Gradients {
    /// The gradients of `module`'s parameters when `output`, the end of a graph, has the gradient `gradient`.
    pub fn of_graph<M: Module, const D: usize>(module: &M, output: Tensor<D>, gradient: Tensor<D>) -> Self {
        let mut graph = (output * Tensor::from_inner(gradient)).sum().backward();
        let mut collector = Collector { graph: &mut graph, found: Self::default() };
        module.visit(&mut collector);
        collector.found
    }

    /// Adds a parameter's gradient, of whichever shape.
    pub fn put<const D: usize, const G: usize>(&mut self, param: &Param<Tensor<D>>, gradient: Tensor<G>) {
        let count = gradient.dims().iter().product::<usize>();
        self.0.insert(param.id, ParameterGradient { values: gradient.reshape([count]), of_graph: false });
    }

    /// Takes a parameter's gradient.
    pub fn take(&mut self, id: ParamId) -> Option<ParameterGradient> {
        self.0.remove(&id)
    }

    /// Adds those of another part of the model.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

struct Collector<'a> {
    graph: &'a mut burn::tensor::Gradients,
    found: Gradients,
}

impl ModuleVisitor for Collector<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(self.graph) {
            let count = gradient.dims().iter().product::<usize>();
            self.found
                .0
                .insert(param.id, ParameterGradient { values: gradient.reshape([count]), of_graph: true });
        }
    }
}
