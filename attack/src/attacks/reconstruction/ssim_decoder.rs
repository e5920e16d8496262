//! A decoder of images that learns what it is scored by: structural similarity. Conditional means are best by squared error, and
//! paint of all images that may have a code the blurred middle, which is alike to none of them (Zhao, Gallo, Frosio and Kautz 2017,
//! "Loss functions for image restoration with neural networks", section III).
//!
//! Without codes it learns as well, so that what codes add is not what another loss adds.

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::stream;
use hashvfl_leakage::cores::on_all_cores;
use hashvfl_leakage::regression::column_means;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::init::Init;
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::snapshot::to_host;

use crate::attacks::AttackId;
use crate::attacks::reconstruction::batches::Batches;
use crate::attacks::reconstruction::conditional_mean::KNOWS;
use crate::attacks::sweeps::epochs::everything_of;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::Attempt;
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::score::span;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::knowledge::{Fact, known};
use crate::metrics::image;
use crate::report::CutKind;

/// The decoder: of one code of test records, and of all that training and validation records sent.
pub struct SsimDecoder;

/// Units of its hidden layers, updates, records of a batch, rate at most, and the fraction of units that are dropped.
const HIDDEN: [usize; 2] = [256, 256];
const UPDATES: u64 = 2000;
const BATCH: usize = 64;
const RATE: f64 = 2e-3;
const DROPOUT: f32 = 0.1;
/// One in this many records says where it was best, looked at after so many updates, and teaches it nothing.
const HELD_OUT: usize = 5;
const LOOK: u64 = 100;

impl Attack for SsimDecoder {
    fn about(&self) -> About {
        About {
            title: "decoder of images that is trained for structural similarity",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks, Need::ImageWithSsim, Need::Thorough],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let one = ObservedRelease::OneCode;
        let mut tries = DecoderTrial::all(victim, &surfaces.codes, &victim.test, one);
        tries.extend(DecoderTrial::all(victim, &surfaces.floats, &victim.test, one));
        for records in [Some(&victim.training), victim.validation.as_ref()].into_iter().flatten() {
            if let Some(most) = everything_of(victim, &surfaces.codes, records).last() {
                tries.extend(DecoderTrial::all(victim, &surfaces.codes, records, *most));
            }
        }
        for attacked in on_all_cores(&tries, |tried| tried.attack(victim)) {
            evaluation.keep(attacked?);
        }
        Ok(())
    }
}

/// One adversary and what it sees.
struct DecoderTrial<'a> {
    surface: &'a AttackSurface<'a>,
    records: &'a Records,
    adversary: Adversary,
    release: ObservedRelease,
}

impl<'a> DecoderTrial<'a> {
    /// By each adversary, with `most` and with nothing. Without codes other parties' floats alone make a difference to codes.
    fn all(
        victim: &VictimContext,
        surface: &'a AttackSurface<'a>,
        records: &'a Records,
        most: ObservedRelease,
    ) -> Vec<Self> {
        let mut tries = Vec::new();
        for adversary in Adversary::all(victim) {
            let facts = adversary.facts(victim.evidence.owners.len());
            for release in [ObservedRelease::Nothing, most] {
                let same = release == ObservedRelease::Nothing && !facts.contains(&Fact::OtherCodes);
                if surface.cut == CutKind::Codes || !same {
                    tries.push(Self { surface, records, adversary, release });
                }
            }
        }
        tries
    }

