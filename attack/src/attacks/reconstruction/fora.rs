//! FORA (Xu et al. 2024, "A stealthy wrongdoer: feature-oriented reconstruction attack against split learning"): a
//! substitute of the victim's bottom model learns that the distribution of its codes be that of the victim's, by a
//! discriminator and the maximum mean discrepancy under several kernels. It needs no labels. An inverse network on the
//! substitute's codes then reads the victim's.

use hashvfl_core::random::stream;
use hashvfl_learning::device::Device;
use hashvfl_learning::init::Init;

use crate::attacks::AttackId;
use crate::attacks::critic::{Critic, CriticConfig, Objective};
use crate::attacks::reconstruction::batches::Batches;
use crate::attacks::reconstruction::substitute::{BATCH, Substitute, UPDATES};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::Attempt;
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::observed::ObservedAt;
use crate::report::Knowledge;
use hashvfl_leakage::cores::on_all_cores;

/// Widths of the kernels, as fractions of the mean squared distance of codes.
const KERNELS: [f32; 5] = [0.125, 0.25, 0.5, 1.0, 2.0];

/// FORA.
pub struct Fora;

const KNOWS: &[Knowledge] = &[Knowledge::Architecture];

impl Attack for Fora {
    fn about(&self) -> About {
        About {
            title: "FORA's substitute of the bottom model",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks, Need::Signs],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        for attacked in on_all_cores(&surfaces.all(), |surface| attack(victim, surface)) {
            evaluation.keep(attacked?);
        }
        Ok(())
    }
}

fn attack(victim: &VictimContext, surface: &AttackSurface) -> anyhow::Result<AttackOutcome> {
    let attempt = Attempt::begin(AttackId::Fora, KNOWS, 1);
    let mut context = victim.test_context(surface);
    let known = context.owned_frozen();
    context.auxiliary = &known;
    let mut substitute = Substitute::new(victim, &context)?;
    let width = surface.observed.width(victim.place);
    // It saw the codes of all records, whoever has their columns.
    let all: Vec<u32> = (0..context.columns.rows() as u32).collect();
    let mut seen = victim.ownership.never_owned(&all);
    seen.retain(|record| surface.observed.saw(victim.place, ObservedAt::Frozen, *record));
    let mut alignment = Alignment::new(context.auxiliary, &seen, width, BATCH, victim.config.seed);
    for _ in 0..UPDATES {
        let (rows, others) = alignment.rows();
        let codes = substitute.encode_batch(&rows);
        let seen = surface.observed.gather(victim.place, ObservedAt::Frozen, &others)?;
        substitute.encoder.learn(alignment.gradient(&codes, &seen));
    }
    substitute.read(&context, false, attempt)
}

/// FORA's two sides: batches of the adversary's records and of what the victim sent, and what draws the one to the other.
pub struct Alignment {
    critic: Critic,
    width: usize,
    batches: Batches,
    others: Batches,
}

impl Alignment {
    /// Between `auxiliary` records and `others`, of `width` values each; `size` records per batch.
    pub fn new(auxiliary: &[u32], others: &[u32], width: usize, size: usize, seed: u64) -> Self {
        let device = Device::flex().autodiff();
        let mut init = Init::new(stream(seed, "fora critic", &[]), &device);
        let config = CriticConfig { objective: Objective::JensenShannon, ..CriticConfig::default() };
        Self {
            critic: Critic::new(config, width, &mut init, seed),
            width,
            batches: Batches::new(auxiliary, size, seed),
            // Of records that the adversary cannot name.
            others: Batches::new(others, size, seed.wrapping_add(1)),
        }
    }

    /// The next batch of auxiliary records, and of others.
    pub fn rows(&mut self) -> (Vec<u32>, Vec<u32>) {
        (self.batches.draw(), self.others.draw())
    }

    /// The gradient for `ours` [rows, width], so that they come to be distributed as `theirs`: by a critic, which learns
    /// to tell them apart, and by the maximum mean discrepancy. Both count alike.
    pub fn gradient(&mut self, ours: &[f32], theirs: &[f32]) -> Vec<f32> {
        self.critic.learn(theirs, ours);
        let mut gradient = discrepancy(ours, theirs, self.width, spread(ours, theirs, self.width));
        let pulls = self.critic.pull(ours);
        let scale = length(&gradient) / length(&pulls).max(1e-20);
        gradient.iter_mut().zip(pulls).for_each(|(sum, pull)| *sum += scale * pull);
        gradient
    }
}

