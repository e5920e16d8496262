//! The standard normal distribution, for scores of ranks and for noise.

use std::sync::LazyLock;

use rand::Rng;
use rand::rngs::ChaCha8Rng;

/// The value below which `share` (between 0 and 1) of the distribution lies, to a relative error of 1.2e-9
/// (Acklam 2003).
pub fn normal_score(share: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 5] =
        [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0];
    const LOW: f64 = 0.02425;
    let polynomial = |terms: &[f64], x: f64| terms.iter().fold(0.0, |sum, term| sum * x + term);
    if share < LOW {
        let q = (-2.0 * share.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    } else if share > 1.0 - LOW {
        -normal_score(1.0 - share)
    } else {
        let q = share - 0.5;
        q * polynomial(&A, q * q) / polynomial(&B, q * q)
    }
}

/// Equally likely values of a draw; the outermost are 3.67 deviations out.
const STEPS: usize = 1 << 12;

/// Middles of the distribution's [`STEPS`] parts of equal weight.
static SCORES: LazyLock<Vec<f32>> = LazyLock::new(|| {
    (0..STEPS).map(|step| normal_score((step as f64 + 0.5) / STEPS as f64) as f32).collect()
});

/// Adds `count` draws of deviation `deviation` to `values`, for noise: from a table of 4,096 values, which costs
/// a fifth of exact draws and is the same on every processor.
pub fn add_noise(values: &mut [f32], deviation: f32, rng: &mut ChaCha8Rng) {
    let scores = &*SCORES;
    for five in values.chunks_mut(5) {
        let mut bits = rng.next_u64();
        for value in five {
            *value += deviation * scores[bits as usize % STEPS];
            bits >>= 12;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn known_quantiles_of_the_normal_distribution() {
        for (share, expected) in
            [(0.5, 0.0), (0.975, 1.959_963_985), (0.01, -2.326_347_874), (0.001, -3.090_232_306)]
        {
            assert!((normal_score(share) - expected).abs() < 1e-7, "{share}: {}", normal_score(share));
        }
    }

    #[test]
    fn noise_has_its_moments() {
        let mut draws = vec![1.0; 100_003];
        add_noise(&mut draws, 0.5, &mut stream(1, "test", &[]));
        let count = draws.len() as f32;
        let mean = draws.iter().sum::<f32>() / count;
        let moment = |power| draws.iter().map(|draw| ((draw - mean) / 0.5).powi(power)).sum::<f32>() / count;
        assert!((mean - 1.0).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.02, "{mean} {}", moment(2));
        assert!(moment(3).abs() < 0.05 && (moment(4) - 3.0).abs() < 0.1, "{} {}", moment(3), moment(4));
    }
}
