//! Sums, differences and products of whole numbers that fail where their type is too narrow. The engine's own wrap around,
//! and a wrong number looks like any other.

use std::sync::Arc;

use datafusion::arrow::compute::kernels::numeric::{add, mul, sub};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::utils::take_function_args;
use datafusion::error::Result;
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

/// Puts [`Exact`] in the place of the engine's operators on whole numbers.
#[derive(Debug)]
pub(super) struct ExactOperators;

impl FunctionRewrite for ExactOperators {
    fn name(&self) -> &str {
        "exact_operators"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(binary) if is_of_whole_numbers(&binary, schema) => {
                let BinaryExpr { left, op, right } = binary;
                let exact = Arc::new(ScalarUDF::from(Exact::new(op)));
                let call = ScalarFunction::new_udf(exact, vec![*left, *right]);
                Ok(Transformed::yes(Expr::ScalarFunction(call)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn is_of_whole_numbers(binary: &BinaryExpr, schema: &DFSchema) -> bool {
    let is_whole = |part: &Expr| part.get_type(schema).is_ok_and(|data_type| data_type.is_integer());
    matches!(binary.op, Operator::Plus | Operator::Minus | Operator::Multiply)
        && is_whole(&binary.left)
        && is_whole(&binary.right)
}

/// An operator as a function: of the operator's types, and an error where a number does not fit into the result's.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    operator: Operator,
    signature: Signature,
}

impl Exact {
    fn new(operator: Operator) -> Self {
        Self { operator, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Exact {
    fn name(&self) -> &str {
        match self.operator {
            Operator::Minus => "exact_minus",
            Operator::Multiply => "exact_times",
            _ => "exact_plus",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = take_function_args(self.name(), arg_types)?;
        let (left, right) = BinaryTypeCoercer::new(left, &self.operator, right).get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [left, right] = take_function_args(self.name(), arg_types)?;
        BinaryTypeCoercer::new(left, &self.operator, right).get_result_type()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = take_function_args(self.name(), args.args)?;
        match self.operator {
            Operator::Minus => apply(&left, &right, sub),
            Operator::Multiply => apply(&left, &right, mul),
            _ => apply(&left, &right, add),
        }
    }
}