    fn attack(&self, victim: &VictimContext) -> anyhow::Result<AttackOutcome> {
        let mut context = victim.context(self.surface, self.records);
        let beside = self.adversary.facts(victim.evidence.owners.len());
        let facts = [beside.clone(), self.release.facts()].concat();
        let attempt =
            Attempt::begin(AttackId::SsimDecoder, &known(&beside), context.releases(&self.release.facts()));
        let (low, range) = span(&context.columns.gather(context.auxiliary));
        let owned = context.owned_like_targets(&facts);
        context.auxiliary = &owned;
        let pixels = context.columns.gather(&owned);
        let examples = ImageExamples {
            inputs: context.sources.inputs(&facts, &owned)?.values,
            images: pixels.iter().map(|pixel| (pixel - low) / range).collect(),
            size: context.image.map_or([1, 1], |[_, height, width]| [height, width]),
        };
        let (decoder, best) = ImageDecoder::fit(&examples, UPDATES, context.seed);
        let asked = context.sources.inputs(&facts, context.targets)?.values;
        let guess = decoder.predict(&asked, context.targets.len());
        let guess = guess.into_iter().map(|grey| low + range * grey).collect();
        let note = format!("it had an SSIM of {best:.3} on auxiliary records that were left out");
        Ok(context.scored(attempt.noted(note), guess))
    }
}

/// Images of records and what is known of these.
struct ImageExamples {
    /// [records, inputs].
    inputs: Vec<f32>,
    /// [records, pixels], 0 to 1.
    images: Vec<f32>,
    /// Height and width.
    size: [usize; 2],
}

impl ImageExamples {
    fn image(&self, record: u32) -> &[f32] {
        let pixels = self.size[0] * self.size[1];
        &self.images[record as usize * pixels..][..pixels]
    }
}

/// A perceptron from what is known to the difference from the mean image.
struct ImageDecoder {
    model: Mlp,
    /// Mean of each input and what it is divided by.
    scales: Vec<(f32, f32)>,
    mean: Vec<f32>,
    device: Device,
}

impl ImageDecoder {
    /// One that has made so many `updates`, as it was when images that were left out were most alike, and how alike these were.
    fn fit(examples: &ImageExamples, updates: u64, seed: u64) -> (Self, f64) {
        let [height, width] = examples.size;
        let rows = examples.images.len() / (height * width);
        let (mut decoder, all) = (Self::new(examples, rows, seed), (0..rows as u32).collect::<Vec<u32>>());
        let (held, kept) = all.split_at((rows / HELD_OUT).max(1));
        let mut adam = Adam::new(AdamConfig { weight_decay: 0.0, ..AdamConfig::default() });
        let (rates, mut batches) = (Rates::one_cycle(RATE, updates), Batches::new(kept, BATCH, seed));
        let mut best: Option<(f64, Mlp)> = None;
        for update in 0..updates {
            let batch = batches.draw();
            let mut dropout = Dropout::new(DROPOUT, stream(seed, "dropout of a decoder", &[update]));
            let known = decoder.tensor(decoder.standard(&examples.inputs, &batch), batch.len());
            let (outputs, trace) = decoder.model.forward(known, &mut dropout);
            let guess = decoder.images(to_host(outputs));
            let mut pull = Vec::with_capacity(guess.len());
            for (record, guess) in batch.iter().zip(guess.chunks_exact(height * width)) {
                let slopes = image::ssim_gradient(examples.image(*record), guess, height, width);
                pull.extend(slopes.into_iter().map(|slope| -slope / batch.len() as f32));
            }
            let mut gradients = decoder.model.backward_weights(trace, decoder.tensor(pull, batch.len()));
            decoder.model = adam.update(decoder.model.clone(), &mut gradients, rates.at(update));
            if (update + 1).is_multiple_of(LOOK) || update + 1 == updates {
                let similar = decoder.similarity(examples, held);
                if best.as_ref().is_none_or(|(most, _)| similar > *most) {
                    best = Some((similar, decoder.model.clone()));
                }
            }
        }
        let (similar, model) = best.unwrap_or((f64::NAN, decoder.model.clone()));
        (Self { model, ..decoder }, similar)
    }

