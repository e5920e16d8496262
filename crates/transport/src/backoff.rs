//! Pauses between attempts to come back.

use std::time::Duration;

use rand::TryRng;

/// The first pause, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// Pauses that double, each shortened by chance: parties that lost the coordinator together do not come back together.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(PAUSES[0])
    }
}

impl Backoff {
    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let whole = self.0;
        self.0 = (whole * 2).min(PAUSES[1]);
        let mut drawn = [0; 1];
        // Without chance the pause is a little longer.
        let _ = rand::rngs::SysRng.try_fill_bytes(&mut drawn);
        whole - whole * u32::from(drawn[0]) / 512
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_differ() {
        let mut backoff = Backoff::default();
        let mut whole = PAUSES[0];
        for _ in 0..12 {
            let pause = backoff.pause();
            assert!(whole / 2 <= pause && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(PAUSES[1]);
        }
        let drawn: std::collections::BTreeSet<Duration> = (0..64).map(|_| backoff.pause()).collect();
        assert!(drawn.len() > 8, "{drawn:?}");
    }
}
