use rand::Rng;
use rand::rngs::ChaCha8Rng;

use super::*;
use crate::name::PartyName;
use crate::random::stream;
use crate::settings::Task;

const BITS: usize = 8;
const ROWS: usize = 64;

fn run(gradient: GradientEncoding, gradient_noise: Option<f64>) -> RunSettings {
    let parties = vec![PartyName::new("a").unwrap()];
    RunSettings { gradient, gradient_noise, ..RunSettings::new(parties, Task::Binary, BITS, 1) }
}

fn of_run(run: &RunSettings) -> GradientMonitor {
    GradientMonitor::of_run(run, CodeForm::signs(BITS), ROWS, 0)
}

/// Shows a batch of the same [`ROWS`] records to the monitor.
fn see(monitor: &mut GradientMonitor, codes: &[f32], expected: &[f32], gradient: &[f32]) -> Option<Alarm> {
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    monitor.observe(&SeenBatch { begins_cycle: false, rows: &rows, codes, expected, gradient })
}

fn sign(rng: &mut ChaCha8Rng) -> f32 {
    if rng.next_u32() & 1 == 1 { 1.0 } else { -1.0 }
}

/// The first alarm within 100 steps of `gradient`, a function of a step and a code.
fn monitored(mut gradient: impl FnMut(u32, &[f32], &mut ChaCha8Rng) -> Vec<f32>) -> Option<Alarm> {
    let mut monitor = GradientMonitor::new(CodeForm::signs(BITS), ROWS, 0);
    let mut rng = stream(5, "watch test", &[]);
    (0..100).find_map(|step| {
        let codes: Vec<f32> = (0..ROWS * BITS).map(|_| sign(&mut rng)).collect();
        let sent: Vec<f32> = codes.chunks(BITS).flat_map(|code| gradient(step, code, &mut rng)).collect();
        see(&mut monitor, &codes, &codes, &sent)
    })
}

