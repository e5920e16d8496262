//! How long a party's next message is waited for, over all its connections.

use std::time::{Duration, Instant};

/// A wait that has begun. Where the party's connection breaks meanwhile, it has the time to come back in addition: once, so that
/// no number of connections makes the wait longer than the others wait for their next request.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    began: Instant,
    limit: Duration,
    reconnect: Duration,
    broke: bool,
}

impl Deadline {
    /// Begins `now`.
    pub fn begin(now: Instant, limit: Duration, reconnect: Duration) -> Self {
        Self { began: now, limit, reconnect, broke: false }
    }

    /// What is left of it.
    pub fn left(&self, now: Instant) -> Duration {
        let more = if self.broke { self.reconnect } else { Duration::ZERO };
        self.limit.saturating_add(more).saturating_sub(now.duration_since(self.began))
    }

    /// The connection has broken, or the party is back on another: longest wait until it is.
    pub fn breaks(&mut self, now: Instant) -> Duration {
        self.broke = true;
        self.reconnect.min(self.left(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_party_that_comes_back_again_and_again_has_the_time_for_that_once() {
        let now = Instant::now();
        let mut waiting = Deadline::begin(now, SECOND * 60, SECOND * 30);
        assert_eq!(waiting.left(now + SECOND * 50), SECOND * 10);
        assert_eq!(waiting.breaks(now + SECOND * 59), SECOND * 30);
        assert_eq!(waiting.left(now + SECOND * 80), SECOND * 10);
        assert_eq!(waiting.breaks(now + SECOND * 80), SECOND * 10);
        assert_eq!(waiting.left(now + SECOND * 95), Duration::ZERO);
        assert_eq!(waiting.breaks(now + SECOND * 95), Duration::ZERO);
    }

    #[test]
    fn a_wait_without_a_limit_has_none_and_nobody_waits_for_who_may_not_come_back() {
        let now = Instant::now();
        let mut waiting = Deadline::begin(now, Duration::MAX, Duration::ZERO);
        assert!(waiting.left(now + SECOND * 3600) > SECOND * 1_000_000);
        assert_eq!(waiting.breaks(now), Duration::ZERO);
    }
}
