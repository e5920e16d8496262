//! Label inference under each label-side defence: the run repeated with other gradients, and what they still give away.

use hashvfl_core::{GradientEncoding, RunSettings};
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::top::evaluation::Evaluation as TaskMetrics;
use hashvfl_learning::top::loss::Labels;

use crate::attacks::inference::labels::{Classes, Inference, Insider, POOL, PartyView, metric};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::findings::{AttackOutcome, ChartId};
use crate::evidence::simulation::{RunVariant, simulate};
use crate::report::{
    AttackResult, Chart, Curve, Defence, Estimate, Knowledge, Population, Sent, UtilityPoint, strongest,
};

/// Weights of the consistency term under which the run is repeated.
const CONSISTENCY: [f32; 2] = [0.0, 0.1];

/// Labels of training records, inferred from the gradients of the victim's party and of all parties together. The run is
/// repeated as it was, without the consistency term and with it, with each encoding of gradients and with noise on them.
pub struct LabelInference;

impl Attack for LabelInference {
    fn about(&self) -> About {
        About {
            title: "inference of labels from a party's gradients",
            knows: &[
                Knowledge::FewLabels,
                Knowledge::ClassFractions,
                Knowledge::OwnColumns,
                Knowledge::OwnCodes,
                Knowledge::AllCodes,
                Knowledge::OwnGradients,
                Knowledge::AllGradients,
            ],
            needs: &[Need::LabelInference, Need::Classes],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let victim = evaluation.victim;
        let run = &victim.evidence.coordinator.run;
        let Labels::Classes { count, index } = &victim.evidence.labels else { return Ok(()) };
        let classes = Classes { of_record: index, count: *count };
        let mut curves = Vec::new();
        let own = victim.evidence.coordinator.top.loss.consistency;
        for (place, variant) in Variant::all(run, own, &victim.config.gradient_noise).iter().enumerate() {
            if variant.is_own {
                evaluation.findings.gradients = Some(variant.sent());
            }
            evaluation.say(&format!("inferring labels of {}: {}", Population::Training, variant.sent()));
            curves.extend(infer(evaluation, variant, place, classes)?);
        }
        let chart = Chart {
            title: format!("Labels from one epoch's gradients, by {}", victim.config.victim),
            x: "the epoch".into(),
            log_x: true,
            y: metric(*count).into(),
            curves,
        };
        evaluation.findings.charts.insert(ChartId::Labels, chart);
        Ok(())
    }
}

/// The run with gradients of another kind.
struct Variant {
    defence: String,
    setting: String,
    settings: RunSettings,
    consistency: Option<f32>,
    /// Whether it is followed epoch by epoch.
    followed: bool,
    /// Whether its gradients are those of the run itself.
    is_own: bool,
}

impl Variant {
    fn new(defence: String, setting: String, settings: RunSettings) -> Self {
        Self { defence, setting, settings, consistency: None, followed: false, is_own: false }
    }

    /// All of a run whose consistency term has the weight `own`, with these weights of noise beside its own.
    fn all(run: &RunSettings, own: f32, noise: &[f64]) -> Vec<Self> {
        let others = CONSISTENCY.into_iter().filter(|weight| *weight != own);
        let mut all = Vec::new();
        for weight in [own].into_iter().chain(others) {
            let (defence, setting) = (format!("{} gradients", run.gradient), format!("consistency {weight}"));
            let variant = Self::new(defence, setting, run.clone());
            all.push(Self { consistency: Some(weight), followed: true, is_own: weight == own, ..variant });
        }
        for gradient in [GradientEncoding::F32, GradientEncoding::Int8, GradientEncoding::Sign] {
            if gradient != run.gradient {
                let settings = RunSettings { gradient, gradient_noise: None, ..run.clone() };
                all.push(Self::new(format!("{gradient} gradients"), "alone".into(), settings));
            }
        }
        for noise in noise {
            let settings = RunSettings { gradient_noise: Some(*noise), ..run.clone() };
            let setting = format!("{noise} times the longest");
            all.push(Self::new("noise on gradients".into(), setting, settings));
        }
        all
    }

