//! E[x given what is known], fitted on auxiliary records: the baseline without codes, and the attack on one code.

use crate::attacks::AttackId;
use crate::attacks::reconstruction::regression::Regression;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::VictimContext;
use crate::evidence::knowledge::{Fact, known};
use crate::report::Knowledge;

impl AttackContext<'_> {
    /// The conditional mean of the targets' columns given `facts`. Without codes among the facts it is the baseline.
    pub fn conditional_mean(&self, facts: &[Fact]) -> anyhow::Result<AttackOutcome> {
        self.conditional_mean_as(facts, known(facts))
    }

    /// The same by an adversary of whom a report says that it knows `knowledge`.
    pub fn conditional_mean_as(
        &self,
        facts: &[Fact],
        knowledge: Vec<Knowledge>,
    ) -> anyhow::Result<AttackOutcome> {
        let baseline = facts.iter().all(|fact| fact.without_codes());
        let attack = if baseline { AttackId::NoCode } else { AttackId::ConditionalMean };
        let attempt = Attempt::begin(attack, &knowledge, self.releases(facts));
        let regression = Regression::fit(&self.examples(facts, self.auxiliary)?, self.seed);
        let guess = self.predict(&regression, facts, self.targets)?;
        let mut note = regression.chosen();
        if let Some(more) = facts.iter().find_map(|fact| fact.note()) {
            note = format!("{more}; {note}");
        }
        Ok(self.scored(attempt.noted(note), guess))
    }
}

/// What an adversary gets without any code.
pub struct NoCode;

impl NoCode {
    fn facts(victim: &VictimContext) -> Vec<Vec<Fact>> {
        let mut sets = vec![vec![], vec![Fact::Label]];
        if victim.own.is_some() {
            sets.push(vec![Fact::Label, Fact::OwnColumns]);
        }
        sets
    }
}

impl Attack for NoCode {
    fn about(&self) -> About {
        About {
            title: "the baseline without codes",
            knows: &[Knowledge::Labels, Knowledge::OwnColumns],
            needs: &[],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let victim = evaluation.victim;
        let context = victim.test_context(&evaluation.surfaces.codes);
        for facts in Self::facts(victim) {
            evaluation.keep(context.conditional_mean(&facts)?);
        }
        Ok(())
    }
}

/// The conditional mean of one code of each test record, and of all parties' codes.
pub struct ConditionalMean;

impl ConditionalMean {
    fn facts(victim: &VictimContext) -> Vec<Vec<Fact>> {
        let mut sets = vec![
            vec![Fact::Code],
            vec![Fact::AllCodes],
            vec![Fact::Label, Fact::Code],
            vec![Fact::Label, Fact::AllCodes],
        ];
        if victim.own.is_some() {
            sets.push(vec![Fact::Label, Fact::OwnColumns, Fact::Code]);
        }
        sets
    }
}

impl Attack for ConditionalMean {
    fn about(&self) -> About {
        About {
            title: "the conditional mean of codes",
            knows: &[Knowledge::Labels, Knowledge::OwnColumns],
            needs: &[],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let mut most = f64::NEG_INFINITY;
        for facts in Self::facts(victim) {
            let attacked = victim.test_context(&surfaces.codes).conditional_mean(&facts)?;
            let skill = attacked.skill().value;
            evaluation.keep(attacked);
            if skill > most {
                (most, evaluation.findings.strongest) = (skill, facts);
            }
        }
        for surface in [&surfaces.floats, &surfaces.one_bit] {
            for facts in Self::facts(victim) {
                evaluation.keep(victim.test_context(surface).conditional_mean(&facts)?);
            }
        }
        Ok(())
    }
}
