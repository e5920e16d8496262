//! The whole evaluation of one run: every attack at every cut, with its baselines, into one report.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use hashvfl_coordinator::summary::Summary;
use hashvfl_core::random::{shuffle, stream};
use hashvfl_core::{PartyName, RunSettings};
use hashvfl_data::Matrix;
use hashvfl_learning::encoder::{Cut, Encoder};
use hashvfl_transcript::Recording;

use crate::config::AttackConfig;
use crate::evidence::{Evidence, Owner};
use crate::inversion::Matching;
use crate::knowledge::{Fact, Sources};
use crate::labels::label_inference;
use crate::manifest::Manifest;
use crate::metrics::Bootstrap;
use crate::observed::Observed;
use crate::report::{
    Chart, Check, Curve, CutKind, Estimate, Grid, NONE_PROVEN, PictureRow, Report, UtilityPoint, VERSION,
    names,
};
use crate::scene::{Attacked, Scene};
use crate::score::Scorer;
use crate::simulate::{Repeat, Simulated, encoded_once, simulate};
use crate::split::Split;

/// Records whose pictures are shown.
const PICTURES: usize = 12;
/// Share of the records that learn the bottom models where the run is repeated with encode-once training.
const COHORT: f64 = 0.2;

/// Evaluates the run of `recording`.
pub fn evaluate(
    recording: &Recording,
    manifest: &Manifest,
    config: &AttackConfig,
    out: &Path,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<Report> {
    let evidence = Evidence::load(manifest)?;
    ensure!(
        recording.header.settings_sha256 == evidence.coordinator.run.to_settings().digest().to_string(),
        "the transcript is of a run under other settings than those of the manifest's configs"
    );
    let bench = Bench::new(&evidence, config)?;
    let run = &evidence.coordinator.run;
    let observed = Observed::new(recording)?;
    tell("simulating the same run with floats at the cut");
    let floats =
        simulate(&evidence, &Repeat::new(run, Cut::SimulatedFloat), &out.join("simulated-floats.parquet"))?;

    let mut findings = Findings::default();
    tell("attacking what the run sent");
    let codes = Attackable {
        observed: &observed,
        encoder: Some(&bench.owner.encoder),
        cut: CutKind::Codes,
        defence: format!("hash codes, d = {}", run.bits),
        value_bits: 1,
    };
    bench.baselines(&codes, &mut findings)?;
    let strongest = bench.attack(&codes, &mut findings)?;
    if config.white_box {
        let before = Attackable { cut: CutKind::BeforeSign, value_bits: 32, ..codes.clone() };
        let attacked = bench.frozen_scene(&before).white_box(&bench.owner.encoder, Matching::Value)?;
        findings.keep(attacked);
    }
    tell("attacking the floats, and the same floats at one bit each");
    let open = Attackable {
        observed: &floats.observed,
        encoder: floats.encoders.get(bench.victim),
        cut: CutKind::SimulatedFloats,
        defence: format!("none, {} floats", run.bits),
        value_bits: 32,
    };
    bench.attack(&open, &mut findings)?;
    let one_bit = floats.observed.quantised(bench.frozen.auxiliary(config.share()));
    let quantised = Attackable {
        observed: &one_bit,
        encoder: None,
        cut: CutKind::SimulatedQuantised,
        defence: format!("{} floats at 1 bit each", run.bits),
        value_bits: 1,
    };
    bench.attack(&quantised, &mut findings)?;

    tell("leakage over epochs");
    let mut charts = vec![bench.over_epochs(&[&codes, &open], &mut findings)?];
    tell("leakage over the auxiliary share, and checks on the harness");
    let (over_share, mut checks) = bench.over_share(&codes)?;
    charts.push(over_share);
    checks.push(bench.shuffled(&codes)?);
    checks.push(bench.same_codes(&codes)?);

    let mut utility = vec![
        bench.utility(
            "hash codes",
            format!("d = {}", run.bits),
            summary_metric(&evidence)?,
            &findings,
            &codes,
        ),
        bench.utility("none", format!("{} floats", run.bits), floats.utility, &findings, &open),
    ];
    if config.encode_once {
        tell("simulating encode-once training");
        let (point, curve) = bench.encode_once(out, &mut findings)?;
        utility.push(point);
        charts[0].curves.push(curve);
    }
    if !config.bits.is_empty() {
        charts.push(bench.over_bits(out, tell, &strongest, &mut utility, &mut findings)?);
    }
    let mut labels = Vec::new();
    if config.label_inference {
        tell("inferring labels from gradients, without the consistency term and with it");
        let (results, chart) = label_inference(&evidence, &bench.trained, bench.victim, config.seed, out)?;
        labels = results;
        charts.push(chart);
    }
    let mut report = Report {
        version: VERSION,
        title: format!("run {}, columns of {}", recording.header.run_id, config.victim),
        data: bench.data(),
        run: run_facts(recording, &floats),
        defence: codes.defence.clone(),
        settings: recording.header.settings.clone(),
        reproduce: bench.reproduce(),
        grids: bench.pictures(&findings).into_iter().collect(),
        results: findings.attacked.iter().map(|attacked| attacked.result.clone()).chain(labels).collect(),
        charts,
        utility,
        utility_metric: format!("{} on test records", metric_name(run)),
        checks,
        lower_bound: NONE_PROVEN.to_string(),
        not_tried: not_tried(config),
    };
    findings.put_gains(&mut report, config.seed);
    Ok(report)
}

const TEST: &str = "test records";
const TRAINING: &str = "training records";
const OUTSIDE: &str = "training records outside the cohort";

const NO_LABEL_INFERENCE: &str = "label inference by a passive party from its gradients";
/// What a reader must not take for covered.
const NOT_TRIED: [&str; 8] = [
    "query-free shadow models, UnSplit, PCAT, SDAR, FORA",
    "a malicious coordinator whose gradients steer a bottom model (docs/hijack.md tries FSHA and a watch against it)",
    "reconstruction from predictions (GRNA, ESA)",
    "membership inference, linkage of records across runs",
    "auxiliary records of another distribution",
    "collusion of parties with the coordinator beyond its own organisation's columns",
    "boosted trees as regressions, generative priors as penalties",
    "an adversary with other side information than the report's knowledge column says",
];

fn not_tried(config: &AttackConfig) -> Vec<String> {
    let inference = (!config.label_inference).then_some(NO_LABEL_INFERENCE);
    NOT_TRIED.into_iter().chain(inference).map(str::to_string).collect()
}

fn metric_name(run: &RunSettings) -> &'static str {
    hashvfl_learning::loss::Evaluation::metric_name(run.task)
}

