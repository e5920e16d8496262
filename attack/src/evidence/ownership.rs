//! Which records the adversary owns, and which are scored.

use hashvfl_core::random::{shuffle, stream};
use hashvfl_core::{Part, Plan};

/// Most records that are scored: intervals are narrow enough by then.
const MOST_TARGETS: usize = 3000;
/// Records that an adversary owns of any part at least.
const LEAST: usize = 10;
/// The largest fraction that an adversary may own: records beyond are scored.
const MOST_OWNED: f64 = 0.5;

/// A place from 0 to 1 for every record, drawn anew in each part of the run. Who owns a fraction of the records owns those
/// whose place is below it, of every part; those from one half on are never owned, and targets are among them.
pub struct Ownership {
    place: Vec<f64>,
}

impl Ownership {
    /// Draws places of all records of `plan` by the seed.
    pub fn new(plan: &Plan, seed: u64) -> Self {
        let mut place = vec![f64::INFINITY; plan.records()];
        for part in [Part::Train, Part::Validation, Part::Test, Part::Calibration] {
            let mut rows = plan.part(part).to_vec();
            shuffle(&mut rows, &mut stream(seed, "attack split", &[part as u64]));
            for (rank, row) in rows.iter().enumerate() {
                place[*row as usize] = rank as f64 / rows.len() as f64;
            }
        }
        Self { place }
    }

    /// Those of `rows` that an adversary with a `fraction` of all records owns, in the order of their places: ten at
    /// least, if it can have as many. A greater fraction begins with what a smaller one has.
    pub fn owned(&self, rows: &[u32], fraction: f64) -> Vec<u32> {
        let mut owned = self.in_order(rows);
        owned.retain(|row| self.place[*row as usize] < MOST_OWNED);
        let count = owned.partition_point(|row| self.place[*row as usize] < fraction);
        owned.truncate(count.max(LEAST));
        owned
    }

    /// Those of `rows` that no adversary owns, in a random order.
    pub fn never_owned(&self, rows: &[u32]) -> Vec<u32> {
        let mut others = self.in_order(rows);
        others.retain(|row| (MOST_OWNED..=1.0).contains(&self.place[*row as usize]));
        others
    }

    /// Those of `rows` that are scored: of those that no adversary owns.
    pub fn targets(&self, rows: &[u32]) -> Vec<u32> {
        let mut targets = self.never_owned(rows);
        targets.truncate(MOST_TARGETS);
        targets
    }

    fn in_order(&self, rows: &[u32]) -> Vec<u32> {
        let mut rows = rows.to_vec();
        rows.sort_unstable_by(|a, b| {
            self.place[*a as usize].total_cmp(&self.place[*b as usize]).then(a.cmp(b))
        });
        rows
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::settings::Task;
    use hashvfl_core::{PartyName, RunSettings};

    use super::*;

    #[test]
    fn nothing_is_scored_that_an_attacker_learned_from() {
        let parties = vec![PartyName::new("a").unwrap()];
        let settings = RunSettings { test_fraction: 0.5, ..RunSettings::new(parties, Task::Binary, 4, 1) };
        let plan = Plan::new(&settings, 1000).unwrap();
        let ownership = Ownership::new(&plan, 3);
        let rows: Vec<u32> = (0..1000).collect();
        let targets = ownership.targets(&rows);
        let owned = |fraction| ownership.owned(&rows, fraction);
        assert!((targets.len() as i64 - 500).abs() <= 3, "{}", targets.len());
        assert_eq!(owned(0.001).len(), 10);
        assert!((owned(0.1).len() as i64 - 100).abs() <= 3);
        assert!(owned(0.5).iter().all(|row| !targets.contains(row)));
        assert!(owned(0.5).starts_with(&owned(0.1)));
        // Of every part alike.
        let test = ownership.owned(plan.part(Part::Test), 0.5);
        assert!((test.len() as i64 * 2 - plan.part(Part::Test).len() as i64).abs() <= 1);
    }
}
