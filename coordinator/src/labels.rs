//! Labels: for a run, and for what is done with a run afterwards.

use anyhow::{Context, ensure};
use hashvfl_core::RunRecords;
use hashvfl_data::{Order, Target, fingerprint, load_labels};
use hashvfl_learning::loss::Labels;

use crate::config::CoordinatorConfig;

/// Labels with the ids that they belong to.
pub struct LabelledRecords {
    /// Record ids in row order.
    pub ids: Vec<String>,
    /// Labels in the same order.
    pub labels: Labels,
    /// Names of the classes, in their order; none for a regression.
    pub classes: Vec<String>,
}

impl LabelledRecords {
    fn of(loaded: hashvfl_data::Labels) -> Self {
        let (labels, classes) = match loaded.target {
            Target::Classes { names, index } => (Labels::Classes { count: names.len(), index }, names),
            Target::Real(values) => (Labels::Real(values), Vec::new()),
        };
        Self { ids: loaded.ids, labels, classes }
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
    if let Some(path) = &config.order {
        let order = Order::read(path)?;
        order.check(Some(fingerprint(config.labels.files())?), path)?;
        loaded = loaded.in_order(&order)?;
    }
    Ok(LabelledRecords::of(loaded))
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
    let labelled = LabelledRecords::of(load_labels(&config.labels, config.run.task)?);
    let places = match &config.order {
        Some(path) => records.places(Order::read(path)?.agreed(&labelled.ids)),
        None => records.places(labelled.ids.iter().map(|id| Some(id.as_str()))),
    };
    let places = places.context("the labels")?;
    ensure!(
        labelled.classes == classes,
        "the labels name other classes than the run's did ({} now, {} then): restore the labels' words, or train again",
        labelled.classes.len(),
        classes.len()
    );
    let place = |row| places.get(row).map(|place| place.number() as usize);
    let rows = records.rows();
    let relabelled = rows.iter().filter(|row| {
        // Unwrap safety: `places` has a place for each row that was not erased.
        let place = place(**row).expect("a record that was not erased");
        match &labelled.labels {
            Labels::Classes { index, .. } => records.is_relabelled(**row, &classes[index[place] as usize]),
            Labels::Real(values) => records.is_relabelled(**row, values[place].to_le_bytes()),
        }
    });
    let relabelled = relabelled.count();
    ensure!(
        relabelled == 0 || changed == ChangedLabels::Accept,
        "{relabelled} of {} records have other labels than in the run: restore them, or say --accept-changed-labels if they were corrected",
        rows.len()
    );
    let all = (0..records.count() as u32).map(hashvfl_core::RunRow::new);
    Ok(match &labelled.labels {
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
