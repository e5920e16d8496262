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

/// When the ledger was looked at last, and whether what has left since then is still to be shown.
#[derive(Debug, Default)]
pub struct LedgerLook {
    last: Option<LastLook>,
    is_behind: bool,
}

#[derive(Debug, Clone, Copy)]
struct LastLook {
    ended: Instant,
    took: Duration,
}

impl LedgerLook {
    /// Shows on `board` what is used up of the budget in `releases`, if it is time to look; where `now`, in any case.
    pub fn show(&mut self, releases: &ReleaseLedger, board: &Board, now: bool) {
        let began = Instant::now();
        self.is_behind = !now && !self.left(began).is_zero();
        if self.is_behind {
            return;
        }
        let budget = releases.budget();
        board.status().budget = Some(budget);
        self.last = Some(LastLook { ended: Instant::now(), took: began.elapsed() });
    }

    /// How long until it is time to show what was passed over; `None` where all is shown.
    pub fn behind(&self) -> Option<Duration> {
        self.is_behind.then(|| self.left(Instant::now()))
    }

    /// How long until it is time to look.
    fn left(&self, now: Instant) -> Duration {
        let Some(LastLook { ended, took }) = self.last else { return Duration::ZERO };
        let pause = LOOK_EVERY.max(took * LOOK_SHARE);
        pause.saturating_sub(now.duration_since(ended))
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

    #[test]
    fn what_a_look_has_passed_over_is_shown_when_it_is_time() {
        let (ended, took) = (Instant::now(), Duration::from_millis(20));
        let look = |is_behind| LedgerLook { last: Some(LastLook { ended, took }), is_behind };
        assert_eq!(look(false).behind(), None);
        assert_eq!(look(true).left(ended + Duration::from_secs(1)), Duration::from_secs(3));
        assert_eq!(look(true).left(ended + Duration::from_secs(5)), Duration::ZERO);
        assert!(look(true).behind().is_some_and(|left| left <= Duration::from_secs(4)));
    }
}
