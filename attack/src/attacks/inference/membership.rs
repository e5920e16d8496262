//! Membership inference: was a record among those that the models learned from?
//!
//! After training, the frozen encoders encode members and other records alike. Two ways:
//!
//! - a regression on the victim's code and the label, fitted on records of which the adversary knows which they are;
//! - the top model's loss on all parties' codes (Yeom et al. 2018, "Privacy risk in machine learning"), which is lower
//!   on what was learned.
//!
//! `shadow_federations` tells on the same records how low it would be of a record that nobody learned from.

use hashvfl_learning::top::loss::Labels;

use crate::attacks::AttackId;
use crate::attacks::reconstruction::queries::flipped;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::knowledge::{Fact, known};
use crate::metrics::area::area;
use crate::metrics::label;
use crate::report::{Knowledge, Metric, Metrics, Victim};
use hashvfl_leakage::metrics::Bootstrap;
use hashvfl_leakage::regression::{Examples, Regression};

/// Tells training records from test records, at each cut whose trained encoders are there.
pub struct Membership;

impl Attack for Membership {
    fn about(&self) -> About {
        About {
            title: "membership inference",
            knows: &[Knowledge::Labels, Knowledge::OwnColumns, Knowledge::Members, Knowledge::TopModel],
            needs: &[Need::FurtherAttacks],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        for surface in surfaces.all() {
            if surface.encoders.is_empty() {
                continue;
            }
            let trial = Trial::new(victim, surface);
            trial.by_regression()?.into_iter().for_each(|attacked| evaluation.keep(attacked));
            trial.by_loss().into_iter().for_each(|attacked| evaluation.keep(attacked));
        }
        Ok(())
    }
}

/// Members, then as many others.
pub(super) struct Mixed {
    pub(super) rows: Vec<u32>,
    member: Vec<bool>,
    /// Their codes, party by party: [rows, bits].
    pub(super) codes: Vec<Vec<f32>>,
}

/// One cut at which membership is inferred.
pub(super) struct Trial<'a> {
    pub(super) victim: &'a VictimContext<'a>,
    surface: &'a AttackSurface<'a>,
    pub(super) context: AttackContext<'a>,
    facts: Vec<Fact>,
    auxiliary: Mixed,
    pub(super) targets: Mixed,
}

impl<'a> Trial<'a> {
    pub(super) fn new(victim: &'a VictimContext<'a>, surface: &'a AttackSurface<'a>) -> Self {
        let context = victim.test_context(surface);
        let mixed = |members: &[u32], others: &[u32]| {
            let count = members.len().min(others.len());
            let rows: Vec<u32> = members[..count].iter().chain(&others[..count]).copied().collect();
            let codes = codes(victim, surface, &context, &rows);
            Mixed { rows, member: (0..2 * count).map(|place| place < count).collect(), codes }
        };
        let (training, test) = (&victim.training, &victim.test);
        let auxiliary = mixed(&training.auxiliary, &test.auxiliary);
        let targets = mixed(&training.targets, &test.targets);
        let mut facts = vec![Fact::Label];
        facts.extend(victim.own.map(|_| Fact::OwnColumns));
        Self { victim, surface, context, facts, auxiliary, targets }
    }

    /// By a regression on what is known, without the victim's code and with it.
    fn by_regression(&self) -> anyhow::Result<[AttackOutcome; 2]> {
        let knowledge = [known(&self.facts), vec![Knowledge::Members]].concat();
        let attempt = Attempt::begin(AttackId::NoCode, &knowledge, 0);
        let bare = self.regression_scores(false)?;
        let baseline = self.outcome(attempt, &bare, None);
        let attempt = Attempt::begin(AttackId::MembershipByRegression, &knowledge, 1);
        let scores = self.regression_scores(true)?;
        Ok([baseline, self.outcome(attempt, &scores, Some(&bare))])
    }

    fn regression_scores(&self, with_code: bool) -> anyhow::Result<Vec<f64>> {
        let examples = Examples {
            inputs: self.inputs(&self.auxiliary, with_code)?,
            outputs: self.auxiliary.member.iter().map(|member| f32::from(u8::from(*member))).collect(),
            rows: self.auxiliary.rows.len(),
            discrete: false,
        };
        let regression = Regression::fit(&examples, self.context.seed);
        let guess = regression.predict(&self.inputs(&self.targets, with_code)?, self.targets.rows.len());
        Ok(guess.into_iter().map(f64::from).collect())
    }

