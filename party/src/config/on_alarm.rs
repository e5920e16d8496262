//! The key `on_alarm`.

use std::fmt;

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

impl fmt::Display for OnAlarm {
    /// As a config says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Warn => "warn",
            Self::Off => "off",
        })
    }
}

impl OnAlarm {
    /// Whether gradients are monitored.
    pub fn monitors(self) -> bool {
        self != Self::Off
    }
}
