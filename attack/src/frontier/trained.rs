//! The run of one form, in this process.

use std::fs;
use std::path::Path;

use anyhow::Context;
use hashvfl_coordinator::{CoordinatorConfig, top_file};
use hashvfl_core::{Part, Plan, RunSettings};
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::{Classifier, Encoder};

use crate::evidence::Evidence;
use crate::evidence::observed::{Observed, ObservedAt};
use crate::evidence::simulation::{RunVariant, simulate};
use crate::frontier::FrontierForm;
use crate::report::CutKind;

/// A run that has ended.
pub struct TrainedForm {
    /// What was sent.
    pub observed: Observed,
    /// The encoders that made it, in the order of the parties; none of floats at one bit each, whose bits none makes.
    pub encoders: Vec<Encoder>,
    /// The top model; none of floats at one bit each.
    pub top: Option<Classifier>,
    /// The task's metric on test records.
    pub metric: f64,
}

/// Trains `form` on the records of `evidence`; its transcript lies at `path` meanwhile.
///
/// # Errors
/// If the run fails, or its metric is undefined.
pub fn trained(evidence: &Evidence, form: &FrontierForm, path: &Path) -> anyhow::Result<TrainedForm> {
    let one_bit = form.cut == CutKind::SimulatedQuantised;
    // The top model learns from floats, which at one bit each are something else: it is fitted again on bits of all records.
    let run = RunSettings { refit: form.run.refit || one_bit, ..form.run.clone() };
    let cut = if form.cut == CutKind::Codes { CutLayer::Hash } else { CutLayer::SimulatedFloat };
    let (noises, gradients) = (Some(&form.noises), form.as_score);
    let variant = RunVariant { noises, gradients, ..RunVariant::new(&run, cut) };
    let simulated = simulate(evidence, &variant, path).with_context(|| form.name.clone())?;
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    if !one_bit {
        let (observed, encoders, metric) = (simulated.observed, simulated.encoders, simulated.utility);
        return Ok(TrainedForm { observed, encoders, top: Some(simulated.top), metric });
    }
    let run = run.of_floats();
    let plan = evidence.plan_under(&run)?;
    let observed = simulated.observed.quantised(plan.part(Part::Train));
    let metric = refitted(evidence, &run, &plan, &observed)?;
    Ok(TrainedForm { observed, encoders: Vec::new(), top: None, metric })
}

/// The metric of a top model that has learned from what was seen of frozen encoders, and from nothing before.
fn refitted(evidence: &Evidence, run: &RunSettings, plan: &Plan, observed: &Observed) -> anyhow::Result<f64> {
    let config = CoordinatorConfig { run: run.clone(), ..evidence.coordinator.clone() };
    let mut top = top_file::new(&config, evidence.labels.clone(), plan, &Device::flex())?;
    let [train, validation, test] = [Part::Train, Part::Validation, Part::Test].map(|part| plan.part(part));
    for rows in [train, validation, test] {
        observed.gather_all(ObservedAt::Frozen, rows)?;
    }
    // Unwrap safety: all parts were gathered just now.
    let gather = |rows: &[u32]| observed.gather_all(ObservedAt::Frozen, rows).expect("codes that were seen");
    top.refit(&gather, train, validation, plan.batch_rows(), run.task)?;
    top.evaluate_stored(&gather, test).metric(run.task).context("the metric on test records is undefined")
}
