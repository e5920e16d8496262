//! The whole evaluation of one run: every attack of the registry, into one report.

pub(crate) mod adversary;
pub(crate) mod attack;
pub(crate) mod attributes;
mod bounds;
pub(crate) mod checks;
pub(crate) mod context;
mod describe;
mod exposure;
pub(crate) mod findings;
pub(crate) mod grid;
mod kept;
pub(crate) mod outputs;
pub(crate) mod score;
pub(crate) mod units;
mod utility;
pub(crate) mod victim;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use hashvfl_coordinator::CoordinatorConfig;
use hashvfl_coordinator::summary::Summary;
use hashvfl_core::codes::randomised_response::cost_in_words;
use hashvfl_core::{CodeForm, RunSettings};
use hashvfl_files::without_digest;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_transcript::Recording;

use crate::attacks;
use crate::attacks::sweeps::epochs::everything_of;
use crate::config::AttackConfig;
use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::attack::not_tried;
use crate::evaluation::bounds::ReleaseCounts;
use crate::evaluation::findings::{AttackOutcome, Baseline, Findings};
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::Evidence;
use crate::evidence::knowledge::known;
use crate::evidence::manifest::Manifest;
use crate::evidence::observed::Observed;
use crate::evidence::simulation::{RunVariant, Simulated, simulate};
use crate::report::{
    AttackResult, Chart, CheckId, CutKind, Defence, Metric, PrivacyLimits, Report, Sent, VERSION,
};

/// What the run sent, and what it would have sent without hashing.
pub struct Surfaces<'a> {
    /// The codes of the run that was recorded.
    pub codes: AttackSurface<'a>,
    /// Floats of the same run in this process.
    pub floats: AttackSurface<'a>,
    /// The same floats at one bit each.
    pub one_bit: AttackSurface<'a>,
}

impl<'a> Surfaces<'a> {
    /// All three, in this order.
    pub fn all(&self) -> [&AttackSurface<'a>; 3] {
        [&self.codes, &self.floats, &self.one_bit]
    }

    /// Codes and floats, each with the cut at which a run is trained again, and its name.
    pub fn repeated_cuts(&self) -> [(&AttackSurface<'a>, CutLayer, &'static str); 2] {
        [(&self.codes, CutLayer::Hash, "codes"), (&self.floats, CutLayer::SimulatedFloat, "floats")]
    }
}

/// An evaluation at work: what attacks are handed, and where they put what they found.
pub struct PrivacyEvaluation<'a> {
    /// The victim, its records and what the adversary is granted.
    pub victim: &'a VictimContext<'a>,
    /// What was recorded.
    pub recording: &'a Recording,
    /// What is attacked.
    pub surfaces: &'a Surfaces<'a>,
    /// Folder for transcripts of repetitions.
    pub out: &'a Path,
    /// Hears what is being done.
    pub tell: &'a mut dyn FnMut(&str),
    /// What was found so far.
    pub findings: Findings,
    /// Why some attacks were not tried.
    pub not_tried: Vec<String>,
    /// Grids of one code of test records, by cut, for who needs what they found: none of it is made twice.
    pub grids: BTreeMap<CutKind, AdversaryGrid<'a>>,
}

