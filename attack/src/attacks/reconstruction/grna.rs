//! GRNA (Luo et al. 2021, "Feature inference attack on model predictions in vertical federated learning"): a generator of
//! the victim's columns from the adversary's own ones and noise, trained through the victim's encoder and the top model so
//! that predictions come out right. It needs both models, and no auxiliary record.

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::normal::add_noise;
use hashvfl_core::random::stream;
use hashvfl_data::Matrix;
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::init::Init;
use hashvfl_learning::snapshot::to_host;
use hashvfl_learning::{Classifier, Encoder};

use crate::attacks::AttackId;
use crate::attacks::reconstruction::batches::Batches;
use crate::attacks::reconstruction::predictions::{predictions, probabilities, scored};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::score::moments;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::observed::ObservedAt;
use crate::report::Knowledge;
use hashvfl_leakage::cores::on_all_cores;

/// Values of noise that the generator is given, and its draws whose mean is the guess.
const NOISE: usize = 8;
const DRAWS: u64 = 8;
/// Units of its hidden layers, its updates, their records and rate.
const GENERATOR: &[usize] = &[128, 128];
const UPDATES: u64 = 1500;
const BATCH: usize = 128;
const RATE: f64 = 2e-3;
/// Own columns count as spread by this at least: pixels that are nearly always white would be huge inputs.
const LEAST_DEVIATION: f32 = 0.1;
/// Weight of the penalty on columns far from their mean.
const PENALTY: f32 = 0.01;

/// GRNA.
pub struct Grna;

const KNOWS: &[Knowledge] = &[Knowledge::OwnColumns, Knowledge::Weights, Knowledge::TopModel];

impl Attack for Grna {
    fn about(&self) -> About {
        About {
            title: "GRNA: a generator through both models",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks, Need::OwnColumns, Need::Signs],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        for attacked in on_all_cores(&surfaces.all(), |surface| attack(victim, surface)) {
            if let Some(attacked) = attacked? {
                evaluation.keep(attacked);
            }
        }
        Ok(())
    }
}

/// The attack at one cut, where both models are there.
fn attack(victim: &VictimContext, surface: &AttackSurface) -> anyhow::Result<Option<AttackOutcome>> {
    let models = (victim.own, surface.top, surface.encoders.get(victim.place));
    let (Some(own), Some(top), Some(encoder)) = models else { return Ok(None) };
    let attempt = Attempt::begin(AttackId::Grna, KNOWS, 1);
    let context = victim.test_context(surface);
    let targets = context.searched();
    let seen = predictions(top, surface, targets)?;
    let parts = surface.observed.gather_all(ObservedAt::Frozen, targets)?;
    let numbers = seen.len() / targets.len();
    let mut generator = Generator::new(&context, own, encoder, top, targets)?;
    generator.learn(&parts, &seen);
    let note =
        format!("{UPDATES} updates of a generator through both models, no auxiliary record but for means");
    Ok(Some(scored(&context, attempt.noted(note), generator.guess(), numbers)))
}

/// A generator of the targets' columns.
struct Generator<'a> {
    context: &'a AttackContext<'a>,
    encoder: &'a Encoder,
    top: &'a Classifier,
    targets: &'a [u32],
    own: &'a Matrix,
    /// Mean and deviation of own columns over the targets.
    own_moments: (Vec<f32>, Vec<f32>),
    /// Mean and deviation of the victim's columns over auxiliary records, each [1, columns].
    shift: Tensor<2>,
    scale: Tensor<2>,
    model: Mlp,
    adam: Adam,
    device: Device,
}

impl<'a> Generator<'a> {
    /// One that has learned nothing.
    fn new(
        context: &'a AttackContext<'a>,
        own: &'a Matrix,
        encoder: &'a Encoder,
        top: &'a Classifier,
        targets: &'a [u32],
    ) -> anyhow::Result<Self> {
        let (mean, deviation) = moments(context.columns, context.auxiliary);
        let learning = Device::flex().autodiff();
        let mut init = Init::new(stream(context.seed, "generator", &[]), &learning);
        let model =
            MlpConfig { hidden: GENERATOR.to_vec() }.init(own.cols() + NOISE, mean.len(), &mut init)?;
        let device = Device::flex();
        Ok(Self {
            context,
            encoder,
            top,
            targets,
            own,
            own_moments: moments(own, targets),
            shift: tensor(mean, 1, &device),
            scale: tensor(deviation, 1, &device),
            model,
            adam: Adam::new(AdamConfig::default()),
            device,
        })
    }

