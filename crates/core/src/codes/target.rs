//! Target codes: one code per class, as far from each other as the number of bits allows.
//!
//! The paper draws them at random, and random codes collide when they are short (`docs/research/accuracy.md`). Here:
//! rows of a Hadamard matrix (Sylvester) where they fit, else a seeded local search that enlarges the
//! smallest distance.

use rand::Rng;

use crate::random::stream;

/// Target codes of `classes` classes, `bits` each, as rows of +1.0 and -1.0.
///
/// Two classes get a code and its complement (distance `bits`). The result depends on the arguments alone.
pub fn target_codes(classes: usize, bits: usize) -> Vec<Vec<f32>> {
    let hadamard = hadamard_codes(classes, bits);
    let searched = searched_codes(classes, bits);
    if smallest_distance(&hadamard) >= smallest_distance(&searched) { hadamard } else { searched }
}

/// The smallest Hamming distance between two of `codes`; the code length where there are fewer than two.
pub fn smallest_distance(codes: &[Vec<f32>]) -> usize {
    let mut smallest = codes.first().map_or(0, Vec::len);
    for (index, one) in codes.iter().enumerate() {
        for other in &codes[..index] {
            smallest = smallest.min(distance(one, other));
        }
    }
    smallest
}

fn distance(one: &[f32], other: &[f32]) -> usize {
    one.iter().zip(other).filter(|(a, b)| a != b).count()
}

/// Rows of the Sylvester matrix and their complements, cut to `bits` columns. Column 0 is constant and
/// column order is bit-reversed pairs of rows, so cut columns are skipped from the front.
fn hadamard_codes(classes: usize, bits: usize) -> Vec<Vec<f32>> {
    let order = (bits + 1).max(classes.div_ceil(2)).next_power_of_two();
    let entry =
        |row: usize, column: usize| if (row & column).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    let start = usize::from(order > bits);
    let row_code = |row: usize| (start..start + bits).map(|column| entry(row, column)).collect::<Vec<f32>>();
    (0..classes)
        .map(|class| {
            // A code and its complement for two classes; distinct rows while they last otherwise.
            let (row, flip) = if classes == 2 { (1, class == 1) } else { (class % order, class >= order) };
            let code = row_code(row);
            if flip { code.into_iter().map(|v: f32| -v).collect() } else { code }
        })
        .collect()
}

/// Seeded random codes, improved by flipping single bits while the smallest distance (then the number of
/// pairs that have it) gets better.
fn searched_codes(classes: usize, bits: usize) -> Vec<Vec<f32>> {
    // Beyond this the search costs more than it gives: random long codes are far apart already.
    let restarts = if classes * classes * bits <= 1 << 14 { 8 } else { 1 };
    let mut best: Vec<Vec<f32>> = Vec::new();
    for restart in 0..restarts {
        let mut rng = stream(restart, "target codes", &[classes as u64, bits as u64]);
        let mut codes: Vec<Vec<f32>> = (0..classes)
            .map(|_| (0..bits).map(|_| if rng.next_u32() & 1 == 1 { 1.0 } else { -1.0 }).collect())
            .collect();
        let mut score = crowding(&codes);
        for _ in 0..classes * bits * 4 {
            let (class, bit) = (rng.next_u32() as usize % classes, rng.next_u32() as usize % bits);
            codes[class][bit] = -codes[class][bit];
            let changed = crowding(&codes);
            if changed <= score {
                score = changed;
            } else {
                codes[class][bit] = -codes[class][bit];
            }
            if classes * classes * bits > 1 << 16 {
                break;
            }
        }
        if best.is_empty() || smallest_distance(&codes) > smallest_distance(&best) {
            best = codes;
        }
    }
    best
}

/// Lower is better: pairs weigh more the closer they are.
fn crowding(codes: &[Vec<f32>]) -> f64 {
    let mut sum = 0.0;
    for (index, one) in codes.iter().enumerate() {
        for other in &codes[..index] {
            sum += (-(distance(one, other) as f64) * 1.5).exp();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_classes_are_complements() {
        for bits in [1, 2, 5, 16, 64] {
            assert_eq!(smallest_distance(&target_codes(2, bits)), bits, "{bits} bits");
        }
    }

    #[test]
    fn distances_are_near_the_best_known() {
        // (classes, bits, distance that must be reached); ten random codes of 16 bits reach 3.7.
        for (classes, bits, least) in
            [(4, 3, 2), (4, 16, 8), (10, 4, 1), (10, 16, 8), (10, 64, 32), (16, 16, 8)]
        {
            let codes = target_codes(classes, bits);
            assert_eq!(codes.len(), classes);
            assert!(codes.iter().all(|code| code.len() == bits && code.iter().all(|v| v.abs() == 1.0)));
            let found = smallest_distance(&codes);
            assert!(found >= least, "{classes} classes, {bits} bits: distance {found}, wanted {least}");
        }
    }

    #[test]
    fn more_classes_than_codes_is_no_panic() {
        assert_eq!(target_codes(5, 2).len(), 5);
        assert_eq!(target_codes(300, 8).len(), 300);
    }
}
