//! What benchmarks say of several rounds.

/// The median: of an even number of values, the upper one of the two in the middle.
///
/// # Panics
/// If there are no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
