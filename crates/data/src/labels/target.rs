//! Each record's target, from the texts or bytes of its labels.

use std::fmt;

use crate::labels::classes::ClassColumn;
use hashvfl_core::Task;

use crate::cell::{CellFault, parse_number, parse_text};
use crate::labels::error::LabelError;
use crate::missing::stands_for_missing;
use crate::resolution::Resolution;

/// One target for each record.
#[derive(Clone, PartialEq)]
pub enum Target {
    /// Classes, for [`Task::Binary`] and [`Task::Multiclass`].
    Classes {
        /// The classes' names, by value when all are whole numbers, otherwise by letters.
        names: Vec<String>,
        /// Each record's position in `names`.
        index: Vec<u32>,
    },
    /// Finite numbers, for [`Task::Regression`].
    Real(Vec<f32>),
}

impl Target {
    /// Number of records.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { index, .. } => index.len(),
            Self::Real(values) => values.len(),
        }
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Collects the target of each record.
pub(crate) enum TargetColumn {
    Classes(ClassColumn),
    Real(Vec<f32>, Resolution),
}

impl TargetColumn {
    pub(crate) fn new(task: Task) -> Self {
        match task {
            Task::Binary | Task::Multiclass => Self::Classes(ClassColumn::default()),
            Task::Regression => Self::Real(Vec::new(), Resolution::default()),
        }
    }

    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Self::Classes(_) => "a class",
            Self::Real(..) => "a number",
        }
    }

    /// Adds one record's label. Returns false if it is one class too many. A text that stands for a missing value counts as an
    /// empty cell, and an infinite number is no class.
    pub(crate) fn push(&mut self, cell: &[u8]) -> Result<bool, CellFault> {
        let text = parse_text(cell)?;
        if stands_for_missing(text) {
            return Err(CellFault::Empty);
        }
        match self {
            // No program writes one for a class.
            Self::Classes(_) if text.parse::<f64>().is_ok_and(f64::is_infinite) => Err(CellFault::NotFinite),
            Self::Classes(classes) => Ok(classes.push(text)),
            Self::Real(values, resolution) => {
                let number = parse_number(cell)?;
                resolution.see(number);
                // Zero is one number, with whatever sign.
                values.push(number as f32 + 0.0);
                Ok(true)
            }
        }
    }

    /// Adds one record's label. Bytes never make too many classes.
    pub(crate) fn push_byte(&mut self, label: u8) {
        match self {
            Self::Classes(classes) => {
                classes.push(&label.to_string());
            }
            Self::Real(values, _) => values.push(f32::from(label)),
        }
    }

    /// A remark for a person if different spellings were taken for one class, or numbers became equal in 32 bits.
    pub(crate) fn note(&self) -> Option<String> {
        match self {
            Self::Classes(classes) => {
                let (written, distinct) = (classes.written(), classes.distinct());
                (written > distinct).then(|| {
                    format!(
                        "{distinct} classes occur in {written} spellings: equal numbers count as one class"
                    )
                })
            }
            Self::Real(_, resolution) => resolution.rounding(),
        }
    }

    pub(crate) fn finish(self, task: Task) -> Result<Target, LabelError> {
        let classes = match self {
            Self::Classes(classes) => classes,
            Self::Real(values, resolution) => {
                return match resolution.lost() {
                    Some((distinct, left)) => Err(LabelError::Collapsed { distinct, left }),
                    None if values.iter().any(|value| value.is_subnormal())
                        && !values.iter().any(|value| value.is_normal()) =>
                    {
                        Err(LabelError::TooSmall)
                    }
                    None => Ok(Target::Real(values)),
                };
            }
        };
        let (names, index) = classes.finish();
        let (fits, expected) = match task {
            Task::Binary => (names.len() == 2, "exactly 2 for task = \"binary\""),
            Task::Multiclass | Task::Regression => (names.len() >= 2, "at least 2 for task = \"multiclass\""),
        };
        if !fits {
            return Err(LabelError::ClassCount { expected, found: names.len() });
        }
        Ok(Target::Classes { names, index })
    }
}

/// Shows sizes only: labels are private data.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classes { names, index } => {
                write!(f, "{} records of {} classes", index.len(), names.len())
            }
            Self::Real(values) => write!(f, "{} records of numbers", values.len()),
        }
    }
}
