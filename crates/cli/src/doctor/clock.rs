//! This machine's clock, beside others.

use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hashvfl_audit::timestamp;
use serde_json::{Value, json};

/// What systemd leaves when the clock was set from the network.
const SET: &str = "/run/systemd/timesync/synchronized";
/// Clocks that differ by more are worth a look, in seconds: certificates and policies go by them.
const WORTH_A_LOOK: i64 = 60;

/// This machine's clock.
#[derive(Debug)]
pub struct Clock {
    now: SystemTime,
    other: Option<SystemTime>,
}

impl Clock {
    /// Now, beside the clock of the coordinator where that was heard.
    pub fn beside(other: Option<SystemTime>) -> Self {
        Self { now: SystemTime::now(), other }
    }

    /// Seconds by which the other clock is ahead.
    fn ahead_s(&self) -> Option<i64> {
        Some(seconds(self.other?) - seconds(self.now))
    }

    /// What is found.
    pub fn to_json(&self) -> Value {
        json!({
            "utc": timestamp(self.now),
            "set_from_network": Path::new(SET).exists().then_some(true),
            "coordinator_ahead_s": self.ahead_s(),
        })
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} here", timestamp(self.now))?;
        match self.ahead_s() {
            None => Ok(()),
            Some(ahead) if ahead.abs() > WORTH_A_LOOK => {
                write!(f, ", and the coordinator's is {ahead} s ahead: set both from the network")
            }
            Some(ahead) => write!(f, ", and the coordinator's is {ahead} s ahead"),
        }
    }
}

fn seconds(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
