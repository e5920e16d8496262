//! What codes say after a malicious coordinator has steered the bottom model, beside an honest run.

use hashvfl_core::gradient_monitor::{Alarm, Cause};
use hashvfl_learning::encoder::CutLayer;

use crate::attacks::AttackId;
use crate::attacks::active::steering_server::Steer;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::knowledge::Fact;
use crate::evidence::simulation::{RunVariant, Simulated, steered};
use crate::report::{Change, Knowledge, Population};

/// Power of the decoder's gradient, as multiples of the honest one's.
const WEIGHTS: [u32; 2] = [1, 10];

/// Repeats the run under gradients that steer, and attacks one code of each test record; floats too, for the first weight,
/// and those at one bit each.
pub struct Steering;

const KNOWS: &[Knowledge] = &[Knowledge::TrainingColumns];

impl Attack for Steering {
    fn about(&self) -> About {
        About {
            title: "gradients that steer the bottom model",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks, Need::Signs],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let bits = victim.evidence.coordinator.run.bits;
        for weight in WEIGHTS {
            let run = SteeredRun::new(evaluation, CutLayer::Hash, weight)?;
            let defence = surfaces.codes.defence.changed(Change::Steered(weight));
            let surface = AttackSurface::repeated(&run.simulated, &surfaces.codes, defence);
            evaluation.keep(run.attack(victim, &surface)?);
            let setting = format!("weight {weight}, d = {bits}");
            let point = evaluation.price("steered by its coordinator", setting, &surface, Population::Test);
            evaluation.findings.utility.push(point);
        }
        let weight = WEIGHTS[0];
        let run = SteeredRun::new(evaluation, CutLayer::SimulatedFloat, weight)?;
        let defence = surfaces.floats.defence.changed(Change::Steered(weight));
        let surface = AttackSurface::repeated(&run.simulated, &surfaces.floats, defence);
        evaluation.keep(run.attack(victim, &surface)?);
        let auxiliary = victim.test.split.auxiliary(victim.config.auxiliary_fraction());
        let one_bit = run.simulated.observed.quantised(auxiliary);
        let defence = surfaces.one_bit.defence.changed(Change::Steered(weight));
        evaluation.keep(run.attack(victim, &AttackSurface::quantised(&one_bit, defence))?);
        Ok(())
    }
}

/// The run under a coordinator that steers.
struct SteeredRun {
    simulated: Simulated,
    /// What a reader must know of it.
    note: String,
}

impl SteeredRun {
    fn new(evaluation: &PrivacyEvaluation, cut: CutLayer, weight: u32) -> anyhow::Result<Self> {
        let victim = evaluation.victim;
        let run = &victim.evidence.coordinator.run;
        let known = victim.training.split.auxiliary(victim.config.auxiliary_fraction());
        let columns = &victim.owner.columns;
        let mut steer = Steer::new(victim.place, columns, known, weight as f32, run, victim.config.seed);
        let name = if cut == CutLayer::Hash { "codes" } else { "floats" };
        let path = evaluation.out.join(format!("simulated-steered-{name}-{weight}.parquet"));
        let simulated = steered(victim.evidence, &RunVariant::new(run, cut), Some(&mut steer), &path)?;
        let note = format!(
            "{} records steer, test metric {:.4}; {}",
            known.len(),
            simulated.utility,
            monitor_says(steer.alarm)
        );
        Ok(Self { simulated, note })
    }

    /// The conditional mean of one code.
    fn attack(&self, victim: &VictimContext, surface: &AttackSurface) -> anyhow::Result<AttackOutcome> {
        let context = victim.test_context(surface);
        let mut attacked = context.conditional_mean_as(&[Fact::Code], KNOWS.to_vec())?;
        attacked.result.attack = AttackId::Steering;
        attacked.result.note = Some(self.note.clone());
        Ok(attacked)
    }
}

/// What the party's gradient monitor says of it.
fn monitor_says(alarm: Option<Alarm>) -> String {
    let Some(alarm) = alarm else { return "the party's gradient monitor does not notice".to_string() };
    let cause = if alarm.cause == Cause::Predictable { "predictable" } else { "featureless" };
    format!("the party's gradient monitor raises an alarm at step {} ({cause})", alarm.steps)
}
