//! Auxiliary records of another distribution than the targets': of only some classes.

use hashvfl_learning::top::loss::Labels;

use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evidence::knowledge::Fact;
use crate::report::{CutKind, Knowledge};

/// Fewest auxiliary records of these classes.
const LEAST: usize = 20;

/// The conditional mean of one code of test records of all classes, where the adversary has records of the first half of
/// the classes alone.
pub struct OtherClasses;

const KNOWS: &[Knowledge] = &[Knowledge::HalfOfClasses];

impl Attack for OtherClasses {
    fn about(&self) -> About {
        About {
            title: "auxiliary records of other classes",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks, Need::Classes],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let Labels::Classes { count, index } = &victim.evidence.labels else { return Ok(()) };
        let half = count.div_ceil(2);
        let all = &victim.test.auxiliary;
        let of_half = |record: &&u32| (index[**record as usize] as usize) < half;
        let known: Vec<u32> = all.iter().filter(of_half).copied().collect();
        if known.len() < LEAST {
            let title = self.about().title;
            evaluation
                .not_tried
                .push(format!("{title}, since fewer than {LEAST} are of the first half of the classes"));
            return Ok(());
        }
        for surface in surfaces.all() {
            let mut context = victim.test_context(surface);
            context.auxiliary = &known;
            if surface.cut == CutKind::Codes {
                evaluation.keep(context.conditional_mean_as(&[], KNOWS.to_vec())?);
            }
            evaluation.keep(context.conditional_mean_as(&[Fact::Code], KNOWS.to_vec())?);
        }
        Ok(())
    }
}