fn length(values: &[f32]) -> f32 {
    values.iter().map(|v| v * v).sum::<f32>().sqrt()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// Mean squared distance between codes [rows, bits] of either side.
fn spread(ours: &[f32], theirs: &[f32], bits: usize) -> f32 {
    let pairs = || ours.chunks_exact(bits).zip(theirs.chunks_exact(bits));
    pairs().map(|(a, b)| distance(a, b)).sum::<f32>() / pairs().count().max(1) as f32
}

/// The gradient for `ours` of its squared maximum mean discrepancy to `theirs` under a sum of Gaussian kernels (Gretton
/// et al. 2012) as wide as `spread` says, both [rows, bits].
fn discrepancy(ours: &[f32], theirs: &[f32], bits: usize, spread: f32) -> Vec<f32> {
    let (rows, theirs_rows) = (ours.len() / bits, (theirs.len() / bits) as f32);
    let (among, between) = (2.0 / (rows as f32).powi(2), -2.0 / (rows as f32 * theirs_rows));
    // As steep from one to the other as back.
    let mut slopes = vec![0.0; rows * rows];
    for (i, a) in ours.chunks_exact(bits).enumerate() {
        for (j, b) in ours.chunks_exact(bits).enumerate().take(i + 1) {
            let slope = slope(a, b, spread);
            slopes[i * rows + j] = slope;
            slopes[j * rows + i] = slope;
        }
    }
    let mut gradient = vec![0.0; ours.len()];
    for (i, (gradient, a)) in gradient.chunks_exact_mut(bits).zip(ours.chunks_exact(bits)).enumerate() {
        for (b, slope) in ours.chunks_exact(bits).zip(&slopes[i * rows..]) {
            add_pull(gradient, a, b, among * slope);
        }
        for b in theirs.chunks_exact(bits) {
            add_pull(gradient, a, b, between * slope(a, b, spread));
        }
    }
    gradient
}

/// The slope of the kernels between `a` and `b` at `a`, as a multiple of what is between them.
fn slope(a: &[f32], b: &[f32], spread: f32) -> f32 {
    let (far, mut slope) = (distance(a, b), 0.0);
    for fraction in KERNELS {
        let width = (fraction * spread).max(1e-12);
        slope += -2.0 / width * (-far / width).exp();
    }
    slope
}

/// Adds to `gradient` this `slope` between `a` and `b`.
fn add_pull(gradient: &mut [f32], a: &[f32], b: &[f32], slope: f32) {
    gradient.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += slope * (a - b));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(a: &[f32], b: &[f32], wide: f32) -> f64 {
        KERNELS.iter().map(|fraction| f64::from(-distance(a, b) / (fraction * wide)).exp()).sum()
    }

    /// The mean of the kernels over all pairs.
    fn mean(a: &[f32], b: &[f32], wide: f32) -> f64 {
        let pairs = a.chunks_exact(2).flat_map(|a| b.chunks_exact(2).map(move |b| kernel(a, b, wide)));
        pairs.sum::<f64>() / (a.len() * b.len() / 4) as f64
    }

    /// The gradient is that of finite differences.
    #[test]
    fn the_discrepancy_is_differentiated() {
        let theirs: Vec<f32> = (0..10).flat_map(|row| [row as f32 / 5.0, 1.0 - row as f32 / 10.0]).collect();
        let ours: Vec<f32> = (0..8).flat_map(|row| [row as f32 / 4.0 - 1.0, 0.5]).collect();
        let wide = spread(&ours, &theirs, 2);
        let squared = |ours: &[f32]| mean(ours, ours, wide) - 2.0 * mean(ours, &theirs, wide);
        for (place, found) in discrepancy(&ours, &theirs, 2, wide).into_iter().enumerate() {
            let moved = |by: f32| {
                let mut ours = ours.clone();
                ours[place] += by;
                squared(&ours)
            };
            let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((f64::from(found) - expected).abs() < 1e-3, "{place}: {found} and {expected}");
        }
    }
}
