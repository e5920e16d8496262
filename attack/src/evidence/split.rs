//! Which records the attacker has, and which are scored.

use anyhow::ensure;
use hashvfl_core::random::{shuffle, stream};

/// Records of one population, cut in two. Targets are the same for every auxiliary fraction, and no attacker ever
/// learns from one.
#[derive(Clone)]
pub struct Split {
    population: usize,
    pool: Vec<u32>,
    /// Records that are scored.
    pub targets: Vec<u32>,
}

/// Most records that are scored: intervals are narrow enough by then.
const MOST_TARGETS: usize = 3000;

impl Split {
    /// Shuffles `population` by the seed; one half is the attacker's pool, of `most` records at most, the other the
    /// targets.
    pub fn new(population: &[u32], most: usize, seed: u64) -> anyhow::Result<Self> {
        ensure!(population.len() >= 20, "{} records are too few to attack: 20 at least", population.len());
        let mut rows = population.to_vec();
        shuffle(&mut rows, &mut stream(seed, "attack split", &[]));
        let mut targets = rows.split_off(rows.len() / 2);
        targets.truncate(MOST_TARGETS);
        rows.truncate(most);
        Ok(Self { population: population.len(), pool: rows, targets })
    }

    /// Auxiliary records: a fraction of the population, at most one half.
    pub fn auxiliary(&self, fraction: f64) -> &[u32] {
        let count = (self.population as f64 * fraction).round() as usize;
        &self.pool[..count.clamp(10.min(self.pool.len()), self.pool.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_scored_that_an_attacker_learned_from() {
        let rows: Vec<u32> = (0..1000).collect();
        let split = Split::new(&rows, 1000, 3).unwrap();
        assert_eq!(split.targets.len(), 500);
        assert_eq!(split.auxiliary(0.01).len(), 10);
        assert_eq!(split.auxiliary(0.1).len(), 100);
        assert!(split.auxiliary(0.5).iter().all(|row| !split.targets.contains(row)));
        assert!(split.auxiliary(0.5).starts_with(split.auxiliary(0.1)));
        assert!(Split::new(&rows[..5], 1000, 3).is_err());
    }
}
