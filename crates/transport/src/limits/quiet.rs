//! Lines of a log that strangers cause, at a bounded rate.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that are written at once.
const BURST: u32 = 10;
/// One more line is written each so often.
const REFILL: Duration = Duration::from_secs(1);

/// Lets a burst of lines through, then one a second, and counts those that it keeps back.
#[derive(Debug)]
pub struct QuietLog(Mutex<Budget>);

#[derive(Debug)]
struct Budget {
    lines: u32,
    refilled: Instant,
    kept_back: u64,
}

impl Default for QuietLog {
    fn default() -> Self {
        Self::new()
    }
}

impl QuietLog {
    /// With a whole burst left.
    pub fn new() -> Self {
        Self(Mutex::new(Budget { lines: BURST, refilled: Instant::now(), kept_back: 0 }))
    }

    /// Whether a line may be written now, and how many were kept back since the last that was.
    pub fn may_write(&self, now: Instant) -> Option<u64> {
        // A panic while the lock was held cannot leave the budget half changed.
        let mut budget = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refills = now.saturating_duration_since(budget.refilled).as_secs() / REFILL.as_secs();
        if refills > 0 {
            budget.refilled = now;
            budget.lines = budget.lines.saturating_add(refills.min(u64::from(BURST)) as u32).min(BURST);
        }
        if budget.lines == 0 {
            budget.kept_back += 1;
            return None;
        }
        budget.lines -= 1;
        Some(std::mem::take(&mut budget.kept_back))
    }

    /// Writes `line` as a warning, if one may be written now, with the number of lines that were kept back before it.
    pub fn warn(&self, line: &str) {
        match self.may_write(Instant::now()) {
            Some(0) => tracing::warn!("{line}"),
            Some(more) => tracing::warn!("{line} ({more} lines like it were left out before this one)"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_writes_a_burst_and_then_a_line_a_second() {
        let (log, now) = (QuietLog::new(), Instant::now());
        let written = (0..1000).filter(|_| log.may_write(now).is_some()).count();
        assert_eq!(written, BURST as usize);
        let later = now + REFILL + REFILL / 2;
        assert_eq!(log.may_write(later), Some(990));
        assert_eq!(log.may_write(later), None);
        assert_eq!(log.may_write(later + Duration::from_secs(3600)), Some(1));
    }
}
