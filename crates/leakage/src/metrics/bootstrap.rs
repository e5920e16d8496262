//! Intervals: the percentile bootstrap over target records (Efron 1979).
//!
//! The same seed and number of records give the same resamples, so two attacks on the same records are compared
//! pair by pair: the interval of a difference is that of the statistic "one minus the other". The auxiliary
//! rows and what was fitted on them stay fixed: an interval says how far the figure would move with other
//! targets, not with another attacker.

use hashvfl_core::random::below;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::Estimate;

/// How an interval is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// Number of resamples; 1000 put the ends of a 95 % interval within a few per cent of its width.
    pub resamples: usize,
    /// Of the generator.
    pub seed: u64,
}

impl Bootstrap {
    /// 1000 resamples.
    pub fn new(seed: u64) -> Self {
        Self { resamples: 1000, seed }
    }

    /// `statistic` of all `records`, with the 2.5 and 97.5 percentiles of it over resamples of their numbers.
    /// Resamples on which it is not a number are left out.
    pub fn estimate(&self, records: usize, mut statistic: impl FnMut(&[usize]) -> f64) -> Estimate {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut rows: Vec<usize> = (0..records).collect();
        let value = statistic(&rows);
        let mut figures = Vec::with_capacity(self.resamples);
        for _ in 0..self.resamples {
            rows.iter_mut().for_each(|row| *row = below(&mut rng, records));
            figures.push(statistic(&rows));
        }
        interval(value, figures)
    }

    /// Mean of `values` `[records]`.
    pub fn mean(&self, values: &[f64]) -> Estimate {
        self.estimate(values.len(), |rows| {
            rows.iter().map(|row| values[*row]).sum::<f64>() / rows.len() as f64
        })
    }
}

fn interval(value: f64, mut figures: Vec<f64>) -> Estimate {
    figures.retain(|figure| !figure.is_nan());
    figures.sort_unstable_by(f64::total_cmp);
    Estimate { value, low: percentile(&figures, 0.025), high: percentile(&figures, 0.975) }
}

/// Between the order statistics around it, in proportion.
fn percentile(sorted: &[f64], fraction: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = fraction * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // Two equal figures may be infinite.
    if below == above { below } else { below + (above - below) * place.fract() }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    fn uniform(rng: &mut ChaCha8Rng) -> f64 {
        f64::from(rng.next_u32()) / 2_f64.powi(32)
    }

    #[test]
    fn percentiles_of_known_figures() {
        let figures: Vec<f64> = (0..=200).map(f64::from).collect();
        let found = interval(1.0, figures);
        assert_eq!((found.low, found.high), (5.0, 195.0));
        assert_eq!(percentile(&[1.0, 2.0], 0.5), 1.5);
    }

    #[test]
    fn a_seed_decides_the_resamples() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let values: Vec<f64> = (0..50).map(|_| uniform(&mut rng)).collect();
        let found = Bootstrap::new(9).mean(&values);
        assert_eq!(found.value, values.iter().sum::<f64>() / 50.0);
        assert!(found.low < found.value && found.value < found.high);
        assert_eq!(found, Bootstrap::new(9).mean(&values));
        assert_ne!(found, Bootstrap::new(10).mean(&values));
    }

    /// 95 % of intervals should cover; with 400 of them three standard errors are 3.3 points.
    #[test]
    fn the_interval_covers_the_truth() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let runs = 400;
        let mut covered = 0;
        for seed in 0..runs {
            let values: Vec<f64> = (0..200).map(|_| 3.0 * uniform(&mut rng).powi(2)).collect();
            let found = Bootstrap { resamples: 300, seed }.mean(&values);
            covered += u32::from(found.low <= 1.0 && 1.0 <= found.high);
        }
        let share = f64::from(covered) / runs as f64;
        assert!((0.91..=0.98).contains(&share), "{share}");
    }

    #[test]
    fn resamples_without_a_figure_are_left_out() {
        let positive = [1.0, 0.0, 0.0];
        // Nothing where all that were drawn are of one kind.
        let found = Bootstrap::new(2).estimate(3, |rows| {
            let sum: f64 = rows.iter().map(|row| positive[*row]).sum();
            if sum > 0.0 && sum < 3.0 { 1.0 } else { f64::NAN }
        });
        assert_eq!(found, Estimate { value: 1.0, low: 1.0, high: 1.0 });
    }

    #[test]
    fn nothing_gives_no_number() {
        assert!(Bootstrap::new(2).mean(&[]).low.is_nan());
    }
}
