//! Where the codes of a class lie: at its target code where training had target codes, or else at the majority of its normal
//! codes.

use serde::{Deserialize, Serialize};

use crate::codes::{Codes, bit, total_bits, words_for};
use crate::error::DetectorError;
use crate::limits::{MAX_CLASSES, MAX_TOTAL_BITS};

/// One code per class over all parties' bits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Centres {
    lengths: Vec<usize>,
    words: Vec<Vec<u64>>,
}

impl Centres {
    /// Target codes, one per class, each of +1.0 and -1.0 and the same for all parties, as
    /// [`hashvfl_core::codes::target::target_codes`] gives them.
    ///
    /// # Errors
    /// If a target code has another length than the parties' codes.
    pub fn of_targets(targets: &[Vec<f32>], lengths: &[usize]) -> Result<Self, DetectorError> {
        let mut words = Vec::with_capacity(targets.len());
        for target in targets {
            if lengths.iter().any(|length| *length != target.len()) {
                let found = vec![target.len(); lengths.len()];
                return Err(DetectorError::CodeLengths { fitted: lengths.to_vec(), found });
            }
            let parts = vec![target.as_slice(); lengths.len()];
            words.push(Codes::of_values(&parts, 1)?.row(0).to_vec());
        }
        Ok(Self { lengths: lengths.to_vec(), words })
    }

    /// The majority of each bit over the normal codes of each class; over all codes where a class has none.
    pub fn of_majority(codes: &Codes, classes: &[u32], class_count: usize) -> Self {
        let bits = codes.bits();
        let mut set = vec![0_u32; (class_count + 1) * bits];
        let mut rows = vec![0_u32; class_count + 1];
        for (row, class) in classes.iter().enumerate() {
            for group in [*class as usize, class_count] {
                rows[group] += 1;
                for (at, count) in set[group * bits..][..bits].iter_mut().enumerate() {
                    *count += u32::from(bit(codes.row(row), at));
                }
            }
        }
        let words = (0..class_count)
            .map(|class| {
                let group = if rows[class] > 0 { class } else { class_count };
                let mut words = vec![0_u64; codes.words_per_row()];
                for (at, count) in set[group * bits..][..bits].iter().enumerate() {
                    words[at / 64] |= u64::from(2 * count >= rows[group]) << (at % 64);
                }
                words
            })
            .collect();
        Self { lengths: codes.lengths().to_vec(), words }
    }

    /// Bits of each party's code.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The code of `class`.
    ///
    /// # Errors
    /// If the class is unknown.
    pub fn of(&self, class: u32) -> Result<&[u64], DetectorError> {
        let known = self.words.len();
        self.words.get(class as usize).map(Vec::as_slice).ok_or(DetectorError::Class { class, known })
    }

    /// Checks fields that were read from a file.
    ///
    /// # Errors
    /// If they contradict each other or exceed a limit.
    pub fn check(&self) -> Result<(), DetectorError> {
        let bits = total_bits(&self.lengths);
        let words = words_for(bits);
        let fits = bits > 0
            && bits <= MAX_TOTAL_BITS
            && (1..=MAX_CLASSES).contains(&self.words.len())
            && self.words.iter().all(|code| code.len() == words);
        DetectorError::stored(fits, "a table of class centres")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_that_of_its_class() {
        let signs = [1.0, 1.0, 1.0, -1.0, 1.0, -1.0, -1.0, -1.0];
        let codes = Codes::of_values(&[&signs], 4).unwrap();
        let centres = Centres::of_majority(&codes, &[0, 0, 0, 1], 3);
        assert_eq!(centres.of(0).unwrap(), [0b01]);
        assert_eq!(centres.of(1).unwrap(), [0b00]);
        assert_eq!(centres.of(2).unwrap(), [0b01]);
        assert!(matches!(centres.of(3), Err(DetectorError::Class { class: 3, known: 3 })));
        assert!(centres.check().is_ok());
    }

    #[test]
    fn targets_are_those_of_every_party() {
        let centres = Centres::of_targets(&[vec![1.0, -1.0], vec![-1.0, 1.0]], &[2, 2]).unwrap();
        assert_eq!(centres.of(0).unwrap(), [0b0101]);
        assert!(matches!(Centres::of_targets(&[vec![1.0]], &[2]), Err(DetectorError::CodeLengths { .. })));
    }
}
