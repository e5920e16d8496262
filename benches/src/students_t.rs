//! Student's t: means over few seeds, with intervals.

/// Quantiles of Student's t for two-sided intervals of 95 %, by degrees of freedom from 1.
const T: [f64; 20] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086,
];

/// The mean.
pub fn mean(figures: &[f64]) -> f64 {
    figures.iter().sum::<f64>() / figures.len() as f64
}

/// Half the width of the 95 % interval of the mean; `None` of fewer than two figures.
pub fn half_width(figures: &[f64]) -> Option<f64> {
    let degrees = figures.len().checked_sub(1).filter(|degrees| *degrees > 0)?;
    let mean = mean(figures);
    let variance = figures.iter().map(|figure| (figure - mean).powi(2)).sum::<f64>() / degrees as f64;
    let quantile = T.get(degrees - 1).copied().unwrap_or(T[T.len() - 1]);
    Some(quantile * (variance / figures.len() as f64).sqrt())
}

/// Differences in pairs.
pub fn differences(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one - other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_student_s() {
        let figures = [1.0, 2.0, 3.0];
        assert_eq!(mean(&figures), 2.0);
        assert_eq!(half_width(&figures).map(|half| (half * 1e4).round()), Some(24843.0));
        assert_eq!(half_width(&[0.5]), None);
    }
}
