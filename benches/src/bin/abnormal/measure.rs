//! Figures of one detector on one kind, with bootstrap intervals over normal and abnormal test rows.

use hashvfl_attack::report::Estimate;
use hashvfl_core::random::{below, stream};
use hashvfl_detectors::calibration::conformal::{Calibration, Ties};

/// Resamples of an interval.
const RESAMPLES: u64 = 300;

/// What a detector does on a kind.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Area under the ROC curve.
    pub auroc: Estimate,
    /// The fraction of abnormal rows that are flagged at a level of 1 %.
    pub at_1: Estimate,
    /// The same at 5 %.
    pub at_5: Estimate,
    /// The fractions of false alarms and of detections, from one end to the other.
    pub roc: Vec<(f64, f64)>,
}

/// P-values of `scores` against `calibration`, ties broken at random.
pub fn p_values(calibration: &[f64], scores: &[f64], seed: u64) -> anyhow::Result<Vec<f64>> {
    let fitted = Calibration::new(calibration.to_vec())?;
    let mut rng = stream(seed, "ties", &[]);
    Ok(scores.iter().map(|score| fitted.p_value(*score, 0, &mut Ties::Random(&mut rng))).collect())
}

/// Measures scores of normal and abnormal test rows.
pub fn measure(calibration: &[f64], normal: &[f64], abnormal: &[f64], seed: u64) -> anyhow::Result<Figures> {
    let p = p_values(calibration, abnormal, seed)?;
    let mean = hashvfl_leakage::metrics::Bootstrap { resamples: RESAMPLES as usize, seed };
    let ranked = Ranked::new(normal, abnormal);
    let value = ranked.auroc(&vec![1; normal.len() + abnormal.len()]);
    let mut draws: Vec<f64> = (0..RESAMPLES).map(|draw| ranked.auroc(&ranked.resample(seed, draw))).collect();
    draws.sort_unstable_by(f64::total_cmp);
    Ok(Figures {
        auroc: Estimate { value, low: quantile(&draws, 0.025), high: quantile(&draws, 0.975) },
        at_1: mean.mean(&detected(&p, 0.01)),
        at_5: mean.mean(&detected(&p, 0.05)),
        roc: ranked.roc(),
    })
}

/// 1 for each p-value that is `level` or less, 0 for the others.
fn detected(p_values: &[f64], level: f64) -> Vec<f64> {
    p_values.iter().map(|p| f64::from(u8::from(*p <= level))).collect()
}

fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    sorted[(fraction * (sorted.len() - 1) as f64).round() as usize]
}

/// Rows in the order of their scores, so that a resample needs no sort.
struct Ranked {
    /// Score, whether abnormal, and place among the rows: normal ones first.
    rows: Vec<(f64, bool, usize)>,
    normal: usize,
}

impl Ranked {
    fn new(normal: &[f64], abnormal: &[f64]) -> Self {
        let scores = normal.iter().chain(abnormal).enumerate();
        let mut rows: Vec<(f64, bool, usize)> =
            scores.map(|(place, score)| (*score, place >= normal.len(), place)).collect();
        rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        Self { rows, normal: normal.len() }
    }

    /// How often each row is drawn, normal and abnormal ones apart.
    fn resample(&self, seed: u64, draw: u64) -> Vec<u32> {
        let mut rng = stream(seed, "bootstrap", &[draw]);
        let mut counts = vec![0; self.rows.len()];
        for (start, rows) in [(0, self.normal), (self.normal, self.rows.len() - self.normal)] {
            for _ in 0..rows {
                counts[start + below(&mut rng, rows)] += 1;
            }
        }
        counts
    }

    fn auroc(&self, counts: &[u32]) -> f64 {
        let (mut below, mut won, mut strange) = (0.0, 0.0, 0.0);
        for tied in self.rows.chunk_by(|a, b| a.0 == b.0) {
            let (mut normal, mut abnormal) = (0.0, 0.0);
            for (_, odd, place) in tied {
                let count = f64::from(counts[*place]);
                if *odd { abnormal += count } else { normal += count }
            }
            won += abnormal * (below + normal / 2.0);
            below += normal;
            strange += abnormal;
        }
        won / (below * strange)
    }

    fn roc(&self) -> Vec<(f64, f64)> {
        let (normal, abnormal) = (self.normal as f64, (self.rows.len() - self.normal) as f64);
        let (mut alarms, mut found) = (0_u32, 0_u32);
        let mut points = vec![(0.0, 0.0)];
        for tied in self.rows.chunk_by(|a, b| a.0 == b.0).collect::<Vec<_>>().into_iter().rev() {
            for (_, odd, _) in tied {
                if *odd { found += 1 } else { alarms += 1 }
            }
            // A line of at most some hundred points.
            let (x, y) = points[points.len() - 1];
            let (right, up) = (f64::from(alarms) / normal, f64::from(found) / abnormal);
            if right - x > 0.004 || up - y > 0.02 {
                points.push((right, up));
            }
        }
        points.push((1.0, 1.0));
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_that_of_all_pairs_and_inside_its_interval() {
        let normal: Vec<f64> = (0..200).map(|at| f64::from(at * 37 % 100)).collect();
        let abnormal: Vec<f64> = (0..100).map(|at| f64::from(at * 13 % 90 + 30)).collect();
        let found = measure(&normal, &normal, &abnormal, 1).unwrap();
        let pairs = normal.iter().flat_map(|n| {
            abnormal.iter().map(move |a| match a.total_cmp(n) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            })
        });
        let expected = pairs.sum::<f64>() / 20_000.0;
        assert!((found.auroc.value - expected).abs() < 1e-12);
        assert!(found.auroc.low < expected && expected < found.auroc.high);
        assert!(found.at_1.value <= found.at_5.value);
        assert!(found.roc.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
    }
}