    fn new(examples: &ImageExamples, rows: usize, seed: u64) -> Self {
        let width = examples.inputs.len() / rows;
        let mean = column_means(&examples.inputs, width, rows);
        let squares: Vec<f32> = examples
            .inputs
            .iter()
            .zip(mean.iter().cycle())
            .map(|(value, mean)| (value - mean).powi(2))
            .collect();
        let deviations =
            column_means(&squares, width, rows).into_iter().map(|square| square.max(1e-6).sqrt());
        let pixels = examples.images.len() / rows;
        let device = Device::flex().autodiff();
        let mut init = Init::new(stream(seed, "decoder for similarity", &[]), &device);
        // Unwrap safety: a handful of layers within the limits.
        let model = MlpConfig { hidden: HIDDEN.to_vec() }
            .init(width.max(1), pixels, &mut init)
            .expect("a decoder of few units");
        let scales = mean.into_iter().zip(deviations).collect();
        Self { model, scales, mean: column_means(&examples.images, pixels, rows), device }
    }

    /// Inputs of some `rows`, in standard deviations; of who knows nothing a single zero.
    fn standard(&self, inputs: &[f32], rows: &[u32]) -> Vec<f32> {
        let width = self.scales.len();
        if width == 0 {
            return vec![0.0; rows.len()];
        }
        let mut values = Vec::with_capacity(rows.len() * width);
        for row in rows {
            let row = inputs[*row as usize * width..][..width].iter().zip(&self.scales);
            values.extend(row.map(|(value, (mean, deviation))| (value - mean) / deviation));
        }
        values
    }

    /// Images [rows, pixels] whose differences from the mean image these are.
    fn images(&self, mut differences: Vec<f32>) -> Vec<f32> {
        for row in differences.chunks_exact_mut(self.mean.len()) {
            row.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value += mean);
        }
        differences
    }

    /// Images of `rows` of inputs.
    fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        let all: Vec<u32> = (0..rows as u32).collect();
        let known = self.tensor(self.standard(inputs, &all), rows);
        self.images(to_host(self.model.forward(known, &mut Dropout::off()).0))
    }

    /// How alike to their own the images are that it makes of the first ones, `held`.
    fn similarity(&self, examples: &ImageExamples, held: &[u32]) -> f64 {
        let [height, width] = examples.size;
        let guess = self.predict(&examples.inputs, held.len());
        let pairs = held.iter().zip(guess.chunks_exact(height * width));
        let similar =
            pairs.filter_map(|(row, guess)| image::ssim(examples.image(*row), guess, height, width));
        similar.sum::<f64>() / held.len() as f64
    }

    fn tensor(&self, values: Vec<f32>, rows: usize) -> Tensor<2> {
        let width = values.len() / rows;
        Tensor::from_data(TensorData::new(values, [rows, width]), &self.device.clone().inner())
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::uniform;

    use super::*;

    const SIZE: [usize; 2] = [11, 12];
    const RECORDS: u32 = 150;

    /// Upright and level stripes, and what is known of each record: first which, by `code` of a sign and of a draw, then noise.
    fn pictures(code: impl Fn(f32, f32) -> f32) -> ImageExamples {
        let mut rng = stream(2, "decoder test", &[]);
        let (mut inputs, mut images) = (Vec::new(), Vec::new());
        for record in 0..RECORDS {
            let upright = record.is_multiple_of(2);
            let sign = if upright { 1.0 } else { -1.0 };
            inputs.extend([code(sign, uniform(&mut rng)), uniform(&mut rng)]);
            for pixel in 0..SIZE[0] * SIZE[1] {
                let place = if upright { pixel % SIZE[1] } else { pixel / SIZE[1] };
                images.push(f32::from(u8::from(place % 4 < 2)));
            }
        }
        ImageExamples { inputs, images, size: SIZE }
    }

    /// From what is known of other records, the middle of both images is about the best guess: two thirds.
    #[test]
    fn images_become_alike_by_floats_and_by_signs_and_not_by_those_of_others() {
        let similar = |examples: &ImageExamples| ImageDecoder::fit(examples, 200, 1).1;
        for examples in [pictures(|sign, draw| sign * (0.5 + draw)), pictures(|sign, _| sign)] {
            assert!(similar(&examples) > 0.9, "{}", similar(&examples));
        }
        let of_others = pictures(|_, draw| if draw < 0.5 { 1.0 } else { -1.0 });
        assert!(similar(&of_others) < 0.8, "{}", similar(&of_others));
    }
}
