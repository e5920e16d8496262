//! Many runs under watch, and what they say.

use std::ops::ControlFlow;

use hashvfl_core::hijack::{Alarm, Watch};

use crate::dataset::Dataset;
use crate::recipe::Recipe;
use crate::run::{VICTIM, run};
use crate::sender::Sender;

/// The alarm of one run with a watch at each party, and the bits of a record's code.
pub fn alarm(
    dataset: &Dataset,
    recipe: &Recipe,
    sender: &Sender,
    steps: u32,
) -> anyhow::Result<Option<Alarm>> {
    let mut watches = [0, 1].map(|_| Watch::new(recipe.settings.bits));
    let mut raised = None;
    run(dataset, recipe, sender, steps, &mut |seen| {
        // A hijacker is noticed by its victim or not at all; in an honest run anybody's alarm is false.
        if seen.party != VICTIM && !matches!(sender, Sender::Honest) {
            return ControlFlow::Continue(());
        }
        raised = watches[seen.party].see(seen.codes, seen.gradient, seen.rows);
        if raised.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(raised)
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
    /// Counts a run.
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
