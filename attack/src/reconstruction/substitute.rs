//! A substitute of the victim's bottom model, learned without asking it anything, and an inverse network on its codes
//! that then reads the victim's.
//!
//! - **Query-free** (He et al. 2019, "Model inversion attacks against collaborative inference", section 4.3): the
//!   substitute learns on labelled auxiliary records through the coordinator's own top model, which stays as it is.
//! - **FORA** (Xu et al. 2024, "A stealthy wrongdoer: feature-oriented reconstruction attack against split learning"):
//!   it learns that the distribution of its codes be that of the victim's, by a discriminator and the maximum mean
//!   discrepancy under several kernels. It needs no labels.

use std::time::Instant;

use hashvfl_core::random::{shuffle, stream};
use hashvfl_core::settings::RunSettings;
use hashvfl_learning::bottom::InputShape;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::{CutLayer, Encoder};
use hashvfl_learning::init::Init;

use crate::active::critic::{Critic, CriticConfig, Objective};
use crate::evaluation::context::{AttackContext, AttackOutcome};
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::knowledge::Fact;
use crate::evidence::observed::ObservedAt;
use crate::reconstruction::regression::{Examples, Regression};
use crate::report::CutKind;

/// Records of a batch.
const BATCH: usize = 128;
/// Updates of a substitute.
const UPDATES: u64 = 1500;
/// Updates after which its thresholds are measured anew.
const CALIBRATE: u64 = 25;
/// Widths of the kernels, as shares of the mean squared distance of codes.
const KERNELS: [f32; 5] = [0.125, 0.25, 0.5, 1.0, 2.0];

impl VictimContext<'_> {
    /// A bottom model of the victim's architecture with weights of its own.
    pub fn substitute(&self, cut: CutKind) -> anyhow::Result<Encoder> {
        let cut = if cut == CutKind::SimulatedFloats { CutLayer::SimulatedFloat } else { CutLayer::Hash };
        let input = InputShape {
            columns: self.owner.columns.cols(),
            image: self.owner.image,
            ..InputShape::default()
        };
        let run = RunSettings { randomised_response: None, ..self.evidence.coordinator.run.clone() };
        let config = self.owner.config.encoder.clone();
        // The adversary does not know the victim's seed.
        let seed = stream_seed(self.config.seed);
        Ok(Encoder::new(config, cut, input, &run, UPDATES, seed, &Device::flex())?)
    }

    /// The query-free attack, where the cut's top model is there.
    pub fn query_free(&self, attackable: &AttackSurface) -> anyhow::Result<Option<AttackOutcome>> {
        let Some(top) = attackable.top else { return Ok(None) };
        let began = Instant::now();
        let attack_context = self.frozen_context(attackable);
        let mut substitute = self.substitute(attackable.cut)?;
        let mut batches = Batches::new(attack_context.auxiliary, self.config.seed);
        for update in 0..UPDATES {
            let rows = batches.draw();
            let codes = self.encode_batch(&attack_context, (&mut substitute, update), &rows);
            let parties = 0..attackable.observed.parties.len();
            let seen = |party| attackable.observed.gather(party, ObservedAt::Frozen, &rows);
            let mut parts = parties.map(seen).collect::<anyhow::Result<Vec<_>>>()?;
            // What the victim sent of auxiliary records is not used: the adversary need not have asked for it.
            parts[self.victim] = codes;
            substitute.learn(top.gradients(&parts, &rows).swap_remove(self.victim));
        }
        let knowledge = ["labels", "top model", "architecture"].map(str::to_string).to_vec();
        self.read_through(&attack_context, substitute, ("query-free", knowledge), began).map(Some)
    }

    /// FORA.
    pub fn fora(&self, attackable: &AttackSurface) -> anyhow::Result<AttackOutcome> {
        let began = Instant::now();
        let attack_context = self.frozen_context(attackable);
        let mut substitute = self.substitute(attackable.cut)?;
        let ends = (attack_context.auxiliary, attack_context.targets);
        let mut drawing = Drawing::new(ends, attackable.observed.width, BATCH, self.config.seed);
        for update in 0..UPDATES {
            let (rows, others) = drawing.rows();
            let codes = self.encode_batch(&attack_context, (&mut substitute, update), &rows);
            let seen = attackable.observed.gather(self.victim, ObservedAt::Frozen, &others)?;
            substitute.learn(drawing.gradient(&codes, &seen));
        }
        self.read_through(&attack_context, substitute, ("FORA", vec!["architecture".into()]), began)
    }

    fn encode_batch(
        &self,
        attack_context: &AttackContext,
        (encoder, update): (&mut Encoder, u64),
        rows: &[u32],
    ) -> Vec<f32> {
        if update.is_multiple_of(CALIBRATE) {
            encoder.calibrate(attack_context.auxiliary, &|rows| self.owner.columns.gather(rows));
        }
        attack_context.at_cut(encoder.encode_batch(self.owner.columns.gather(rows), rows.len()))
    }

    /// An inverse network on the substitute's codes of auxiliary records, asked for the victim's.
    fn read_through(
        &self,
        attack_context: &AttackContext,
        mut substitute: Encoder,
        (attack, knowledge): (&str, Vec<String>),
        began: Instant,
    ) -> anyhow::Result<AttackOutcome> {
        let columns = |rows: &[u32]| self.owner.columns.gather(rows);
        substitute.freeze(attack_context.auxiliary, &columns);
        let rows = attack_context.auxiliary.len();
        let examples = Examples {
            inputs: attack_context.at_cut(substitute.encode(columns(attack_context.auxiliary), rows)),
            outputs: columns(attack_context.auxiliary),
            rows,
            discrete: attack_context.cut != CutKind::SimulatedFloats,
        };
        let regression = Regression::fit(&examples, self.config.seed);
        let guess = attack_context.predict(&regression, &[Fact::Code], attack_context.targets)?;
        let note = format!("{UPDATES} updates of a substitute; its codes are read by: {}", regression.kind);
        Ok(attack_context.attacked(attack, (knowledge, 1), guess, Some(note), began))
    }
}

