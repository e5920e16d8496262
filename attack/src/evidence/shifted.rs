//! Auxiliary records of another distribution than the targets': of some classes alone.

use hashvfl_learning::top::loss::Labels;

use crate::evaluation::victim::{AttackSurface, Findings, VictimContext};
use crate::evidence::knowledge::Fact;

impl VictimContext<'_> {
    /// The conditional mean of one code of test records of all classes, where the adversary has records of the first
    /// half of the classes alone; nothing where labels are no classes.
    pub fn shifted(&self, cuts: &[&AttackSurface], findings: &mut Findings) -> anyhow::Result<()> {
        let Labels::Classes { count, index } = &self.evidence.labels else { return Ok(()) };
        let half = count.div_ceil(2);
        let all = self.frozen.auxiliary(self.config.share());
        let of_half = |record: &&u32| (index[**record as usize] as usize) < half;
        let known: Vec<u32> = all.iter().filter(of_half).copied().collect();
        if known.len() < 20 {
            return Ok(());
        }
        for (place, cut) in cuts.iter().enumerate() {
            let mut attack_context = self.frozen_context(cut);
            attack_context.auxiliary = &known;
            let sets: &[&[Fact]] = if place == 0 { &[&[], &[Fact::Code]] } else { &[&[Fact::Code]] };
            for facts in sets {
                let mut attacked = attack_context.conditional_mean(facts)?;
                let have = format!("auxiliary records of {half} of {count} classes alone");
                attacked.result.knowledge.push(have);
                findings.keep(attacked);
            }
        }
        Ok(())
    }
}
