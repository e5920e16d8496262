//! Labels for the run.

use hashvfl_data::{Order, Target, fingerprint, load_labels};
use hashvfl_learning::top::loss::Labels;

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

/// Loads the labels that the config names.
pub fn load(config: &CoordinatorConfig) -> anyhow::Result<LabelledRecords> {
    let mut loaded = load_labels(&config.labels, config.run.task)?;
    if let Some(path) = &config.order {
        let order = Order::read(path)?;
        order.check(Some(fingerprint(config.labels.files())?), path)?;
        loaded = loaded.in_order(&order)?;
    }
    let (labels, classes) = match loaded.target {
        Target::Classes { names, index } => (Labels::Classes { count: names.len(), index }, names),
        Target::Real(values) => (Labels::Real(values), Vec::new()),
    };
    Ok(LabelledRecords { ids: loaded.ids, labels, classes })
}
