//! Whether 95 % intervals hold the truth as often as they say, by simulation: each figure is drawn again and again from a
//! population whose own figure is known.

use hashvfl_core::random::{below, stream, uniform};
use rand::rngs::ChaCha8Rng;

use hashvfl_leakage::metrics::{Bootstrap, Estimate, error, proportion, ratio};

use super::{area, attribute, best, image, worst};

/// Part of the intervals that must hold the truth.
const LEAST: f64 = 0.93;
const RESAMPLES: usize = 300;
/// Records of a simulation.
const RECORDS: usize = 400;

/// How many of `runs` intervals hold the truth, as a part.
fn coverage(runs: u64, truth: f64, interval: impl Fn(&mut ChaCha8Rng, Bootstrap) -> Estimate) -> f64 {
    let mut covered = 0_u32;
    for run in 0..runs {
        let mut rng = stream(run, "coverage", &[]);
        let found = interval(&mut rng, Bootstrap { resamples: RESAMPLES, seed: run });
        covered += u32::from(found.low <= truth && truth <= found.high);
    }
    f64::from(covered) / runs as f64
}

fn unit(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(uniform(rng))
}

fn chance(rng: &mut ChaCha8Rng, probability: f64) -> bool {
    unit(rng) < probability
}

fn hit(rng: &mut ChaCha8Rng, probability: f64) -> f64 {
    f64::from(u8::from(chance(rng, probability)))
}

/// An exponential number of mean 1.
fn exponential(rng: &mut ChaCha8Rng) -> f64 {
    -(1.0 - unit(rng)).ln()
}

/// A lognormal number of mean 1, of which a few hold most of the sum.
fn lognormal(rng: &mut ChaCha8Rng) -> f64 {
    let normal = (2.0 * exponential(rng)).sqrt() * (std::f64::consts::TAU * unit(rng)).cos();
    (1.5 * normal - 1.125).exp()
}

/// A squared error, skewed as those of records are, with mean `mean`.
fn squared(rng: &mut ChaCha8Rng, mean: f64) -> f64 {
    let sum: f64 = (0..4).map(|_| exponential(rng)).sum();
    mean * sum / 4.0
}

/// The squared error of a record that is nearly right 19 times of 20, and quite wrong else: of a column that codes tell. Its mean is
/// 0.22.
fn rarely_wrong(rng: &mut ChaCha8Rng) -> f64 {
    let miss = if chance(rng, 0.05) { 4.0 * exponential(rng) } else { 0.0 };
    0.02 * exponential(rng) + miss
}

fn errors(rng: &mut ChaCha8Rng, records: usize, mean: f64) -> Vec<f64> {
    (0..records).map(|_| squared(rng, mean)).collect()
}

fn skill(runs: u64) -> f64 {
    coverage(runs, 0.7, |rng, _| {
        let (attack, reference) = (errors(rng, RECORDS, 0.3), errors(rng, RECORDS, 1.0));
        ratio::skill(&attack, &reference)
    })
}

/// So is a single column of a party's own check scored.
fn skill_rarely_wrong(runs: u64, records: usize) -> f64 {
    coverage(runs, 0.78, |rng, _| {
        let (attack, reference): (Vec<f64>, Vec<f64>) =
            (0..records).map(|_| (rarely_wrong(rng), exponential(rng))).unzip();
        ratio::skill(&attack, &reference)
    })
}

fn skill_of_heavy_tails(runs: u64, records: usize) -> f64 {
    coverage(runs, 0.7, |rng, _| {
        let (attack, reference): (Vec<f64>, Vec<f64>) =
            (0..records).map(|_| (0.3 * lognormal(rng), lognormal(rng))).unzip();
        ratio::skill(&attack, &reference)
    })
}

fn skill_gain(runs: u64) -> f64 {
    coverage(runs, 0.1, |rng, _| {
        let reference = errors(rng, RECORDS, 1.0);
        let other = errors(rng, RECORDS, 0.4);
        let attack: Vec<f64> = other.iter().map(|error| error * 1.5 * unit(rng)).collect();
        ratio::skill_gain(&attack, &other, &reference)
    })
}