fn summary_metric(evidence: &Evidence) -> anyhow::Result<f64> {
    let path = evidence.coordinator.state.join("summary.json");
    let text = std::fs::read(&path)
        .with_context(|| format!("cannot read {}: has the run finished?", path.display()))?;
    let summary: Summary = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
    let test = summary.test.context("the run has no test records: set run.test_share")?;
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

/// One cut of one run that can be attacked.
#[derive(Clone)]
struct Attackable<'a> {
    observed: &'a Observed,
    encoder: Option<&'a Encoder>,
    cut: CutKind,
    defence: String,
    value_bits: u64,
}

/// What was found so far.
#[derive(Default)]
struct Findings {
    attacked: Vec<Attacked>,
}

impl Findings {
    fn keep(&mut self, attacked: Attacked) {
        self.attacked.push(attacked);
    }

    /// What each attack gains over its baseline on the same records.
    fn put_gains(&self, report: &mut Report, seed: u64) {
        let bootstrap = Bootstrap::new(seed);
        let gain = |attacked: &Attacked| {
            let baseline = report.baseline_of(&attacked.result).filter(|_| attacked.result.releases > 0)?;
            let other = self.attacked.iter().find(|other| other.result == *baseline)?;
            let scored = !attacked.errors.is_empty() && other.errors.len() == attacked.errors.len();
            scored.then(|| bootstrap.skill_gain(&attacked.errors, &other.errors, &attacked.reference))
        };
        let gains: Vec<Option<Estimate>> = self.attacked.iter().map(gain).collect();
        for (result, gain) in report.results.iter_mut().zip(gains) {
            result.metrics.extend(gain.map(|gain| (names::ADDED.to_string(), gain)));
        }
    }
}

