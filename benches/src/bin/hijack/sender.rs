//! Who sends the victim its gradients.

use hashvfl_attack::active::contrastive::Memory;
use hashvfl_attack::active::fsha::{CriticConfig, FshaConfig, Objective};
use hashvfl_attack::active::urvfl::UrvflConfig;
use hashvfl_core::normal::add_noise;
use hashvfl_core::random::{stream, uniform};
use hashvfl_learning::adam::AdamConfig;

/// What the victim gets.
#[derive(Debug, Clone)]
pub enum Sender {
    /// The loss's gradient.
    Honest,
    /// A hijacker's.
    Hijacker {
        /// The hijacker.
        config: FshaConfig,
        /// What is mixed in.
        mixture: Mixture,
    },
    /// A hijacker's that knows the labels.
    Labelled {
        /// The hijacker.
        config: UrvflConfig,
        /// What is mixed in.
        mixture: Mixture,
    },
    /// Who steers towards each record's own earlier codes.
    Contrastive {
        /// Towards which.
        memory: Memory,
        /// The epoch, from 0, from which it steers; before, it is honest.
        begins: u32,
        /// Of the loss.
        temperature: f32,
        /// The share of the gradient that is honest; both parts have the power of the batch's honest gradient.
        honest: f32,
    },
    /// Normal noise.
    Noise,
    /// One direction for all records, at all steps.
    Constant,
}

impl Sender {
    /// The first epoch whose gradients are not the loss's.
    pub fn begins(&self) -> u32 {
        match self {
            Self::Contrastive { begins, .. } => *begins,
            _ => 0,
        }
    }
}

/// What an adaptive hijacker mixes in. Both parts have the power of the batch's honest gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mixture {
    /// Each row is this share of the honest one and the rest of the hijacker's.
    PerRow(f32),
    /// This share of the records gets the honest row, the others the hijacker's.
    Records(f32),
    /// Each row is this share of normal noise and the rest of the hijacker's.
    Noise(f32),
}

impl Mixture {
    /// Nothing mixed in.
    pub const NONE: Self = Self::PerRow(0.0);

    /// Mixes into `hijack` what there is to mix; `honest` and it are [rows, latents].
    pub fn mix(self, hijack: &mut [f32], honest: &[f32], latents: usize, seed: u64, step: u64) {
        let power = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-20);
        let mut rng = stream(seed, "mixture", &[step]);
        let mut other = honest.to_vec();
        if matches!(self, Self::Noise(_)) {
            other.fill(0.0);
            add_noise(&mut other, power(honest) / (honest.len() as f32).sqrt(), &mut rng);
        }
        let level = power(honest) / power(hijack);
        for (row, other) in hijack.chunks_exact_mut(latents).zip(other.chunks_exact(latents)) {
            let share = match self {
                Self::PerRow(share) | Self::Noise(share) => share,
                Self::Records(share) => f32::from(u8::from(uniform(&mut rng) < share)),
            };
            row.iter_mut().zip(other).for_each(|(v, h)| *v = (1.0 - share) * level * *v + share * h);
        }
    }
}

/// Adds `pull` [places, values], with the power of the batch's honest gradient, to the `honest` share of `gradient`.
pub fn add_pull(gradient: &mut [f32], places: &[usize], pull: Vec<f32>, honest: f32) {
    if places.is_empty() {
        return;
    }
    let values = pull.len() / places.len();
    let mean_square = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
    let level = (mean_square(gradient) / mean_square(&pull).max(1e-20)).sqrt();
    for (place, pull) in places.iter().zip(pull.chunks_exact(values)) {
        let row = &mut gradient[place * values..][..values];
        row.iter_mut().zip(pull).for_each(|(v, p)| *v = honest * *v + (1.0 - honest) * level * p);
    }
}

/// Coordinators that steer towards own earlier codes, by name: towards which, and from which epoch on if they wait for longer
/// than they must. Those that skip the last code were not there when the gradient monitor looked back at one code alone.
pub const STEERERS: [(&str, Memory, u32); 5] = [
    ("last code", Memory::Last, 0),
    ("second last code", Memory::Lag(2), 0),
    ("mean of all", Memory::Mean, 0),
    ("mean of all but the last", Memory::MeanBut(1), 0),
    ("mean of all, from epoch 5", Memory::Mean, 5),
];

/// The one of [`STEERERS`] in place `way`; the temperature is drawn by `seed`.
pub fn contrastive(way: usize, seed: u64, honest: f32) -> Sender {
    let (_, memory, waits) = STEERERS[way];
    let mut rng = stream(seed, "contrastive sender", &[way as u64]);
    let temperature = 0.05 * 10.0_f32.powf(uniform(&mut rng));
    Sender::Contrastive { memory, begins: waits.max(memory.needs() as u32), temperature, honest }
}

/// Hijackers that know the labels, by name. None of them was there when the gradient monitor's constants were chosen.
pub const LABELLED: [&str; 2] = ["urvfl", "urvfl-sync"];

/// The one of [`LABELLED`] of this name.
pub fn labelled(name: &str, seed: u64, mixture: Mixture) -> Sender {
    let config = UrvflConfig { sync: name == LABELLED[1], seed, ..UrvflConfig::default() };
    Sender::Labelled { config, mixture }
}

/// Hijackers that were there when the gradient monitor's constants were chosen.
pub const TUNED: [&str; 2] = ["wgan-gp", "js"];

/// Hijackers by name.
pub fn hijackers(seed: u64) -> Vec<(&'static str, FshaConfig)> {
    let base = FshaConfig { seed, ..FshaConfig::default() };
    let plain = AdamConfig { beta1: 0.0, beta2: 0.9, weight_decay: 0.0, ..AdamConfig::default() };
    let critic = CriticConfig::default();
    let of = |critic| FshaConfig { critic, ..base.clone() };
    vec![
        ("wgan-gp", base.clone()),
        ("js", of(CriticConfig { objective: Objective::JensenShannon, ..critic.clone() })),
        (
            "wgan-gp-deep",
            FshaConfig {
                rounds: 3,
                ..of(CriticConfig { hidden: vec![256, 128], leak: 0.2, adam: plain, ..critic.clone() })
            },
        ),
        (
            "least-squares",
            of(CriticConfig { objective: Objective::LeastSquares, hidden: vec![128], ..critic.clone() }),
        ),
        (
            "hinge",
            FshaConfig {
                head_start: 1000,
                ..of(CriticConfig {
                    objective: Objective::Hinge,
                    hidden: vec![32, 32],
                    leak: 0.1,
                    learning_rate: 3e-3,
                    ..critic.clone()
                })
            },
        ),
        (
            "js-wide",
            FshaConfig {
                rounds: 2,
                ..of(CriticConfig {
                    objective: Objective::JensenShannon,
                    hidden: vec![512],
                    learning_rate: 3e-4,
                    adam: plain,
                    ..critic
                })
            },
        ),
    ]
}
