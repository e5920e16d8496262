//! Label inference under each label-side defence: the run repeated with other gradients, and what they still tell.

use std::path::Path;

use anyhow::bail;
use hashvfl_core::{GradientEncoding, RunSettings};
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::top::loss::{Evaluation, Labels};

use crate::evaluation::victim::{TRAINING, VictimContext};
use crate::evidence::simulation::{RunVariant, simulate};
use crate::inference::labels::{Inference, Insider};
use crate::report::{AttackResult, Chart, Curve, Estimate, UtilityPoint, names, strongest};

/// Share of the records from which labelled ones and the shares of classes are drawn.
const MOST_SHARE: f64 = 0.5;
/// Weights of the consistency term under which the run is repeated.
const CONSISTENCY: [f32; 2] = [0.0, 0.1];

/// The run with gradients of another kind.
struct Variant {
    /// The defence and its setting, as plot and table say it.
    defence: [String; 2],
    settings: RunSettings,
    consistency: Option<f32>,
    /// Whether it is followed epoch by epoch.
    followed: bool,
}

impl Variant {
    fn all(run: &RunSettings, noise: &[f64]) -> Vec<Self> {
        let of = |defence: &str, setting: String, settings: RunSettings| Self {
            defence: [defence.to_string(), setting],
            settings,
            consistency: None,
            followed: false,
        };
        let weighed = |weight: f32| Self {
            consistency: Some(weight),
            followed: true,
            ..of(&format!("{} gradients", run.gradient), format!("consistency {weight}"), run.clone())
        };
        let plain = RunSettings { gradient_noise: None, ..run.clone() };
        let encodings = [GradientEncoding::F32, GradientEncoding::Int8, GradientEncoding::Sign];
        let encoded = encodings.into_iter().filter(|gradient| *gradient != run.gradient).map(|gradient| {
            let setting = "alone".to_string();
            of(&format!("{gradient} gradients"), setting, RunSettings { gradient, ..plain.clone() })
        });
        let noisy = noise.iter().map(|noise| {
            let settings = RunSettings { gradient_noise: Some(*noise), ..run.clone() };
            of("noise on gradients", format!("{noise} times the longest"), settings)
        });
        CONSISTENCY.into_iter().map(weighed).chain(encoded).chain(noisy).collect()
    }

    fn name(&self) -> String {
        format!("{}, d = {}", self.defence.join(", "), self.settings.bits)
    }
}

/// What label inference found.
pub struct LabelFindings {
    /// The attacks.
    pub results: Vec<AttackResult>,
    /// From one epoch's gradients.
    pub chart: Chart,
    /// What each defence costs and saves.
    pub utility: Vec<UtilityPoint>,
}

impl VictimContext<'_> {
    /// Repeats the run in this process without the consistency term and with it, with each encoding of gradients and with
    /// noise on them, and infers labels of training records from the gradients of the victim's party and of all parties
    /// together.
    ///
    /// # Errors
    /// If labels are no classes, or a repetition fails.
    pub fn label_inference(&self, out: &Path, tell: &mut dyn FnMut(&str)) -> anyhow::Result<LabelFindings> {
        let run = &self.evidence.coordinator.run;
        let Labels::Classes { count, index } = &self.evidence.labels else {
            bail!("label_inference needs labels that are classes")
        };
        let (pool, targets) = (self.trained.auxiliary(MOST_SHARE), &self.trained.targets[..]);
        let party = &run.parties[self.victim];
        let crews = [
            (vec![self.victim], format!("gradients of {party}")),
            ((0..run.parties.len()).collect(), "gradients of all parties".into()),
        ];
        let (mut results, mut curves, mut utility): (Vec<AttackResult>, _, _) =
            (Vec::new(), Vec::new(), Vec::new());
        for (place, variant) in Variant::all(run, &self.config.gradient_noise).iter().enumerate() {
            tell(&format!("inferring labels of {TRAINING}: {}", variant.name()));
            let repeat = RunVariant {
                consistency: variant.consistency,
                gradients: true,
                ..RunVariant::new(&variant.settings, CutLayer::Hash)
            };
            let simulated =
                simulate(self.evidence, &repeat, &out.join(format!("simulated-labels-{place}.parquet")))?;
            let metric = Evaluation::metric_name(run.task);
            let note = format!("simulated; test {metric} of the run {:.3}", simulated.utility);
            let epochs = simulated.observed.epochs();
            let first = results.len();
            for (parties, name) in &crews {
                let insider = Insider::new(
                    &simulated.observed,
                    parties,
                    (index, *count),
                    (pool, targets),
                    (name.clone(), variant.name()),
                    self.config.seed,
                );
                if results.is_empty() {
                    results.push(insider.majority(pool));
                }
                for way in insider.ways() {
                    for epochs in [0..1, 0..epochs] {
                        let result = insider.infer(way, epochs)?;
                        results.push(AttackResult { note: Some(note.clone()), ..result });
                    }
                }
                if variant.followed && parties.len() == 1 {
                    for way in insider.ways() {
                        curves.push(follow(&insider, way, variant, epochs)?);
                    }
                }
            }
            utility.extend(point(
                variant,
                simulated.utility,
                (&results[first..], u64::from(epochs), &crews[0].1),
            ));
        }
        let chart = Chart {
            title: format!("Labels from one epoch's gradients, by {party}"),
            x: "the epoch".into(),
            log_x: true,
            y: if *count == 2 { names::AUC } else { names::ACCURACY }.into(),
            curves,
        };
        Ok(LabelFindings { results, chart, utility })
    }
}

fn follow(insider: &Insider, way: Inference, variant: &Variant, epochs: u32) -> anyhow::Result<Curve> {
    let moments = (0..).map(|power| (1_u32 << power) - 1).take_while(|epoch| *epoch < epochs);
    let point = |epoch: u32| {
        let figure = insider.infer(way, epoch..epoch + 1)?.metrics[insider.figure()];
        Ok((f64::from(epoch + 1), figure))
    };
    let points = moments.map(point).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Curve { name: format!("{}, {}", way.name(), variant.defence[1]), points })
}

/// The strongest inference by one party from the gradients of all epochs, beside the same from its codes.
fn point(
    variant: &Variant,
    utility: f64,
    (results, releases, crew): (&[AttackResult], u64, &String),
) -> Option<UtilityPoint> {
    let by_it = |result: &&AttackResult| result.releases == releases && result.knowledge.contains(crew);
    let from_codes = |result: &&AttackResult| result.attack == Inference::CodeAlone.name();
    let best = strongest(results.iter().filter(by_it).filter(|result| !from_codes(result)))?;
    let bare = results.iter().filter(by_it).find(from_codes)?;
    let figure = |result: &AttackResult| -> Option<Estimate> { Some(result.headline()?.1) };
    let [defence, setting] = variant.defence.clone();
    Some(UtilityPoint {
        defence,
        setting,
        utility,
        leakage: figure(best)?,
        baseline: figure(bare)?,
        strongest: best.attack.clone(),
        dcs: None,
    })
}
