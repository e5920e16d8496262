//! Many forms of what parties may send, each a run of its own that is trained and attacked: what the task keeps beside what leaks.
//!
//! ```text
//! configs -> one victim context: truth, ownership, targets, the same for all
//! each form -> trained (training loop in this process, transcript) -> the metric on test records
//!                                                                  -> grids of adversaries -> exposures
//! ```
//!
//! So the metric is that of the very run that is attacked, and no form has another adversary than the form beside it.

mod as_score;
mod trained;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use hashvfl_coordinator::CoordinatorConfig;
use hashvfl_core::{Part, PartyName, RunSettings};
use hashvfl_leakage::metrics::{proportion, reidentify};
use hashvfl_party::PartyConfig;
use serde::Serialize;

use crate::attacks::inference::reidentification;
use crate::attacks::sweeps::epochs::everything_of;
use crate::config::AttackConfig;
use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::checks::never_falls;
use crate::evaluation::findings::{AttackOutcome, Comparison};
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::Evidence;
use crate::evidence::simulation::encoded_once;
use crate::frontier::as_score::as_score;
use crate::frontier::trained::trained;
use crate::report::{Check, CutKind, Defence, Estimate, Metric, Population, Sent};

pub use as_score::{AsScore, LabelsOfEpoch};

/// What the parties of a run send.
#[derive(Debug, Clone)]
pub struct FrontierForm {
    /// For people.
    pub name: String,
    /// The settings of its run. Those that say which records are test and validation records are the same for all forms.
    pub run: RunSettings,
    /// Codes, floats, or floats at one bit each, of which no run over the network sends the last two.
    pub cut: CutKind,
    /// Deviation of the noise before the sign or the level at parties where it is not that of their configs.
    pub noises: BTreeMap<PartyName, f32>,
    /// Whether its codes are measured as scores of two classes too ([`AsScore`]); not where bottom models learn on a cohort, nor of
    /// floats at one bit each.
    pub as_score: bool,
}

/// What one adversary gets of records' columns: skill over the mean, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SkillGain {
    /// With what left.
    pub with: Estimate,
    /// Without it.
    pub without: Estimate,
    /// The difference, in pairs.
    pub added: Estimate,
}

/// A figure with what left, and without it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedEstimate {
    /// With what left.
    pub with: Estimate,
    /// Without it.
    pub without: Estimate,
}

/// The column that is reconstructed best by who knows nothing else.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExposedColumn {
    /// Its name, as the party has it.
    pub name: String,
    /// Fraction of its variance that is explained.
    pub explained: Estimate,
}

/// What everything that left of some records gives away.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exposure {
    /// Which records.
    pub of: Population,
    /// Codes, or vectors of floats, of each.
    pub releases: u64,
    /// Bits of all these.
    pub bits: u64,
    /// Records that the adversary owns.
    pub owned_rows: usize,
    /// Records that are scored.
    pub target_rows: usize,
    /// Who knows nothing else.
    pub stranger: SkillGain,
    /// Who knows labels and its own organisation's columns as well.
    pub strongest: SkillGain,
    /// What who knows nothing else gets over the mean of each record's class, where labels are classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_class: Option<PairedEstimate>,
    /// The error that is left to it on the 1 % of records that are reconstructed best, over what the mean leaves on an average one.
    pub worst_hundredth: PairedEstimate,
    /// The same of 5 %.
    pub worst_twentieth: PairedEstimate,
    /// The column that is given away most, of a table.
    pub most_exposed: Option<ExposedColumn>,
}

/// One form, trained and attacked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredForm {
    /// The form.
    pub form: String,
    /// The task's metric on test records.
    pub metric: f64,
    /// Bits of one release of the party that is attacked.
    pub bits: u64,
    /// Test records first, which send one code; then training records, of an encode-once run those outside the cohort first;
    /// then validation records.
    pub exposures: Vec<Exposure>,
    /// Fraction of test records that are found among [`Self::candidates`] by a code and an encoder that answers queries.
    pub reidentified: Estimate,
    /// Records among which each was looked for.
    pub candidates: usize,
    /// What its codes tell as scores, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_score: Option<AsScore>,
    /// Whether any adversary got less than one that knows less.
    pub check: Check,
}

impl MeasuredForm {
    /// Everything that left of a training record; of an encode-once run, of one outside the cohort.
    pub fn of_training(&self) -> &Exposure {
        &self.exposures[1]
    }
}

/// Trains and attacks each of `forms` of a run by these configs. Of `config` the adversary's side counts, and no manifest is read:
/// whose columns are attacked, whose are its own, what it owns, the seed, and whether it is quick, with regressions in closed
/// form alone and without validation records. Transcripts lie in `folder` while they are needed.
///
/// # Errors
/// If configs and tables do not fit, records are too few, or a file cannot be written.
pub fn measure(
    coordinator: CoordinatorConfig,
    parties: Vec<PartyConfig>,
    config: &AttackConfig,
    forms: &[FrontierForm],
    folder: &Path,
    tell: &mut dyn FnMut(&MeasuredForm),
) -> anyhow::Result<Vec<MeasuredForm>> {
    let evidence = Evidence::untrained(coordinator, parties)?;
    let victim = VictimContext::new(&evidence, config)?;
    let mut all = Vec::new();
    for form in forms {
        let measured = attacked(&victim, form, folder)?;
        tell(&measured);
        all.push(measured);
    }
    Ok(all)
}

