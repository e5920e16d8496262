//! The inverse network (He et al. 2019, "Model inversion attacks against collaborative inference", section 4): columns
//! from codes by one network of fixed size.

use crate::attacks::AttackId;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack};
use crate::evaluation::context::Attempt;
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::knowledge::Fact;
use hashvfl_leakage::cores::on_all_cores;
use hashvfl_leakage::regression::Regression;

/// The inverse network.
pub struct InverseNetwork;

impl Attack for InverseNetwork {
    fn about(&self) -> About {
        About { title: "the inverse network", knows: &[], needs: &[] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        for attacked in on_all_cores(&surfaces.all(), |surface| attack(victim, surface)) {
            evaluation.keep_beside_mean(attacked?);
        }
        Ok(())
    }
}

fn attack(victim: &VictimContext, surface: &AttackSurface) -> anyhow::Result<AttackOutcome> {
    let mut context = victim.test_context(surface);
    let known = context.owned_frozen();
    context.auxiliary = &known;
    let attempt = Attempt::begin(AttackId::InverseNetwork, &[], 1);
    let examples = context.examples(&[Fact::Code], context.auxiliary)?;
    let network = Regression::inverse_network(&examples, context.seed);
    let guess = context.predict(&network, &[Fact::Code], context.targets)?;
    Ok(context.scored(attempt, guess))
}
