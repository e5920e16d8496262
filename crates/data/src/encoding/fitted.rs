//! What was fitted on one column.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::cell::category_text;
use crate::encoding::error::PreprocessError;
use crate::encoding::scale::Scaler;
use crate::encoding::treatment::ColumnType;

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedColumn {
    pub(crate) name: String,
    pub(crate) fitted: Fitted,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Fitted {
    Number {
        /// What stands in for a missing value, raw; absent where nothing was measured.
        fill: Option<f32>,
        /// Whether training rows missed values.
        missed: bool,
        scaler: Scaler,
    },
    Category {
        /// Those with a position of their own, sorted.
        names: Vec<String>,
        /// Those that training rows had too rarely, sorted.
        rare: Vec<String>,
        /// Whether training rows missed values: then that is the last category.
        missed: bool,
        /// Width of the embedding; absent: one column a category.
        embedding: Option<usize>,
    },
}

impl Fitted {
    pub(crate) fn kind(&self) -> ColumnType {
        match self {
            Self::Number { .. } => ColumnType::Number,
            Self::Category { .. } => ColumnType::Category,
        }
    }

    /// Columns of the encoded matrix.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Number { missed, .. } => 1 + usize::from(*missed),
            Self::Category { embedding: Some(_), .. } => 1,
            Self::Category { names, missed, .. } => names.len() + usize::from(*missed),
        }
    }
}

/// The column's type is another than at training.
pub(crate) fn kind_differs(name: &str, expected: ColumnType, found: ColumnType) -> PreprocessError {
    let word = |kind| match kind {
        ColumnType::Number => "numbers",
        ColumnType::Category => "categories",
    };
    PreprocessError::ColumnType { column: name.to_owned(), expected: word(expected), found: word(found) }
}

/// Positions of `names`, which older models may hold as their tables wrote them.
pub(crate) fn positions(names: &[String]) -> HashMap<&str, u32> {
    names.iter().map(|name| category_text(name)).zip(0..).collect()
}
