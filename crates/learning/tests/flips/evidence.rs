//! What counts of an event say of epsilon: the lower bound of Clopper and Pearson (1934).

/// How often an event occurred.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    pub times: usize,
    pub trials: usize,
}

impl Count {
    /// Of the trials in which `event` holds.
    pub fn of(events: impl IntoIterator<Item = bool>) -> Self {
        let (mut times, mut trials) = (0, 0);
        for event in events {
            times += usize::from(event);
            trials += 1;
        }
        Self { times, trials }
    }

    fn otherwise(self) -> Self {
        Self { times: self.trials - self.times, ..self }
    }

    /// The probability is above this in all but one case of forty.
    fn least(self) -> f64 {
        if self.times == 0 {
            return 0.0;
        }
        bisect(|p| self.otherwise().at_most(1.0 - p) < TAIL)
    }

    /// The probability is below this in all but one case of forty.
    fn most(self) -> f64 {
        if self.times == self.trials { 1.0 } else { bisect(|p| self.at_most(p) > TAIL) }
    }

    /// The probability of so many times or fewer, where each trial has the probability `p`.
    fn at_most(self, p: f64) -> f64 {
        let (n, mut log_choose, mut sum) = (self.trials as f64, 0.0, 0.0);
        for k in 0..=self.times {
            let k = k as f64;
            sum += (log_choose + k * p.ln() + (n - k) * (1.0 - p).ln()).exp();
            log_choose += ((n - k) / (k + 1.0)).ln();
        }
        sum
    }
}

/// Half of what the two bounds may fail together: 95 % hold.
const TAIL: f64 = 0.025;

/// The largest p from 0 to 1 for which `holds`, which holds below it.
fn bisect(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

/// An epsilon that any mechanism must have, at 95 %, in which an event occurs so often on a data set and so often on its
/// neighbour.
pub fn lower_epsilon(on_one: Count, on_other: Count) -> f64 {
    let ratio = |one: Count, other: Count| (one.least() / other.most()).ln();
    let both = |one: Count, other: Count| ratio(one, other).max(ratio(other, one));
    both(on_one, on_other).max(both(on_one.otherwise(), on_other.otherwise()))
}

#[test]
fn bounds_are_those_of_the_tables() {
    // Clopper and Pearson's intervals of 95 %.
    for (times, trials, least, most) in
        [(0, 10, 0.0, 0.3085), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0), (1, 100, 0.000_253, 0.0545)]
    {
        let count = Count { times, trials };
        assert!((count.least() - least).abs() < 1e-4, "{count:?} {}", count.least());
        assert!((count.most() - most).abs() < 1e-4, "{count:?} {}", count.most());
    }
    let count = |times| Count { times, trials: 1000 };
    assert!(lower_epsilon(count(1000), count(100)) > 2.0);
    assert!(lower_epsilon(count(500), count(505)) < 0.1);
}
