//! A run, step by step, with a coordinator that is honest to one party and whatever it likes to the other.

use std::borrow::Cow;
use std::ops::ControlFlow;

use hashvfl_attack::active::contrastive::Contrastive;
use hashvfl_attack::active::fsha::FshaConfig;
use hashvfl_attack::active::hijacker::Hijacker;
use hashvfl_attack::active::urvfl::{UrvflConfig, UrvflKnowledge};
use hashvfl_core::normal::add_noise;
use hashvfl_core::random::stream;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::{
    CodeForm, Gradient, GradientEncoding, PackedCodes, Part, Plan, RowSelection, RunSettings,
};
use hashvfl_data::Matrix;
use hashvfl_leakage::metrics::error::{skill, squared_errors};
use hashvfl_learning::bottom::InputShape;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::training::backend::{Embedding, PartyBackend};
use hashvfl_learning::training::in_process::{InProcessParties, InProcessParty};
use hashvfl_learning::{Classifier, Encoder};

use crate::dataset::Dataset;
use crate::hijacker::hijacker;
use crate::recipe::Recipe;
use crate::sender::{self, Sender};

/// One batch as a party sees it.
pub struct BatchView<'a> {
    /// The party.
    pub party: usize,
    /// Whether a cycle of the learning rate begins with it.
    pub begins_cycle: bool,
    /// The records.
    pub records: &'a [u32],
    /// The values of its codes.
    pub codes: &'a [f32],
    /// What it expected them to be before it drew noise.
    pub expected: &'a [f32],
    /// The gradient that it got, after its encoding.
    pub gradient: &'a [f32],
}

/// The party that a hijacker turns to.
pub const VICTIM: usize = 1;

/// Records whose columns the hijacker's decoder is scored on, at most.
const SCORED: usize = 2000;

/// Runs `recipe` for at most `steps` steps and shows every party's batches to `see`, until it has seen enough. Where
/// there is a hijacker, returns the skill of its decoder against the mean on the victim's training records: from the
/// victim's codes, and from the codes that its own pilot would give them.
pub fn run(
    dataset: &Dataset,
    recipe: &Recipe,
    sender: &Sender,
    steps: u32,
    see: &mut dyn FnMut(BatchView) -> ControlFlow<()>,
) -> anyhow::Result<Option<[f64; 2]>> {
    let settings = &recipe.settings;
    settings.check()?;
    let mut plan = Plan::new(settings, dataset.labels.len())?;
    let device = Device::flex();
    let columns = [0, 1].map(|party| prepared(dataset, party, &plan));
    let encoder = |party: usize, seed: u64, updates: u64| {
        let input =
            InputShape { columns: columns[party].cols(), image: dataset.image, ..InputShape::default() };
        let form = settings.code_of(&settings.parties[party]);
        let rates = Rates::of_run(settings, updates);
        Encoder::new(recipe.encoder.clone(), CutLayer::Hash, input, form, rates, seed, &device)
    };
    let mut parties = Vec::new();
    for (party, matrix) in columns.iter().enumerate() {
        let mut encoder = encoder(party, settings.seed + 1 + party as u64, plan.updates())?;
        encoder.expect_monitoring();
        parties.push(InProcessParty {
            encoder,
            gather: Box::new(|rows| matrix.gather(rows)),
            response: None,
        });
    }
    let mut parties = InProcessParties::hashed(parties, plan.clone());
    let labels = dataset.labels.clone();
    let mut classifier =
        Classifier::of_run(&recipe.top, labels, settings, &plan, settings.seed + 9, &device)?;
    let (owned, updates) = (auxiliary(&plan), plan.updates());
    let known = known(dataset, &columns, &owned);
    let mut hijacker = hijacker(sender, known, updates, updates.min(steps.into()), |updates| {
        encoder(VICTIM, settings.seed + 77, updates)
    })?;
    let mut contrastive = match sender {
        Sender::Contrastive { memory, temperature, .. } => Some(Contrastive::new(*memory, *temperature)),
        _ => None,
    };
    let (batches, forms) = (plan.batches(), settings.code_forms().collect::<Vec<CodeForm>>());
    for step in 0..steps.min(plan.updates() as u32) {
        let rows = RowSelection::Batch { epoch: step / batches, batch: step % batches };
        if step % batches == 0 {
            classifier.begin_epoch(step / batches % settings.cycle_epochs(), settings.cycle_epochs());
        }
        let numbers = plan.rows(rows)?;
        let signs: Vec<Vec<f32>> =
            parties.encode(rows, numbers.len())?.iter().map(Embedding::to_floats).collect();
        let mut gradients = classifier.step(&signs, &numbers).gradients;
        let parts: Vec<Cow<'_, [f32]>> =
            forms.iter().zip(&signs).map(|(form, signs)| form.decode(signs)).collect();
        let (codes, latents) = (&*parts[VICTIM], forms[VICTIM].latents());
        let instead = hijacker.as_mut().map(|hijacker| hijacker.gradient(&numbers, codes));
        send_instead(sender, instead, latents, settings, step, &mut gradients[VICTIM]);
        if let Some(contrastive) = &mut contrastive {
            let (places, pull) = contrastive.pull(&numbers, codes, latents);
            add_pull_of(sender, step / batches, &places, pull, &mut gradients[VICTIM]);
        }
        let begins_cycle = rows.begins_cycle(settings);
        let sent = encoded(gradients, &forms, settings.gradient);
        for (party, gradient) in sent.iter().enumerate() {
            let gradient = gradient.decode();
            let (codes, records) = (&*parts[party], &numbers);
            let expected = &parties.expected_codes(party);
            let gradient = &gradient;
            let view = BatchView { party, begins_cycle, records, codes, expected, gradient };
            if see(view).is_break() {
                return Ok(None);
            }
        }
        parties.learn(sent)?;
    }
    let Some(hijacker) = hijacker else { return Ok(None) };
    scored(&hijacker, forms[VICTIM], &mut parties, &mut plan, &columns[VICTIM]).map(Some)
}