/// The same of records with two classes that bits say, all but one bit of four by noise; `gradient` is a function of
/// the class and the code. Without the instrument the party tells the gradient monitor of no noise.
fn watched_classes(instrument: bool, gradient: impl Fn(f32, &[f32]) -> Vec<f32>) -> Option<Alarm> {
    let mut monitor = GradientMonitor::new(CodeForm::signs(BITS), ROWS, 0);
    let mut rng = stream(7, "watch test", &[]);
    (0..100).find_map(|_| {
        let (mut codes, mut expected, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROWS {
            let class = sign(&mut rng);
            let drawn = (0..BITS).map(|_| if rng.next_u32() & 7 == 0 { -class } else { class });
            let code: Vec<f32> = drawn.collect();
            sent.extend(gradient(class, &code));
            expected.extend([0.75 * class; BITS]);
            codes.extend(code);
        }
        see(&mut monitor, &codes, if instrument { &expected } else { &codes }, &sent)
    })
}

#[test]
fn what_follows_from_the_label_is_told_from_what_follows_from_the_code() {
    // A top model that knows nothing yet of classes that the code says nearly by itself.
    let honest = |class: f32, _: &[f32]| (0..BITS).map(|bit| class / (bit + 1) as f32).collect();
    let hijacker = |_: f32, code: &[f32]| code.iter().rev().map(|h| 0.1 - h).collect();
    assert_eq!(watched_classes(true, honest), None);
    assert!(watched_classes(false, honest).is_some(), "codes alone cannot tell");
    assert!(watched_classes(true, hijacker).is_some());
}

#[test]
fn a_gradient_that_follows_from_the_code_is_noticed() {
    let pull = |(bit, h): (usize, &f32)| (0.1 - h) / (bit + 1) as f32;
    let alarm = monitored(|_, code, _| code.iter().rev().enumerate().map(pull).collect()).unwrap();
    assert!(alarm.cause == Cause::Predictable && alarm.steps < 30, "{alarm:?}");
    assert_eq!(alarm.released_bits, u64::from(alarm.steps) * (ROWS * BITS) as u64);
    let constant = monitored(|_, _, _| vec![1.0; BITS]).unwrap();
    assert_eq!(constant.cause, Cause::Predictable);
}

#[test]
fn a_residual_of_labels_is_not() {
    // One direction a class, towards it or away from it, whatever the code.
    let honest = |_: u32, _: &[f32], rng: &mut ChaCha8Rng| {
        let class = (rng.next_u32() % 3) as usize;
        let residual = sign(rng);
        (0..BITS).map(|bit| residual * [1.0, -0.5, 0.2][(bit + class) % 3]).collect()
    };
    assert_eq!(monitored(honest), None);
    assert_eq!(monitored(|_, _, _| vec![0.0; BITS]), None);
}

#[test]
fn noise_is_noticed() {
    let alarm = monitored(|_, _, rng| (0..BITS).map(|_| sign(rng)).collect()).unwrap();
    assert_eq!((alarm.cause, alarm.steps), (Cause::Featureless, FEATURELESS_STEPS));
    let mut monitor = of_run(&run(GradientEncoding::F32, Some(1.0)));
    let mut rng = stream(6, "watch test", &[]);
    for _ in 0..100 {
        let [codes, sent] = [(); 2].map(|()| (0..ROWS * BITS).map(|_| sign(&mut rng)).collect::<Vec<f32>>());
        assert_eq!(see(&mut monitor, &codes, &codes, &sent), None, "the run agreed on it");
    }
}

/// The number of batches, at most 50, until the monitor raises an alarm. Gradients follow from the code, or from a label that it
/// does not tell.
fn batches_until_alarm(
    monitor: &mut GradientMonitor,
    rng: &mut ChaCha8Rng,
    follows_from_code: bool,
) -> Option<u32> {
    (1..=50).find(|_| {
        let codes: Vec<f32> = (0..ROWS * BITS).map(|_| sign(rng)).collect();
        let mut sent = Vec::new();
        for code in codes.chunks(BITS) {
            let residual = sign(rng);
            for (bit, h) in code.iter().rev().enumerate() {
                let honest = residual * [1.0, -0.5, 0.2][bit % 3];
                sent.push(if follows_from_code { (0.1 - h) / (bit + 1) as f32 } else { honest });
            }
        }
        see(monitor, &codes, &codes, &sent).is_some()
    })
}

#[test]
fn once_an_alarm_is_dismissed_it_takes_as_much_again_to_raise_another() {
    let mut monitor = GradientMonitor::new(CodeForm::signs(BITS), ROWS, 0);
    let mut rng = stream(12, "monitor test", &[]);
    for _ in 0..2 {
        let batches = batches_until_alarm(&mut monitor, &mut rng, true);
        assert!(batches.is_some_and(|batches| batches > 20), "{batches:?}");
        assert_eq!(batches_until_alarm(&mut monitor, &mut rng, false), Some(1), "it stays");
        monitor.dismiss_alarm();
        assert_eq!(monitor.alarm(), None);
    }
    assert_eq!(batches_until_alarm(&mut monitor, &mut rng, false), None);
}

/// The first alarm within 100 steps of a run of one encoding; `gradient` is a function of a code and a random number.
fn monitored_run(encoding: GradientEncoding, gradient: fn(&[f32], u32) -> Vec<f32>) -> Option<Alarm> {
    let mut monitor = of_run(&run(encoding, None));
    let mut rng = stream(8, "watch test", &[]);
    (0..100).find_map(|_| {
        let codes: Vec<f32> = (0..ROWS * BITS).map(|_| sign(&mut rng)).collect();
        let sent: Vec<f32> = codes.chunks(BITS).flat_map(|code| gradient(code, rng.next_u32())).collect();
        see(&mut monitor, &codes, &codes, &sent)
    })
}

#[test]
fn signs_that_say_what_most_labels_are_raise_no_alarm() {
    // Of one record in fifty the gradient points the other way, whatever its code.
    let rare = |_: &[f32], drawn: u32| vec![if drawn.is_multiple_of(50) { -1.0 } else { 1.0 }; BITS];
    assert_eq!(monitored_run(GradientEncoding::Sign, rare), None);
    let numbers = monitored_run(GradientEncoding::F32, rare);
    assert_eq!(numbers.map(|alarm| alarm.cause), Some(Cause::Predictable));
    let constant = |_: &[f32], _: u32| vec![-1.0; BITS];
    assert_eq!(monitored_run(GradientEncoding::Sign, constant), None);
    // What follows from the code is noticed in signs, too.
    let hijacker = |code: &[f32], _: u32| code.iter().rev().map(|h| -h).collect();
    let alarm = monitored_run(GradientEncoding::Sign, hijacker);
    assert_eq!(alarm.map(|alarm| alarm.cause), Some(Cause::Predictable));
}

/// Records that come again each epoch, whose codes are half noise and half what two classes say. The gradient is a function
/// of a record's label, its code and its code of the epoch before; the epoch of the first alarm within `epochs`.
fn epochs_until_alarm(
    (form, epochs): (CodeForm, u32),
    cycle: u32,
    gradient: impl Fn(f32, &[f32], &[f32], f32) -> Vec<f32>,
) -> Option<(u32, Cause)> {
    const RECORDS: usize = 1024;
    let latents = form.latents();
    let mut monitor = GradientMonitor::new(form, RECORDS, 3);
    let mut rng = stream(9, "monitor test", &[]);
    let labels: Vec<f32> = (0..RECORDS).map(|_| sign(&mut rng)).collect();
    let mut before = vec![0.0; RECORDS * latents];
    for epoch in 0..epochs {
        for batch in 0..RECORDS / ROWS {
            let rows: Vec<u32> = (0..ROWS).map(|row| (batch * ROWS + row) as u32).collect();
            let (mut codes, mut expected, mut sent) = (Vec::new(), Vec::new(), Vec::new());
            for row in &rows {
                let (label, row) = (labels[*row as usize], *row as usize * latents);
                let code: Vec<f32> =
                    (0..latents).map(|_| if rng.next_u32() & 3 == 0 { -label } else { label }).collect();
                let drawn = sign(&mut rng);
                sent.extend(gradient(label, &code, &before[row..][..latents], drawn));
                expected.extend(vec![0.5 * label; latents]);
                before[row..][..latents].copy_from_slice(&code);
                codes.extend(code);
            }
            let begins_cycle = epoch.is_multiple_of(cycle) && batch == 0;
            let seen =
                SeenBatch { begins_cycle, rows: &rows, codes: &codes, expected: &expected, gradient: &sent };
            if let Some(alarm) = monitor.observe(&seen) {
                return Some((epoch, alarm.cause));
            }
        }
    }
    None
}

#[test]
fn a_gradient_that_follows_from_codes_of_the_epoch_before_is_noticed() {
    // A residual of labels, three fifths of it, and a pull towards the code of the epoch before, in other latents.
    let steered = |label: f32, code: &[f32], before: &[f32], drawn: f32| -> Vec<f32> {
        let (latents, residual) = (code.len(), label * 0.3 + drawn);
        let pull = (0..latents).map(|latent| before[(latent + 1) % latents]);
        pull.enumerate().map(|(latent, pull)| residual * (1.0 - 0.05 * latent as f32) - 0.6 * pull).collect()
    };
    for latents in [1, 4, 16, 24] {
        let found = epochs_until_alarm((CodeForm::signs(latents), 6), 100, steered);
        let (epoch, cause) = found.unwrap_or_else(|| panic!("{latents} latents"));
        assert!(cause == Cause::EarlierCodes && epoch <= 3, "{latents} latents: epoch {epoch}, {cause:?}");
    }
    // What is forgotten when a cycle begins is no sign of anything.
    assert_eq!(epochs_until_alarm((CodeForm::signs(4), 6), 1, steered), None);
}

#[test]
fn labels_that_earlier_codes_tell_are_no_sign() {
    // The gradient follows from the label, which codes of all epochs tell, and from the code of this one.
    let honest = |label: f32, code: &[f32], _: &[f32], drawn: f32| -> Vec<f32> {
        let says: f32 = code.iter().sum::<f32>() / code.len() as f32;
        let residual = says - label + drawn;
        (0..code.len()).map(|latent| residual * [1.0, -0.5, 0.2][latent % 3]).collect()
    };
    for latents in [1, 4, 24] {
        assert_eq!(
            epochs_until_alarm((CodeForm::signs(latents), 40), 100, honest),
            None,
            "{latents} latents"
        );
    }
}

#[test]
fn a_monitor_goes_on_with_the_noise_that_it_remembered() {
    let form = CodeForm::signs(BITS);
    let mut monitor = GradientMonitor::new(form, ROWS, 3);
    let mut rng = stream(10, "monitor test", &[]);
    let mut batch = || -> Vec<f32> { (0..ROWS * BITS).map(|_| sign(&mut rng)).collect() };
    let expected = vec![0.0; ROWS * BITS];
    see(&mut monitor, &batch(), &expected, &batch());
    let saved = serde_json::to_string(&monitor).unwrap();
    let mut resumed: GradientMonitor = serde_json::from_str(&saved).unwrap();
    assert!(monitor.fits(&resumed));
    assert!(resumed.restore_noise(&monitor.noise()[1..]).is_none(), "of other records");
    resumed.restore_noise(monitor.noise()).unwrap();
    let (codes, sent) = (batch(), batch());
    for _ in 0..8 {
        see(&mut monitor, &codes, &expected, &sent);
        see(&mut resumed, &codes, &expected, &sent);
    }
    assert_eq!(monitor.earlier_score().to_bits(), resumed.earlier_score().to_bits());
    assert_ne!(monitor.earlier_score(), 0.0);
    assert!(!monitor.fits(&GradientMonitor::new(form, ROWS + 1, 3)));
    // A version that looked back at one code has left less in its checkpoints: they are of no use.
    let mut before = serde_json::to_value(&monitor).unwrap();
    before["earlier"].as_object_mut().unwrap().remove("lags").unwrap();
    assert!(serde_json::from_value::<GradientMonitor>(before).is_err());
}

#[test]
fn it_looks_back_at_no_more_codes_than_a_cycle_has() {
    for (epochs, cycles, lags) in [(30, 1, 4), (30, 10, 2), (30, 15, 1), (30, 30, 1), (1, 1, 1)] {
        let settings = RunSettings { epochs, cycles, ..run(GradientEncoding::F32, None) };
        assert_eq!(of_run(&settings).noise().len(), ROWS * BITS * lags, "{cycles} cycles of {epochs} epochs");
    }
}
