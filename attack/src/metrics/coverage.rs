//! Whether 95 % intervals hold the truth as often as they say, by simulation: each figure is drawn again and again from a
//! population whose own figure is known.

use hashvfl_core::random::{below, stream, uniform};
use rand::rngs::ChaCha8Rng;

use hashvfl_leakage::metrics::{Bootstrap, Estimate, error, proportion};

use super::{attribute, best, image, label, worst};

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

/// A squared error, skewed as those of records are, with mean `mean`.
fn squared(rng: &mut ChaCha8Rng, mean: f64) -> f64 {
    let sum: f64 = (0..4).map(|_| -(1.0 - unit(rng)).ln()).sum();
    mean * sum / 4.0
}

fn errors(rng: &mut ChaCha8Rng, records: usize, mean: f64) -> Vec<f64> {
    (0..records).map(|_| squared(rng, mean)).collect()
}

fn skill(runs: u64) -> f64 {
    coverage(runs, 0.7, |rng, bootstrap| {
        let (attack, reference) = (errors(rng, RECORDS, 0.3), errors(rng, RECORDS, 1.0));
        bootstrap.skill(&attack, &reference)
    })
}

fn skill_gain(runs: u64) -> f64 {
    coverage(runs, 0.1, |rng, bootstrap| {
        let reference = errors(rng, RECORDS, 1.0);
        let other = errors(rng, RECORDS, 0.4);
        let attack: Vec<f64> = other.iter().map(|error| error * 1.5 * unit(rng)).collect();
        bootstrap.skill_gain(&attack, &other, &reference)
    })
}

fn mean(runs: u64) -> f64 {
    coverage(runs, 0.3, |rng, bootstrap| bootstrap.mean(&errors(rng, RECORDS, 0.3)))
}

fn peak_signal(runs: u64) -> f64 {
    coverage(runs, image::psnr(0.05), |rng, bootstrap| {
        let errors = errors(rng, RECORDS, 0.05);
        bootstrap.estimate(RECORDS, |rows| {
            let drawn: Vec<f64> = rows.iter().map(|row| errors[*row]).collect();
            image::psnr(error::mean(&drawn))
        })
    })
}

fn best_reconstructed(runs: u64) -> f64 {
    let many = errors(&mut stream(1, "population", &[]), 400_000, 1.0);
    let truth = worst::worst_fraction(&many, &vec![1.0; many.len()], worst::FRACTION);
    coverage(runs, truth, |rng, _| {
        let errors = errors(rng, 3 * RECORDS, 1.0);
        worst::interval(&errors, &vec![1.0; errors.len()])
    })
}

/// The best of ten columns, all of which are guessed equally well: which of them looks best is chance.
fn best_column(runs: u64) -> f64 {
    const COLUMNS: usize = 10;
    coverage(runs, 0.6, |rng, bootstrap| {
        let (mut truth, mut guess) = (Vec::new(), Vec::new());
        for _ in 0..RECORDS * COLUMNS {
            let [told, untold] = [0.6_f64, 0.4].map(|part| part.sqrt() * (2.0 * unit(rng) - 1.0));
            truth.push((told + untold) as f32);
            guess.push(told as f32);
        }
        // Unwrap safety: all columns vary.
        best::best_column(&truth, &guess, &[0.0; COLUMNS], bootstrap).unwrap().1
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

/// Scores of positive records are those of the others and one more, of a logistic distribution each.
fn area(runs: u64) -> f64 {
    let logistic = |rng: &mut ChaCha8Rng| {
        let drawn = unit(rng).clamp(1e-6, 1.0 - 1e-6);
        (drawn / (1.0 - drawn)).ln()
    };
    let e = std::f64::consts::E;
    // P(positive above negative) for logistic scores one apart: e (e - 1 - 1) / (e - 1)^2.
    let truth = e * (e - 2.0) / (e - 1.0).powi(2);
    coverage(runs, truth, |rng, bootstrap| {
        let positive: Vec<bool> = (0..RECORDS).map(|_| chance(rng, 0.3)).collect();
        let scores: Vec<f64> =
            positive.iter().map(|positive| logistic(rng) + f64::from(u8::from(*positive))).collect();
        bootstrap.estimate(RECORDS, |rows| {
            let positive: Vec<bool> = rows.iter().map(|row| positive[*row]).collect();
            let scores: Vec<f64> = rows.iter().map(|row| scores[*row]).collect();
            label::auc(&positive, &scores).unwrap_or(f64::NAN)
        })
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
        ("skill gained", skill_gain(runs)),
        ("mean error", mean(runs)),
        ("PSNR", peak_signal(runs)),
        ("error left, best reconstructed 1 %", best_reconstructed(runs)),
        ("best column", best_column(runs)),
        ("fraction 0.7", fraction(runs, 0.7)),
        ("fraction 0.995", fraction(runs, 0.995)),
        ("fraction 0.02", fraction(runs, 0.02)),
        ("fraction gained", fraction_gain(runs)),
        ("balanced accuracy", balanced(runs)),
        ("AUC", area(runs)),
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
}