/// A seed that is not the victim's.
fn stream_seed(seed: u64) -> u64 {
    use rand::Rng;
    stream(seed, "substitute", &[]).next_u64()
}

/// FORA's two sides: batches of the adversary's records and of what the victim sent, and what draws the one to the other.
pub struct Drawing {
    critic: Critic,
    width: usize,
    batches: Batches,
    others: Batches,
}

impl Drawing {
    /// Between `auxiliary` records and `targets`, of `width` values each; `size` records a batch.
    pub fn new((auxiliary, targets): (&[u32], &[u32]), width: usize, size: usize, seed: u64) -> Self {
        let device = Device::flex().autodiff();
        let mut init = Init::new(stream(seed, "fora critic", &[]), &device);
        let config = CriticConfig { objective: Objective::JensenShannon, ..CriticConfig::default() };
        Self {
            critic: Critic::new(config, width, &mut init, seed),
            width,
            batches: Batches::of(auxiliary, seed, size),
            // Of records that the adversary cannot name.
            others: Batches::of(targets, seed.wrapping_add(1), size),
        }
    }

    /// The next batch of auxiliary records, and of targets.
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

/// Batches of records, pass after pass, each in a new order.
pub struct Batches {
    size: usize,
    order: Vec<u32>,
    next: usize,
    pass: u64,
    seed: u64,
}

impl Batches {
    /// Over `records`.
    pub fn new(records: &[u32], seed: u64) -> Self {
        Self::of(records, seed, BATCH)
    }

    /// The same, `size` records each, or all where there are fewer.
    pub fn of(records: &[u32], seed: u64, size: usize) -> Self {
        Self { size: size.min(records.len()), order: records.to_vec(), next: records.len(), pass: 0, seed }
    }

    /// The next batch, of the same size as every other.
    pub fn draw(&mut self) -> Vec<u32> {
        let size = self.size;
        if self.next + size > self.order.len() {
            shuffle(&mut self.order, &mut stream(self.seed, "substitute batches", &[self.pass]));
            (self.next, self.pass) = (0, self.pass + 1);
        }
        self.next += size;
        self.order[self.next - size..self.next].to_vec()
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
    let (ours_rows, theirs_rows) = ((ours.len() / bits) as f32, (theirs.len() / bits) as f32);
    let mut gradient = vec![0.0; ours.len()];
    for (gradient, a) in gradient.chunks_exact_mut(bits).zip(ours.chunks_exact(bits)) {
        let mut add = |b: &[f32], weight: f32| {
            let far = distance(a, b);
            let slope = |share: &f32| {
                let width = (share * spread).max(1e-12);
                -2.0 / width * (-far / width).exp()
            };
            let slope = weight * KERNELS.iter().map(slope).sum::<f32>();
            gradient.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += slope * (a - b));
        };
        ours.chunks_exact(bits).for_each(|b| add(b, 2.0 / ours_rows.powi(2)));
        theirs.chunks_exact(bits).for_each(|b| add(b, -2.0 / (ours_rows * theirs_rows)));
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradient is that of finite differences.
    #[test]
    fn the_discrepancy_is_differentiated() {
        let theirs: Vec<f32> = (0..10).flat_map(|row| [row as f32 / 5.0, 1.0 - row as f32 / 10.0]).collect();
        let ours: Vec<f32> = (0..8).flat_map(|row| [row as f32 / 4.0 - 1.0, 0.5]).collect();
        let wide = spread(&ours, &theirs, 2);
        let mean = |a: &[f32], b: &[f32]| {
            let kernel = |a: &[f32], b: &[f32]| {
                KERNELS.iter().map(|share| f64::from(-distance(a, b) / (share * wide)).exp()).sum::<f64>()
            };
            let sum: f64 = a.chunks_exact(2).flat_map(|a| b.chunks_exact(2).map(move |b| kernel(a, b))).sum();
            sum / (a.len() * b.len() / 4) as f64
        };
        let squared = |ours: &[f32]| mean(ours, ours) - 2.0 * mean(ours, &theirs);
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

    #[test]
    fn batches_go_through_all_records() {
        let records: Vec<u32> = (0..300).collect();
        let mut batches = Batches::new(&records, 0);
        let mut seen: Vec<u32> = (0..2).flat_map(|_| batches.draw()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 256);
        assert_eq!(Batches::new(&records[..7], 0).draw().len(), 7);
    }
}
