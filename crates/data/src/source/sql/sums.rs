//! SUM of whole numbers that fails where their type is too narrow for it: the engine's own wraps around. They are summed up
//! as decimals of 38 digits, which no number of records exceeds.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

/// What whole numbers are summed up as: the most digits that 128 bits hold.
const WIDE: DataType = DataType::Decimal128(38, 0);

/// The engine's SUM, exact for whole numbers.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ExactSum(Sum);

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.0.return_type(arg_types)
    }

    fn accumulator(&self, acc_args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match widened(&acc_args.return_field) {
            None => self.0.accumulator(acc_args),
            Some(return_field) => {
                let result = acc_args.return_type().clone();
                let inner = self.0.accumulator(AccumulatorArgs { return_field, ..acc_args })?;
                Ok(Box::new(Widened { inner, result }))
            }
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match widened(&args.return_field) {
            None => self.0.state_fields(args),
            Some(return_field) => self.0.state_fields(StateFieldsArgs { return_field, ..args }),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match widened(&args.return_field) {
            None => self.0.create_groups_accumulator(args),
            Some(return_field) => {
                let result = args.return_type().clone();
                let inner = self.0.create_groups_accumulator(AccumulatorArgs { return_field, ..args })?;
                Ok(Box::new(Widened { inner, result }))
            }
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match widened(&args.return_field) {
            None => self.0.create_sliding_accumulator(args),
            Some(return_field) => {
                let result = args.return_type().clone();
                let inner = self.0.create_sliding_accumulator(AccumulatorArgs { return_field, ..args })?;
                Ok(Box::new(Widened { inner, result }))
            }
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.0.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.0.order_sensitivity()
    }
}

/// The field of a sum of whole numbers as what they are summed up as; `None` for other sums.
fn widened(field: &FieldRef) -> Option<FieldRef> {
    match field.data_type() {
        DataType::Int64 | DataType::UInt64 => Some(Arc::new(field.as_ref().clone().with_data_type(WIDE))),
        _ => None,
    }
}

/// An accumulator of [`WIDE`] for whole numbers, with a result of their own type.
#[derive(Debug)]
struct Widened<A> {
    inner: A,
    result: DataType,
}

fn widen(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    values.iter().map(|values| Ok(cast(values, &WIDE)?)).collect()
}

/// The sums as they are to be returned.
fn narrow(sums: &dyn Array, result: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    // The only reason is a sum that does not fit, and the error must not show it.
    let narrowed = cast_with_options(sums, result, &options)
        .map_err(|_| ArrowError::ArithmeticOverflow("a sum does not fit into its type".to_owned()))?;
    Ok(narrowed)
}

impl Accumulator for Widened<Box<dyn Accumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&widen(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.inner.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&narrow(&sum, &self.result)?, 0)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&widen(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

impl GroupsAccumulator for Widened<Box<dyn GroupsAccumulator>> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.update_batch(&widen(values)?, group_indices, opt_filter, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        narrow(&self.inner.evaluate(emit_to)?, &self.result)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.merge_batch(values, group_indices, total_num_groups)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&widen(values)?, opt_filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
