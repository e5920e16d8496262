//! The run once more, under a coordinator that cheats, and what the adversaries of the grid make of its codes.

use hashvfl_core::CodeForm;
use hashvfl_core::gradient_monitor::{Alarm, Cause};
use hashvfl_learning::encoder::CutLayer;

use crate::attacks::AttackId;
use crate::attacks::active::steering_server::{Goal, Steer};
use crate::attacks::sweeps::epochs::everything_of;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::ObservedRelease;
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::simulation::{RunVariant, Simulated, steered};
use crate::report::{Defence, Knowledge, Metric, MonitorAlarm, Population};

/// How a coordinator cheats.
pub struct Cheating<'g> {
    /// Where it pulls codes.
    pub goal: Goal<'g>,
    /// Power of its pull, as a multiple of the honest gradient's.
    pub weight: f32,
    /// The part of the honest gradient that is kept.
    pub honest: f32,
    /// Whether it keeps the models of the last epoch, whatever validation records say.
    pub keep_last: bool,
    /// The file in the report's folder that records what parties send.
    pub file: String,
    /// Who cheats, for the reader.
    pub who: String,
    /// Under which name the grid's adversaries are reported, and what they know besides.
    pub special: (AttackId, Option<Knowledge>),
}

/// The run under such a coordinator.
pub struct CheatedRun {
    /// What it sent, and its models.
    pub simulated: Simulated,
    /// What a reader must know of it.
    note: String,
    /// What the party's gradient monitor raised.
    alarm: Option<MonitorAlarm>,
    special: (AttackId, Option<Knowledge>),
}

impl CheatedRun {
    /// Repeats the run with `cut`.
    ///
    /// # Errors
    /// If it cannot be repeated.
    pub fn new(evaluation: &PrivacyEvaluation, cut: CutLayer, how: Cheating) -> anyhow::Result<Self> {
        let Cheating { goal, weight, honest, keep_last, file, who, special } = how;
        let victim = evaluation.victim;
        let (run, records) = (&victim.evidence.coordinator.run, victim.owner.columns.rows());
        let steer = Steer::new(victim.place, goal, weight, run, form_at(victim, cut), records);
        let mut steer = steer.keeping(honest);
        let variant = RunVariant { keep_last, ..RunVariant::new(run, cut) };
        let simulated = steered(victim.evidence, &variant, &mut steer, &evaluation.out.join(file))?;
        let on_alarm = victim.owner.config.on_alarm.to_string();
        let alarm = steer.alarm.map(|Alarm { cause, steps, .. }| MonitorAlarm {
            steps,
            cause: in_words(cause).to_string(),
            on_alarm,
        });
        let note = format!("{who}, test metric {:.4}; {}", simulated.utility, monitor_says(alarm.as_ref()));
        Ok(Self { simulated, note, alarm, special })
    }

    /// What an attack found on it, with what a reader must know of the run.
    pub fn noted(&self, mut attacked: AttackOutcome) -> AttackOutcome {
        let result = &mut attacked.result;
        result.note = Some(self.note.clone());
        result.alarm = self.alarm.clone().filter(|_| result.releases > 0);
        attacked
    }

    /// The conditional mean of what says most of `releases`, by every adversary; the greatest skill.
    ///
    /// # Errors
    /// If the repetition lacks what a release holds.
    pub fn attack(
        &self,
        evaluation: &mut PrivacyEvaluation,
        surface: &AttackSurface,
        records: &Records,
        releases: &[ObservedRelease],
    ) -> anyhow::Result<f64> {
        let (attack, knowledge) = self.special;
        let grid = AdversaryGrid::new(evaluation.victim, surface, records, releases);
        let mut grid = grid.special(attack, knowledge);
        let first = evaluation.findings.attacked.len();
        evaluation.keep_grid(&mut grid)?;
        // Of what was ever sent values as well: whom it hurts most.
        if grid.most().epochs().is_some() {
            evaluation.keep_attributes(&mut grid)?;
        }
        let mut most = f64::NEG_INFINITY;
        for attacked in evaluation.findings.attacked.split_off(first) {
            most = most.max(attacked.result.metrics.get(&Metric::Skill).map_or(most, |skill| skill.value));
            evaluation.findings.attacked.push(self.noted(attacked));
        }
        Ok(most)
    }

    /// The same of one code of each test record, which adds a point to the trade-off: `priced` is what stands at it, with its
    /// `setting`.
    ///
    /// # Errors
    /// As [`attack`](Self::attack).
    pub fn attack_one_code(
        &self,
        evaluation: &mut PrivacyEvaluation,
        defence: &Defence,
        priced: &str,
        setting: String,
    ) -> anyhow::Result<f64> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let surface = AttackSurface::repeated(&self.simulated, &surfaces.codes, defence.clone());
        let reached = self.attack(evaluation, &surface, &victim.test, &[ObservedRelease::OneCode])?;
        let point = evaluation.price(priced, setting, &surface, Population::Test);
        evaluation.findings.utility.extend(point);
        Ok(reached)
    }

    /// The same of everything that training records sent, and validation records where it is not to be quick: whoever cheats
    /// has all epochs, too.
    ///
    /// # Errors
    /// As [`attack`](Self::attack).
    pub fn attack_everything(
        &self,
        evaluation: &mut PrivacyEvaluation,
        defence: Defence,
    ) -> anyhow::Result<()> {
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

/// What the victim's codes are made of at a cut: of floats one for each latent.
pub fn form_at(victim: &VictimContext, cut: CutLayer) -> CodeForm {
    let form = victim.code_form();
    if cut == CutLayer::Hash { form } else { CodeForm::signs(form.latents()) }
}

fn in_words(cause: Cause) -> &'static str {
    match cause {
        Cause::Predictable => "predictable",
        Cause::Featureless => "featureless",
        Cause::EarlierCodes => "earlier codes",
    }
}

/// What the party's gradient monitor says of it.
fn monitor_says(alarm: Option<&MonitorAlarm>) -> String {
    match alarm {
        None => "the party's gradient monitor does not notice".to_string(),
        Some(MonitorAlarm { steps, cause, .. }) => {
            format!("the party's gradient monitor raises an alarm at step {steps} ({cause})")
        }
    }
}
