//! The open door: a float cnn's features after each block, which no attack that is worth its name finds shut.

use std::time::Instant;

use hashvfl_core::random::stream;
use hashvfl_learning::bottom::BottomConfig;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::Encoder;
use hashvfl_learning::front::Front;
use hashvfl_learning::init::Init;

use crate::critic::{Critic, CriticConfig, Objective};
use crate::inversion::{Inversion, Matching, STEPS, Through};
use crate::regress::{Local, Maps};
use crate::scene::{Attacked, Scene, victims};
use crate::score::moments;
use crate::substitute::{Batches, draw_together};

/// Prior weights among which the search chooses: features say more than a code, and count for more.
const PRIORS: [f32; 3] = [1e-5, 1e-4, 1e-3];
/// Records by which it chooses.
const TRIED: usize = 100;
/// Updates of a substitute's blocks, and their rate.
const UPDATES: u64 = 1500;
const RATE: f64 = 1e-3;
/// Records of its batches: features are many.
const BATCH: usize = 64;

impl Scene<'_> {
    /// An inverse network, FORA and a white-box search on what a cnn's first `blocks` blocks (convolution, ReLU, maximum)
    /// give. `None` for other models and for blocks that it does not have.
    pub fn open_door(&self, encoder: &Encoder, blocks: usize) -> Option<[Attacked; 3]> {
        let image = self.image?;
        let features =
            |records: &[u32]| encoder.features(self.columns.gather(records), records.len(), blocks);
        let began = Instant::now();
        let targets = self.searched();
        let ((known, shape), (seen, _)) = (features(self.auxiliary)?, features(targets)?);
        let bits = 32 * shape.iter().product::<usize>() as u64;
        let place = |knows: &str, mut attacked: Attacked| {
            // Another cut than the run's: it must not be compared with what crosses that one.
            let party = &self.sources.observed.parties[self.sources.victim];
            attacked.result.victim = victims(party, &format!("{}, cut earlier", self.population));
            attacked.result.knowledge = vec![knows.into()];
            attacked.result.defence = format!("none, features after block {blocks}");
            attacked.result.bits = bits;
            attacked
        };
        let images = self.columns.gather(self.auxiliary);
        let local = Local::fit(&Maps { features: &known, shape, images: &images, image }, self.seed);
        let guess = local.predict(&seen);
        let name = format!("inverse network after block {blocks} of the cnn");
        let note = Some("a decoder that convolves, on all auxiliary records".to_string());
        let decoded = place("query access", self.attacked(&name, (Vec::new(), 1), guess, note, began));

        let began = Instant::now();
        let front = self.substitute_front(encoder, blocks, &features(self.targets)?.0)?;
        let ours = front.features(images.clone(), self.auxiliary.len());
        let local = Local::fit(&Maps { features: &ours, shape, images: &images, image }, self.seed);
        let guess = local.predict(&seen);
        let name = format!("FORA after block {blocks} of the cnn");
        let note = Some(format!("{UPDATES} updates of a substitute, read by a decoder that convolves"));
        let stealthy = place("architecture", self.attacked(&name, (Vec::new(), 1), guess, note, began));

        let began = Instant::now();
        let (tried, rest) = self.auxiliary.split_at(TRIED.min(self.auxiliary.len() / 4));
        let (mean, deviation) = moments(self.columns, rest);
        let (tried_seen, _) = features(tried)?;
        // The penalty is the same whatever the features' size.
        let power = known.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / known.len().max(1) as f64;
        let search = |prior: f32, seen: &[f32], rows: usize| {
            let inversion = Inversion {
                through: Through::Blocks(encoder, blocks),
                image: self.image,
                deviation: &deviation,
                matching: Matching::Value,
                prior: prior * power as f32,
                steps: STEPS,
            };
            inversion.run(&mean.repeat(rows), seen, rows)
        };
        let prior = self.best_prior(&PRIORS, (tried, rest), &|prior| search(prior, &tried_seen, tried.len()));
        let guess = search(prior, &seen, targets.len());
        let name = format!("white-box after block {blocks} of the cnn, from the mean");
        let note = Some(format!("penalty {prior}, chosen on {} auxiliary records", tried.len()));
        Some([decoded, stealthy, place("weights", self.attacked(&name, (Vec::new(), 1), guess, note, began))])
    }

    /// FORA's substitute (Xu et al. 2024): blocks of the victim's architecture that learn, on auxiliary records, to give
    /// features distributed as those `seen` of the victim's, without knowing whose these are.
    fn substitute_front(&self, encoder: &Encoder, blocks: usize, seen: &[f32]) -> Option<Front> {
        let BottomConfig::Cnn(config) = &encoder.config().model else { return None };
        let mut front = Front::new(config, self.image?, blocks, self.seed).ok()??;
        let width = seen.len() / self.targets.len().max(1);
        let device = Device::flex().autodiff();
        let mut init = Init::new(stream(self.seed, "fora critic", &[]), &device);
        let config = CriticConfig { objective: Objective::JensenShannon, ..CriticConfig::default() };
        let mut critic = Critic::new(config, width, &mut init, self.seed);
        let mut batches = Batches::of(self.auxiliary, self.seed, BATCH);
        let places: Vec<u32> = (0..self.targets.len() as u32).collect();
        let mut others = Batches::of(&places, self.seed.wrapping_add(1), BATCH);
        for _ in 0..UPDATES {
            let rows = batches.draw();
            let theirs: Vec<f32> = others
                .draw()
                .into_iter()
                .flat_map(|place| seen[place as usize * width..][..width].iter().copied())
                .collect();
            front.learn(self.columns.gather(&rows), rows.len(), RATE, |ours| {
                draw_together(&mut critic, ours, &theirs, width)
            });
        }
        Some(front)
    }
}