fn attacked(victim: &VictimContext, form: &FrontierForm, folder: &Path) -> anyhow::Result<MeasuredForm> {
    let trained = trained(victim.evidence, form, &folder.join("transcript.parquet"))?;
    let latents = form.run.code_of(&victim.owner.config.name);
    let (sent, value_bits) = match form.cut {
        CutKind::SimulatedFloats => (Sent::Floats { count: latents.latents() }, 32),
        CutKind::SimulatedQuantised => (Sent::OneBitFloats { count: latents.latents() }, 1),
        _ => (Sent::Codes { bits: latents.bits(), response: None }, 1),
    };
    let surface = AttackSurface {
        observed: &trained.observed,
        encoders: trained.encoders.iter().collect(),
        top: trained.top.as_ref(),
        cut: form.cut,
        defence: Defence::new(sent),
        value_bits,
        utility: Some(trained.metric),
    };
    let mut comparisons = Vec::new();
    let mut exposures = Vec::new();
    let mut scored = None;
    for (records, releases) in populations(victim, form, &surface)? {
        let (exposure, by_stranger) = exposure(victim, &surface, &records, &releases, &mut comparisons)?;
        if let (true, Some(top), Population::Test) = (form.as_score, &trained.top, records.population) {
            scored = Some(as_score(victim, &surface, top, &by_stranger)?);
        }
        exposures.push(exposure);
    }
    let context = victim.test_context(&surface);
    let candidates = &context.targets[..context.targets.len().min(reidentify::CANDIDATES)];
    let hits = reidentification::hits(&context, surface.encoders.get(victim.place).copied(), candidates)?;
    Ok(MeasuredForm {
        form: form.name.clone(),
        metric: trained.metric,
        bits: surface.observed.width(victim.place) as u64 * value_bits,
        exposures,
        reidentified: proportion::of(&hits),
        candidates: candidates.len(),
        as_score: scored,
        check: never_falls(&comparisons),
    })
}

/// The records that are attacked, and all that left of each.
fn populations(
    victim: &VictimContext,
    form: &FrontierForm,
    surface: &AttackSurface,
) -> anyhow::Result<Vec<(Records, Vec<ObservedRelease>)>> {
    let mut populations = vec![(victim.test.clone(), vec![ObservedRelease::OneCode])];
    let mut trained = vec![victim.training.clone()];
    if form.run.encodes_once() {
        let outside = encoded_once(victim.evidence, &form.run)?;
        populations
            .push((victim.records(Population::OutsideCohort, &outside)?, vec![ObservedRelease::OneCode]));
        let plan = victim.evidence.plan_under(&form.run)?;
        trained = vec![victim.records(Population::Training, plan.part(Part::CohortTrain))?];
    } else if !victim.config.quick {
        trained.extend(victim.validation.clone());
    }
    for records in trained {
        let everything = everything_of(victim, surface, &records);
        populations.push((records, everything));
    }
    Ok(populations)
}

/// The exposure of records, and what who knows nothing else makes of their columns.
fn exposure(
    victim: &VictimContext,
    surface: &AttackSurface,
    records: &Records,
    releases: &[ObservedRelease],
    comparisons: &mut Vec<Comparison>,
) -> anyhow::Result<(Exposure, AttackOutcome)> {
    let mut grid = AdversaryGrid::new(victim, surface, records, releases);
    let most = grid.most();
    let mut reached = |adversary: Adversary| -> anyhow::Result<_> {
        let (with, without) =
            (grid.outcome(adversary, most)?, grid.outcome(adversary, ObservedRelease::Nothing)?);
        let added = records.scorer.gain(&with.errors, &without.errors);
        let reached = SkillGain { with: with.skill(), without: without.skill(), added };
        Ok((reached, with, without))
    };
    let (stranger, outcome, without) = reached(Adversary::Stranger)?;
    let (strongest, ..) = reached(Adversary::strongest(victim))?;
    comparisons.extend(grid.comparisons());
    let beside = |metric: Metric| {
        let [with, without] = [&outcome, &without].map(|of| of.result.metrics.get(&metric).copied());
        Some(PairedEstimate { with: with?, without: without? })
    };
    let left = |metric: Metric| beside(metric).with_context(|| format!("{metric} was not measured"));
    let exposed = records.scorer.best_column(outcome.guessed());
    let exposure = Exposure {
        of: records.population,
        releases: outcome.result.releases,
        bits: outcome.result.bits,
        owned_rows: records.auxiliary.len() + records.elsewhere.len(),
        target_rows: records.targets.len(),
        stranger,
        strongest,
        over_class: beside(Metric::SkillOverClass),
        worst_hundredth: left(Metric::Worst)?,
        worst_twentieth: left(Metric::WorstTwentieth)?,
        most_exposed: exposed.map(|(column, explained)| ExposedColumn {
            name: victim.owner.names.get(column).cloned().unwrap_or_default(),
            explained,
        }),
    };
    Ok((exposure, outcome))
}