fn gain_of_heavy_tails(runs: u64) -> f64 {
    coverage(runs, 0.1, |rng, _| {
        let reference: Vec<f64> = (0..RECORDS).map(|_| lognormal(rng)).collect();
        let other: Vec<f64> = (0..RECORDS).map(|_| 0.4 * lognormal(rng)).collect();
        let attack: Vec<f64> = other.iter().map(|error| error * 1.5 * unit(rng)).collect();
        ratio::skill_gain(&attack, &other, &reference)
    })
}

/// Three of ten records that another attack gets quite wrong are nearly right: fewer than three of 180. By chance there is none, and
/// then nothing shows what others would gain.
fn gain_rarely_wrong(runs: u64, records: usize) -> f64 {
    coverage(runs, 0.06, |rng, _| {
        let (mut attack, mut other, mut reference) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..records {
            let (near, miss) = (0.02 * exponential(rng), hit(rng, 0.05) * 4.0 * exponential(rng));
            attack.push(near + miss * hit(rng, 0.7));
            other.push(near + miss);
            reference.push(exponential(rng));
        }
        ratio::skill_gain(&attack, &other, &reference)
    })
}

fn mean(runs: u64) -> f64 {
    coverage(runs, 0.3, |rng, _| ratio::mean(&errors(rng, RECORDS, 0.3)))
}

fn mean_rarely_wrong(runs: u64) -> f64 {
    coverage(runs, 0.22, |rng, _| ratio::mean(&(0..180).map(|_| rarely_wrong(rng)).collect::<Vec<f64>>()))
}

fn peak_signal(runs: u64) -> f64 {
    coverage(runs, image::psnr(0.05), |rng, _| image::peak_signal(&errors(rng, RECORDS, 0.05)))
}

fn best_reconstructed(runs: u64, fraction: f64) -> f64 {
    let many = errors(&mut stream(1, "population", &[]), 400_000, 1.0);
    let truth = worst::worst_fraction(&many, &vec![1.0; many.len()], fraction);
    coverage(runs, truth, |rng, _| {
        let errors = errors(rng, 3 * RECORDS, 1.0);
        worst::interval(&errors, &vec![1.0; errors.len()], fraction)
    })
}

/// The best of ten columns, all of which are guessed equally well: which of them looks best is chance.
fn best_column(runs: u64) -> f64 {
    const COLUMNS: usize = 10;
    coverage(runs, 0.6, |rng, _| {
        let (mut truth, mut guess) = (Vec::new(), Vec::new());
        for _ in 0..RECORDS * COLUMNS {
            let [told, untold] = [0.6_f64, 0.4].map(|part| part.sqrt() * (2.0 * unit(rng) - 1.0));
            truth.push((told + untold) as f32);
            guess.push(told as f32);
        }
        // Unwrap safety: all columns vary.
        let places: Vec<_> = (0..COLUMNS).map(|column| column..column + 1).collect();
        best::best_column(&truth, &guess, &[0.0; COLUMNS], &places).unwrap().1
    })
}

fn fraction(runs: u64, truth: f64) -> f64 {
    coverage(runs, truth, |rng, _| {
        let hits: Vec<f64> = (0..RECORDS).map(|_| hit(rng, truth)).collect();
        proportion::of(&hits)
    })
}

fn fraction_gain(runs: u64) -> f64 {
    coverage(runs, 0.06, |rng, _| {
        let other: Vec<f64> = (0..RECORDS).map(|_| hit(rng, 0.8)).collect();
        // Three of ten that the other attack misses are found.
        let attack: Vec<f64> =
            other.iter().map(|other| if *other > 0.0 { 1.0 } else { hit(rng, 0.3) }).collect();
        proportion::gain(&attack, &other)
    })
}

/// A column of eight values, of which some occur in one record of a hundred or less.
fn balanced(runs: u64) -> f64 {
    let (shares, recalls) =
        ([0.4, 0.3, 0.15, 0.08, 0.04, 0.02, 0.006, 0.004], [0.9, 0.8, 0.5, 0.4, 0.2, 0.1, 0.5, 0.0]);
    let mut covered = 0_u32;
    for run in 0..runs {
        let mut rng = stream(run, "coverage", &[]);
        let (mut truth, mut hits) = (Vec::new(), Vec::new());
        for _ in 0..RECORDS {
            let (mut level, mut rest) = (0, unit(&mut rng));
            while level < 7 && rest >= shares[level] {
                rest -= shares[level];
                level += 1;
            }
            truth.push(level);
            hits.push(hit(&mut rng, recalls[level]));
        }
        let found = attribute::balanced_accuracy(&truth, &hits);
        let occur: Vec<f64> =
            (0..8).filter(|level| truth.contains(level)).map(|level| recalls[level]).collect();
        let wanted = error::mean(&occur);
        covered += u32::from(found.low <= wanted && wanted <= found.high);
    }
    f64::from(covered) / runs as f64
}

