//! wgpu and the CPU agree: the same host-made weights and batches give the same codes and losses, up to rounding.
//!
//! Skipped with a message where there is no adapter; with `HASHVFL_NEED_WGPU=1`, as CI sets it, that is a failure.

use hashvfl_core::random::stream;
use hashvfl_core::{CodeForm, PartyName, RunSettings, Task};
use hashvfl_learning::bottom::{BottomConfig, CnnConfig, InputShape, MlpConfig, ResNet18Config};
use hashvfl_learning::device::{self, Device, DeviceChoice, Opened};
use hashvfl_learning::encoder::{CutLayer, Encoder, EncoderConfig};
use hashvfl_learning::hash::HashConfig;
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::top::loss::{Labels, Loss, LossConfig};
use hashvfl_learning::{Classifier, TopConfig};
use rand::Rng;

const ROWS: usize = 64;
const BITS: usize = 16;
/// Largest difference of a value before the sign, and of a loss, over the steps below.
const TOLERANCE: f32 = 2e-3;
const STEPS: usize = 3;

/// Values before the sign and losses of a few training steps.
fn train(device: &Device, model: &BottomConfig, input: InputShape) -> (Vec<f32>, Vec<f64>) {
    let settings = RunSettings {
        learning_rate: 0.01,
        ..RunSettings::new(vec![PartyName::new("a").unwrap()], Task::Multiclass, BITS, 1)
    };
    let config = EncoderConfig {
        model: model.clone(),
        // Noise is drawn on the host, the same for both; without it values are easier to compare.
        hash: HashConfig { noise: 0.0, clip: 0.0, ..HashConfig::default() },
        ..EncoderConfig::default()
    };
    let updates = STEPS as u64;
    let (form, rates) = (CodeForm::signs(BITS), Rates::of_run(&settings, updates));
    let mut encoder = Encoder::new(config, CutLayer::Hash, input.clone(), form, rates, 5, device).unwrap();
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    let labels = Labels::Classes { count: 4, index: rows.iter().map(|row| row % 4).collect() };
    let loss = Loss::new(labels, &rows, LossConfig::default(), BITS);
    let mut classifier = Classifier::new(TopConfig::default(), loss, &rows, BITS, rates, 3, device).unwrap();
    let (mut values, mut losses) = (Vec::new(), Vec::new());
    let mut rng = stream(9, "device test", &[]);
    for _ in 0..STEPS {
        let columns: Vec<f32> =
            (0..ROWS * input.columns).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect();
        let batch = encoder.encode_batch(columns, ROWS);
        let signs = batch.iter().map(|value| if *value >= 0.0 { 1.0 } else { -1.0 }).collect();
        let step = classifier.step(&[signs], &rows);
        encoder.learn(step.gradients.concat());
        values.extend(batch);
        losses.push(step.loss);
    }
    (values, losses)
}

/// An adapter, or `None` where there is none and need not be.
fn adapter() -> Option<Opened> {
    match device::open(DeviceChoice::Wgpu) {
        Ok(opened) => Some(opened),
        Err(error) => {
            assert!(std::env::var_os("HASHVFL_NEED_WGPU").is_none(), "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn image() -> InputShape {
    InputShape { columns: 8 * 4, image: Some([1, 8, 4]), ..InputShape::default() }
}

fn models() -> [BottomConfig; 3] {
    [
        BottomConfig::Mlp(MlpConfig::default()),
        BottomConfig::Cnn(CnnConfig { channels: vec![4, 8], ..CnnConfig::default() }),
        BottomConfig::ResNet18(ResNet18Config { width: 4 }),
    ]
}

#[test]
fn codes_and_losses_are_the_same_on_wgpu_and_cpu() {
    let Some(opened) = adapter() else { return };
    eprintln!("compared with {}", opened.name);
    let image = image();
    for model in models() {
        let (on_cpu, cpu_losses) = train(&Device::flex(), &model, image.clone());
        let (on_wgpu, wgpu_losses) = train(&opened.device, &model, image.clone());
        let apart = on_cpu.iter().zip(&on_wgpu).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart <= TOLERANCE, "values before the sign differ by {apart}");
        // A bit may differ only where the value is within rounding of its threshold.
        let flipped = on_cpu.iter().zip(&on_wgpu).filter(|(a, b)| (**a >= 0.0) != (**b >= 0.0));
        assert!(flipped.clone().all(|(a, _)| a.abs() <= TOLERANCE), "{} bits differ", flipped.count());
        for (a, b) in cpu_losses.iter().zip(&wgpu_losses) {
            assert!((a - b).abs() <= f64::from(TOLERANCE), "losses {a} and {b}");
        }
    }
}

#[test]
fn the_same_seed_twice_is_the_same_run_to_the_bit() {
    for device in [Some(Device::flex()), adapter().map(|opened| opened.device)].into_iter().flatten() {
        for model in models() {
            let run = || train(&device, &model, image());
            assert_eq!(run(), run(), "{model:?} on {device:?}");
        }
    }
}
