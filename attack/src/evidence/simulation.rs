//! The same run in this process, with another cut: what a float baseline needs, and other code lengths.
//!
//! It goes through the very training loop of a networked run. What the parties send is recorded in the format of a
//! networked transcript, whose header says `simulated`; no setting makes a party over the network send floats.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use hashvfl_coordinator::top_file;
use hashvfl_core::codes::randomised_response::{KEY_BYTES, Response};
use hashvfl_core::random::stream;
use hashvfl_core::settings::RunSettings;
use hashvfl_core::{ExcludedRecords, Part, PartyName, Plan};
use hashvfl_learning::Classifier;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::{CutLayer, Encoder};
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::training::in_process::{InProcessParties, InProcessParty, LocalResponse};
use hashvfl_learning::training::{self, StepObserver, TrainingOptions};
use hashvfl_transcript::{Recording, SentValues, Transcript, TranscriptHeader};
use rand::Rng;

use crate::attacks::active::steering_server::Steer;
use crate::evidence::observed::Observed;
use crate::evidence::recorder::{Recorded, Recorder};
use crate::evidence::{Evidence, PartyData};

/// How the run is repeated.
#[derive(Clone, Copy)]
pub struct RunVariant<'a> {
    /// The agreed settings.
    pub settings: &'a RunSettings,
    /// What the parties send.
    pub cut: CutLayer,
    /// Weight of the consistency term, where it is not the run's.
    pub consistency: Option<f32>,
    /// Which draw of first weights and noise: 0 for the run's own.
    pub draw: u64,
    /// Whether gradients are recorded too.
    pub gradients: bool,
    /// Whether the top model is linear, whatever the run's is.
    pub linear_top: bool,
    /// Whether the coordinator goes on to the last epoch, whatever its patience.
    pub to_the_end: bool,
    /// Whether it then keeps the models of the last epoch, whatever validation records say.
    pub keep_last: bool,
    /// Deviation of the noise before the sign or the level at parties where it is not their own.
    pub noises: Option<&'a BTreeMap<PartyName, f32>>,
    /// Records that it goes on without, beside those that the run went on without.
    pub excluded: Option<&'a ExcludedRecords>,
}

impl<'a> RunVariant<'a> {
    /// With `cut`, and all else as the run has it under `settings`.
    pub fn new(settings: &'a RunSettings, cut: CutLayer) -> Self {
        Self {
            settings,
            cut,
            consistency: None,
            draw: 0,
            gradients: false,
            linear_top: false,
            to_the_end: false,
            keep_last: false,
            noises: None,
            excluded: None,
        }
    }
}

/// A run in this process.
pub struct Simulated {
    /// What it sent.
    pub observed: Observed,
    /// Its trained encoders, in the order of the parties.
    pub encoders: Vec<Encoder>,
    /// Its trained top model.
    pub top: Classifier,
    /// The task's metric on test records.
    pub utility: f64,
    /// Head of its transcript's chain.
    pub head: String,
}

/// Repeats the run of `evidence` and records it at `path`.
pub fn simulate(evidence: &Evidence, repeat: &RunVariant, path: &Path) -> anyhow::Result<Simulated> {
    repeated(evidence, repeat, None, None, path)
}

/// The same under a coordinator that steers, and that has no reason to stop before the settings end the run.
pub fn steered(
    evidence: &Evidence,
    repeat: &RunVariant,
    steer: &mut Steer,
    path: &Path,
) -> anyhow::Result<Simulated> {
    repeated(evidence, &RunVariant { to_the_end: true, ..*repeat }, Some(steer), None, path)
}

/// The same under a coordinator that lets `observer` look on.
pub fn observed<'o>(
    evidence: &Evidence,
    repeat: &RunVariant,
    observer: &'o mut StepObserver<'o>,
    path: &Path,
) -> anyhow::Result<Simulated> {
    repeated(evidence, repeat, None, Some(observer), path)
}

fn repeated<'o>(
    evidence: &Evidence,
    repeat: &RunVariant,
    steer: Option<&mut Steer>,
    observer: Option<&'o mut StepObserver<'o>>,
    path: &Path,
) -> anyhow::Result<Simulated> {
    repeat.settings.check()?;
    let of_floats;
    let mut repeat = *repeat;
    if repeat.cut == CutLayer::SimulatedFloat {
        of_floats = repeat.settings.of_floats();
        repeat.settings = &of_floats;
    }
    let repeat = &repeat;
    let mut plan = evidence.plan_under(repeat.settings)?;
    if let Some(excluded) = repeat.excluded {
        plan = plan.without(excluded)?;
    }
    let device = Device::flex();
    let parties = evidence.owners.iter().map(|owner| party(owner, repeat, &plan, &device));
    let parties = parties.collect::<anyhow::Result<Vec<_>>>()?;
    match repeat.cut {
        CutLayer::Hash => {
            let transcript = transcript(evidence, repeat, SentValues::SimulatedCodes, path)?;
            let parties = InProcessParties::hashed(parties, plan.clone());
            let mut recorder = Recorder::new(parties, plan, repeat, transcript, steer);
            recorder.expected = Some(InProcessParties::expected_codes);
            run(evidence, repeat, recorder, observer, path)
        }
        CutLayer::SimulatedFloat => {
            let transcript = transcript(evidence, repeat, SentValues::SimulatedFloats, path)?;
            let parties = InProcessParties::simulated_floats(parties, plan.clone());
            let recorder = Recorder::new(parties, plan, repeat, transcript, steer);
            run(evidence, repeat, recorder, observer, path)
        }
    }
}

