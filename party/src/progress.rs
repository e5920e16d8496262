//! A line of the log now and then, so that a party at work is not silent for hours.

use std::time::{Duration, Instant};

/// Least time between two lines.
const EVERY: Duration = Duration::from_secs(60);

/// When the last line was written.
#[derive(Debug, Default)]
pub struct Progress {
    last: Option<Instant>,
}

impl Progress {
    /// Whether it is time for a line: at first, and then once a minute at most.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = self.last.is_none_or(|last| now.duration_since(last) >= EVERY);
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_comes_at_once_and_others_once_a_minute() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        let due = [0, 1, 59, 60, 61, 119, 120, 500]
            .map(|after| progress.is_due(start + Duration::from_secs(after)));
        assert_eq!(due, [true, false, false, true, false, false, true, true]);
    }
}