    fn sent(&self) -> Defence {
        let (defence, setting) = (self.defence.clone(), self.setting.clone());
        Defence::new(Sent::Gradients { defence, setting, bits: self.settings.bits })
    }
}

/// Repeats the run as `variant` says and infers labels; returns the curves of a variant that is followed.
fn infer(
    evaluation: &mut PrivacyEvaluation,
    variant: &Variant,
    place: usize,
    classes: Classes,
) -> anyhow::Result<Vec<Curve>> {
    let victim = evaluation.victim;
    let repeat = RunVariant {
        consistency: variant.consistency,
        gradients: true,
        ..RunVariant::new(&variant.settings, CutLayer::Hash)
    };
    let path = evaluation.out.join(format!("simulated-labels-{place}.parquet"));
    let simulated = simulate(victim.evidence, &repeat, &path)?;
    let task = TaskMetrics::metric_name(variant.settings.task);
    let note = format!("simulated; test {task} of the run {:.3}", simulated.utility);
    let epochs = simulated.observed.epochs();
    let pool = victim.ownership.owned(victim.evidence.trained_records(), POOL);
    let (pool, targets) = (&pool[..], &victim.training.targets[..]);
    let all_parties: Vec<usize> = (0..variant.settings.parties.len()).collect();
    let first = evaluation.findings.attacked.len();
    let mut curves = Vec::new();
    for (parties, gradients, codes) in [
        (&[victim.place][..], Knowledge::OwnGradients, Knowledge::OwnCodes),
        (&all_parties[..], Knowledge::AllGradients, Knowledge::AllCodes),
    ] {
        let view = PartyView {
            observed: &simulated.observed,
            parties,
            gradients,
            codes,
            columns: parties.iter().map(|party| &victim.evidence.owners[*party].columns).collect(),
            defence: variant.sent(),
            note: note.clone(),
        };
        let insider = Insider::new(view, classes, pool, targets, victim.config.seed);
        if place == 0 && gradients == Knowledge::OwnGradients {
            for knowledge in [Knowledge::FewLabels, Knowledge::ClassFractions] {
                evaluation.keep(insider.majority(pool, knowledge));
            }
        }
        for way in insider.ways() {
            for epochs in [0..1, 0..epochs] {
                evaluation.keep(insider.infer(way, epochs)?);
            }
        }
        if variant.followed && parties.len() == 1 {
            for way in insider.ways().filter(|way| way.classes_from() == Knowledge::FewLabels) {
                curves.push(follow(&insider, way, variant, epochs)?);
            }
        }
    }
    let found = &evaluation.findings.attacked[first..];
    let point = point(variant, simulated.utility, found, u64::from(epochs));
    evaluation.findings.label_utility.extend(point);
    Ok(curves)
}

fn follow(insider: &Insider, way: Inference, variant: &Variant, epochs: u32) -> anyhow::Result<Curve> {
    let moments = (0..).map(|power| (1_u32 << power) - 1).take_while(|epoch| *epoch < epochs);
    let mut points = Vec::new();
    for epoch in moments {
        let found = insider.infer(way, epoch..epoch + 1)?.result;
        points.extend(found.metrics.get(&insider.metric()).map(|figure| (f64::from(epoch + 1), *figure)));
    }
    Ok(Curve { name: format!("{}, {}", way.id(), variant.setting), points })
}

/// The strongest inference by one party from the gradients of all epochs, beside the strongest from its codes and columns.
fn point(variant: &Variant, utility: f64, found: &[AttackOutcome], releases: u64) -> Option<UtilityPoint> {
    let by_one: Vec<&AttackResult> =
        found.iter().map(|attacked| &attacked.result).filter(|result| result.releases == releases).collect();
    let knows = |result: &AttackResult, what: Knowledge| result.knowledge.contains(&what);
    let by_gradients = by_one.iter().filter(|result| knows(result, Knowledge::OwnGradients));
    let best = strongest(by_gradients.copied())?;
    let without = |result: &AttackResult| result.knowledge.iter().all(|known| !known.is_gradients());
    let by_codes = by_one.iter().filter(|result| knows(result, Knowledge::OwnCodes) && without(result));
    let bare = strongest(by_codes.copied())?;
    let figure = |result: &AttackResult| -> Option<Estimate> { Some(result.headline()?.1) };
    Some(UtilityPoint {
        defence: variant.defence.clone(),
        setting: variant.setting.clone(),
        utility,
        utility_interval: None,
        leakage: figure(best)?,
        baseline: figure(bare)?,
        strongest: best.attack.to_string(),
        dcs: None,
    })
}