    /// Own columns of `rows` in standard deviations, each row with noise of its own: [rows, own columns + noise].
    fn inputs(&self, rows: &[u32], draw: u64) -> Tensor<2> {
        let mut noise = vec![0.0; rows.len() * NOISE];
        add_noise(&mut noise, 1.0, &mut stream(self.context.seed, "generator noise", &[draw]));
        let (mean, deviation) = &self.own_moments;
        let mut inputs = Vec::with_capacity(rows.len() * (self.own.cols() + NOISE));
        let columns = self.own.gather(rows);
        for (columns, noise) in columns.chunks_exact(self.own.cols()).zip(noise.chunks_exact(NOISE)) {
            for ((value, mean), deviation) in columns.iter().zip(mean).zip(deviation) {
                inputs.push((value - mean) / deviation.max(LEAST_DEVIATION));
            }
            inputs.extend_from_slice(noise);
        }
        tensor(inputs, rows.len(), &self.device)
    }

    /// Learns from what all parties sent of the targets and from the predictions that were `seen` [targets, classes].
    fn learn(&mut self, parts: &[Vec<f32>], seen: &[f32]) {
        let (classes, bits) = (seen.len() / self.targets.len(), self.encoder.bits());
        let places: Vec<u32> = (0..self.targets.len() as u32).collect();
        let mut batches = Batches::new(&places, BATCH, self.context.seed);
        for update in 0..UPDATES {
            let batch = batches.draw();
            let wanted = pick(seen, &batch, classes);
            let codes = parts.iter().map(|part| pick(part, &batch, bits)).collect();
            self.update(update, &batch, codes, &wanted);
        }
    }

    /// An update on targets at places `batch`, whose predictions are `wanted` beside the other parties' `codes`.
    fn update(&mut self, update: u64, batch: &[u32], mut codes: Vec<Vec<f32>>, wanted: &[f32]) {
        let count = batch.len();
        let rows: Vec<u32> = batch.iter().map(|place| self.targets[*place as usize]).collect();
        let (z, trace) = self.model.forward(self.inputs(&rows, update), &mut Dropout::off());
        let columns = z.clone() * self.scale.clone() + self.shift.clone();
        let (victim, classes) = (self.context.sources.victim, wanted.len() / count);
        let pulled = self.encoder.pull(columns, |values| {
            // The sign's gradient is taken as one.
            codes[victim] = self.context.at_cut(to_host(values));
            let mut pulls = self.top.pull(&codes, count, |outputs| {
                let guess = probabilities(outputs, classes);
                guess.iter().zip(wanted).map(|(guess, wanted)| (guess - wanted) / count as f32).collect()
            });
            tensor(pulls.swap_remove(victim), count, &self.device)
        });
        let cells = (count * self.scale.dims()[1]) as f32;
        let gradient = pulled * self.scale.clone() + z.mul_scalar(2.0 * PENALTY / cells);
        let mut gradients = self.model.backward_weights(trace, gradient);
        self.model = self.adam.update(self.model.clone(), &mut gradients, RATE);
    }

    /// The targets' columns [targets, columns]: the mean of several draws.
    fn guess(&self) -> Vec<f32> {
        let draw =
            |draw: u64| self.model.forward(self.inputs(self.targets, UPDATES + draw), &mut Dropout::off()).0;
        let sum = (1..DRAWS).fold(draw(0), |sum, next| sum + draw(next));
        to_host(sum.div_scalar(DRAWS as f32) * self.scale.clone() + self.shift.clone())
    }
}

/// Rows of `values` [rows, width].
fn pick(values: &[f32], rows: &[u32], width: usize) -> Vec<f32> {
    rows.iter().flat_map(|row| &values[*row as usize * width..][..width]).copied().collect()
}

fn tensor(values: Vec<f32>, rows: usize, device: &Device) -> Tensor<2> {
    let width = values.len() / rows.max(1);
    Tensor::from_data(TensorData::new(values, [rows, width]), device)
}
