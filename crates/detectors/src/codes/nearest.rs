//! Hamming distances to other codes, and the nearest of these. Meant to be inlined into loops that are compiled for the
//! processor's vectors.

/// The Hamming distance of `code` to each of `references`, which are words of as many bits.
#[inline(always)]
pub fn distances_to(code: &[u64], references: &[u64], distances: &mut Vec<u16>) {
    distances.resize(references.len() / code.len(), 0);
    if let [one] = code {
        distances.iter_mut().zip(references).for_each(|(to, other)| *to = (one ^ other).count_ones() as u16);
        return;
    }
    for (to, other) in distances.iter_mut().zip(references.chunks_exact(code.len())) {
        *to = code.iter().zip(other).map(|(a, b)| (a ^ b).count_ones() as u16).sum();
    }
}

/// The mean of the `count` least of `distances`, or of all where there are fewer. Distances are small whole numbers, so it
/// counts them from the least up and does not sort.
#[inline(always)]
pub fn mean_of_least(distances: &[u16], count: usize) -> f64 {
    let wanted = count.min(distances.len());
    let (mut found, mut sum) = (0, 0_usize);
    let mut next = distances.iter().copied().fold(u16::MAX, u16::min);
    while found < wanted && next < u16::MAX {
        let (mut equal, mut above) = (0_usize, u16::MAX);
        // Blocks are short enough for a count of 16 bits, which stays in the vectors of the distances.
        for block in distances.chunks(4096) {
            let mut in_block = 0_u16;
            for other in block {
                in_block += u16::from(*other == next);
                above = above.min(if *other > next { *other } else { u16::MAX });
            }
            equal += usize::from(in_block);
        }
        let taken = equal.min(wanted - found);
        (found, sum) = (found + taken, sum + taken * usize::from(next));
        next = above;
    }
    sum as f64 / wanted.max(1) as f64
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;
    use rand::Rng;

    use super::*;

    #[test]
    fn the_least_are_those_of_a_sort() {
        let mut rng = stream(3, "distances", &[]);
        for count in [1, 4, 5, 40] {
            let distances: Vec<u16> = (0..40).map(|_| (rng.next_u32() % 9) as u16).collect();
            let mut sorted = distances.clone();
            sorted.sort_unstable();
            let expected = sorted[..count].iter().map(|d| f64::from(*d)).sum::<f64>() / count as f64;
            assert_eq!(mean_of_least(&distances, count), expected);
        }
        assert_eq!(mean_of_least(&[3], 5), 3.0);
    }
}
