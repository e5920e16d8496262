//! Records that detectors flagged, over time.

use std::collections::VecDeque;

use serde::Serialize;

/// Spans that are kept at most.
const MOST: usize = 180;
/// Seconds of a span.
const SPAN_S: u64 = 60;

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FlagSpan {
    /// Its start, in seconds since 1970.
    pub start_s: u64,
    /// Its seconds.
    pub seconds: u64,
    /// Records that were judged.
    pub judged: u64,
    /// Those that were flagged.
    pub flagged: u64,
}

/// The last three hours, minute by minute. Minutes without a judged record are left out.
#[derive(Debug, Default)]
pub struct FlagHistory(VecDeque<FlagSpan>);

impl FlagHistory {
    /// Counts records that were judged at `at_s`, in seconds since 1970.
    pub fn count(&mut self, at_s: u64, judged: u64, flagged: u64) {
        let start_s = at_s - at_s % SPAN_S;
        match self.0.back_mut().filter(|last| last.start_s == start_s) {
            Some(last) => {
                last.judged += judged;
                last.flagged += flagged;
            }
            None => self.0.push_back(FlagSpan { start_s, seconds: SPAN_S, judged, flagged }),
        }
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }

    /// The spans, by rising time.
    pub fn spans(&self) -> &VecDeque<FlagSpan> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_counted_and_old_ones_forgotten() {
        let mut history = FlagHistory::default();
        history.count(1_000_000, 10, 1);
        history.count(1_000_010, 5, 0);
        history.count(1_000_100, 7, 7);
        let told: Vec<(u64, u64, u64)> =
            history.spans().iter().map(|span| (span.start_s, span.judged, span.flagged)).collect();
        assert_eq!(told, [(999_960, 15, 1), (1_000_080, 7, 7)]);
        (0..500).for_each(|minute| history.count(2_000_000 + 60 * minute, 1, 0));
        assert_eq!(history.spans().len(), MOST);
        assert!(history.spans().front().unwrap().start_s > 2_000_000);
    }
}
