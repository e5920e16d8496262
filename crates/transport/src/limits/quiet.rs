//! Lines of a log that strangers cause, at a bounded rate.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashvfl_core::text::counted;

/// Lines that are written at once.
const BURST: u32 = 10;
/// One more line is written each so often.
const REFILL: Duration = Duration::from_secs(1);

/// Names whose lines are counted apart, at most; all others share one budget.
const NAMES: usize = 1024;

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

    /// Whether a line may be written now: what to put behind it, which says how many were kept back.
    pub fn next_line(&self, now: Instant) -> Option<String> {
        self.may_write(now).map(remark)
    }

    /// Writes `line` as a warning, if one may be written now, with the number of lines that were kept back before it.
    pub fn warn(&self, line: &str) {
        if let Some(more) = self.next_line(Instant::now()) {
            tracing::warn!("{line}{more}");
        }
    }
}

/// What a line ends with before which so many were kept back.
fn remark(kept_back: u64) -> String {
    match kept_back {
        0 => String::new(),
        more => format!(" ({} suppressed before this one)", counted(more, "similar line")),
    }
}

/// A [`QuietLog`] for each of those who have a name, so that one who causes many lines crowds out none about another.
#[derive(Debug, Default)]
pub struct QuietLogs(Mutex<BTreeMap<String, QuietLog>>);

impl QuietLogs {
    /// Whether a line about `name` may be written now: what to put behind it, which says how many were kept back.
    pub fn may_write(&self, name: &str, now: Instant) -> Option<String> {
        // A panic while the lock was held cannot leave the map half changed.
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = logs.contains_key(name) || logs.len() < NAMES;
        let log = logs.entry(if is_known { name.to_string() } else { String::new() }).or_default();
        log.next_line(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_causes_many_lines_writes_a_burst_and_crowds_out_no_other() {
        let (logs, now) = (QuietLogs::default(), Instant::now());
        let written = (0..1000).filter(|_| logs.may_write("client/app", now).is_some()).count();
        assert_eq!(written, BURST as usize);
        assert_eq!(logs.may_write("party/bank", now).as_deref(), Some(""));
        let later = logs.may_write("client/app", now + REFILL + REFILL / 2);
        assert_eq!(later.as_deref(), Some(" (990 similar lines suppressed before this one)"));
        for name in 0..2 * NAMES {
            logs.may_write(&name.to_string(), now);
        }
        assert!(logs.0.lock().unwrap().len() <= NAMES + 1, "names take a bounded part of the memory");
    }

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
