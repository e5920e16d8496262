//! How strong are hijacks where nothing is hashed? A victim's first block of a cnn (convolution, ReLU, maximum) sends its features
//! of MNIST as floats, and gets a hijacker's gradients: URVFL's on right halves, FSHA's on whole images. What a decoder of the
//! hijacker's own block then makes of the victim's features is compared with the images.
//!
//! The hijacker's block keeps its first weights, since a block's features say nearly all of an image whatever they are (the
//! positive control of reports). `benches/python/urvfl_reference.py` is the same attack by other code.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use hashvfl_attack::active::dac::{Dac, LabelledCodes};
use hashvfl_attack::active::fsha::{Critic, CriticConfig, Objective};
use hashvfl_attack::metrics::image::ssim;
use hashvfl_core::random::{below, shuffle, stream};
use hashvfl_files::say;
use hashvfl_leakage::metrics::error::squared_errors;
use hashvfl_leakage::metrics::{Bootstrap, Estimate};
use hashvfl_leakage::regression::{ConvolutionalRegression, Maps};
use hashvfl_learning::bottom::CnnConfig;
use hashvfl_learning::bottom::front::Front;
use hashvfl_learning::device::Device;
use hashvfl_learning::init::Init;
use hashvfl_testbed::dataset::{Dataset, mnist};
use rand::rngs::ChaCha8Rng;

/// Who hijacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Hijacker {
    /// By a classifier that knows labels, on right halves.
    Urvfl,
    /// By a discriminator, on whole images.
    Fsha,
}

/// Hijacks the first block of a cnn on MNIST, and prints how well its features are read.
#[derive(Debug, Parser)]
#[command(name = "float_hijack", version)]
struct Arguments {
    /// Folder with `mnist/`.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// The hijackers.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "urvfl,fsha")]
    by: Vec<Hijacker>,
    /// Batches of the victim.
    #[arg(long, default_value_t = 10_000)]
    steps: u32,
    /// Images that the hijacker owns.
    #[arg(long, default_value_t = 4_545)]
    owned: usize,
    /// Seed of weights, of batches, and of who owns which image.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Images of a batch, and the learning rates of the victim and of the discriminator.
const BATCH: usize = 64;
const RATE: f64 = 1e-3;
const CRITIC_RATE: f64 = 1e-4;
/// Units of the discriminator.
const HIDDEN: [usize; 2] = [256, 128];
/// Images of the victim that are scored.
const SCORED: usize = 2_000;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let data = mnist(&arguments.data)?;
    for by in &arguments.by {
        let [error, similarity] = hijacked(&data, *by, &arguments)?;
        say!(
            "{by:?}, {} steps, {} images of the hijacker's own: MSE {}, SSIM {}",
            arguments.steps,
            arguments.owned,
            with_interval(error),
            with_interval(similarity)
        );
    }
    Ok(())
}

fn with_interval(found: Estimate) -> String {
    format!("{:.4} ({:.4} to {:.4})", found.value, found.low, found.high)
}

/// What is hijacked.
struct Images<'a> {
    classes: &'a [u32],
    /// [images, height, width].
    pixels: Vec<f32>,
    height: usize,
    width: usize,
}

impl<'a> Images<'a> {
    fn new(data: &'a Dataset, by: Hijacker) -> Self {
        let [left, right] = [0, 1].map(|party: usize| data.parties[party].matrix.values());
        let (pixels, width) = match by {
            Hijacker::Urvfl => (right.to_vec(), 14),
            Hijacker::Fsha => {
                let rows = left.chunks_exact(14).zip(right.chunks_exact(14));
                (rows.flat_map(|(left, right)| [left, right].concat()).collect(), 28)
            }
        };
        Self { classes: &data.classes, pixels, height: 28, width }
    }

    /// Pixels of an image.
    fn size(&self) -> usize {
        self.height * self.width
    }

    /// The first block of a cnn for them.
    fn block(&self, seed: u64) -> anyhow::Result<Front> {
        let image = [1, self.height, self.width];
        Front::new(&CnnConfig::default(), image, 1, seed)?.context("a cnn has a first block")
    }

    fn gather(&self, rows: &[u32]) -> Vec<f32> {
        let size = self.size();
        rows.iter().flat_map(|row| self.pixels[*row as usize * size..][..size].iter().copied()).collect()
    }

