//! Turns a row of a table into a row of numbers, as an [`Encoding`](crate::Encoding) says.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::cell::category_text;
use crate::encoding::content::{Content, is_faulty};
use crate::encoding::error::PreprocessError;
use crate::encoding::fitted::{Fitted, FittedColumn, kind_differs, positions};
use crate::encoding::scale::Scaler;
use crate::encoding::treatment::{Faulty, Treatment, Unseen};

/// Counts values that were taken for something else.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct EncodingNotes {
    /// Rows, ascending, with a cell that could not be encoded. If faults are marked, they are all zeros; if faults are filled in,
    /// such cells count as missing.
    pub faulty: Vec<u32>,
    /// In how many of these rows the first such cell is that of a column. A row of nothing else, as of a repeated id, counts in none.
    pub faulty_by: BTreeMap<String, u64>,
    /// Values of other rows that no training row had. Such a category counts as none, such a missing number was filled in.
    pub unseen: u64,
    /// Other missing values, each filled in and flagged, or a category of its own.
    pub missing: u64,
    /// Values that training rows had too rarely for a position of their own: they count as no category.
    pub rare: u64,
    /// Numbers that were cut off: at `clip_quantile`, at the ends of what training rows had, or at `clip`.
    pub cut_off: u64,
    /// Names of columns of categories none of which any training row had: they may be written in another way.
    pub unknown_columns: Vec<String>,
}

impl EncodingNotes {
    fn add(&mut self, other: &Self) {
        self.unseen += other.unseen;
        self.missing += other.missing;
        self.rare += other.rare;
        self.cut_off += other.cut_off;
        other.faulty_by.iter().for_each(|(column, rows)| self.blame(column, *rows));
    }

    fn blame(&mut self, column: &str, rows: u64) {
        *self.faulty_by.entry(column.to_owned()).or_default() += rows;
    }

    /// Counts the column of a row's first fault.
    fn note_fault(&mut self, fault: &PreprocessError, raw: &[f32]) {
        if let PreprocessError::NewCategory { column, .. } | PreprocessError::NewMissing { column, .. } =
            fault
            && !raw.iter().all(|value| is_faulty(*value))
        {
            self.blame(column, 1);
        }
    }
}

/// An encoding made ready for the dictionaries of one table.
pub(crate) struct RowEncoder<'a> {
    steps: Vec<Step<'a>>,
    width: usize,
    faulty: Faulty,
}

struct Step<'a> {
    name: &'a str,
    unseen: Unseen,
    kind: StepKind<'a>,
}

enum StepKind<'a> {
    Number {
        scaler: &'a Scaler,
        fill: Option<f32>,
        missed: bool,
    },
    /// What becomes of each category of the table's dictionary, and of a missing one. `one_hot` is the number of columns if
    /// each category has its own.
    Category {
        slots: Vec<Slot>,
        missing: Slot,
        one_hot: Option<usize>,
    },
}

/// Where a category goes.
#[derive(Clone, Copy)]
enum Slot {
    /// A position of its own.
    At(u32),
    /// Too rare in training for a position.
    Rare,
    /// No training row had it.
    New,
}

impl<'a> RowEncoder<'a> {
    pub(crate) fn new(
        fitted: &'a [FittedColumn],
        names: &[String],
        contents: &[Content],
        treatment: &Treatment,
    ) -> Result<Self, PreprocessError> {
        check_names(fitted, names)?;
        let mut steps = Vec::with_capacity(fitted.len());
        for (FittedColumn { name, fitted }, content) in fitted.iter().zip(contents) {
            let kind = StepKind::of(fitted, content)
                .ok_or_else(|| kind_differs(name, fitted.kind(), content.kind()))?;
            steps.push(Step { name, unseen: treatment.unseen(name), kind });
        }
        let width = fitted.iter().map(|column| column.fitted.width()).sum();
        Ok(Self { steps, width, faulty: treatment.faulty })
    }

