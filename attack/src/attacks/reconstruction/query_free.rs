//! The query-free attack (He et al. 2019, "Model inversion attacks against collaborative inference", section 4.3): a
//! substitute of the victim's bottom model learns on labelled auxiliary records through the coordinator's own top model,
//! which stays as it is. An inverse network on the substitute's codes then reads the victim's.

use crate::attacks::AttackId;
use crate::attacks::reconstruction::batches::Batches;
use crate::attacks::reconstruction::substitute::{BATCH, Substitute, UPDATES};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::Attempt;
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::observed::ObservedAt;
use crate::report::Knowledge;
use hashvfl_leakage::cores::on_all_cores;

/// The query-free attack.
pub struct QueryFree;

const KNOWS: &[Knowledge] = &[Knowledge::Labels, Knowledge::TopModel, Knowledge::Architecture];

impl Attack for QueryFree {
    fn about(&self) -> About {
        About {
            title: "a query-free substitute of the bottom model",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        for attacked in on_all_cores(&surfaces.all(), |surface| attack(victim, surface)) {
            if let Some(attacked) = attacked? {
                evaluation.keep(attacked);
            }
        }
        Ok(())
    }
}

/// The attack at one cut, where its top model is there.
fn attack(victim: &VictimContext, surface: &AttackSurface) -> anyhow::Result<Option<AttackOutcome>> {
    let Some(top) = surface.top else { return Ok(None) };
    let attempt = Attempt::begin(AttackId::QueryFree, KNOWS, 1);
    let mut context = victim.test_context(surface);
    let known = context.owned_frozen();
    context.auxiliary = &known;
    let mut substitute = Substitute::new(victim, &context)?;
    let mut batches = Batches::new(context.auxiliary, BATCH, victim.config.seed);
    for _ in 0..UPDATES {
        let rows = batches.draw();
        let codes = substitute.encode_batch(&rows);
        let mut parts = surface.observed.gather_all(ObservedAt::Frozen, &rows)?;
        // What the victim sent of auxiliary records is not used: the adversary need not have asked for it.
        parts[victim.place] = codes;
        substitute.encoder.learn(top.gradients(&parts, &rows).swap_remove(victim.place));
    }
    substitute.read(&context, false, attempt).map(Some)
}