    fn classes(&self, rows: &[u32]) -> Vec<u32> {
        rows.iter().map(|row| self.classes[*row as usize]).collect()
    }
}

/// A batch of these rows, drawn.
fn batch(rows: &[u32], rng: &mut ChaCha8Rng) -> Vec<u32> {
    (0..BATCH).map(|_| rows[below(rng, rows.len())]).collect()
}

/// What draws the victim's features to those of the hijacker's block.
enum Drawn {
    Urvfl(Dac),
    Fsha(Critic),
}

impl Drawn {
    fn new(by: Hijacker, features: usize, classes: usize, seed: u64) -> Self {
        match by {
            Hijacker::Urvfl => Self::Urvfl(Dac::new(features, classes, &HIDDEN, CRITIC_RATE, seed)),
            Hijacker::Fsha => {
                let device = Device::flex().autodiff();
                let mut init = Init::new(stream(seed, "float hijack", &[]), &device);
                let config = CriticConfig {
                    objective: Objective::Wasserstein(500.0),
                    hidden: HIDDEN.to_vec(),
                    leak: 0.2,
                    learning_rate: CRITIC_RATE,
                    ..CriticConfig::default()
                };
                Self::Fsha(Critic::new(config, features, &mut init, seed))
            }
        }
    }

    /// The gradient for the victim's features, after which it has learned from both sides' features.
    fn pull(&mut self, theirs: LabelledCodes, ours: LabelledCodes) -> Vec<f32> {
        match self {
            Self::Urvfl(dac) => {
                let pull = dac.pull(theirs);
                dac.learn(theirs, ours);
                pull
            }
            Self::Fsha(critic) => {
                critic.learn(ours.codes, theirs.codes);
                critic.pull(theirs.codes)
            }
        }
    }
}

/// Mean squared error and similarity of the images that a decoder reads.
fn hijacked(data: &Dataset, by: Hijacker, arguments: &Arguments) -> anyhow::Result<[Estimate; 2]> {
    let Arguments { steps, owned, seed, .. } = *arguments;
    let images = Images::new(data, by);
    let Images { height, width, .. } = images;
    let mut order: Vec<u32> = (0..data.records() as u32).collect();
    shuffle(&mut order, &mut stream(seed, "float hijack images", &[]));
    let parts = order.split_at_checked(owned).filter(|(own, theirs)| !own.is_empty() && !theirs.is_empty());
    let (own, theirs) = parts.context("--owned must leave images to both sides")?;
    let (mut victim, surrogate) = (images.block(seed + 1)?, images.block(seed + 2)?);
    let known = images.gather(own);
    let features = surrogate.features(known.clone(), own.len());
    let (each, down, across) = (features.len() / own.len(), height / 2, width / 2);
    let shape = [each / down / across, down, across];
    let maps = Maps { features: &features, shape, images: &known, image: [1, height, width] };
    let decoder = ConvolutionalRegression::fit(&maps, seed);
    let mut drawn = Drawn::new(by, each, data.class_count, seed);
    let mut rng = stream(seed, "float hijack batches", &[]);
    for _ in 0..steps {
        let (rows, own_rows) = (batch(theirs, &mut rng), batch(own, &mut rng));
        let (classes, own_classes) = (images.classes(&rows), images.classes(&own_rows));
        let ours = surrogate.features(images.gather(&own_rows), BATCH);
        let ours = LabelledCodes { codes: &ours, classes: &own_classes };
        victim.learn(images.gather(&rows), BATCH, RATE, |codes| {
            drawn.pull(LabelledCodes { codes, classes: &classes }, ours)
        });
    }
    let scored = images.gather(&theirs[..SCORED.min(theirs.len())]);
    let guess = decoder.predict(&victim.features(scored.clone(), scored.len() / images.size()));
    let errors = squared_errors(&scored, &guess, images.size());
    let pairs = scored.chunks_exact(images.size()).zip(guess.chunks_exact(images.size()));
    let similar = pairs.filter_map(|(truth, guess)| ssim(truth, guess, height, width)).collect::<Vec<f64>>();
    let bootstrap = Bootstrap::new(seed);
    Ok([bootstrap.mean(&errors), bootstrap.mean(&similar)])
}
