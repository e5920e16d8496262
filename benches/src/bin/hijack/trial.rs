//! Runs with a gradient monitor at each party, and what the monitors say.

use std::fmt::Write;
use std::ops::ControlFlow;

use hashvfl_core::CodeForm;
use hashvfl_core::gradient_monitor::{Alarm, GradientMonitor, SeenBatch, looks_at};

use crate::dataset::Dataset;
use crate::recipe::Recipe;
use crate::run::{BatchView, VICTIM, run};
use crate::sender::Sender;

/// The first alarm of one run with a gradient monitor at each party.
pub fn alarm(
    dataset: &Dataset,
    recipe: &Recipe,
    sender: &Sender,
    steps: u32,
) -> anyhow::Result<Option<Alarm>> {
    let mut raised = None;
    monitored(dataset, recipe, sender, steps, &mut |_, _, monitor| {
        raised = monitor.alarm();
        raised.is_some()
    })?;
    Ok(raised)
}

/// The share of gradient that each batch looked at closely shows to be predictable, and the score of earlier codes, as lines
/// `party,step,share,score`.
pub fn trace(dataset: &Dataset, recipe: &Recipe, sender: &Sender, steps: u32) -> anyhow::Result<String> {
    let mut lines = String::new();
    monitored(dataset, recipe, sender, steps, &mut |party, step, monitor| {
        if looks_at(step.into()) {
            let _ =
                writeln!(lines, "{party},{step},{:.4},{:.3}", monitor.explained(), monitor.earlier_score());
        }
        false
    })?;
    Ok(lines)
}

/// Shows each gradient monitor of one run after every look, with its party and step, from 1, until `enough`.
fn monitored(
    dataset: &Dataset,
    recipe: &Recipe,
    sender: &Sender,
    steps: u32,
    enough: &mut dyn FnMut(usize, u32, &GradientMonitor) -> bool,
) -> anyhow::Result<()> {
    let (settings, records) = (&recipe.settings, dataset.columns(0).rows());
    let monitor = |form: CodeForm| (0, GradientMonitor::of_run(settings, form, records, settings.seed));
    let mut monitors: Vec<(u32, GradientMonitor)> = settings.code_forms().map(monitor).collect();
    run(dataset, recipe, sender, steps, &mut |seen| {
        // A hijacker is noticed by its victim or not at all; in an honest run anybody's alarm is false.
        if seen.party != VICTIM && !matches!(sender, Sender::Honest) {
            return ControlFlow::Continue(());
        }
        let (step, monitor) = &mut monitors[seen.party];
        *step += 1;
        let BatchView { begins_cycle, records: rows, codes, expected, gradient, .. } = seen;
        monitor.observe(&SeenBatch { begins_cycle, rows, codes, expected, gradient });
        if enough(seen.party, *step, monitor) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(())
}

/// How many of some runs raised an alarm.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Runs.
    pub runs: usize,
    /// Steps at the alarms.
    pub steps: Vec<u32>,
}

impl Tally {
    /// Counts per run.
    pub fn add(&mut self, alarm: Option<Alarm>) {
        self.runs += 1;
        self.steps.extend(alarm.map(|alarm| alarm.steps));
        self.steps.sort_unstable();
    }

    /// Share of runs with an alarm, and its 95 % interval (Wilson 1927).
    pub fn share(&self) -> [f64; 3] {
        const Z: f64 = 1.96;
        let (n, hits) = (self.runs as f64, self.steps.len() as f64);
        let (share, z2) = (hits / n, Z * Z);
        let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
        [share, (middle - half).max(0.0), (middle + half).min(1.0)]
    }

    /// The middle of the steps at alarms.
    pub fn median(&self) -> Option<u32> {
        self.steps.get(self.steps.len() / 2).copied()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [share, low, high] = self.share().map(|share| 100.0 * share);
        write!(f, "{:>4} of {:>4} = {share:>5.1} % [{low:.1}, {high:.1}]", self.steps.len(), self.runs)?;
        match (self.median(), self.steps.last()) {
            (Some(median), Some(last)) => write!(f, ", after {median} steps (median), {last} at most"),
            _ => Ok(()),
        }
    }
}
