//! How far an alignment is, for a person: a bar with rate and time left, or lines where there is no terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::protocol::holder::AlignmentProgress;

/// Between two lines of a log.
const QUIET: Duration = Duration::from_secs(10);

/// Shows progress on standard error.
pub struct Bar {
    bar: Option<ProgressBar>,
    start: Instant,
    told: Instant,
    first: Option<u64>,
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Bar {
    /// A bar that has not begun.
    pub fn new() -> Self {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = "aligning {bar:40} {human_pos}/{human_len} points, {per_sec}, {eta} left";
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self { bar, start: now, told: now, first: None }
    }

    /// Shows how far it is.
    pub fn tell(&mut self, AlignmentProgress { done, total }: AlignmentProgress) {
        let first = *self.first.get_or_insert(done);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            if done == total && total > 0 {
                bar.finish();
            }
        } else if self.told.elapsed() >= QUIET {
            self.told = Instant::now();
            let rate = done.saturating_sub(first) as f64 / self.start.elapsed().as_secs_f64();
            let left = if rate > 0.0 { (total - done) as f64 / rate } else { f64::INFINITY };
            hashvfl_files::complain!(
                "aligning: {done} of {total} points, {rate:.0} per second, {left:.0} s left"
            );
        }
    }
}
