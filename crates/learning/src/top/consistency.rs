//! HashVFL's consistency term: a party's codes of a class are pulled to the target code of that class.

use hashvfl_core::codes::target::target_codes;

/// The term: `weight * mean over rows of (1 - cos(h, o_y))`, for a code h of a record of class y with target code o_y.
pub struct Consistency {
    weight: f32,
    targets: Vec<Vec<f32>>,
}

impl Consistency {
    /// The term for codes of so many `bits` and so many `classes`.
    pub fn new(weight: f32, classes: usize, bits: usize) -> Self {
        Self { weight, targets: target_codes(classes, bits) }
    }

    /// Target codes by class, +1 and -1.
    pub fn targets(&self) -> &[Vec<f32>] {
        &self.targets
    }

    /// Adds the term's gradient to `gradient`, less what all rows share of it. Both `gradient` and `codes` are one
    /// party's, row-major [rows, bits]; `classes` and `weights` (from 0 to 1) have an entry a row.
    ///
    /// A record's own gradient is `-(o_y - cos h) / d` for codes of d bits. Its mean over the batch, by weights, is left
    /// out: it moves no code, since BatchNorm and thresholds take a pull on all records alike out again, and where most
    /// records are of one class a party cannot tell it from a hijacker's.
    ///
    /// The term shows labels to the party (docs/explanation/threat-model.md), hence its weight is 0 unless set.
    pub fn add_gradient(&self, gradient: &mut [f32], codes: &[f32], classes: &[u32], weights: &[f32]) {
        let total: f32 = weights.iter().sum();
        if total <= 0.0 {
            return;
        }
        let bits = codes.len() / classes.len();
        let mut pulls = Vec::with_capacity(codes.len());
        let mut shared = vec![0.0_f32; bits];
        for ((code, class), weight) in codes.chunks_exact(bits).zip(classes).zip(weights) {
            let pull = pull(code, &self.targets[*class as usize]);
            for (shared, value) in shared.iter_mut().zip(&pull) {
                *shared += weight * value / total;
            }
            pulls.extend(pull);
        }
        let scale = self.weight / classes.len() as f32;
        let rows = gradient.chunks_exact_mut(bits).zip(pulls.chunks_exact(bits)).zip(weights);
        for ((gradient, pull), weight) in rows {
            for ((value, pull), shared) in gradient.iter_mut().zip(pull).zip(&shared) {
                *value -= weight * scale * (pull - shared);
            }
        }
    }
}

/// The gradient of the cosine of `code` and its `target`, with respect to the code.
fn pull(code: &[f32], target: &[f32]) -> Vec<f32> {
    let length = code.iter().map(|h| h * h).sum::<f32>().sqrt().max(1e-12);
    let target_length = (code.len() as f32).sqrt();
    let cosine = code.iter().zip(target).map(|(h, o)| h * o).sum::<f32>() / (length * target_length);
    code.iter()
        .zip(target)
        .map(|(h, o)| o / (length * target_length) - cosine * h / (length * length))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The term of three codes of 8 bits.
    fn value(term: &Consistency, codes: &[f32], classes: &[u32]) -> f64 {
        let mut sum = 0.0;
        for (code, class) in codes.chunks(8).zip(classes) {
            let target = &term.targets[*class as usize];
            let dot: f64 = code.iter().zip(target).map(|(h, o)| f64::from(h * o)).sum();
            let lengths = code.iter().map(|h| f64::from(h * h)).sum::<f64>().sqrt() * 8.0_f64.sqrt();
            sum += 0.7 * (1.0 - dot / lengths) / classes.len() as f64;
        }
        sum
    }

    #[test]
    fn it_is_the_gradient_of_the_cosine_less_what_all_rows_share() {
        let term = Consistency::new(0.7, 3, 8);
        let classes = [2, 0, 2];
        let codes: Vec<f32> = (0..24).map(|i| if i % 3 == 0 || i > 18 { 1.0 } else { -1.0 }).collect();
        let mut gradient = vec![0.0; 24];
        term.add_gradient(&mut gradient, &codes, &classes, &[1.0; 3]);
        let mut slopes = Vec::new();
        for i in 0..24 {
            let mut moved = codes.clone();
            moved[i] += 1e-3;
            slopes.push((value(&term, &moved, &classes) - value(&term, &codes, &classes)) / 1e-3);
        }
        for i in 0..24 {
            let shared = (slopes[i % 8] + slopes[i % 8 + 8] + slopes[i % 8 + 16]) / 3.0;
            let expected = slopes[i] - shared;
            assert!((expected - f64::from(gradient[i])).abs() < 1e-4, "{i}: {expected} {}", gradient[i]);
        }
    }

    #[test]
    fn codes_of_one_class_that_are_alike_are_not_pulled() {
        let term = Consistency::new(0.7, 3, 8);
        let code: Vec<f32> = (0..8).map(|i| if i % 3 == 0 { 1.0 } else { -1.0 }).collect();
        let mut gradient = vec![0.0; 16];
        term.add_gradient(&mut gradient, &code.repeat(2), &[2, 2], &[1.0, 0.5]);
        assert!(gradient.iter().all(|value| value.abs() < 1e-7), "{gradient:?}");
    }
}
