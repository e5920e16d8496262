//! What is to be predicted: a column of labels tells.

use hashvfl_core::Task;

use super::{ColumnVerdict, Surveyed};
use crate::encoding::treatment::ColumnType;
use crate::limits::MAX_CLASSES;

/// Whole numbers of no more values than this are taken for classes.
const FEW_CLASSES: usize = 20;

impl Surveyed {
    /// What predicting this column is, of `records` records.
    ///
    /// # Errors
    /// When it cannot be a label: why, in a few words.
    pub fn task(&self, records: u64) -> Result<Task, String> {
        if self.missing > 0 {
            return Err(format!("{} of {records} records have no label: remove them", self.missing));
        }
        match (self.verdict(records), self.distinct) {
            (ColumnVerdict::Undecided(oddity), _) => {
                Err(format!("it holds {oddity}: write them as plain numbers"))
            }
            _ if self.respelt > 0 => Err(format!(
                "{} of its classes differ from another class only in spelling, such as case and spaces: spell each \
                 class in one way, or pass --task if they are different classes",
                self.respelt
            )),
            (_, Some(0 | 1)) => Err("it is the same in every record: there is nothing to learn".to_owned()),
            (_, Some(2)) => Ok(Task::Binary),
            (ColumnVerdict::Excluded(reason), _) if self.kind == ColumnType::Category => {
                Err(format!("it is not a label: {reason}"))
            }
            (_, Some(distinct)) if self.kind == ColumnType::Category && distinct <= MAX_CLASSES => {
                Ok(Task::Multiclass)
            }
            (_, Some(distinct)) if self.whole && distinct <= FEW_CLASSES => Ok(Task::Multiclass),
            _ if self.collapses => {
                Err("its numbers become equal in 32 bits, as time stamps do: subtract a constant".to_owned())
            }
            _ if self.kind == ColumnType::Number => Ok(Task::Regression),
            _ => Err(format!("it has more than {MAX_CLASSES} classes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hints, survey};

    fn task(label: impl Fn(usize) -> String) -> Result<Task, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let rows: String = (0..400).map(|row| format!("k{row},{}\n", label(row))).collect();
        std::fs::write(&path, format!("id,y\n{rows}")).unwrap();
        let survey = survey(&path, &Hints::default()).unwrap();
        survey.columns[0].task(survey.records)
    }

    #[test]
    fn the_label_tells_the_task() {
        assert_eq!(task(|row| (row % 2).to_string()), Ok(Task::Binary));
        assert_eq!(task(|row| ["yes", "no"][row % 2].to_string()), Ok(Task::Binary));
        assert_eq!(task(|row| ["0.5", "1.5"][row % 2].to_string()), Ok(Task::Binary));
        assert_eq!(task(|row| ["-0", "0", "1"][row % 3].to_string()), Ok(Task::Binary), "zero is one number");
        assert_eq!(task(|row| ["a", "b", "c"][row % 3].to_string()), Ok(Task::Multiclass));
        assert_eq!(task(|row| (row % 10).to_string()), Ok(Task::Multiclass));
        assert_eq!(task(|row| (row * row).to_string()), Ok(Task::Regression));
        assert_eq!(task(|row| format!("{row}.5")), Ok(Task::Regression));
        assert_eq!(task(|row| format!("{}.5", row % 3)), Ok(Task::Regression));
    }

    #[test]
    fn what_is_no_label_is_told() {
        for (found, expected) in [
            (task(|row| if row == 7 { String::new() } else { "1".into() }), "1 of 400 records have no label"),
            (task(|_| "1".into()), "the same in every record"),
            (task(|row| ["Yes", "yes", "no"][row % 3].into()), "1 of its classes differ from another class"),
            (
                task(|row| ["yes", "no", "no\u{a0}"][row % 3].into()),
                "1 of its classes differ from another class",
            ),
            (
                task(|row| ["caf\u{e9}", "cafe\u{301}"][row % 2].into()),
                "1 of its classes differ from another class",
            ),
            (task(|row| format!("{} kg", row % 70)), "numbers with a unit"),
            (task(|row| format!("name {row}")), "an id or free text"),
            (task(|row| format!("{row}%")), "percent"),
            (task(|row| (1_700_000_000 + row).to_string()), "become equal in 32 bits"),
            (task(|row| if row == 7 { "none of it".into() } else { row.to_string() }), "but text on line 9"),
        ] {
            let error = found.unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
