//! For how long a party waits where its run has begun and stands still: for a coordinator that is not there, and for the other sides.

use std::time::{Duration, Instant};

use hashvfl_cli::OnInterruption;
use hashvfl_transport::dial::DialError;

use crate::config::PartyConfig;
use crate::training::{HandshakeBroke, is_interruption};

/// A wait that is shorter is none.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is left of the time to wait. A run that has begun was joined by this party before, in this process or in an earlier one: its
/// coordinator is waited for as one that was lost. Otherwise a party that is started again while the coordinator's machine is down
/// would end soon, and one in doubt would be started again and again.
pub struct Patience {
    on_interruption: OnInterruption,
    /// For a coordinator that is dialled, at each attempt.
    connect_s: u64,
    /// For all attempts.
    limit_s: u64,
    /// Since when the run stands still, if it has begun.
    since: Option<Instant>,
}

impl Patience {
    /// That of a party whose process joins its run for the first time.
    pub fn begin(config: &PartyConfig, has_begun: bool, now: Instant) -> Self {
        let timeouts = &config.timeouts;
        let limit_s = match config.on_interruption {
            OnInterruption::Wait => timeouts.start_s,
            OnInterruption::Stop => timeouts.reconnect_s,
        };
        Self {
            on_interruption: config.on_interruption,
            connect_s: timeouts.connect_s,
            limit_s: limit_s.max(timeouts.connect_s),
            since: has_begun.then_some(now),
        }
    }

    /// How long the next attempt dials, in seconds.
    pub fn dials_s(&self, now: Instant) -> u64 {
        self.left(now).map_or(self.connect_s, |left| left.as_secs().clamp(1, self.connect_s))
    }

    /// Whether the run is joined again, where an attempt has ended `now` by `error`.
    pub fn bears(&mut self, error: &anyhow::Error, now: Instant) -> bool {
        if is_interruption(error) {
            self.since = Some(now);
            return self.on_interruption == OnInterruption::Wait;
        }
        is_away(error) && self.left(now).is_some_and(|left| left >= SHORTEST)
    }

    /// `error`, by which the last attempt has ended, with how long this party has waited in all.
    pub fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        if self.since.is_none() || !is_away(&error) {
            return error;
        }
        let limit_s = self.limit_s;
        error
            .context(format!("waited {limit_s} s for the coordinator, without which the run cannot continue"))
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        let limit = Duration::from_secs(self.limit_s);
        self.since.map(|since| limit.saturating_sub(now.duration_since(since)))
    }
}

/// Whether a coordinator that was there is not, for the time being: nobody answers, or something else does in its place.
fn is_away(error: &anyhow::Error) -> bool {
    error.is::<HandshakeBroke>() || error.downcast_ref().is_some_and(DialError::may_pass)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::training::Interrupted;

    fn config(on_interruption: &str) -> PartyConfig {
        let text = format!(
            "name = \"bank\"\nrun_id = \"r\"\ncoordinator = \"http://127.0.0.1:1\"\nstate = \"state\"\n\
             on_interruption = \"{on_interruption}\"\ninsecure_plaintext = true\n\
             run = {{ parties = [\"bank\"], task = \"binary\", bits = 16, epochs = 3 }}\n\
             columns = {{ format = \"csv\", paths = [\"a.csv\"], id = \"id\" }}\n"
        );
        PartyConfig::parse(&text, Path::new("")).unwrap()
    }

    fn away() -> anyhow::Error {
        HandshakeBroke("nobody is there".into()).into()
    }

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_coordinator_of_a_run_that_has_begun_is_waited_for_as_one_that_was_lost() {
        let began = Instant::now();
        for (on_interruption, limit_s) in [("wait", 3600), ("stop", 900)] {
            let config = config(on_interruption);
            let mut new = Patience::begin(&config, false, began);
            assert!(!new.bears(&away(), began), "whoever was never in waits for timeouts.connect_s alone");
            assert_eq!(new.dials_s(began), 120);
            let mut begun = Patience::begin(&config, true, began);
            for seconds in [0, 121, limit_s - 121, limit_s - 1] {
                assert!(begun.bears(&away(), began + after(seconds)), "{on_interruption}, {seconds} s");
            }
            assert!(!begun.bears(&anyhow::anyhow!("no such table"), began));
            // No attempt takes longer than what is left.
            assert_eq!(begun.dials_s(began + after(limit_s - 121)), 120);
            assert_eq!(begun.dials_s(began + after(limit_s - 7)), 7);
            assert!(!begun.bears(&away(), began + after(limit_s)));
            let line = format!("{:#}", begun.explain(away()));
            assert!(line.starts_with(&format!("waited {limit_s} s for the coordinator")), "{line}");
        }
    }

    #[test]
    fn a_run_that_is_interrupted_has_all_its_time_again_where_the_config_says_to_wait() {
        let began = Instant::now();
        let lost = || anyhow::Error::from(Interrupted("no way back".into()));
        let mut waits = Patience::begin(&config("wait"), false, began);
        let later = began + after(7000);
        assert!(waits.bears(&lost(), later) && waits.bears(&away(), later + after(3599)));
        assert!(!waits.bears(&away(), later + after(3600)));
        let mut stops = Patience::begin(&config("stop"), true, began);
        assert!(!stops.bears(&lost(), began));
        assert_eq!(format!("{:#}", stops.explain(lost())), "no way back");
    }
}
