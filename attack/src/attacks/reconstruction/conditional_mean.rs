//! E[x given what is known], fitted on auxiliary records, of one code of each test record: by every adversary, beside the same
//! adversary without codes, beside floats and floats at one bit each.

use crate::attacks::AttackId;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::ObservedRelease;
use crate::evaluation::attack::{About, Attack};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::grid::AdversaryGrid;
use crate::evidence::knowledge::Fact;
use crate::report::Knowledge;
use hashvfl_leakage::regression::Regression;

/// What adversaries of a grid may know.
pub const KNOWS: &[Knowledge] = &[Knowledge::Labels, Knowledge::OtherCodes, Knowledge::OwnColumns];

impl AttackContext<'_> {
    /// The conditional mean by an adversary that is none of the grid's, of whom a report says that it knows `knowledge`: one
    /// with other auxiliary records.
    pub fn conditional_mean_as(
        &self,
        facts: &[Fact],
        knowledge: Vec<Knowledge>,
    ) -> anyhow::Result<AttackOutcome> {
        let attack = if self.releases(facts) == 0 { AttackId::NoCode } else { AttackId::ConditionalMean };
        let attempt = Attempt::begin(attack, &knowledge, self.releases(facts));
        let regression = Regression::fit(&self.examples(facts, self.auxiliary)?, self.seed);
        let guess = self.predict(&regression, facts, self.targets)?;
        Ok(self.scored(attempt.noted(regression.chosen()), guess))
    }
}

/// The conditional mean of one code of each test record.
pub struct ConditionalMean;

impl Attack for ConditionalMean {
    fn about(&self) -> About {
        About { title: "the conditional mean of one code", knows: KNOWS, needs: &[] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        for surface in surfaces.all() {
            let mut grid = AdversaryGrid::new(victim, surface, &victim.test, &[ObservedRelease::OneCode]);
            evaluation.keep_grid(&mut grid)?;
            evaluation.keep_attributes(&mut grid)?;
            evaluation.grids.insert(surface.cut, grid);
        }
        Ok(())
    }
}
