//! Top-1 re-identification: whether a reconstruction, or a code, points to its own record among all targets.

/// Most records among which one is looked for.
pub const CANDIDATES: usize = 1000;

/// For each record of `seen` [records, width], how likely its own one of `candidates` [records, width] is the one with the best
/// `score`: `[records]`, 1 if it is, 0 if another is better, `1 / n` if it ties with n - 1 others. A score that is no number hits
/// nothing.
fn hits<T, S: PartialOrd>(
    seen: &[T],
    candidates: &[T],
    width: usize,
    score: impl Fn(&[T], &[T]) -> S,
) -> Vec<f64> {
    assert_eq!(seen.len(), candidates.len(), "records and candidates differ in size");
    assert!(width > 0 && seen.len().is_multiple_of(width), "no whole number of records");
    let mut found = Vec::with_capacity(seen.len() / width);
    for (seen, own) in seen.chunks_exact(width).zip(candidates.chunks_exact(width)) {
        let reach = score(seen, own);
        let mut tied = 0_u32;
        for candidate in candidates.chunks_exact(width) {
            let other = score(seen, candidate);
            if other > reach {
                tied = 0;
                break;
            }
            tied += u32::from(other == reach);
        }
        found.push(if tied == 0 { 0.0 } else { 1.0 / f64::from(tied) });
    }
    found
}

/// For each guess, how likely its own record is the nearest of all records of `truth` by squared distance:
/// `[rows]`, 1 if it is, 0 if another is nearer, `1 / n` if it ties with n - 1 others. The mean over records is
/// top-1 accuracy; an attack that gives every record the same guess has `1 / rows`.
///
/// Time grows with the square of the rows, and the figure falls with their number: say how many there were.
pub fn top1(truth: &[f32], guess: &[f32], columns: usize) -> Vec<f64> {
    hits(guess, truth, columns, |guess, record| -distance(record, guess))
}

/// The same by equal numbers: for each record of `seen` [records, width], how likely its own record is the one of `codes` [records,
/// width] that has most numbers in common with it.
pub fn most_alike(codes: &[usize], seen: &[usize], width: usize) -> Vec<f64> {
    hits(seen, codes, width, |seen, code| seen.iter().zip(code).filter(|(seen, own)| seen == own).count())
}

/// The same by likelihood: for each of `seen` [records, terms], how likely its own record is the one of `likelihoods` [records,
/// terms] with which it has the greatest product.
pub fn likeliest(seen: &[f32], likelihoods: &[f32], terms: usize) -> Vec<f64> {
    hits(seen, likelihoods, terms, product)
}

/// Sum of products, in eight sums, which a processor adds at once.
pub(crate) fn product(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, rest_a) = a.as_chunks::<8>();
    let (whole_b, rest_b) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in whole_a.iter().zip(whole_b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Squared distance, in eight sums, which a processor adds at once.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, rest_a) = a.as_chunks::<8>();
    let (whole_b, rest_b) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in whole_a.iter().zip(whole_b) {
        for lane in 0..8 {
            sums[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_ties_and_misses() {
        let truth = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 5.0, 5.0];
        let guess = [0.4, 0.0, 1.0, 0.1, 0.0, 0.2, 4.0, 4.0];
        assert_eq!(top1(&truth, &guess, 2), [1.0, 0.5, 0.0, 1.0]);
    }

    #[test]
    fn the_greatest_product_counts() {
        // Two codes, and three records of which two are as likely.
        let seen = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
        let likelihoods = [2.0, 0.0, 1.0, 3.0, 1.0, 3.0];
        assert_eq!(likeliest(&seen, &likelihoods, 2), [1.0, 0.5, 0.5]);
        assert_eq!(likeliest(&[f32::NAN], &[1.0], 1), [0.0]);
    }

    /// Whoever was sent as another level may be anybody, not whose level is the nearest.
    #[test]
    fn of_levels_equal_ones_count_and_near_ones_do_not() {
        // Two latents of eight levels; of the first record the first latent was sent as another.
        let codes = [0, 5, 7, 4, 3, 3];
        let seen = [7, 5, 7, 4, 3, 3];
        assert_eq!(most_alike(&codes, &seen, 2), [0.5, 1.0, 1.0]);
        assert_eq!(most_alike(&[1, 1], &[2, 2], 1), [0.5, 0.5]);
    }

    #[test]
    fn long_records_are_measured_whole() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        assert_eq!(distance(&a, &[0.0; 19]), (0..19).map(|i| (i * i) as f32).sum::<f32>());
    }

    #[test]
    fn one_guess_for_all_is_chance_on_average() {
        let truth = [0.0, 1.0, 2.0, 3.0, 4.0];
        let hits = top1(&truth, &[2.2; 5], 1);
        assert_eq!(crate::metrics::error::mean(&hits), 0.2);
    }

    #[test]
    fn a_guess_that_is_no_number_hits_nothing() {
        assert_eq!(top1(&[0.0, 1.0], &[f32::NAN, 1.0], 1), [0.0, 1.0]);
    }
}
