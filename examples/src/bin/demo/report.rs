//! The closing table, and the same as `summary.json`.

use std::path::Path;

use hashvfl_coordinator::summary::Summary;
use hashvfl_files::say;
use hashvfl_learning::top::evaluation::Evaluation;
use serde::Serialize;

use crate::baseline::Tuned;

/// The demo's `summary.json`; its fields are described in docs/reference/summary.md.
#[derive(Serialize)]
pub struct Report {
    /// The federation's own summary, as its coordinator wrote it.
    pub federation: Summary,
    /// Test results of the baselines.
    pub baselines: Baselines,
    /// Seconds of the whole demo, tuning and baselines included.
    pub demo_seconds: f64,
}

/// What the federation is compared with; none of these could run without moving columns or labels.
#[derive(Serialize)]
pub struct Baselines {
    /// The left party's columns alone, no hashing.
    pub left_alone: Evaluation,
    /// The right party's columns alone, no hashing.
    pub right_alone: Evaluation,
    /// The same network on all columns, floats at the cut.
    pub joined_without_hashing: Evaluation,
}

impl Report {
    /// Puts the results together.
    pub fn new(federation: Summary, tuned: Tuned, demo_seconds: f64) -> Self {
        let baselines = Baselines {
            left_alone: tuned.left,
            right_alone: tuned.right,
            joined_without_hashing: tuned.joined,
        };
        Self { federation, baselines, demo_seconds }
    }

    /// Prints how well the federation predicts, beside what it is compared with.
    pub fn print(&self) {
        let accuracy = |evaluation: &Evaluation| evaluation.accuracy.unwrap_or(0.0);
        say!("\nCorrect on test digits");
        bar("federation, hash codes only", self.federation.test.as_ref().map_or(0.0, accuracy));
        bar("left half alone", accuracy(&self.baselines.left_alone));
        bar("right half alone", accuracy(&self.baselines.right_alone));
        bar("both halves in one place", accuracy(&self.baselines.joined_without_hashing));
        let area = self.federation.test.map_or_else(|| "undefined".to_string(), |test| test.area_text());
        let joined = self.baselines.joined_without_hashing.area_text();
        say!("  macro AUC: federation {area}, both halves in one place {joined}");
    }

    /// Writes the JSON.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        Ok(hashvfl_files::write_whole(path, &text)?)
    }
}

/// Cells of a full bar.
const WIDTH: f64 = 30.0;

/// Prints one bar of a chart; `fraction` is from 0 to 1, what lies below is drawn as 0.
pub fn bar(name: &str, fraction: f64) {
    let cells = "█".repeat((fraction.clamp(0.0, 1.0) * WIDTH).round() as usize);
    say!("  {name:<42} {:>5.1} %  {cells}", fraction * 100.0);
}
