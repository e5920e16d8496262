//! What codes say after a malicious coordinator has steered the bottom model, beside an honest run.

use hashvfl_core::CodeForm;
use hashvfl_core::gradient_monitor::{Alarm, Cause};
use hashvfl_learning::encoder::CutLayer;

use crate::attacks::AttackId;
use crate::attacks::active::contrastive::{Contrastive, Memory};
use crate::attacks::active::steering_server::{Decoder, Goal, Steer};
use crate::attacks::sweeps::epochs::everything_of;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::Release;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::{AttackSurface, Records};
use crate::evidence::simulation::{RunVariant, Simulated, steered};
use crate::report::{Change, Defence, Knowledge, Population};

/// Power of the goal's gradient, as multiples of the honest one's.
const WEIGHTS: [u32; 2] = [1, 10];

/// What a contrastive gradient's temperature is.
const TEMPERATURE: f32 = 0.2;

/// Repeats the run under gradients that steer, towards codes from which columns can be decoded, towards codes that lie apart
/// and towards each record's own earlier codes, and attacks one code of each test record; of the weight that gives most of it,
/// everything that training and validation records sent, too. After a decoder floats as well, for the first weight, and those
/// at one bit each.
pub struct Steering;

const KNOWS: &[Knowledge] =
    &[Knowledge::Labels, Knowledge::OtherCodes, Knowledge::OwnColumns, Knowledge::TrainingColumns];

/// Towards what a coordinator steers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Towards {
    Decoded,
    Apart,
    OwnEarlierCodes,
}

impl Towards {
    fn change(self, weight: u32) -> Change {
        match self {
            Self::Decoded => Change::Steered(weight),
            Self::Apart => Change::SteeredApart(weight),
            Self::OwnEarlierCodes => Change::SteeredContrastive(weight),
        }
    }
}

impl Attack for Steering {
    fn about(&self) -> About {
        About { title: "gradients that steer the bottom model", knows: KNOWS, needs: &[Need::FurtherAttacks] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let bits = victim.code_form().bits();
        for towards in [Towards::Decoded, Towards::Apart, Towards::OwnEarlierCodes] {
            let mut best: Option<(f64, SteeredRun, Defence)> = None;
            for weight in WEIGHTS {
                let run = SteeredRun::new(evaluation, CutLayer::Hash, towards, weight)?;
                let defence = surfaces.codes.defence.changed(towards.change(weight));
                let reached = {
                    let surface = AttackSurface::repeated(&run.simulated, &surfaces.codes, defence.clone());
                    let reached = run.attack(evaluation, &surface, &victim.test, &[Release::OneCode])?;
                    let how = match towards {
                        Towards::Decoded => "",
                        Towards::Apart => ", without any columns",
                        Towards::OwnEarlierCodes => ", by own earlier codes",
                    };
                    let setting = format!("weight {weight}, d = {bits}{how}");
                    let point =
                        evaluation.price("steered by its coordinator", setting, &surface, Population::Test);
                    evaluation.findings.utility.extend(point);
                    reached
                };
                if best.as_ref().is_none_or(|(most, ..)| reached > *most) {
                    best = Some((reached, run, defence));
                }
            }
            if let Some((_, run, defence)) = best {
                run.attack_everything(evaluation, defence)?;
            }
        }
        let weight = WEIGHTS[0];
        let run = SteeredRun::new(evaluation, CutLayer::SimulatedFloat, Towards::Decoded, weight)?;
        let defence = surfaces.floats.defence.changed(Change::Steered(weight));
        let surface = AttackSurface::repeated(&run.simulated, &surfaces.floats, defence);
        run.attack(evaluation, &surface, &victim.test, &[Release::OneCode])?;
        let owned = [&victim.test.auxiliary[..], &victim.test.elsewhere].concat();
        let one_bit = run.simulated.observed.quantised(&owned);
        let defence = surfaces.one_bit.defence.changed(Change::Steered(weight));
        let surface = AttackSurface::quantised(&one_bit, defence);
        run.attack(evaluation, &surface, &victim.test, &[Release::OneCode])?;
        Ok(())
    }
}

/// The run under a coordinator that steers.
struct SteeredRun {
    simulated: Simulated,
    /// What a reader must know of it.
    note: String,
    towards: Towards,
}

impl SteeredRun {
    fn new(
        evaluation: &PrivacyEvaluation,
        cut: CutLayer,
        towards: Towards,
        weight: u32,
    ) -> anyhow::Result<Self> {
        let victim = evaluation.victim;
        let run = &victim.evidence.coordinator.run;
        let known = &victim.training.auxiliary;
        let form = victim.code_form();
        // Of floats, one for each latent.
        let form = if cut == CutLayer::Hash { form } else { CodeForm::signs(form.latents()) };
        let goal = match towards {
            Towards::Decoded => {
                let columns = &victim.owner.columns;
                Goal::Decoded(Box::new(Decoder::new(columns, known, form.latents(), victim.config.seed)))
            }
            Towards::Apart => Goal::Apart,
            Towards::OwnEarlierCodes => Goal::OwnEarlierCodes(Contrastive::new(Memory::Mean, TEMPERATURE)),
        };
        let records = victim.owner.columns.rows();
        let mut steer = Steer::new(victim.place, goal, weight as f32, run, form, records);
        let name = if cut == CutLayer::Hash { "codes" } else { "floats" };
        let how = match towards {
            Towards::Decoded => "decoded",
            Towards::Apart => "apart",
            Towards::OwnEarlierCodes => "contrastive",
        };
        let path = evaluation.out.join(format!("simulated-steered-{name}-{how}-{weight}.parquet"));
        let simulated = steered(victim.evidence, &RunVariant::new(run, cut), &mut steer, &path)?;
        let who = match towards {
            Towards::Decoded => format!("{} records steer", known.len()),
            Towards::Apart | Towards::OwnEarlierCodes => "no columns are known".to_string(),
        };
        let note = format!("{who}, test metric {:.4}; {}", simulated.utility, monitor_says(steer.alarm));
        Ok(Self { simulated, note, towards })
    }

