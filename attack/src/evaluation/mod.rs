//! The whole evaluation of one run: every attack at every cut, with its baselines, into one report.

pub(crate) mod checks;
pub(crate) mod context;
pub(crate) mod positive_control;
pub(crate) mod registry;
pub(crate) mod replicates;
pub(crate) mod report_text;
pub(crate) mod score;
pub(crate) mod sweeps;
pub(crate) mod victim;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use hashvfl_coordinator::CoordinatorConfig;
use hashvfl_coordinator::summary::Summary;
use hashvfl_core::RunSettings;
use hashvfl_core::codes::randomised_response::cost_in_words;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_transcript::Recording;

use crate::config::AttackConfig;
use crate::evaluation::context::Start;
use crate::evaluation::victim::{AttackSurface, Findings, TEST, TRAINING, VictimContext};
use crate::evidence::Evidence;
use crate::evidence::manifest::Manifest;
use crate::evidence::observed::Observed;
use crate::evidence::simulation::{RunVariant, Simulated, simulate};
use crate::inference::label_defences::LabelFindings;
use crate::reconstruction::inversion::Matching;
use crate::report::{CutKind, NONE_PROVEN, Report, VERSION};

/// Evaluates the run of `recording`.
pub fn evaluate(
    recording: &Recording,
    manifest: &Manifest,
    config: &AttackConfig,
    out: &Path,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<Report> {
    let run = CoordinatorConfig::read(&manifest.coordinator)?.run;
    run.check_digest(&recording.header.settings_sha256).context("the transcript")?;
    let mut evidence = Evidence::load(manifest)?;
    evidence.check(recording)?;
    evidence.leave_out(recording)?;
    let mut victim_context = VictimContext::new(&evidence, config)?;
    let run = &evidence.coordinator.run;
    let observed = Observed::new(recording)?;
    tell("simulating the same run with floats at the cut");
    let floats = simulate(
        &evidence,
        &RunVariant::new(run, CutLayer::SimulatedFloat),
        &out.join("simulated-floats.parquet"),
    )?;

    victim_context.undefended = floats.utility;
    let victim_context = victim_context;
    let mut findings = Findings::default();
    tell("attacking what the run sent");
    let codes = AttackSurface {
        observed: &observed,
        encoders: evidence.owners.iter().map(|owner| &owner.encoder).collect(),
        top: Some(&evidence.top),
        cut: CutKind::Codes,
        defence: match cost_in_words(run) {
            None => format!("hash codes, d = {}", run.bits),
            Some(cost) => format!("hash codes, d = {}, randomised response: {cost}", run.bits),
        },
        value_bits: 1,
    };
    victim_context.baselines(&codes, &mut findings)?;
    let strongest = victim_context.attack(&codes, &mut findings)?;
    if config.white_box {
        let before = AttackSurface { cut: CutKind::BeforeSign, value_bits: 32, ..codes.clone() };
        let attacked = victim_context.frozen_context(&before).white_box(
            &victim_context.owner.encoder,
            Matching::Value,
            Start::Mean,
        )?;
        findings.keep(attacked);
    }
    tell("attacking the floats, and the same floats at one bit each");
    let open = AttackSurface {
        observed: &floats.observed,
        encoders: floats.encoders.iter().collect(),
        top: Some(&floats.top),
        cut: CutKind::SimulatedFloats,
        defence: format!("none, {} floats", run.bits),
        value_bits: 32,
    };
    victim_context.attack(&open, &mut findings)?;
    if let Some(encoder) = open.encoders.get(victim_context.victim) {
        let attack_context = victim_context.frozen_context(&open);
        let doors = (1..).map_while(|blocks| attack_context.positive_control(encoder, blocks));
        doors.flatten().for_each(|attacked| findings.keep(attacked));
    }
    let one_bit = floats.observed.quantised(victim_context.frozen.auxiliary(config.share()));
    let quantised = AttackSurface {
        observed: &one_bit,
        encoders: Vec::new(),
        top: None,
        cut: CutKind::SimulatedQuantised,
        defence: format!("{} floats at 1 bit each", run.bits),
        value_bits: 1,
    };
    victim_context.attack(&quantised, &mut findings)?;

    let mut steered = Vec::new();
    if config.further_attacks {
        steered = victim_context.remaining_attacks(out, tell, [&codes, &open, &quantised], &mut findings)?;
    }
    tell("leakage over epochs");
    let mut charts = vec![victim_context.over_epochs(&[&codes, &open], &mut findings)?];
    tell("leakage over the auxiliary share, and checks on the harness");
    let (over_auxiliary_fraction, mut checks) = victim_context.over_auxiliary_fraction(&codes)?;
    charts.push(over_auxiliary_fraction);
    checks.push(victim_context.shuffled(&codes)?);
    checks.push(victim_context.same_codes(&codes)?);

    let (bits, metric) = (format!("d = {}", run.bits), summary_metric(&evidence)?);
    let mut utility = vec![
        victim_context.utility(("hash codes", bits.clone()), metric, &findings, (&codes, TEST)),
        victim_context.utility(("hash codes, all epochs", bits), metric, &findings, (&codes, TRAINING)),
        victim_context.utility(
            ("none", format!("{} floats", run.bits)),
            floats.utility,
            &findings,
            (&open, TEST),
        ),
    ];
    utility.extend(steered);
    if config.encode_once {
        tell("simulating encode-once training");
        let (point, curve) = victim_context.encode_once(out, &mut findings)?;
        utility.push(point);
        charts[0].curves.push(curve);
    }
    for epsilon in &config.randomised_response {
        let draw = epsilon * run.bits as f64;
        tell(&format!("simulating randomised response with epsilon {epsilon} a bit, {draw} a draw"));
        utility.push(victim_context.responding(out, *epsilon, &strongest, &mut findings)?);
    }
    if !config.bits.is_empty() {
        charts.push(victim_context.over_bits(out, tell, &strongest, &mut utility, &mut findings)?);
    }
    let mut spreads = Vec::new();
    if config.trainings > 1 {
        let utilities = [metric, floats.utility];
        spreads = victim_context.train_replicates(
            out,
            tell,
            ([&codes, &open], &strongest),
            utilities,
            &mut findings,
        )?;
    }
    let (mut labels, mut label_utility) = (Vec::new(), Vec::new());
    if config.label_inference {
        let LabelFindings { results, chart, utility } = victim_context.label_inference(out, tell)?;
        (labels, label_utility) = (results, utility);
        charts.push(chart);
    }
    let mut report = Report {
        version: VERSION,
        title: format!("run {}, columns of {}", recording.header.run_id, config.victim),
        data: victim_context.data(),
        run: run_facts(recording, &floats),
        defence: codes.defence.clone(),
        settings: recording.header.settings.clone(),
        reproduce: victim_context.reproduce(),
        grids: victim_context.pictures(&findings).into_iter().collect(),
        results: findings.attacked.iter().map(|attacked| attacked.result.clone()).chain(labels).collect(),
        charts,
        utility,
        label_utility,
        spreads,
        utility_metric: format!("{} on test records", metric_name(run)),
        checks,
        lower_bound: NONE_PROVEN.to_string(),
        not_tried: not_tried(config),
    };
    findings.put_gains(&mut report, config.seed);
    Ok(report)
}

/// What a reader must not take for covered, whatever the config.
const NOT_TRIED: [&str; 7] = [
    "PCAT, SDAR: substitutes that learn along with the run",
    "feature-space hijacking of this very run (docs/hijack.md tries FSHA and a watch against it)",
    "collusion of parties with the coordinator beyond its own organisation's columns",
    "boosted trees as regressions, generative priors as penalties",
    "membership inference by shadow models of the whole run (LiRA)",
    "linkage without any record that is known in both runs",
    "an adversary with other side information than the report's knowledge column says",
];

fn not_tried(config: &AttackConfig) -> Vec<String> {
    let off = [
        (config.label_inference, "label inference by a passive party from its gradients (label_inference)"),
        (
            config.further_attacks,
            "attribute and membership inference, query-free and FORA's substitutes, UnSplit, auxiliary records of other \
             classes, predictions (GRNA, ESA), gradients that steer (further_attacks)",
        ),
        (config.trainings > 1, "other first weights, linkage of records across runs (trainings)"),
    ];
    let off = off.into_iter().filter(|(tried, _)| !tried).map(|(_, what)| what);
    NOT_TRIED.into_iter().chain(off).map(str::to_string).collect()
}

fn metric_name(run: &RunSettings) -> &'static str {
    hashvfl_learning::top::loss::Evaluation::metric_name(run.task)
}

fn summary_metric(evidence: &Evidence) -> anyhow::Result<f64> {
    let path = evidence.coordinator.state.join("summary.json");
    let text = std::fs::read(&path)
        .with_context(|| format!("cannot read {}: has the run finished?", path.display()))?;
    let summary: Summary = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
    let test = summary.test.context("the run has no test records: set run.test_fraction")?;
    Ok(test.metric(evidence.coordinator.run.task))
}

fn run_facts(recording: &Recording, floats: &Simulated) -> BTreeMap<String, String> {
    let header = &recording.header;
    BTreeMap::from([
        ("run".to_string(), header.run_id.to_string()),
        ("recorded by".to_string(), header.recorder.clone()),
        ("what was recorded".to_string(), format!("{:?}, {} steps", header.cut, recording.steps.len())),
        ("head of the transcript's chain (SHA-256)".to_string(), recording.head.to_string()),
        ("head of the simulated floats' transcript".to_string(), floats.head.clone()),
    ])
}
