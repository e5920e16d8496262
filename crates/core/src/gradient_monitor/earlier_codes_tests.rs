use super::*;
use crate::gradient_monitor::EARLIER_BOUND;

const ROWS: usize = 64;

/// Records that come again each epoch, with codes of noise alone. A gradient is what is the record's own in all epochs, and
/// what a coordinator adds that pulls towards earlier codes.
struct Federation {
    latents: usize,
    records: usize,
    epochs: usize,
    /// How strong the pull is; 0 where the coordinator is honest.
    pull: f32,
    /// Towards the mean of the codes of so many epochs ago.
    back: Range<usize>,
}

impl Federation {
    /// The last score and the greatest of a test that looks back at `lags` codes.
    fn scores(&self, lags: usize, seed: u64) -> [f64; 2] {
        let monitored = self.monitored(lags, seed);
        [monitored.0.score(), monitored.1]
    }

    /// The test at the end, and the greatest score on the way.
    fn monitored(&self, lags: usize, seed: u64) -> (EarlierCodes, f64) {
        let values = self.records * self.latents;
        let mut monitor = EarlierCodes::new(self.latents, self.records, lags, seed);
        let mut rng = stream(seed, "earlier codes test", &[]);
        let mut own = vec![0.0; values];
        add_noise(&mut own, 1.0, &mut rng);
        let expected = vec![0.0; ROWS * self.latents];
        let mut history: Vec<Vec<f32>> = Vec::new();
        let mut greatest = f64::NEG_INFINITY;
        for _ in 0..self.epochs {
            let codes: Vec<f32> =
                (0..values).map(|_| if rng.next_u32() & 1 == 1 { 1.0 } else { -1.0 }).collect();
            let mut gradient = own.clone();
            let looked_at: Vec<&Vec<f32>> =
                history.iter().rev().skip(self.back.start - 1).take(self.back.len()).collect();
            for earlier in &looked_at {
                let pull = self.pull / looked_at.len() as f32;
                gradient.iter_mut().zip(earlier.iter()).for_each(|(value, code)| *value -= pull * code);
            }
            for first in (0..self.records).step_by(ROWS) {
                let rows: Vec<u32> = (first..first + ROWS).map(|row| row as u32).collect();
                let batch = first * self.latents..(first + ROWS) * self.latents;
                let gradient = &gradient[batch.clone()];
                let power = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>() / ROWS as f64;
                monitor.compare(&rows, gradient, power);
                greatest = greatest.max(monitor.score());
                monitor.remember(&rows, &codes[batch], &expected);
            }
            history.push(codes);
        }
        (monitor, greatest)
    }
}

/// One that steers towards the mean of codes of so many epochs ago.
fn steered(back: Range<usize>) -> Federation {
    Federation { latents: 4, records: 512, epochs: 12, pull: 0.6, back }
}

fn honest(latents: usize, epochs: usize) -> Federation {
    Federation { latents, records: 256, epochs, pull: 0.0, back: 1..2 }
}

#[test]
fn a_pull_that_skips_the_last_code_is_seen() {
    // The second code back, the third, the fourth, and the mean of all but the last: none of them is in the last code.
    for back in [2..3, 3..4, 4..5, 2..100] {
        for seed in 0..3 {
            let [_, greatest] = steered(back.clone()).scores(1, seed);
            assert!(greatest < EARLIER_BOUND / 2.0, "{back:?}, seed {seed}, by the last code: {greatest}");
            let [_, greatest] = steered(back.clone()).scores(MOST_LAGS, seed);
            assert!(greatest > EARLIER_BOUND, "{back:?}, seed {seed}: {greatest}");
        }
    }
}

#[test]
fn a_pull_towards_the_last_code_or_the_mean_of_all_is_seen() {
    for back in [1..2, 1..100] {
        for seed in 0..3 {
            let [_, greatest] = steered(back.clone()).scores(MOST_LAGS, seed);
            assert!(greatest > EARLIER_BOUND, "{back:?}, seed {seed}: {greatest}");
        }
    }
}

/// Gradients are wholly alike in all epochs here: were one draw of noise compared with several of them, scores would rise.
#[test]
fn honest_gradients_have_scores_of_chance() {
    for (latents, seeds) in [(1, 200_u64), (4, 200), (16, 12)] {
        let mut high = 0;
        for seed in 0..seeds {
            let [last, greatest] = honest(latents, 12).scores(MOST_LAGS, seed);
            assert!(greatest < EARLIER_BOUND - 1.5, "{latents} latents, seed {seed}: {greatest}");
            high += u64::from(last > 2.326);
        }
        // One in a hundred at each lag and at all together, at most.
        assert!(high * 20 <= seeds.max(60), "{latents} latents: {high} of {seeds}");
    }
}

#[test]
fn each_draw_is_compared_once_and_at_each_lag_as_often() {
    let compared = |lags: usize| honest(1, 40).monitored(lags, 7).0.compared;
    let (one, by_lag) = (compared(1), compared(MOST_LAGS));
    let all: f64 = by_lag.iter().sum();
    // What still waits at the end was not compared.
    assert!(all < one[0] && all > 0.9 * one[0], "{all} of {one:?}");
    for compared in &by_lag {
        assert!((compared / all - 0.25).abs() < 0.03, "{by_lag:?}");
    }
}

#[test]
fn no_peer_knows_the_lags() {
    let [one, other] = [1, 2].map(|seed| honest(1, 8).monitored(MOST_LAGS, seed).0);
    assert_ne!(one.compared, other.compared);
    assert!(!one.fits(&other), "draws of another seed");
}

#[test]
fn what_is_remembered_is_bounded() {
    for records in [0, 1000, 100_000, 1_000_000, 3_000_000, 6_000_000] {
        let noise = EarlierCodes::new(64, records, MOST_LAGS, 0).noise;
        assert!(noise.len() <= MOST_REMEMBERED, "{records} records");
        assert_eq!(noise.is_empty(), records == 0 || records > MOST_REMEMBERED, "{records} records");
    }
    assert_eq!(EarlierCodes::new(64, 1000, MOST_LAGS, 0).noise.len(), 1000 * MOST_LAGS * MOST);
}
