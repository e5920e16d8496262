//! The closing table, and the same as `summary.json`.

use std::path::Path;

use hashvfl_coordinator::summary::Summary;
use hashvfl_files::say;
use hashvfl_learning::top::loss::Evaluation;
use serde::Serialize;

use crate::baseline::Tuned;

/// The demo's `summary.json`; its fields are described in docs/summary.md.
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

    /// Prints the table.
    pub fn print(&self) {
        let percent = |evaluation: &Evaluation| {
            evaluation.accuracy.map_or("none".to_string(), |accuracy| format!("{:.1} %", accuracy * 100.0))
        };
        let federation = self.federation.test.as_ref().map_or("none".to_string(), percent);
        let (bytes, released) = (&self.federation.bytes, &self.federation.bits_released_per_record);
        let without = |party: &str| {
            let mut found = self.federation.without.iter().filter(|(name, _)| name.as_str() == party);
            found.next().map_or("none".to_string(), |(_, evaluation)| percent(evaluation))
        };
        let rows = [
            ("test accuracy, federation on hash codes", federation),
            ("  the same without the left party's codes", without("left")),
            ("  the same without the right party's codes", without("right")),
            ("  left party alone", percent(&self.baselines.left_alone)),
            ("  right party alone", percent(&self.baselines.right_alone)),
            ("  same network, all columns, no hashing", percent(&self.baselines.joined_without_hashing)),
            ("bytes up, a record, step and party", format!("{:.2}", bytes.up_per_record_and_step)),
            ("bytes down, a record, step and party", format!("{:.2}", bytes.down_per_record_and_step)),
            ("bits released by a party, training record", released.cohort_train.to_string()),
            ("bits released by a party, test record", released.test.to_string()),
            ("seconds, federation of three processes", format!("{:.1}", self.federation.seconds.run)),
            ("seconds, with tuning, baselines and attacks", format!("{:.1}", self.demo_seconds)),
        ];
        say!("");
        for (name, value) in rows {
            say!("  {name:<44} {value:>10}");
        }
    }

    /// Writes the JSON.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        Ok(hashvfl_files::write_whole(path, &text)?)
    }
}
