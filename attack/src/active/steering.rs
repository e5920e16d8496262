//! What codes say after a malicious coordinator has steered the bottom model, beside an honest run.

use std::path::Path;

use hashvfl_core::gradient_monitor::Cause;
use hashvfl_learning::encoder::CutLayer;

use crate::active::steering_server::Steer;
use crate::evaluation::victim::{AttackSurface, Findings, TEST, VictimContext};
use crate::evidence::knowledge::Fact;
use crate::evidence::simulation::{RunVariant, steered};
use crate::report::{CutKind, UtilityPoint};

/// Power of the decoder's gradient, as multiples of the honest one's.
const WEIGHTS: [f32; 2] = [1.0, 10.0];

impl VictimContext<'_> {
    /// Repeats the run under gradients that steer, and attacks one code of each test record; floats too, for the first
    /// weight, and those at one bit each.
    pub fn steering(
        &self,
        out: &Path,
        [codes, open, quantised]: [&AttackSurface; 3],
        findings: &mut Findings,
    ) -> anyhow::Result<Vec<UtilityPoint>> {
        let run = &self.evidence.coordinator.run;
        let known = self.trained.auxiliary(self.config.share());
        let cases = WEIGHTS.map(|weight| (codes, CutLayer::Hash, weight));
        let mut points = Vec::new();
        for (like, cut, weight) in cases.into_iter().chain([(open, CutLayer::SimulatedFloat, WEIGHTS[0])]) {
            let columns = (self.victim, &self.owner.columns);
            let mut steer = Steer::new(columns, known, weight, run, self.config.seed);
            let name = if cut == CutLayer::Hash { "codes" } else { "floats" };
            let path = out.join(format!("simulated-steered-{name}-{weight}.parquet"));
            let simulated = steered(self.evidence, &RunVariant::new(run, cut), Some(&mut steer), &path)?;
            let alarm = match steer.alarm {
                None => "the party's watch does not notice".to_string(),
                Some(alarm) => {
                    let cause = if alarm.cause == Cause::Predictable { "predictable" } else { "featureless" };
                    format!("the party's watch raises an alarm at step {} ({cause})", alarm.steps)
                }
            };
            let note =
                format!("{} records steer, test metric {:.4}; {alarm}", known.len(), simulated.utility);
            let setting = format!("weight {weight}");
            let of = |like: &AttackSurface| format!("{}, steered, {setting}", like.defence);
            let other = AttackSurface { defence: of(like), ..AttackSurface::of(&simulated, like) };
            let mut attack = |attackable: &AttackSurface| -> anyhow::Result<()> {
                let mut attacked = self.frozen_context(attackable).conditional_mean(&[Fact::Code])?;
                attacked.result.attack = "conditional mean after gradients that steered".into();
                attacked.result.knowledge.push("columns of training records".into());
                attacked.result.note = Some(note.clone());
                findings.keep(attacked);
                Ok(())
            };
            attack(&other)?;
            if like.cut == CutKind::SimulatedFloats {
                let one_bit = simulated.observed.quantised(self.frozen.auxiliary(self.config.share()));
                let (encoders, top) = (Vec::new(), None);
                let defence = of(quantised);
                attack(&AttackSurface { observed: &one_bit, encoders, top, defence, ..quantised.clone() })?;
            } else {
                let defence = ("steered by its coordinator", format!("{setting}, d = {}", run.bits));
                points.push(self.utility(defence, simulated.utility, findings, (&other, TEST)));
            }
        }
        Ok(points)
    }
}
