//! The coordinator's part of the training loop once more, on what parties sent in a run that was recorded. All that it learns
//! follows from that, from the labels and from its seed.

use anyhow::anyhow;
use hashvfl_core::Plan;
use hashvfl_learning::Classifier;
use hashvfl_learning::device::Device;
use hashvfl_learning::top::loss::Labels;
use hashvfl_learning::training::backend::PartyBackend;
use hashvfl_learning::training::{self, ScreeningHook, ScreeningPoint, StepObserver, TrainingOptions};

use super::screening::Screener;
use crate::config::CoordinatorConfig;
use crate::top_file;

/// Trains the top model of `config` on what `parties` send, on the CPU, as the run did; nothing is kept in the state folder.
/// `observer` hears of every step.
///
/// # Errors
/// If `parties` fail, or training records cannot be screened.
pub fn train_again(
    config: &CoordinatorConfig,
    labels: &Labels,
    plan: &Plan,
    parties: &mut impl PartyBackend<Error = anyhow::Error>,
    observer: &mut StepObserver<'_>,
) -> anyhow::Result<Classifier> {
    let mut screener = config.screening.as_ref().map(|of| Screener::new(of, labels.clone(), config.seed));
    let mut judge;
    let screen = match (config.screening, screener.as_mut()) {
        (Some(screening), Some(screener)) => {
            judge = |at: ScreeningPoint, rows: &[u32], parts: &[Vec<f32>]| screener.judge(at, rows, parts);
            Some(ScreeningHook { after_epochs: screening.after_epochs, judge: &mut judge })
        }
        _ => None,
    };
    // It may live longer than what judges.
    let mut hear = |top: &Classifier, rows: &[u32], parts: &[Vec<f32>]| {
        observer(top, rows, parts);
    };
    let options = TrainingOptions { screen, observer: Some(&mut hear), ..TrainingOptions::of(&config.top) };
    let mut classifier = top_file::new(config, labels.clone(), plan, &Device::flex())?;
    let silent = &mut |_: training::TrainingProgress| {};
    training::train(parties, &config.run, &mut plan.clone(), &mut classifier, options, silent)
        .map_err(|error| anyhow!("{error:#}"))?;
    Ok(classifier)
}
