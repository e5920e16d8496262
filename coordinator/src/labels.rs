//! Labels: for a run, and for what is done with a run afterwards.

use std::collections::HashSet;

use anyhow::{Context, ensure};
use hashvfl_core::text::{counted, records_on_lines};
use hashvfl_core::{Digest, RunRecords};
use hashvfl_data::{LabelTable, Order, Target, fingerprint, load_labels, remarks_on_ids};
use hashvfl_learning::top::loss::Labels;

use crate::config::CoordinatorConfig;
use tracing::info;

/// Classes whose records are told, at most.
const MOST_COUNTS: usize = 20;

/// Labels with the ids that they belong to.
pub struct LabelledRecords {
    /// Record ids in row order.
    pub ids: Vec<String>,
    /// Labels in the same order.
    pub labels: Labels,
    /// Names of the classes, in their order; none for a regression.
    pub classes: Vec<String>,
    /// How they were read, in a line for a person: only numbers, no label.
    pub reading: String,
}

impl LabelledRecords {
    /// Names all labels in their order.
    pub fn digest(&self) -> Digest {
        let values: Vec<u8> = match &self.labels {
            Labels::Classes { index, .. } => index.iter().flat_map(|class| class.to_le_bytes()).collect(),
            Labels::Real(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        Digest::of_parts(self.classes.iter().map(String::as_bytes).chain([values.as_slice()]))
    }

    /// What is to be kept of the records of a run: which they are, and what their labels were.
    pub fn keep(&self, records: RunRecords) -> RunRecords {
        match &self.labels {
            Labels::Classes { index, .. } => {
                records.with_labels(index.iter().map(|class| &self.classes[*class as usize]))
            }
            Labels::Real(values) => records.with_labels(values.iter().map(|value| value.to_le_bytes())),
        }
    }
}

/// Loads the labels that the config names.
pub fn load(config: &CoordinatorConfig) -> anyhow::Result<LabelledRecords> {
    let mut loaded = load_labels(&config.labels, config.run.task)?;
    let read = loaded.ids.len();
    if let Some(path) = &config.order {
        let order = Order::read(path)?;
        order.check(Some(fingerprint(config.labels.files())?), path)?;
        loaded = loaded.in_order(&order)?;
    }
    let reading = describe(&loaded, read, config)?;
    let (labels, classes) = split(loaded.target);
    Ok(LabelledRecords { ids: loaded.ids, labels, classes, reading })
}

/// What is done when labels are not those of the run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangedLabels {
    /// They are refused.
    Refuse,
    /// They are taken: somebody corrected them.
    Accept,
}

/// The labels of `records`, those of a run that has finished, as the files have them now: found by id, in the run's
/// order. A label that no row of a plan without [`RunRecords::gone`] has is no label at all.
///
/// # Errors
/// If the files lack records, name other classes than `classes`, or have other labels than the run had.
pub fn of_run(
    config: &CoordinatorConfig,
    records: &RunRecords,
    classes: &[String],
    changed: ChangedLabels,
) -> anyhow::Result<Labels> {
    let loaded = load_labels(&config.labels, config.run.task)?;
    let places = match &config.order {
        Some(path) => records.places(Order::read(path)?.agreed(&loaded.ids)),
        None => records.places(loaded.ids.iter().map(|id| Some(id.as_str()))),
    };
    let places = places.context("the labels")?;
    let mut reading = describe(&loaded, loaded.ids.len(), config)?;
    let others = loaded.ids.len().saturating_sub(records.rows().len());
    if others > 0 {
        reading += &format!("; {others} of them are not in the run");
    }
    info!("labels: {reading}");
    let (labels, now) = split(loaded.target);
    ensure!(
        now == classes,
        "the labels' classes differ from the run's ({} now, {} then): restore the class names, or train again",
        now.len(),
        classes.len()
    );
    let place = |row| places.get(row).map(|place| place.number() as usize);
    let rows = records.rows();
    let relabelled = rows.iter().filter(|row| {
        // Unwrap safety: `places` has a place for each row that was not erased.
        let place = place(**row).expect("a record that was not erased");
        match &labels {
            Labels::Classes { index, .. } => records.is_relabelled(**row, &classes[index[place] as usize]),
            Labels::Real(values) => records.is_relabelled(**row, values[place].to_le_bytes()),
        }
    });
    let relabelled = relabelled.count();
    ensure!(
        relabelled == 0 || changed == ChangedLabels::Accept,
        "{relabelled} of {} records have other labels than in the run: restore them, or pass --accept-changed-labels if they were corrected",
        rows.len()
    );
    let all = (0..records.count() as u32).map(hashvfl_core::RunRow::new);
    Ok(match &labels {
        // Whoever reads the label of an erased record fails at once.
        Labels::Classes { count, index } => {
            let index = all.map(|row| place(row).map_or(u32::MAX, |place| index[place])).collect();
            Labels::Classes { count: *count, index }
        }
        Labels::Real(values) => {
            Labels::Real(all.map(|row| place(row).map_or(f32::NAN, |place| values[place])).collect())
        }
    })
}

/// A target as a loss takes it, and the names of its classes.
fn split(target: Target) -> (Labels, Vec<String>) {
    match target {
        Target::Classes { names, index } => (Labels::Classes { count: names.len(), index }, names),
        Target::Real(values) => (Labels::Real(values), Vec::new()),
    }
}

/// Records and lines, how many records each class has or how many values there are, and what was left out.
fn describe(loaded: &LabelTable, read: usize, config: &CoordinatorConfig) -> anyhow::Result<String> {
    let records = loaded.ids.len();
    let mut parts = vec![records_on_lines(read, config.labels.lines()?)];
    if records < read {
        parts.push(format!("{} of them are not in the agreed order and were excluded", read - records));
    }
    parts.extend(remarks_on_ids(&loaded.ids, config.labels.ids().key_columns()));
    parts.push(match &loaded.target {
        Target::Classes { names, index } => {
            let mut counts = vec![0_u64; names.len()];
            index.iter().for_each(|class| counts[*class as usize] += 1);
            let most: Vec<String> = counts.iter().take(MOST_COUNTS).map(u64::to_string).collect();
            let more = if counts.len() > MOST_COUNTS { ", ..." } else { "" };
            format!("{} classes of {}{more} records", names.len(), most.join(", "))
        }
        Target::Real(values) => {
            let distinct: HashSet<u32> = values.iter().map(|value| value.to_bits()).collect();
            counted(distinct.len(), "distinct value")
        }
    });
    parts.extend(loaded.note.clone());
    parts.extend(config.labels.remarks()?);
    Ok(parts.join("; "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_was_read_is_told_in_numbers_alone() {
        let folder = tempfile::tempdir().unwrap();
        let reading = |task: &str, text: &str| {
            std::fs::write(folder.path().join("y.csv"), text).unwrap();
            let config = format!(
                "run_id = \"r\"\nlisten = \"127.0.0.1:0\"\nstate = \"s\"\n\
                 run = {{ parties = [\"bank\"], task = {task:?}, bits = 8, epochs = 1 }}\n\
                 labels = {{ format = \"csv\", paths = [\"y.csv\"], id = \"id\", column = \"y\" }}\n"
            );
            load(&CoordinatorConfig::parse(&config, folder.path() as &Path).unwrap())
                .map(|labels| labels.reading)
        };
        let classes = reading("multiclass", "id,y\nk1,low\nk2,high\n\nk3,low\nk4,mid\n").unwrap();
        assert_eq!(classes, "4 records on 6 lines; 3 classes of 1, 2, 1 records");
        let merged = reading("binary", "id,y\nk1,1\nk2,1.0\nk3,2\nk4,2.0\n").unwrap();
        assert!(merged.contains("2 classes of 2, 2 records; 2 classes occur in 4 spellings"), "{merged}");
        let cut = reading("multiclass", "id,y\nk1,low\nk2,hi").unwrap();
        assert!(cut.contains("the last line of 1 of 1 files has no line break"), "{cut}");
        let values = reading("regression", "id,y\nk1,0.5\nk2,7\nk3,7\n").unwrap();
        assert_eq!(values, "3 records on 4 lines; 2 distinct values");
        let nobody = reading("regression", "id,y\nk1,0.5\nNA,7\n").unwrap();
        assert!(nobody.contains("2 records on 3 lines; 1 id like NA or NULL"), "{nobody}");
        let missing = reading("multiclass", "id,y\nk1,low\nk2,NA\nk3,mid\n").unwrap_err().to_string();
        assert!(missing.contains("1 record without a label"), "{missing}");
    }
}