/// The gradients as parties of these codes get them.
fn encoded(gradients: Vec<Vec<f32>>, forms: &[CodeForm], encoding: GradientEncoding) -> Vec<Gradient> {
    let of_forms = gradients.into_iter().zip(forms);
    of_forms.map(|(gradient, form)| Gradient::encode(gradient, form.latents(), encoding)).collect()
}

/// What a hijacker of the victim knows: the other party is of its own organisation.
fn known<'a>(dataset: &'a Dataset, columns: &'a [Matrix; 2], owned: &'a [u32]) -> UrvflKnowledge<'a> {
    UrvflKnowledge {
        columns: &columns[VICTIM],
        auxiliary: owned,
        labels: &dataset.labels,
        own: Some(&columns[1 - VICTIM]),
        pixels: dataset.image.is_some(),
    }
}

/// Replaces the victim's gradient [rows, latents] by what the sender makes of it; a hijacker's is `instead`.
fn send_instead(
    sender: &Sender,
    instead: Option<Vec<f32>>,
    latents: usize,
    settings: &RunSettings,
    step: u32,
    gradient: &mut Vec<f32>,
) {
    match (sender, instead) {
        (
            Sender::Hijacker { config: FshaConfig { seed, .. }, mixture }
            | Sender::Labelled { config: UrvflConfig { seed, .. }, mixture },
            Some(instead),
        ) => {
            let honest = std::mem::replace(gradient, instead);
            mixture.mix(gradient, &honest, latents, *seed, u64::from(step));
        }
        (Sender::Noise, _) => {
            gradient.fill(0.0);
            add_noise(gradient, 0.01, &mut stream(settings.seed, "noise sender", &[u64::from(step)]));
        }
        (Sender::Constant, _) => {
            let mut direction = vec![0.0; latents];
            add_noise(&mut direction, 0.01, &mut stream(settings.seed, "constant sender", &[]));
            *gradient = direction.repeat(gradient.len() / latents);
        }
        _ => {}
    }
}

/// Adds a pull towards own earlier codes at some places of the batch, once the sender steers.
fn add_pull_of(sender: &Sender, epoch: u32, places: &[usize], pull: Vec<f32>, gradient: &mut [f32]) {
    if let Sender::Contrastive { honest, begins, .. } = sender
        && epoch >= *begins
    {
        sender::add_pull(gradient, places, pull, *honest);
    }
}

/// Skill of a hijacker's decoder against the mean on the victim's training records, from the victim's codes and from its
/// own pilot's.
fn scored(
    hijacker: &Hijacker,
    form: CodeForm,
    parties: &mut InProcessParties<PackedCodes>,
    plan: &mut Plan,
    columns: &Matrix,
) -> anyhow::Result<[f64; 2]> {
    let chunks = plan.chunks(Part::Train).min((SCORED / CHUNK_ROWS) as u32);
    let (mut truth, mut guess, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for chunk in 0..chunks.max(1) {
        let rows = RowSelection::Chunk { part: Part::Train, chunk };
        let numbers = plan.rows(rows)?;
        let signs = parties.encode(rows, numbers.len())?[VICTIM].to_floats();
        guess.extend(hijacker.reconstruct(&form.decode(&signs), &numbers));
        own.extend(hijacker.reconstruct_own(columns, &numbers));
        truth.extend(columns.gather(&numbers));
    }
    let width = columns.cols();
    let known = columns.gather(&auxiliary(plan));
    let mut mean = vec![0.0; width];
    let rows = (known.len() / width) as f32;
    known.chunks_exact(width).for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, v)| *sum += v / rows));
    let reference = squared_errors(&truth, &mean.repeat(truth.len() / width), width);
    Ok([guess, own].map(|guess| skill(&squared_errors(&truth, &guess, width), &reference)))
}

/// The hijacker's own records: none that the run learns from.
fn auxiliary(plan: &Plan) -> Vec<u32> {
    [plan.part(Part::Test), plan.part(Part::Validation)].concat()
}

/// A party's columns, preprocessed as fitted on training records.
fn prepared(dataset: &Dataset, party: usize, plan: &Plan) -> Matrix {
    let mut columns = dataset.columns(party).clone();
    // Unwrap safety: the plan's rows are the table's.
    dataset
        .preprocessing
        .fit_apply(&mut columns, plan.part(Part::CohortTrain), None)
        .expect("columns of numbers");
    columns
}
