//! Linear layers whose input holds positions of categories: each position becomes floats that are learned with the
//! layers (Guo and Berkhahn 2016, section 3), the other columns pass as they are.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

use super::mlp::{self, Dropout, Mlp, MlpConfig};
use super::{BottomError, Categories, InputShape};
use crate::gradients::Gradients;
use crate::init::Init;
use crate::snapshot::to_host;

/// Embeddings and the linear layers behind them.
#[derive(Module, Debug)]
pub struct Embedded {
    /// One [positions, width] for each column of positions.
    tables: Vec<Param<Tensor<2>>>,
    mlp: Mlp,
    #[module(skip)]
    categories: Vec<Categories>,
}

/// What a forward pass leaves for its backward pass.
pub struct EmbeddedActivations {
    /// The positions of each row, table after table.
    positions: Vec<Vec<usize>>,
    layers: mlp::MlpActivations,
}

impl Embedded {
    /// New tables and layers from `input`, whose columns of positions rise, to `outputs`.
    pub(super) fn init(
        config: &MlpConfig,
        input: &InputShape,
        outputs: usize,
        init: &mut Init,
    ) -> Result<Self, BottomError> {
        let categories = input.categories.clone();
        let widths: usize = categories.iter().map(|categories| categories.width).sum();
        let mlp = config.init(input.columns - categories.len() + widths, outputs, init)?;
        let tables = categories.iter().map(|table| init.table(table.count, table.width)).collect();
        Ok(Self { tables, mlp, categories })
    }

    /// `columns` [rows, columns] to an embedding [rows, bits], outside any graph.
    pub(super) fn forward(
        &self,
        columns: Tensor<2>,
        dropout: &mut Dropout,
    ) -> (Tensor<2>, EmbeddedActivations) {
        let (input, positions) = self.look_up(columns);
        let (output, layers) = self.mlp.forward(input, dropout);
        (output, EmbeddedActivations { positions, layers })
    }

    /// Gradients of tables and layers, for a gradient [rows, outputs].
    pub(super) fn backward(&self, trace: EmbeddedActivations, gradient: Tensor<2>) -> Gradients {
        let (mut gradients, input) = self.mlp.backward(trace.layers, gradient);
        let device = input.device();
        let (input, mut at) = (TensorRows::of(input), self.plain());
        for ((table, positions), Categories { count, width, .. }) in
            self.tables.iter().zip(trace.positions).zip(&self.categories)
        {
            let mut sums = vec![0.0; count * width];
            for (row, position) in input.rows().zip(positions) {
                let sums = &mut sums[position * width..][..*width];
                sums.iter_mut().zip(&row[at..]).for_each(|(sum, value)| *sum += value);
            }
            let sums = TensorData::new::<f32, _>(sums, [*count, *width]);
            gradients.put(table, Tensor::<2>::from_data(sums, &device));
            at += width;
        }
        gradients
    }

    /// The gradient of the input; none for positions, which have no direction to move in.
    pub(super) fn pull(&self, columns: Tensor<2>, of: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let (dims, device) = (columns.dims(), columns.device());
        let (output, trace) = self.forward(columns, &mut Dropout::off());
        let input = TensorRows::of(self.mlp.backward(trace.layers, of(output)).1);
        let mut values = vec![0.0; dims[0] * dims[1]];
        for (into, row) in values.chunks_exact_mut(dims[1].max(1)).zip(input.rows()) {
            let plain = (0..dims[1]).filter(|column| !self.holds_positions(*column));
            plain.zip(row).for_each(|(column, value)| into[column] = *value);
        }
        Tensor::from_data(TensorData::new::<f32, _>(values, dims), &device)
    }

    /// Columns that pass as they are.
    fn plain(&self) -> usize {
        let widths: usize = self.categories.iter().map(|categories| categories.width).sum();
        self.mlp.inputs() - widths
    }

    fn holds_positions(&self, column: usize) -> bool {
        self.categories.iter().any(|categories| categories.column == column)
    }

    /// The layers' input: columns that pass, then each table's floats; and the positions.
    fn look_up(&self, columns: Tensor<2>) -> (Tensor<2>, Vec<Vec<usize>>) {
        let device = columns.device();
        let tables: Vec<Vec<f32>> = self.tables.iter().map(|table| to_host(table.val().inner())).collect();
        let columns = TensorRows::of(columns);
        let mut input = Vec::with_capacity(columns.count() * self.mlp.inputs());
        let mut positions = vec![Vec::with_capacity(columns.count()); tables.len()];
        for row in columns.rows() {
            let plain = row.iter().enumerate().filter(|(column, _)| !self.holds_positions(*column));
            input.extend(plain.map(|(_, value)| *value));
            for ((table, positions), Categories { column, count, width }) in
                tables.iter().zip(&mut positions).zip(&self.categories)
            {
                let position = (row[*column] as usize).min(count - 1);
                positions.push(position);
                input.extend_from_slice(&table[position * width..][..*width]);
            }
        }
        let dims = [columns.count(), self.mlp.inputs()];
        (Tensor::from_data(TensorData::new::<f32, _>(input, dims), &device), positions)
    }
}

