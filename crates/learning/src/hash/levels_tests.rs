use hashvfl_core::random::stream;

use super::*;

/// Values that are skewed, of two groups, and of many equal ones.
fn columns(rows: usize) -> Vec<Vec<f32>> {
    let mut draws = vec![0.0; 3 * rows];
    add_noise(&mut draws, 1.0, &mut stream(3, "test", &[]));
    let [one, two, three] = [0, 1, 2].map(|at| &draws[at * rows..][..rows]);
    let skewed = one.iter().map(|v| v.exp()).collect();
    let groups = two.iter().enumerate().map(|(row, v)| v + if row % 3 == 0 { 8.0 } else { 0.0 }).collect();
    vec![skewed, groups, three.iter().map(|v| (10.0 * v).round() / 10.0).collect()]
}

fn rows_of(columns: &[Vec<f32>]) -> Vec<f32> {
    (0..columns[0].len()).flat_map(|row| columns.iter().map(move |column| column[row])).collect()
}

fn share_set(signs: &[f32], bit: usize, bits: usize) -> f64 {
    let rows = (signs.len() / bits) as f64;
    signs.iter().skip(bit).step_by(bits).filter(|sign| **sign > 0.0).count() as f64 / rows
}

#[test]
fn each_bit_is_set_for_half_of_the_training_records() {
    let values = rows_of(&columns(8_192));
    for bits_per_latent in [2, 3, 5] {
        let form = CodeForm::new(3, bits_per_latent);
        let statistics = Statistics::measure(&values, form);
        let mut normalised = values.clone();
        statistics.apply(&mut normalised, false);
        let signs = statistics.to_levels(form, &normalised);
        assert_eq!(signs.len(), values.len() * bits_per_latent);
        for bit in 0..form.bits() {
            let share = share_set(&signs, bit, form.bits());
            // Of the third latent, a value is one record's in 25.
            let limit = if bit / bits_per_latent == 2 { 0.05 } else { 0.002 };
            assert!((share - 0.5).abs() < limit, "bit {bit} of {form:?}: {share}");
        }
    }
}

#[test]
fn each_bit_is_set_half_the_time_in_training_whatever_the_values_are() {
    let (form, values) = (CodeForm::new(3, 3), rows_of(&columns(8_192)));
    let statistics = Statistics::measure(&values, form);
    for noise in [0.0, 0.1] {
        let config = HashConfig { noise, ..HashConfig::default() };
        let (_, signs) =
            Hashed::of_levels(values.clone(), &config, 0.0, form, &statistics, &mut stream(2, "test", &[]));
        // Noise moves values of a group out of it, and fills what lies between.
        let limit = if noise > 0.0 { 0.12 } else { 0.05 };
        for bit in 0..form.bits() {
            let share = share_set(&signs, bit, form.bits());
            assert!((share - 0.5).abs() < limit, "noise {noise}, bit {bit}: {share}");
        }
    }
}

#[test]
fn equal_values_have_one_level_and_thresholds_rise() {
    for counts in [&[10, 80, 10][..], &[97, 1, 1, 1], &[1, 99], &[99, 1], &[100], &[25, 25, 25, 25], &[1]] {
        for shift in [0.0, 0.1, -1000.3] {
            let values: Vec<f32> = counts
                .iter()
                .enumerate()
                .flat_map(|(value, count)| vec![shift + 0.37 * (value as f32).exp(); *count])
                .collect();
            let form = CodeForm::new(1, 2);
            let statistics = Statistics::measure(&values, form);
            assert!(statistics.threshold.is_sorted(), "{counts:?}: {:?}", statistics.threshold);
            let mut normalised = values.clone();
            statistics.apply(&mut normalised, false);
            let signs = statistics.to_levels(form, &normalised);
            let levels: Vec<usize> = signs.chunks(2).map(CodeForm::level).collect();
            for (one, other) in (0..values.len()).zip(1..values.len()) {
                assert!(levels[one] <= levels[other], "{counts:?}: levels rise with values");
                assert!(values[one] != values[other] || levels[one] == levels[other]);
            }
        }
    }
}

#[test]
fn what_is_no_number_is_no_level() {
    let form = CodeForm::new(1, 2);
    let signs = Statistics::neutral(form).to_levels(form, &[f32::NAN, f32::INFINITY, 0.1]);
    assert!(signs[..4].iter().all(|sign| sign.is_nan()));
    assert_eq!(CodeForm::level(&signs[4..]), 2);
}

#[test]
fn training_without_noise_and_fixed_statistics_agree() {
    let (form, values) = (CodeForm::new(3, 3), rows_of(&columns(4_096)));
    let config = HashConfig { noise: 0.0, ..HashConfig::default() };
    let statistics = Statistics::measure(&values, form);
    let (_, trained) =
        Hashed::of_levels(values.clone(), &config, 0.0, form, &statistics, &mut stream(0, "t", &[]));
    let mut normalised = values;
    statistics.apply(&mut normalised, false);
    let fixed = statistics.to_levels(form, &normalised);
    let differ = trained.iter().zip(&fixed).filter(|(a, b)| a != b).count();
    assert!(differ < 8, "{differ} bits");
}