    /// Columns of the result.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Names of columns of categories none of which any training row had.
    pub(crate) fn unknown_columns(&self) -> Vec<String> {
        let is_unknown = |step: &&Step<'_>| match &step.kind {
            StepKind::Category { slots, .. } => {
                !slots.is_empty() && slots.iter().all(|slot| matches!(slot, Slot::New))
            }
            StepKind::Number { .. } => false,
        };
        self.steps.iter().filter(is_unknown).map(|step| step.name.to_owned()).collect()
    }

    /// Whether rows without missing values stay as they are.
    pub(crate) fn is_identity(&self) -> bool {
        self.steps.iter().all(Step::is_identity)
    }

    /// Appends the row of this `number`, from 0. A row that cannot be encoded is an error, or is noted: it becomes zeros, or its
    /// faulty cells are filled in.
    pub(crate) fn row(
        &self,
        number: usize,
        raw: &[f32],
        into: &mut Vec<f32>,
        noted: &mut EncodingNotes,
    ) -> Result<(), PreprocessError> {
        let start = into.len();
        let mut of_row = EncodingNotes::default();
        match self.append(number, raw, into, &mut of_row) {
            Err(fault) if self.faulty == Faulty::Mark => {
                into.truncate(start);
                into.resize(start + self.width, 0.0);
                noted.faulty.push(number as u32); // rows are counted by u32
                noted.note_fault(&fault, raw);
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => {
                noted.add(&of_row);
                noted.faulty.extend(of_row.faulty);
                Ok(())
            }
        }
    }

    /// Appends the row, and counts in `noted` what its values were taken for. The row is among the faulty ones where a cell had to
    /// be filled in that could not be encoded.
    fn append(
        &self,
        number: usize,
        raw: &[f32],
        into: &mut Vec<f32>,
        noted: &mut EncodingNotes,
    ) -> Result<(), PreprocessError> {
        let mut first = None;
        let mut fault = |error: PreprocessError| match self.faulty {
            Faulty::Fill => {
                first.get_or_insert(error);
                Ok(())
            }
            Faulty::Refuse | Faulty::Mark => Err(error),
        };
        for (step, &value) in self.steps.iter().zip(raw) {
            let is_fault = is_faulty(value);
            if is_fault {
                fault(step.refused(number, true))?;
            }
            match &step.kind {
                StepKind::Number { scaler, fill, missed } => {
                    let missing = value.is_nan();
                    let is_new = missing && !missed && !is_fault;
                    if is_new && step.unseen == Unseen::Error {
                        fault(step.refused(number, true))?;
                    } else {
                        noted.unseen += u64::from(is_new);
                    }
                    noted.missing += u64::from(missing && *missed && !is_fault);
                    let value = match fill {
                        _ if !missing => value,
                        Some(fill) => *fill,
                        // Nothing was measured in training: 0 stands for it, where a value has to.
                        None => {
                            fault(step.refused(number, true))?;
                            0.0
                        }
                    };
                    let (scaled, cut_off) = scaler.apply_noting(value);
                    noted.cut_off += u64::from(cut_off && !missing);
                    into.push(scaled);
                    if *missed {
                        into.push(f32::from(u8::from(missing)));
                    }
                }
                StepKind::Category { slots, missing, one_hot } => {
                    let slot = if value.is_nan() { *missing } else { slots[value as usize] };
                    let at = match slot {
                        Slot::At(at) => {
                            noted.missing += u64::from(value.is_nan() && !is_fault);
                            Some(at)
                        }
                        Slot::Rare => {
                            noted.rare += 1;
                            None
                        }
                        Slot::New if is_fault => None,
                        Slot::New if step.unseen == Unseen::Error => {
                            fault(step.refused(number, value.is_nan()))?;
                            None
                        }
                        Slot::New => {
                            noted.unseen += 1;
                            None
                        }
                    };
                    push_category(at, *one_hot, into);
                }
            }
        }
        if let Some(first) = first {
            noted.faulty.push(number as u32); // rows are counted by u32
            noted.note_fault(&first, raw);
        }
        Ok(())
    }
}

/// Appends the category at position `at`: as columns of 0 and 1, or as a position that counts from 1.
fn push_category(at: Option<u32>, one_hot: Option<usize>, into: &mut Vec<f32>) {
    match one_hot {
        Some(count) => into.extend((0..count as u32).map(|other| f32::from(u8::from(Some(other) == at)))),
        None => into.push(at.map_or(0.0, |at| (at + 1) as f32)),
    }
}

impl Step<'_> {
    /// Whether numbers stay as they are.
    fn is_identity(&self) -> bool {
        matches!(self.kind, StepKind::Number { scaler, missed: false, .. } if scaler.is_identity())
    }

    /// The error for a value that no training row had.
    fn refused(&self, number: usize, missing: bool) -> PreprocessError {
        let (column, record) = (self.name.to_owned(), number + 1);
        if missing {
            PreprocessError::NewMissing { column, record }
        } else {
            PreprocessError::NewCategory { column, record }
        }
    }
}

impl<'a> StepKind<'a> {
    /// `None` where the table's column is of another type.
    fn of(fitted: &'a Fitted, content: &Content) -> Option<Self> {
        match (fitted, content) {
            (Fitted::Number { fill, missed, scaler }, Content::Number) => {
                Some(Self::Number { scaler, fill: *fill, missed: *missed })
            }
            (Fitted::Category { names, rare, missed, embedding }, Content::Category(found)) => {
                let (known, rare) = (positions(names), rare.iter().map(|name| category_text(name)).collect());
                let slots = found.iter().map(|name| Slot::of(name, &known, &rare)).collect();
                let missing = if *missed { Slot::At(names.len() as u32) } else { Slot::New };
                let count = names.len() + usize::from(*missed);
                Some(Self::Category { slots, missing, one_hot: embedding.is_none().then_some(count) })
            }
            _ => None,
        }
    }
}

impl Slot {
    fn of(name: &str, known: &HashMap<&str, u32>, rare: &HashSet<&str>) -> Self {
        match known.get(name) {
            Some(at) => Self::At(*at),
            None if rare.contains(name) => Self::Rare,
            None => Self::New,
        }
    }
}

/// Fails unless the columns are the same in the same order.
fn check_names(fitted: &[FittedColumn], found: &[String]) -> Result<(), PreprocessError> {
    let expected: Vec<&str> = fitted.iter().map(|column| column.name.as_str()).collect();
    if expected.iter().eq(found.iter()) {
        return Ok(());
    }
    let lacking = expected.iter().find(|name| !found.iter().any(|found| found == *name));
    let extra = found.iter().find(|name| !expected.contains(&name.as_str()));
    let problem = match (lacking, extra) {
        (Some(name), _) => format!("column {name:?} is missing"),
        (None, Some(name)) => format!("column {name:?} was not there"),
        (None, None) => "they are in another order".to_owned(),
    };
    Err(PreprocessError::Columns { problem })
}