/// What stays the same for all attacks on one victim.
struct Bench<'a> {
    evidence: &'a Evidence,
    config: &'a AttackConfig,
    victim: usize,
    owner: &'a Owner,
    own: Option<&'a Matrix>,
    frozen: Split,
    trained: Split,
    frozen_scorer: Scorer,
    trained_scorer: Scorer,
}

fn skill(attacked: &Attacked) -> Estimate {
    attacked.result.metrics[names::SKILL]
}

impl<'a> Bench<'a> {
    fn new(evidence: &'a Evidence, config: &'a AttackConfig) -> anyhow::Result<Self> {
        let parties = &evidence.coordinator.run.parties;
        let find = |name: &PartyName| {
            let place = parties.iter().position(|party| party == name);
            place.with_context(|| format!("{name} is no party of the run"))
        };
        let victim = find(&config.victim)?;
        let own = config.own.as_ref().map(find).transpose()?.map(|own| &evidence.owners[own].columns);
        let owner = &evidence.owners[victim];
        let frozen = Split::new(evidence.frozen_records(), config.seed).context("test records")?;
        let trained = Split::new(evidence.trained_records(), config.seed).context("training records")?;
        let scorer = |split: &Split| {
            let rows = (split.auxiliary(config.share()), split.targets.as_slice());
            Scorer::new(&owner.columns, owner.image, &evidence.labels, rows, config.seed)
        };
        let (frozen_scorer, trained_scorer) = (scorer(&frozen), scorer(&trained));
        Ok(Self { evidence, config, victim, owner, own, frozen, trained, frozen_scorer, trained_scorer })
    }

