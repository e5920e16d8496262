//! `numpy.random.RandomState(seed).permutation(n)`, number for number.
//!
//! The benchmark's splits are stated in terms of numpy, so that anybody can repeat them in Python. numpy froze
//! this generator (NEP 19): the Mersenne Twister of Matsumoto and Nishimura (1998), and a Fisher-Yates shuffle
//! that draws below a bound by masking and rejecting.

const WORDS: usize = 624;
const SHIFT: usize = 397;

/// numpy's legacy generator.
struct RandomState {
    words: [u32; WORDS],
    next: usize,
}

impl RandomState {
    fn new(seed: u32) -> Self {
        let mut words = [seed; WORDS];
        for i in 1..WORDS {
            let last = words[i - 1];
            words[i] = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { words, next: WORDS }
    }

    fn refill(&mut self) {
        for i in 0..WORDS {
            let joined = (self.words[i] & 0x8000_0000) | (self.words[(i + 1) % WORDS] & 0x7fff_ffff);
            let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.words[i] = self.words[(i + SHIFT) % WORDS] ^ (joined >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            self.refill();
        }
        let mut y = self.words[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Uniform in 0..=most.
    fn up_to(&mut self, most: u32) -> u32 {
        let mask = u32::MAX.checked_shr(most.leading_zeros()).unwrap_or(0);
        loop {
            let draw = self.next_u32() & mask;
            if draw <= most {
                return draw;
            }
        }
    }
}

/// What `numpy.random.RandomState(seed).permutation(count)` gives.
pub fn permutation(seed: u32, count: u32) -> Vec<u32> {
    let mut random = RandomState::new(seed);
    let mut order: Vec<u32> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last as usize, random.up_to(last) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_numpy() {
        assert_eq!(permutation(0, 10), [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]);
        assert_eq!(permutation(5, 10), [9, 5, 2, 4, 7, 1, 0, 8, 6, 3]);
        // The first and last five of 30,000, and the sum of value x position (from 1).
        let known: [(u32, [u32; 5], [u32; 5], u64); 4] = [
            (0, [8225, 10794, 9163, 26591, 6631], [13123, 19648, 9845, 10799, 2732], 6_748_219_620_347),
            (1, [10747, 12573, 29676, 8856, 21098], [17289, 5192, 12172, 235, 29733], 6_772_957_089_939),
            (12345, [9820, 15392, 8067, 10144, 29874], [11689, 19876, 2177, 11749, 20962], 6_764_497_467_130),
            (
                u32::MAX,
                [3252, 8089, 9122, 7982, 2786],
                [14260, 11335, 27660, 16674, 27043],
                6_780_884_865_012,
            ),
        ];
        for (seed, first, last, sum) in known {
            let order = permutation(seed, 30_000);
            assert_eq!((&order[..5], &order[29_995..]), (&first[..], &last[..]), "seed {seed}");
            assert_eq!(order.iter().zip(1_u64..).map(|(v, at)| u64::from(*v) * at).sum::<u64>(), sum);
        }
    }

    #[test]
    fn nothing_and_one_are_permuted() {
        assert!(permutation(0, 0).is_empty());
        assert_eq!(permutation(0, 1), [0]);
    }
}
