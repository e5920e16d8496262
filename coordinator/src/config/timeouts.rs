//! How long the coordinator waits. Waits that are no settings are listed in docs/reference/config.md.

use anyhow::ensure;
use serde::Deserialize;

/// Limits of waits, in seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// For all parties to join; in an alignment, for another holder.
    pub join_s: u64,
    /// For a party's next message in the handshake.
    pub handshake_s: u64,
    /// For a party's answer to a request.
    pub step_s: u64,
    /// For a party to come back in a run after its connection broke.
    pub reconnect_s: u64,
    /// Idle time of a connection before a keep-alive is sent; after the same time without an answer it counts as broken.
    pub keep_alive_s: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { join_s: 3600, handshake_s: 60, step_s: 600, reconnect_s: 900, keep_alive_s: 20 }
    }
}

impl Timeouts {
    /// Whether each is one that something can come within.
    pub(super) fn check(self) -> anyhow::Result<()> {
        let Self { join_s, handshake_s, step_s, reconnect_s, keep_alive_s } = self;
        let limits = [join_s, handshake_s, step_s, reconnect_s, keep_alive_s];
        ensure!(limits.iter().all(|limit| *limit > 0), "[timeouts]: every value must be 1 s or more");
        Ok(())
    }
}