/// A tensor's rows on the host.
struct TensorRows {
    values: Vec<f32>,
    dims: [usize; 2],
}

impl TensorRows {
    fn of(tensor: Tensor<2>) -> Self {
        let dims = tensor.dims();
        Self { values: to_host(tensor), dims }
    }

    fn count(&self) -> usize {
        self.dims[0]
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.dims[1].max(1))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Int};
    use hashvfl_core::random::stream;

    use super::*;
    use crate::snapshot::Snapshot;

    fn model() -> Embedded {
        let device = Device::flex().autodiff();
        let categories =
            vec![Categories { column: 1, count: 3, width: 2 }, Categories { column: 2, count: 4, width: 5 }];
        let input = InputShape { columns: 4, image: None, categories };
        let config = MlpConfig { hidden: vec![6] };
        Embedded::init(&config, &input, 3, &mut Init::new(stream(0, "weights", &[]), &device)).unwrap()
    }

    /// Plain, position, position, plain; the last position is beyond its table.
    fn columns() -> Tensor<2> {
        let rows = vec![0.5, 2.0, 1.0, -1.0, 0.25, 0.0, 3.0, 2.0, -0.5, 2.0, 9.0, 0.0];
        Tensor::from_data(TensorData::new::<f32, _>(rows, [3, 4]), &Device::flex())
    }

    fn apart(a: Tensor<1>, b: Tensor<1>) -> f32 {
        (a - b).abs().max().into_scalar()
    }

    #[test]
    fn the_gradients_are_those_of_a_graph() {
        let (model, device) = (model(), Device::flex());
        let gradient: Vec<f32> = (0..9).map(|at| (at as f32).sin()).collect();
        let gradient = Tensor::<2>::from_data(TensorData::new(gradient, [3, 3]), &device);
        let (output, trace) = model.forward(columns(), &mut Dropout::off());
        let mut found = model.backward(trace, gradient.clone());

        let pick = |table: usize, rows: [i64; 3]| {
            let rows =
                Tensor::<1, Int>::from_data(TensorData::new(rows.to_vec(), [3]), &device.clone().autodiff());
            model.tables[table].val().select(0, rows)
        };
        let plain = vec![0.5, -1.0, 0.25, 2.0, -0.5, 0.0];
        let plain = Tensor::<2>::from_data(TensorData::new::<f32, _>(plain, [3, 2]), &device);
        let input = Tensor::cat(vec![Tensor::from_inner(plain), pick(0, [2, 0, 2]), pick(1, [1, 3, 3])], 1);
        let expected = model.mlp.graph(input);
        assert!(apart(expected.clone().inner().flatten(0, 1), output.flatten(0, 1)) < 1e-6);
        let mut graph = (expected * Tensor::from_inner(gradient)).sum().backward();
        for table in &model.tables {
            let expected = table.val().grad_remove(&mut graph).unwrap().flatten(0, 1);
            assert!(apart(found.take(table.id).unwrap().values, expected) < 1e-6);
        }
    }

    #[test]
    fn positions_have_no_direction() {
        let pulled = to_host(model().pull(columns(), |embedding| embedding));
        assert!(pulled.chunks_exact(4).all(|row| row[1] == 0.0 && row[2] == 0.0));
        assert!(pulled.iter().any(|value| *value != 0.0));
    }

    #[test]
    fn what_was_learned_is_in_a_snapshot() {
        let (model, mut snapshot) = (model(), Snapshot::default());
        snapshot.put_module("model", &model);
        assert!(snapshot.arrays.contains_key("model.tables.1"), "{:?}", snapshot.arrays.keys());
        let other = model.clone().map(&mut Zero);
        let back = snapshot.load_module("model", other).unwrap();
        let output = |model: &Embedded| to_host(model.forward(columns(), &mut Dropout::off()).0);
        assert_eq!(output(&back), output(&model));
    }

    struct Zero;

    impl burn::module::ModuleMapper for Zero {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| (tensor * 0.0).detach().require_grad())
        }
    }
}