impl PrivacyEvaluation<'_> {
    /// Says what is being done.
    pub fn say(&mut self, what: &str) {
        (self.tell)(what);
    }

    /// Keeps what an attack found.
    pub fn keep(&mut self, attacked: AttackOutcome) {
        self.findings.keep(attacked);
    }

    /// Keeps what every adversary of a grid makes of what says most, with the baselines that there are not yet. Who knows other
    /// parties' codes has a baseline of its own in each run, since these are others in each.
    ///
    /// # Errors
    /// If the transcript lacks what a release holds.
    pub fn keep_grid(&mut self, grid: &mut AdversaryGrid) -> anyhow::Result<()> {
        self.findings.note_targets(&grid.context);
        let (victim, defence) = (grid.context.victim(), grid.context.defence.clone());
        let reference = grid.context.scorer.reference().to_vec();
        for adversary in Adversary::all(self.victim) {
            let knowledge = known(&adversary.facts(self.victim.evidence.owners.len()));
            let about =
                Baseline { victim: &victim, knowledge: &knowledge, defence: &defence, reference: &reference };
            if !self.findings.has_baseline(&about) {
                let baseline = grid.outcome(adversary, ObservedRelease::Nothing)?;
                self.findings.keep(baseline);
            }
        }
        let most = grid.most();
        grid.row(most)?.into_iter().for_each(|attacked| self.findings.keep(attacked));
        self.findings.comparisons.extend(grid.comparisons());
        Ok(())
    }

    /// Keeps what the adversary that knows most makes of each column with few values.
    ///
    /// # Errors
    /// As [`keep_grid`](Self::keep_grid).
    pub fn keep_attributes(&mut self, grid: &mut AdversaryGrid) -> anyhow::Result<()> {
        let (names, adversary) = (&self.victim.owner.sources, Adversary::strongest(self.victim));
        for release in [ObservedRelease::Nothing, grid.most()] {
            for attacked in grid.attribute_outcomes(adversary, release, names)? {
                let AttackResult { victim, knowledge, defence, .. } = &attacked.result;
                let about = Baseline { victim, knowledge, defence, reference: &[] };
                if !attacked.result.is_baseline() || !self.findings.has_baseline(&about) {
                    self.findings.keep(attacked);
                }
            }
        }
        Ok(())
    }

    /// Keeps a guess of test records' columns from one code, with what it gains over the conditional mean of that code.
    pub fn keep_beside_mean(&mut self, mut attacked: AttackOutcome) {
        if let Some(mean) = self.findings.conditional_mean_beside(&attacked.result) {
            let gain = self.victim.test.scorer.gain(&attacked.errors, &mean.errors);
            attacked.result.metrics.insert(Metric::SkillOverConditionalMean, gain);
        }
        self.keep(attacked);
    }

    /// Runs every attack of the registry whose needs are met. One that ends with an error loses its own figures and no others; a check
    /// tells of it.
    fn run_all(&mut self) -> anyhow::Result<()> {
        for attack in attacks::ALL {
            let about = attack.about();
            if let Some(reason) = not_tried(&about, self.victim) {
                self.not_tried.push(reason);
                continue;
            }
            self.say(about.title);
            let before = self.findings.attacked.len();
            if let Err(error) = attack.run(self) {
                let failed = format!("{}, which ended with an error: {error:#}", about.title);
                self.say(&failed);
                self.findings.failed.push(failed);
            }
            self.findings.check_knowledge(&about, before)?;
        }
        Ok(())
    }

    /// Checks of the evaluation itself, and what is found from all that attacks found.
    fn close(&mut self) {
        self.say("checks on the evaluation itself");
        let (victim, surfaces) = (self.victim, self.surfaces);
        let all_ran = checks::all_ran(&self.findings.failed);
        let never_falls = checks::never_falls(&self.findings.comparisons);
        let shuffled = checks::shuffled(victim, &surfaces.codes);
        let same_codes = checks::same_codes(victim, &surfaces.codes);
        self.findings.checks.extend([
            all_ran,
            checks::or_failed(CheckId::ShuffledCodes, shuffled),
            checks::or_failed(CheckId::SameCodes, same_codes),
            never_falls,
        ]);
        self.price_surfaces();
        self.findings.put_gains();
        exposure::put_columns(&mut self.findings, victim, surfaces);
    }
}

/// Evaluates the run of `recording`.
///
/// # Errors
/// If transcript, manifest and config are not of one run, or lack what an attack needs.
pub fn evaluate(
    recording: &Recording,
    manifest: &Manifest,
    config: &AttackConfig,
    out: &Path,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<Report> {
    let evidence = load(recording, manifest)?;
    let victim = VictimContext::new(&evidence, config)?;
    for column in config.max_explained_of.keys() {
        ensure!(
            victim.owner.sources.contains(column),
            "max_explained_of in attack.toml: the table of {} has no column {column:?}",
            config.victim
        );
    }
    if config.keep_columns {
        kept::keep(&victim, out)?;
    }
    let run = &evidence.coordinator.run;
    let observed = Observed::new(recording)?;
    tell("simulating the same run with floats at the cut");
    let variant = RunVariant::new(run, CutLayer::SimulatedFloat);
    let floats = simulate(&evidence, &variant, &out.join("simulated-floats.parquet"))?;
    let owned = [&victim.test.auxiliary[..], &victim.test.elsewhere].concat();
    let one_bit = floats.observed.quantised(&owned);
    let surfaces = surfaces(victim.code_form(), &evidence, &observed, &floats, &one_bit)?;
    let mut evaluation = PrivacyEvaluation {
        victim: &victim,
        recording,
        surfaces: &surfaces,
        out,
        tell,
        findings: Findings { targets: describe::targets(&victim), ..Findings::default() },
        not_tried: Vec::new(),
        grids: BTreeMap::new(),
    };
    evaluation.run_all()?;
    evaluation.close();
    Ok(report(recording, evaluation, &floats.head))
}

/// The truth and the models, of the records that the transcript holds.
fn load(recording: &Recording, manifest: &Manifest) -> anyhow::Result<Evidence> {
    let run = CoordinatorConfig::read(&manifest.coordinator)?.run;
    run.check_digest(&recording.header.settings_sha256).context("the transcript")?;
    let mut evidence = Evidence::load(manifest)?;
    evidence.check(recording)?;
    evidence.leave_out(recording)?;
    Ok(evidence)
}

fn surfaces<'a>(
    form: CodeForm,
    evidence: &'a Evidence,
    observed: &'a Observed,
    floats: &'a Simulated,
    one_bit: &'a Observed,
) -> anyhow::Result<Surfaces<'a>> {
    let run = &evidence.coordinator.run;
    let codes = AttackSurface {
        observed,
        encoders: evidence.owners.iter().map(|owner| &owner.encoder).collect(),
        top: Some(&evidence.top),
        cut: CutKind::Codes,
        defence: Defence::new(Sent::Codes { bits: form.bits(), response: cost_in_words(run, form) }),
        value_bits: 1,
        utility: Some(test_metric(evidence)?),
    };
    let floats = AttackSurface {
        observed: &floats.observed,
        encoders: floats.encoders.iter().collect(),
        top: Some(&floats.top),
        cut: CutKind::SimulatedFloats,
        defence: Defence::new(Sent::Floats { count: form.latents() }),
        value_bits: 32,
        utility: Some(floats.utility),
    };
    let defence = Defence::new(Sent::OneBitFloats { count: form.latents() });
    Ok(Surfaces { codes, floats, one_bit: AttackSurface::quantised(one_bit, defence) })
}

