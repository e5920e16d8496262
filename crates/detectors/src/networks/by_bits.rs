//! A network of one hidden layer and one output on codes, without multiplications: four bits of a code have sixteen values,
//! and what each value adds to the hidden units is summed up beforehand.

use hashvfl_learning::Network;

use crate::codes::Codes;
use crate::numerics::vectors::{total, vectorized};

/// Bits that are looked up at once.
const NIBBLE: usize = 4;
const VALUES: usize = 1 << NIBBLE;

/// What bits add to `H` hidden units, and what these add to the output.
pub struct ByBits<const H: usize> {
    /// What four bits add to the hidden units, for each four bits and each of their values; the first four hold the biases
    /// as well.
    sums: Vec<[f32; H]>,
    output: [f32; H],
    bias: f32,
}

impl<const H: usize> ByBits<H> {
    /// The tables of `network`, which takes bits as -1 and 1.
    ///
    /// # Panics
    /// If its sizes are not bits, H and 1.
    pub fn of(network: &Network) -> Self {
        let bits = network.sizes()[0];
        assert_eq!(network.sizes(), [bits, H, 1], "one hidden layer and one output");
        let layers = network.layers();
        let ((hidden, biases), (output, bias)) = (&layers[0], &layers[1]);
        let nibbles = bits.div_ceil(NIBBLE);
        let mut sums = vec![[0.0_f32; H]; nibbles * VALUES];
        for (at, sums) in sums.iter_mut().enumerate() {
            let (nibble, value) = (at / VALUES, at % VALUES);
            if nibble == 0 {
                sums.copy_from_slice(biases);
            }
            for (place, row) in hidden.chunks_exact(H).enumerate().skip(nibble * NIBBLE).take(NIBBLE) {
                let sign = if value >> (place % NIBBLE) & 1 == 1 { 1.0 } else { -1.0 };
                sums.iter_mut().zip(row).for_each(|(sum, weight)| *sum += sign * weight);
            }
        }
        let mut last = [0.0; H];
        last.copy_from_slice(output);
        Self { sums, output: last, bias: bias[0] }
    }

    /// The network's output for each of `codes`.
    pub fn forward(&self, codes: &Codes) -> Vec<f64> {
        let outputs = Vec::with_capacity(codes.rows());
        vectorized(
            #[inline(always)]
            move || {
                let mut outputs = outputs;
                for row in 0..codes.rows() {
                    let words = codes.row(row);
                    let mut hidden = [0.0_f32; H];
                    for (nibble, sums) in self.sums.chunks_exact(VALUES).enumerate() {
                        let start = nibble * NIBBLE;
                        let value = (words[start / 64] >> (start % 64)) as usize % VALUES;
                        hidden.iter_mut().zip(&sums[value]).for_each(|(unit, sum)| *unit += sum);
                    }
                    let mut products = [0.0_f32; H];
                    for ((product, unit), weight) in products.iter_mut().zip(&hidden).zip(&self.output) {
                        *product = unit.max(0.0) * weight;
                    }
                    outputs.push(f64::from(total(products) + self.bias));
                }
                outputs
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;

    use super::*;
    use crate::codes::{drawn_signs, signs};

    #[test]
    fn it_is_the_network() {
        let mut rng = stream(1, "signs", &[]);
        for bits in [1, 6, 16, 70] {
            let values = drawn_signs(&mut rng, 9 * bits);
            let codes = Codes::of_values(&[&values], 9).unwrap();
            let mut network = Network::new(&[bits, 8, 1], stream(2, "weights", &[])).unwrap();
            // So that biases are not zero.
            network.learn(&values, 0.1, |output| vec![1.0; output.len()]);
            let input: Vec<f32> = (0..9).flat_map(|row| signs(&codes, row, 0..bits)).collect();
            let expected = network.forward(&input);
            for (found, expected) in ByBits::<8>::of(&network).forward(&codes).iter().zip(expected) {
                assert!((found - f64::from(expected)).abs() < 1e-5, "{found} {expected}");
            }
        }
    }
}