/// Scores are of a logistic distribution each, those of the positive `part` of the records `shift` higher.
fn area_at(runs: u64, shift: f64, part: f64) -> f64 {
    let logistic = |rng: &mut ChaCha8Rng| {
        let drawn = unit(rng).clamp(1e-7, 1.0 - 1e-7);
        (drawn / (1.0 - drawn)).ln()
    };
    // How often a positive one is above a negative one.
    let e = shift.exp();
    let truth = e * (e - 1.0 - shift) / (e - 1.0).powi(2);
    coverage(runs, truth, |rng, _| {
        let positive: Vec<bool> = (0..RECORDS).map(|_| chance(rng, part)).collect();
        let scores: Vec<f64> =
            positive.iter().map(|positive| logistic(rng) + if *positive { shift } else { 0.0 }).collect();
        area::area(&positive, &scores)
    })
}

/// Columns right of eight, of which some are harder than others.
fn columns_right(runs: u64) -> f64 {
    coverage(runs, 0.9, |rng, bootstrap| {
        let right: Vec<f64> = (0..RECORDS)
            .map(|_| {
                // A record is easy or hard as a whole.
                let ease = if below(rng, 2) == 0 { 0.98 } else { 0.82 };
                (0..8).map(|_| hit(rng, ease)).sum::<f64>() / 8.0
            })
            .collect();
        bootstrap.mean(&right)
    })
}

fn check(runs: u64) {
    let found = [
        ("skill", skill(runs)),
        ("skill, 180 records, rarely wrong", skill_rarely_wrong(runs, 180)),
        ("skill, 400 records, rarely wrong", skill_rarely_wrong(runs, 400)),
        ("skill, 180 records, heavy tails", skill_of_heavy_tails(runs, 180)),
        ("skill, 400 records, heavy tails", skill_of_heavy_tails(runs, 400)),
        ("skill gained", skill_gain(runs)),
        ("skill gained, heavy tails", gain_of_heavy_tails(runs)),
        ("mean error", mean(runs)),
        ("mean error, 180 records, rarely wrong", mean_rarely_wrong(runs)),
        ("PSNR", peak_signal(runs)),
        ("error left, best reconstructed 1 %", best_reconstructed(runs, worst::HUNDREDTH)),
        ("error left, best reconstructed 5 %", best_reconstructed(runs, worst::TWENTIETH)),
        ("best column", best_column(runs)),
        ("fraction 0.7", fraction(runs, 0.7)),
        ("fraction 0.995", fraction(runs, 0.995)),
        ("fraction 0.02", fraction(runs, 0.02)),
        ("fraction gained", fraction_gain(runs)),
        ("balanced accuracy", balanced(runs)),
        ("AUC 0.66", area_at(runs, 1.0, 0.3)),
        ("AUC 0.943, one of 20 positive", area_at(runs, 4.0, 0.05)),
        ("AUC 0.988", area_at(runs, 6.0, 0.22)),
        ("AUC 0.999", area_at(runs, 9.0, 0.22)),
        ("AUC 0.999, one of 20 positive", area_at(runs, 9.0, 0.05)),
        ("columns right", columns_right(runs)),
    ];
    println!("{found:#?}");
    for (name, covered) in found {
        // The part of so few runs is itself off by chance.
        let chance = 2.0 * (LEAST * (1.0 - LEAST) / runs as f64).sqrt();
        assert!(covered >= LEAST - chance, "{name}: {covered}");
    }
}

#[test]
fn intervals_hold_the_truth() {
    check(400);
}

#[test]
#[ignore = "slow: 5,000 runs of each figure"]
fn intervals_hold_the_truth_over_many_runs() {
    check(5_000);
    for records in [180, 400] {
        let covered = gain_rarely_wrong(5_000, records);
        println!("skill gained, {records} records, rarely wrong, which is less: {covered}");
    }
}