/// The transcript of a repetition, which says that it is one.
fn transcript(
    evidence: &Evidence,
    repeat: &RunVariant,
    sent: SentValues,
    path: &Path,
) -> anyhow::Result<Transcript> {
    let run_id = evidence.coordinator.run_id.clone();
    let header = TranscriptHeader::new(run_id, "coordinator", repeat.settings, sent, evidence.records);
    Ok(Transcript::create(path, &header)?)
}

fn party<'a>(
    owner: &'a PartyData,
    repeat: &RunVariant,
    plan: &Plan,
    device: &Device,
) -> anyhow::Result<InProcessParty<'a>> {
    let RunVariant { settings, cut, .. } = *repeat;
    let input = owner.input.clone();
    let mut config = owner.config.encoder.clone();
    let noise = repeat.noises.and_then(|noises| noises.get(&owner.config.name));
    config.hash.noise = noise.copied().unwrap_or(config.hash.noise);
    // Where the party drew its seed anew, any is as good.
    let seed = drawn(owner.config.seed.unwrap_or(settings.seed), repeat.draw);
    let form = settings.code_of(&owner.config.name);
    let rates = Rates::of_plan(settings, plan);
    let mut encoder = Encoder::new(config, cut, input, form, rates, seed, device)?;
    if owner.config.on_alarm.monitors() {
        encoder.expect_monitoring();
    }
    let epsilon = settings.randomised_response.filter(|_| cut == CutLayer::Hash);
    let response = epsilon.map(|epsilon| {
        let mut key = [0; KEY_BYTES];
        stream(seed, "response key", &[]).fill_bytes(&mut key);
        let run = owner.config.run_id.clone();
        LocalResponse { response: Response::new(key, epsilon, form), run, ids: owner.ids.clone() }
    });
    Ok(InProcessParty { encoder, gather: Box::new(|rows| owner.columns.gather(rows)), response })
}

/// The seed of another draw.
fn drawn(seed: u64, draw: u64) -> u64 {
    seed ^ (draw << 32)
}

/// Trains on what `recorder` lets through, and reads again what it recorded at `path`.
fn run<'a, 'o, E: Recorded>(
    evidence: &Evidence,
    repeat: &RunVariant,
    mut recorder: Recorder<'_, '_, InProcessParties<'a, E>>,
    observer: Option<&'o mut StepObserver<'o>>,
    path: &Path,
) -> anyhow::Result<Simulated> {
    let settings = repeat.settings;
    let mut config = evidence.coordinator.clone();
    config.run = settings.clone();
    if repeat.linear_top {
        config.top.hidden.clear();
    }
    if repeat.to_the_end {
        config.top.patience = 0;
    }
    config.seed = drawn(config.seed, repeat.draw);
    config.top.loss.consistency = repeat.consistency.unwrap_or(config.top.loss.consistency);
    let mut plan = recorder.plan.clone();
    let mut top = top_file::new(&config, evidence.labels.clone(), &plan, &Device::flex())?;
    let silent = &mut |_: training::TrainingProgress| {};
    let keep_last = repeat.keep_last;
    let options = TrainingOptions { observer, keep_last, ..TrainingOptions::of(&config.top) };
    let outcome = training::train(&mut recorder, settings, &mut plan, &mut top, options, silent)
        .map_err(|error| anyhow::anyhow!("the simulated run: {error}"))?;
    let Recorder { parties, transcript, .. } = recorder;
    let head = transcript.head();
    transcript.finish()?;
    let test = outcome.test.context("an evaluation needs test records: set run.test_fraction")?;
    Ok(Simulated {
        observed: Observed::new(&Recording::read(path, Some(head))?)?,
        encoders: parties.into_encoders(),
        top,
        utility: test.metric(settings.task).context("the metric on test records is undefined")?,
        head: head.to_string(),
    })
}

/// Records that a run under `settings` encodes once and for all after the freeze and never before.
pub fn encoded_once(evidence: &Evidence, settings: &RunSettings) -> anyhow::Result<Vec<u32>> {
    let plan = evidence.plan_under(settings)?;
    let cohort = plan.part(Part::CohortTrain).len();
    Ok(plan.part(Part::Train)[cohort..].to_vec())
}