/// The task's metric on test records, as the run's summary has it.
fn test_metric(evidence: &Evidence) -> anyhow::Result<f64> {
    let path = evidence.coordinator.state.join("summary.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}: has the run finished?", path.display()))?;
    let text = without_digest(&text).with_context(|| path.display().to_string())?;
    let summary: Summary = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let test = summary.test.context("the run has no test records: set run.test_fraction")?;
    test.metric(evidence.coordinator.run.task).context(
        "the metric on test records is undefined: all of them have one label, and what a defence costs cannot be measured",
    )
}

/// How many codes of each of `records` were seen.
fn everything_sent(victim: &VictimContext, codes: &AttackSurface, records: &Records) -> u64 {
    let releases = everything_of(victim, codes, records);
    let counts =
        releases.into_iter().map(|release| victim.context(codes, records).releases(&release.facts()));
    counts.max().unwrap_or(0)
}

fn report(recording: &Recording, evaluation: PrivacyEvaluation, floats_head: &str) -> Report {
    let PrivacyEvaluation { victim, surfaces, findings, not_tried, .. } = evaluation;
    let sent = |records: &Records| everything_sent(victim, &surfaces.codes, records);
    let releases = ReleaseCounts {
        seen: sent(&victim.training),
        allowed: allowed(&victim.evidence.coordinator.run),
        of_validation: victim.validation.as_ref().map(sent),
    };
    let beyond = attacks::BEYOND.iter().map(|what| what.to_string());
    let grids = describe::pictures(victim, surfaces, &findings).into_iter().collect();
    let results: Vec<AttackResult> = findings.attacked.into_iter().map(|attacked| attacked.result).collect();
    Report {
        version: VERSION,
        title: format!("run {}, columns of {}", recording.header.run_id, victim.config.victim),
        data: describe::data(victim),
        run: describe::run_facts(recording, floats_head),
        defence: surfaces.codes.defence.clone(),
        settings: recording.header.settings.clone(),
        reproduce: describe::reproduce(victim.config),
        grids,
        gradients: findings.gradients,
        targets: findings.targets,
        charts: findings.charts.into_values().map(drawn).collect(),
        utility: findings.utility,
        label_utility: findings.label_utility,
        spreads: findings.spreads,
        utility_metric: format!("{} on test records", describe::task_metric(victim)),
        checks: findings.checks,
        limit: victim.config.max_explained,
        limits: PrivacyLimits {
            explained_of: victim.config.max_explained_of.clone(),
            reidentified: victim.config.max_reidentified,
            labels: victim.config.max_labels,
        },
        quick: victim.config.quick,
        pixels: victim.owner.image.is_some(),
        positions: victim.owner.positions.clone(),
        owned: [&victim.test.auxiliary[..], &victim.test.elsewhere].concat(),
        sorted: describe::sorted(victim),
        bounds: bounds::bounds(victim, releases, &results),
        not_tried: beyond.chain(not_tried).chain(findings.failed).collect(),
        results,
    }
}

/// Codes of a training record that these settings allow a coordinator to ask for, whenever the run may have ended.
fn allowed(run: &RunSettings) -> u64 {
    u64::from(run.epochs) + u64::from(run.refits())
}

/// A chart without points that are no figures.
fn drawn(mut chart: Chart) -> Chart {
    chart.curves.iter_mut().for_each(|curve| curve.points.retain(|(_, found)| found.is_finite()));
    chart
}
