//! Labels in a named column, record by record.

use hashvfl_core::Task;

use crate::cell::CellFault;
use crate::error::{Location, LocationRef};
use crate::ids::IdColumn;
use crate::labels::LabelTable;
use crate::labels::error::LabelError;
use crate::labels::target::TargetColumn;

/// Collects the ids and labels of a column.
pub(crate) struct LabelColumn<'a> {
    name: &'a str,
    task: Task,
    ids: IdColumn,
    target: TargetColumn,
    missing: u64,
    first_missing: Option<Location>,
}

impl<'a> LabelColumn<'a> {
    pub(crate) fn new(name: &'a str, task: Task) -> Self {
        let (ids, target) = (IdColumn::default(), TargetColumn::new(task));
        Self { name, task, ids, target, missing: 0, first_missing: None }
    }

    /// Adds one record's id and label. Missing labels are counted, and reported by [`Self::finish`].
    pub(crate) fn push(&mut self, spot: LocationRef<'_>, id: &str, cell: &[u8]) -> Result<(), LabelError> {
        self.ids.push(spot, id);
        match self.target.push(cell) {
            Ok(true) => Ok(()),
            Err(CellFault::Empty) => {
                self.missing += 1;
                self.first_missing.get_or_insert_with(|| spot.place());
                Ok(())
            }
            Ok(false) => {
                Err(LabelError::TooManyClasses { place: spot.place(), column: self.name.to_owned() })
            }
            Err(fault) => Err(LabelError::Value {
                place: spot.place(),
                column: self.name.to_owned(),
                expected: self.target.expected(),
                fault,
            }),
        }
    }

    /// The labels, if none is missing.
    pub(crate) fn finish(self) -> Result<LabelTable, LabelError> {
        if let Some(first) = self.first_missing {
            let column = self.name.to_owned();
            return Err(LabelError::Missing { count: self.missing, column, first });
        }
        let (ids, note) = (self.ids.finish()?, self.target.note());
        Ok(LabelTable { ids, note, target: self.target.finish(self.task)? })
    }
}