/// The deviation of what a batch's own statistics make of a value, over batches of normal values.
#[test]
fn values_vary_as_the_statistics_of_batches_do() {
    let (rows, batches) = (64, 4_000);
    let mut draws = vec![0.0; rows * batches];
    add_noise(&mut draws, 1.0, &mut stream(1, "t", &[]));
    for value in [0.0_f32, 1.0, -2.0] {
        let of_batch = |batch: &[f32]| {
            let mean = batch.iter().sum::<f32>() / rows as f32;
            let variance = batch.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / rows as f32;
            (value - mean) / variance.sqrt() - value
        };
        let squares = |moves: &[f32]| moves.iter().map(|by| by * by).sum::<f32>() / moves.len() as f32;
        let expected = squares(&draws.chunks(rows).map(of_batch).collect::<Vec<_>>()).sqrt();
        let mut varied = vec![value; 20_000];
        vary_as_in_batches(&mut varied, rows, &mut stream(2, "t", &[]));
        let found = squares(&varied.iter().map(|other| other - value).collect::<Vec<_>>()).sqrt();
        assert!((found / expected - 1.0).abs() < 0.1, "{value}: {found} {expected}");
    }
}

/// Uneven thresholds, as of a skewed latent.
fn uneven(form: CodeForm) -> Vec<f32> {
    let levels = form.levels() as f32;
    (1..form.levels()).map(|level| (level as f32 / levels).powi(2) * 4.0 - 1.5).collect()
}

/// The value of the level of `v`, in the mean over draws of noise.
fn mean_level(form: CodeForm, thresholds: &[f32], v: f32, noise: f32) -> f64 {
    let mut draws = vec![v; 400_000];
    add_noise(&mut draws, noise, &mut stream(0, "t", &[]));
    let values = form.decode(&signs(form, &draws, thresholds)).into_owned();
    values.iter().map(|value| f64::from(*value)).sum::<f64>() / draws.len() as f64
}

#[test]
fn the_slope_is_that_of_the_expected_level_under_noise() {
    for (bits_per_latent, noise) in [(2, 0.5), (3, 0.5), (5, 0.25), (4, 1.0)] {
        let form = CodeForm::new(1, bits_per_latent);
        let thresholds = uneven(form);
        for v in [-1.2, -0.4, 0.0, 0.3, 0.9] {
            let mean = |v| mean_level(form, &thresholds, v, noise);
            let smooth = (mean(v + 0.1) - mean(v - 0.1)) / 0.2;
            let found = f64::from(slope(form, &thresholds, v, noise));
            assert!((found - smooth).abs() < 0.03, "{form:?}, noise {noise}, {v}: {found} {smooth}");
        }
    }
}

#[test]
fn thresholds_that_coincide_have_a_slope() {
    let form = CodeForm::new(1, 2);
    let thresholds = [0.5; 3];
    let found = slope(form, &thresholds, 0.5, smoothing(&thresholds, 0.0));
    assert!(found.is_finite() && found > 0.0, "{found}");
}

/// Through BatchNorm: what a step along the gradient changes in the smooth levels of a batch.
#[test]
fn the_gradient_is_that_of_the_smooth_levels_of_the_batch() {
    let (form, rows) = (CodeForm::new(2, 3), 12);
    let config = HashConfig { noise: 0.3, ..HashConfig::default() };
    let values: Vec<f32> = (0..rows * 2).map(|i| ((i * 7 % 13) as f32).sin()).collect();
    let weights: Vec<f32> = (0..rows * 2).map(|i| ((i * 5 % 17) as f32).cos()).collect();
    let statistics = Statistics { threshold: uneven(form).repeat(2), ..Statistics::neutral(form) };
    let thresholds = &statistics.threshold[..form.thresholds()];
    let width = smoothing(thresholds, config.noise);
    let loss = |values: &[f32]| -> f64 {
        let normalised = Normalised::new(values.to_vec(), 2).values;
        let levels = normalised.iter().map(|v| f64::from(expected_level(form, thresholds, *v, width)));
        levels.zip(&weights).map(|(level, weight)| level * f64::from(*weight)).sum()
    };
    let (hashed, _) =
        Hashed::of_levels(values.clone(), &config, 0.0, form, &statistics, &mut stream(0, "t", &[]));
    let found = hashed.backward(weights.clone());
    for at in 0..values.len() {
        let moved = |by: f32| {
            let mut values = values.clone();
            values[at] += by;
            loss(&values)
        };
        let smooth = (moved(0.01) - moved(-0.01)) / 0.02;
        assert!((f64::from(found[at]) - smooth).abs() < 0.02, "{at}: {} {smooth}", found[at]);
    }
}

#[test]
fn expected_levels_are_means_over_the_noise() {
    let form = CodeForm::new(1, 3);
    let config = HashConfig { noise: 0.0, ..HashConfig::default() };
    let values: Vec<f32> = (0..40).map(|at| (at as f32 - 17.3).powi(3)).collect();
    let statistics = Statistics::measure(&values, form);
    for least in [0.0, 0.5] {
        let mut means = vec![0.0_f32; values.len()];
        let mut rng = stream(0, "t", &[]);
        let mut expected = Vec::new();
        for _ in 0..2_000 {
            let (hashed, signs) =
                Hashed::of_levels(values.clone(), &config, least, form, &statistics, &mut rng);
            expected = hashed.expected_levels(form, &statistics);
            means.iter_mut().zip(form.decode(&signs).iter()).for_each(|(mean, v)| *mean += v / 2_000.0);
        }
        for (mean, expected) in means.iter().zip(&expected) {
            assert!((mean - expected).abs() < 0.09, "{mean} {expected}");
        }
    }
}
