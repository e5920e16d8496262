//! For how long a party that the coordinator does not let in dials again.

use std::time::{Duration, Instant};

use hashvfl_core::protocol::party::PartyError;
use tracing::warn;

use crate::config::Timeouts;
use crate::training::HandshakeBroke;

/// Shortest and longest pause before the coordinator is dialled again.
const PAUSE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];

/// Attempts to be let in that ended in vain.
pub(super) struct Attempts {
    /// Since when this party is not in.
    since: Instant,
    /// When the first of the handshakes broke that broke in a row.
    broke: Option<Instant>,
    pause: Duration,
}

impl Attempts {
    /// The first begins.
    pub fn begin(now: Instant) -> Self {
        Self { since: now, broke: None, pause: PAUSE[0] }
    }

    /// The pause before the next attempt, where one has ended `now` by `error`: as long as the coordinator refuses for now, there
    /// is one for as long as a party waits for a run to start, and where a connection breaks in the handshake, for as long as it
    /// waits for a coordinator. `was_accepted` says whether the party was in meanwhile: it has all its time again then.
    pub fn pause_after(
        &mut self,
        error: &anyhow::Error,
        was_accepted: bool,
        timeouts: &Timeouts,
        now: Instant,
    ) -> Option<Duration> {
        if was_accepted {
            *self = Self::begin(now);
        }
        let (since, limit_s) = match error.downcast_ref() {
            Some(PartyError::TryAgain(_)) => {
                self.broke = None;
                (self.since, timeouts.start_s)
            }
            _ if error.is::<HandshakeBroke>() => (*self.broke.get_or_insert(now), timeouts.connect_s),
            _ => return None,
        };
        if now.duration_since(since) + self.pause > Duration::from_secs(limit_s) {
            return None;
        }
        if self.pause == PAUSE[0] {
            warn!("{error}: trying again for {limit_s} s");
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE[1]);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broke() -> anyhow::Error {
        HandshakeBroke("the connection was lost".into()).into()
    }

    fn refused() -> anyhow::Error {
        PartyError::TryAgain("not yet".into()).into()
    }

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_party_that_was_in_has_all_its_time_again() {
        let (began, timeouts) = (Instant::now(), Timeouts::default());
        let mut attempts = Attempts::begin(began);
        // It has waited for the others, and the coordinator began anew.
        let much_later = began + after(timeouts.start_s + 7);
        assert_eq!(attempts.pause_after(&refused(), true, &timeouts, much_later), Some(PAUSE[0]));
        let broken = much_later + after(1);
        assert_eq!(attempts.pause_after(&broke(), false, &timeouts, broken), Some(PAUSE[0] * 2));
        let still = broken + after(timeouts.connect_s - 2);
        assert!(attempts.pause_after(&broke(), false, &timeouts, still).is_some());
        let too_late = broken + after(timeouts.connect_s);
        assert_eq!(attempts.pause_after(&broke(), false, &timeouts, too_late), None);
    }

    #[test]
    fn only_handshakes_that_break_in_a_row_count_together() {
        let (began, timeouts) = (Instant::now(), Timeouts::default());
        let mut attempts = Attempts::begin(began);
        for round in 1..9 {
            let later = began + after(round * timeouts.connect_s);
            let error = if round % 2 == 0 { broke() } else { refused() };
            assert!(attempts.pause_after(&error, false, &timeouts, later).is_some(), "round {round}");
        }
        let too_late = began + after(timeouts.start_s);
        assert_eq!(attempts.pause_after(&refused(), false, &timeouts, too_late), None);
        assert_eq!(attempts.pause_after(&anyhow::anyhow!("no such table"), true, &timeouts, began), None);
    }
}