    fn scene<'b>(
        &'b self,
        attackable: &Attackable<'b>,
        (split, scorer, population): (&'b Split, &'b Scorer, &'static str),
        share: f64,
    ) -> Scene<'b> {
        Scene {
            sources: Sources {
                observed: attackable.observed,
                victim: self.victim,
                labels: &self.evidence.labels,
                own: self.own,
            },
            columns: &self.owner.columns,
            image: self.owner.image,
            population,
            auxiliary: split.auxiliary(share),
            targets: &split.targets,
            scorer,
            cut: attackable.cut,
            defence: attackable.defence.clone(),
            value_bits: attackable.value_bits,
            seed: self.config.seed,
        }
    }

    fn frozen_scene<'b>(&'b self, attackable: &Attackable<'b>) -> Scene<'b> {
        self.scene(attackable, (&self.frozen, &self.frozen_scorer, TEST), self.config.share())
    }

    fn trained_scene<'b>(&'b self, attackable: &Attackable<'b>) -> Scene<'b> {
        self.scene(attackable, (&self.trained, &self.trained_scorer, TRAINING), self.config.share())
    }

    /// Knowledge without codes.
    fn without_codes(&self) -> Vec<Vec<Fact>> {
        let mut sets = vec![vec![], vec![Fact::Label]];
        if self.own.is_some() {
            sets.push(vec![Fact::Label, Fact::OwnColumns]);
        }
        sets
    }

    /// Knowledge with codes.
    fn with_codes(&self) -> Vec<Vec<Fact>> {
        let mut sets = vec![
            vec![Fact::Code],
            vec![Fact::AllCodes],
            vec![Fact::Label, Fact::Code],
            vec![Fact::Label, Fact::AllCodes],
        ];
        if self.own.is_some() {
            sets.push(vec![Fact::Label, Fact::OwnColumns, Fact::Code]);
        }
        sets
    }

    fn baselines(&self, attackable: &Attackable, findings: &mut Findings) -> anyhow::Result<()> {
        for facts in self.without_codes() {
            findings.keep(self.frozen_scene(attackable).conditional_mean(&facts)?);
        }
        Ok(())
    }

    /// Every attack on one code of each test record; returns the knowledge of the strongest conditional mean.
    fn attack(&self, attackable: &Attackable, findings: &mut Findings) -> anyhow::Result<Vec<Fact>> {
        let scene = self.frozen_scene(attackable);
        let mut strongest: Option<(f64, Vec<Fact>)> = None;
        for facts in self.with_codes() {
            let attacked = scene.conditional_mean(&facts)?;
            if strongest.as_ref().is_none_or(|(most, _)| skill(&attacked).value > *most) {
                strongest = Some((skill(&attacked).value, facts.clone()));
            }
            findings.keep(attacked);
        }
        let means = self.conditional_mean_of_code(findings, attackable);
        let mut inverse = scene.inverse_network(&[Fact::Code])?;
        if let Some(mean) = means {
            inverse.result.metrics.insert(
                "against conditional mean".into(),
                scene.scorer.gain(&inverse.errors, &findings.attacked[mean].errors),
            );
        }
        findings.keep(inverse);
        if let (Some(encoder), true) = (attackable.encoder, self.config.white_box) {
            let ways = match attackable.cut {
                CutKind::Codes => Matching::OF_CODES.to_vec(),
                _ => vec![Matching::Value],
            };
            for matching in ways {
                findings.keep(scene.white_box(encoder, matching)?);
            }
            findings.keep(scene.reidentify(encoder)?);
        }
        Ok(strongest.map(|(_, facts)| facts).unwrap_or_default())
    }

    fn conditional_mean_of_code(&self, findings: &Findings, attackable: &Attackable) -> Option<usize> {
        let of_code = |attacked: &Attacked| {
            let result = &attacked.result;
            result.attack == names::CONDITIONAL_MEAN
                && result.defence == attackable.defence
                && result.releases == 1
                && result.knowledge.is_empty()
        };
        findings.attacked.iter().position(of_code)
    }

    /// Skill over the number of epochs whose codes were seen, on training records.
    fn over_epochs(&self, cuts: &[&Attackable], findings: &mut Findings) -> anyhow::Result<Chart> {
        let mut curves = Vec::new();
        if let Some(first) = cuts.first() {
            findings.keep(self.trained_scene(first).conditional_mean(&[])?);
            findings.keep(self.trained_scene(first).conditional_mean(&[Fact::Label])?);
        }
        for attackable in cuts {
            let scene = self.trained_scene(attackable);
            let epochs = attackable.observed.epochs();
            let seen: Vec<u32> =
                (0..).map(|power| 1_u32 << power).take_while(|n| *n < epochs).chain([epochs]).collect();
            let mut points = Vec::new();
            for epochs in seen.iter().copied().filter(|epochs| *epochs > 0) {
                let attacked = scene.conditional_mean(&[Fact::EpochCodes(epochs)])?;
                points.push((f64::from(epochs), skill(&attacked)));
                if Some(&epochs) == seen.last() {
                    findings.keep(attacked);
                    findings.keep(scene.conditional_mean(&[Fact::Label, Fact::EpochCodes(epochs)])?);
                }
            }
            curves.push(Curve { name: attackable.defence.clone(), points });
        }
        Ok(Chart {
            title: "Leakage over epochs, on training records".into(),
            x: "epochs whose codes the adversary has".into(),
            log_x: true,
            y: names::SKILL.into(),
            curves,
        })
    }

    /// Skill over the auxiliary share, and whether it grows.
    fn over_share(&self, codes: &Attackable) -> anyhow::Result<(Chart, Vec<Check>)> {
        let (mut points, mut errors) = (Vec::new(), Vec::new());
        for share in &self.config.auxiliary_shares {
            let scene = self.scene(codes, (&self.frozen, &self.frozen_scorer, TEST), *share);
            let attacked = scene.conditional_mean(&[Fact::Label, Fact::AllCodes])?;
            points.push((share * 100.0, skill(&attacked)));
            errors.push(attacked.errors);
        }
        let mut checks = Vec::new();
        if let [first, .., last] = errors.as_slice() {
            let gain = self.frozen_scorer.gain(last, first);
            checks.push(Check {
                name: "more auxiliary records make the attack stronger".into(),
                held: gain.low > 0.0,
                detail: format!(
                    "skill gained between the smallest and the largest share: {:.3} ({:.3} to {:.3})",
                    gain.value, gain.low, gain.high
                ),
            });
        }
        let name = format!("conditional mean of {}, labels and all parties' codes", codes.defence);
        let chart = Chart {
            title: "Leakage over the auxiliary share".into(),
            x: "auxiliary records, per cent".into(),
            log_x: true,
            y: names::SKILL.into(),
            curves: vec![Curve { name, points }],
        };
        Ok((chart, checks))
    }

    /// An attack on codes that were dealt out anew must fall to what it knows without codes.
    fn shuffled(&self, codes: &Attackable) -> anyhow::Result<Check> {
        let records: Vec<u32> =
            self.frozen.auxiliary(self.config.share()).iter().chain(&self.frozen.targets).copied().collect();
        let mut order = records.clone();
        shuffle(&mut order, &mut stream(self.config.seed, "shuffled codes", &[]));
        let observed = codes.observed.shuffled(&records, &order);
        let scene_of = Attackable { observed: &observed, ..codes.clone() };
        let scene = self.frozen_scene(&scene_of);
        let (with, without) = (
            scene.conditional_mean(&[Fact::Label, Fact::AllCodes])?,
            scene.conditional_mean(&[Fact::Label])?,
        );
        let gain = self.frozen_scorer.gain(&with.errors, &without.errors);
        Ok(Check {
            name: "on shuffled codes the attack falls to the one without codes".into(),
            held: gain.low <= 0.0,
            detail: format!(
                "skill gained by shuffled codes: {:.4} ({:.4} to {:.4})",
                gain.value, gain.low, gain.high
            ),
        })
    }

    /// The manifest's model must give the very codes of the transcript.
    fn same_codes(&self, codes: &Attackable) -> anyhow::Result<Check> {
        let records = &self.frozen.targets;
        let encoded = self.owner.encoder.encode(self.owner.columns.gather(records), records.len());
        let seen = codes.observed.gather(self.victim, crate::observed::Moment::Frozen, records)?;
        let same = encoded.iter().zip(&seen).filter(|(v, bit)| (**v >= 0.0) == (**bit > 0.0)).count();
        Ok(Check {
            name: "the manifest's model and columns give the transcript's codes".into(),
            held: same == seen.len(),
            detail: format!("{same} of {} bits are equal", seen.len()),
        })
    }

    /// A defence beside what it costs: the strongest attack found on it that saw codes of test records.
    fn utility(
        &self,
        defence: &str,
        setting: String,
        utility: f64,
        findings: &Findings,
        attackable: &Attackable,
    ) -> UtilityPoint {
        let on_it = findings.attacked.iter().filter(|attacked| {
            attacked.result.defence == attackable.defence
                && attacked.result.cut == attackable.cut
                && attacked.result.releases > 0
                && attacked.result.metrics.contains_key(names::SKILL)
        });
        let strongest = on_it.max_by(|a, b| skill(a).value.total_cmp(&skill(b).value));
        let none = Estimate { value: 0.0, low: 0.0, high: 0.0 };
        let baseline = strongest.and_then(|strongest| {
            let fits = |other: &&Attacked| {
                other.result.releases == 0
                    && other.result.victim == strongest.result.victim
                    && other.result.knowledge.iter().all(|fact| strongest.result.knowledge.contains(fact))
            };
            findings.attacked.iter().filter(fits).max_by(|a, b| skill(a).value.total_cmp(&skill(b).value))
        });
        UtilityPoint {
            defence: defence.to_string(),
            setting,
            utility,
            leakage: strongest.map_or(none, skill),
            baseline: baseline.map_or(none, skill),
            strongest: strongest.map_or_else(String::new, |attacked| {
                format!("{} from {}", attacked.result.attack, attacked.result.knowledge.join(", "))
            }),
        }
    }

    /// The same run with encode-once training: what its records outside the cohort leak, which send one code each.
    fn encode_once(&self, out: &Path, findings: &mut Findings) -> anyhow::Result<(UtilityPoint, Curve)> {
        let run = &self.evidence.coordinator.run;
        let settings = RunSettings { cohort_share: COHORT, ..run.clone() };
        let path = out.join("simulated-encode-once.parquet");
        let once = simulate(self.evidence, &Repeat::new(&settings, Cut::Hash), &path)?;
        let records = encoded_once(&settings, self.evidence.labels.len())?;
        let split = Split::new(&records, self.config.seed).context("records outside the cohort")?;
        let rows = (split.auxiliary(self.config.share()), split.targets.as_slice());
        let owner = self.owner;
        let scorer = Scorer::new(&owner.columns, owner.image, &self.evidence.labels, rows, self.config.seed);
        let attackable = Attackable {
            observed: &once.observed,
            encoder: once.encoders.get(self.victim),
            cut: CutKind::Codes,
            defence: format!("encode-once, d = {}", run.bits),
            value_bits: 1,
        };
        let scene = self.scene(&attackable, (&split, &scorer, OUTSIDE), self.config.share());
        findings.keep(scene.conditional_mean(&[])?);
        findings.keep(scene.conditional_mean(&[Fact::Label])?);
        let one = scene.conditional_mean(&[Fact::Code])?;
        // Whatever the number of epochs, such a record has sent this one code.
        let points = [1.0, f64::from(run.epochs)].map(|epochs| (epochs, skill(&one))).to_vec();
        let name = format!("{}, records outside the cohort: one code each", attackable.defence);
        findings.keep(one);
        findings.keep(scene.conditional_mean(&[Fact::Label, Fact::AllCodes])?);
        let setting = format!("{:.0} % cohort, d = {}", COHORT * 100.0, run.bits);
        let point = self.utility("encode-once", setting, once.utility, findings, &attackable);
        Ok((point, Curve { name, points }))
    }

    /// The same run with other code lengths.
    fn over_bits(
        &self,
        out: &Path,
        tell: &mut dyn FnMut(&str),
        facts: &[Fact],
        utility: &mut Vec<UtilityPoint>,
        findings: &mut Findings,
    ) -> anyhow::Result<Chart> {
        let run = &self.evidence.coordinator.run;
        let mut lengths = self.config.bits.clone();
        lengths.sort_unstable();
        lengths.dedup();
        let (mut one, mut most) = (Vec::new(), Vec::new());
        for bits in lengths {
            tell(&format!("simulating the run with d = {bits}"));
            let settings = RunSettings { bits, ..run.clone() };
            let path = out.join(format!("simulated-d{bits}.parquet"));
            let simulated = simulate(self.evidence, &Repeat::new(&settings, Cut::Hash), &path)?;
            let attackable = Attackable {
                observed: &simulated.observed,
                encoder: simulated.encoders.get(self.victim),
                cut: CutKind::Codes,
                defence: format!("simulated codes, d = {bits}"),
                value_bits: 1,
            };
            let scene = self.frozen_scene(&attackable);
            for (facts, points) in [(&[Fact::Code][..], &mut one), (facts, &mut most)] {
                let attacked = scene.conditional_mean(facts)?;
                points.push((bits as f64, skill(&attacked)));
                findings.keep(attacked);
            }
            let setting = format!("d = {bits}");
            utility.push(self.utility("hash codes", setting, simulated.utility, findings, &attackable));
        }
        let codes = if facts.contains(&Fact::AllCodes) { "all parties' codes" } else { "the code" };
        let strongest = [crate::knowledge::names(facts), vec![codes.to_string()]].concat().join(" and ");
        let curve = |name: String, points| Curve { name, points };
        Ok(Chart {
            title: "Leakage over the code's length, one code a test record".into(),
            x: "bits of a code".into(),
            log_x: true,
            y: names::SKILL.into(),
            curves: vec![
                curve("conditional mean of the code".into(), one),
                curve(format!("conditional mean of {strongest}"), most),
            ],
        })
    }

    fn data(&self) -> String {
        let columns = self.owner.columns.cols();
        let unit = if self.owner.image.is_some() {
            "pixels brought to 0 to 1 by the range of auxiliary records"
        } else {
            "columns in standard deviations of auxiliary records, all counted alike"
        };
        format!(
            "{} records; {} columns of {}, as its bottom model sees them (preprocessed as fitted on training records), scored as {unit}. \
             One code: {} test records are scored, up to {} others are the adversary's. All epochs: {} training records are scored, up to {} others are the adversary's.",
            self.evidence.labels.len(),
            columns,
            self.config.victim,
            self.frozen.targets.len(),
            self.frozen.auxiliary(self.config.share()).len(),
            self.trained.targets.len(),
            self.trained.auxiliary(self.config.share()).len(),
        )
    }

    fn reproduce(&self) -> Vec<String> {
        let shares: Vec<String> = self.config.auxiliary_shares.iter().map(ToString::to_string).collect();
        vec![
            "attack run --transcript transcript.parquet --config attack.toml --out FOLDER".into(),
            format!("seed {} of splits, networks and resampling; auxiliary shares {}", self.config.seed, shares.join(", ")),
            "each population is shuffled by the seed; one half is the adversary's pool, the other is scored".into(),
            "intervals: 95 %, percentiles of 1,000 bootstrap resamples of scored records; the run itself was trained once".into(),
            "search steps and rates are the same at every cut; penalties and regressions are chosen on auxiliary records".into(),
        ]
    }

    fn pictures(&self, findings: &Findings) -> Option<Grid> {
        let [1, height, width] = self.owner.image? else { return None };
        let targets = &self.frozen.targets[..self.frozen.targets.len().min(PICTURES)];
        let cut = |values: &[f32]| -> Vec<Vec<f32>> {
            values
                .chunks_exact(height * width)
                .take(targets.len())
                .map(|pixels| self.frozen_scorer.grey(pixels))
                .collect()
        };
        let row =
            |name: &str, attacked: &Attacked| PictureRow { name: name.into(), images: cut(&attacked.guess) };
        let on_test = |attacked: &&Attacked| attacked.result.target_rows == self.frozen.targets.len();
        let best = |cut: CutKind, baseline: bool| {
            let fits = |attacked: &&Attacked| {
                attacked.result.cut == cut
                    && (attacked.result.releases == 0) == baseline
                    && !attacked.guess.is_empty()
            };
            let found = findings.attacked.iter().filter(on_test).filter(fits);
            found.max_by(|a, b| skill(a).value.total_cmp(&skill(b).value))
        };
        let mut rows =
            vec![PictureRow { name: "original".into(), images: cut(&self.owner.columns.gather(targets)) }];
        if let Some(attacked) = best(CutKind::Codes, true) {
            rows.push(row("without any code", attacked));
        }
        if let Some(attacked) = best(CutKind::Codes, false) {
            rows.push(row("best from codes", attacked));
        }
        if let Some(attacked) = best(CutKind::SimulatedFloats, false) {
            rows.push(row("best from floats (simulated)", attacked));
        }
        Some(Grid { title: "Reconstructions of the same test records".into(), height, width, rows })
    }
}