    /// What is known of records, row by row.
    fn inputs(&self, mixed: &Mixed, with_code: bool) -> anyhow::Result<Vec<f32>> {
        let features = self.context.sources.features(&self.facts, &mixed.rows)?;
        let code = if with_code { &mixed.codes[self.victim.place][..] } else { &[] };
        let (width, bits) = (features.width, code.len() / mixed.rows.len());
        let row = |row: usize| {
            let known = &features.values[row * width..][..width];
            known.iter().chain(&code[row * bits..][..bits]).copied()
        };
        Ok((0..mixed.rows.len()).flat_map(row).collect())
    }

    /// By the top model's loss, where it is there and labels are classes.
    fn by_loss(&self) -> Vec<AttackOutcome> {
        let (Some(top), Labels::Classes { count, index }) = (self.surface.top, &self.victim.evidence.labels)
        else {
            return Vec::new();
        };
        let knowledge = [known(&self.facts), vec![Knowledge::TopModel]].concat();
        let parties = self.victim.evidence.owners.len() as u64;
        let attempt = Attempt::begin(AttackId::MembershipByLoss, &knowledge, parties);
        // Without codes the top model has nothing to judge by.
        let bare = vec![0.0; self.targets.rows.len()];
        let baseline = self.outcome(Attempt::begin(AttackId::NoCode, &knowledge, 0), &bare, None);
        let outputs = top.predict(&self.targets.codes, self.targets.rows.len());
        let rows = outputs.chunks_exact(*count).zip(&self.targets.rows);
        let scores: Vec<f64> =
            rows.map(|(row, record)| -loss(row, index[*record as usize] as usize)).collect();
        vec![baseline, self.outcome(attempt, &scores, Some(&bare))]
    }

    /// How well `scores` [targets] tell members apart, and what that gains over scores of the `bare` adversary.
    pub(super) fn outcome(&self, attempt: Attempt, scores: &[f64], bare: Option<&[f64]>) -> AttackOutcome {
        let count = scores.len();
        let mut metrics = Metrics::from([(Metric::Auc, area(&self.targets.member, scores))]);
        if let Some(bare) = bare {
            let gain = |rows: &[usize]| self.area_of(scores, rows) - self.area_of(bare, rows);
            metrics.insert(Metric::Added, Bootstrap::new(self.context.seed).estimate(count, gain));
        }
        let victim = Victim::Membership { party: self.context.party.clone() };
        let attempt = attempt.noted("half of the scored records were learned from; an AUC of 0.5 is chance");
        self.context.outcome(attempt, victim, count, metrics)
    }

    /// Area under the ROC curve over some of the targets.
    fn area_of(&self, scores: &[f64], rows: &[usize]) -> f64 {
        let member: Vec<bool> = rows.iter().map(|row| self.targets.member[*row]).collect();
        let scores: Vec<f64> = rows.iter().map(|row| scores[*row]).collect();
        label::auc(&member, &scores).unwrap_or(f64::NAN)
    }
}

/// Codes of `rows` as each party would send them after training: [party][rows, bits].
pub(super) fn codes(
    victim: &VictimContext,
    surface: &AttackSurface,
    context: &AttackContext,
    rows: &[u32],
) -> Vec<Vec<f32>> {
    let owners = victim.evidence.owners.iter().zip(&surface.encoders);
    let code = owners.map(|(owner, encoder)| encoder.encode(owner.columns.gather(rows), rows.len()));
    code.map(|values| flipped(victim, surface, context.at_cut(values))).collect()
}

/// Cross-entropy of one record.
fn loss(outputs: &[f32], class: usize) -> f64 {
    let most = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = outputs.iter().map(|output| f64::from(output - most).exp()).sum();
    sum.ln() - f64::from(outputs[class] - most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_by_hand() {
        assert!((loss(&[0.0, 0.0], 1) - 2.0_f64.ln()).abs() < 1e-12);
        assert!((loss(&[1000.0, 0.0], 1) - 1000.0).abs() < 1e-9);
    }
}