    /// The conditional mean of what says most of `releases`, by every adversary; the greatest skill.
    fn attack(
        &self,
        evaluation: &mut PrivacyEvaluation,
        surface: &AttackSurface,
        records: &Records,
        releases: &[Release],
    ) -> anyhow::Result<f64> {
        let grid = AdversaryGrid::new(evaluation.victim, surface, records, releases);
        let mut grid = match self.towards {
            Towards::Decoded => grid.special(AttackId::Steering, Some(Knowledge::TrainingColumns)),
            Towards::Apart | Towards::OwnEarlierCodes => grid.special(AttackId::Steering, None),
        };
        let first = evaluation.findings.attacked.len();
        evaluation.keep_grid(&mut grid)?;
        let mut most = f64::NEG_INFINITY;
        for attacked in &mut evaluation.findings.attacked[first..] {
            attacked.result.note = Some(self.note.clone());
            most = most.max(attacked.skill().value);
        }
        Ok(most)
    }

    /// The same of everything that training records sent, and validation records where it is not to be quick: whoever cheats
    /// has all epochs, too.
    fn attack_everything(&self, evaluation: &mut PrivacyEvaluation, defence: Defence) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let surface = AttackSurface::repeated(&self.simulated, &surfaces.codes, defence);
        let validation = victim.validation.as_ref().filter(|_| !victim.config.quick);
        for records in [Some(&victim.training), validation].into_iter().flatten() {
            let mut releases = everything_of(victim, &surface, records);
            // What says less would take as long again.
            releases.drain(..releases.len() - 1);
            self.attack(evaluation, &surface, records, &releases)?;
        }
        Ok(())
    }
}

/// What the party's gradient monitor says of it.
fn monitor_says(alarm: Option<Alarm>) -> String {
    let Some(alarm) = alarm else { return "the party's gradient monitor does not notice".to_string() };
    let cause = match alarm.cause {
        Cause::Predictable => "predictable",
        Cause::Featureless => "featureless",
        Cause::EarlierCodes => "earlier codes",
    };
    format!("the party's gradient monitor raises an alarm at step {} ({cause})", alarm.steps)
}
