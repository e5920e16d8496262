//! The key `on_alarm`.

use serde::Deserialize;

/// What an alarm of the gradient monitor leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnAlarm {
    /// The party stops: nothing more leaves it.
    #[default]
    Stop,
    /// The party warns and goes on.
    Warn,
    /// Gradients are not monitored.
    Off,
}

impl OnAlarm {
    /// Whether gradients are monitored.
    pub fn monitors(self) -> bool {
        self != Self::Off
    }
}
