//! What is done now and then: a line of the log, so that a party at work is not silent for hours, and a look at the ledger.

use std::time::{Duration, Instant};

use hashvfl_monitor::Board;

use crate::releases::ReleaseLedger;

/// Least time between two lines.
const EVERY: Duration = Duration::from_secs(60);

/// When the last line was written.
#[derive(Debug, Default)]
pub struct ProgressThrottle {
    last: Option<Instant>,
}

impl ProgressThrottle {
    /// Whether it is time for a line: at first, and then once a minute at most.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = self.last.is_none_or(|last| now.duration_since(last) >= EVERY);
        if due {
            self.last = Some(now);
        }
        due
    }
}

/// Least time between two looks at the whole ledger.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look takes one part in so many of the time.
const LOOK_SHARE: u32 = 200;

/// When the ledger was looked at last, and how long that took.
#[derive(Debug, Default)]
pub struct LedgerLook(Option<LastLook>);

#[derive(Debug)]
struct LastLook {
    ended: Instant,
    took: Duration,
}

impl LedgerLook {
    /// Shows on `board` what is used up of the budget in `releases`, if it is time to look; where `now`, in any case.
    pub fn show(&mut self, releases: &ReleaseLedger, board: &Board, now: bool) {
        let pause = |last: &LastLook| LOOK_EVERY.max(last.took * LOOK_SHARE);
        if !now && self.0.as_ref().is_some_and(|last| last.ended.elapsed() < pause(last)) {
            return;
        }
        let began = Instant::now();
        let budget = releases.budget();
        board.status().budget = Some(budget);
        self.0 = Some(LastLook { ended: Instant::now(), took: began.elapsed() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_comes_at_once_and_others_once_a_minute() {
        let (mut progress, start) = (ProgressThrottle::default(), Instant::now());
        let due = [0, 1, 59, 60, 61, 119, 120, 500]
            .map(|after| progress.is_due(start + Duration::from_secs(after)));
        assert_eq!(due, [true, false, false, true, false, false, true, true]);
    }
}
