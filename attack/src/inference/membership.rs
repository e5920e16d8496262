//! Membership inference: was a record among those that the models learned from?
//!
//! The records come again after training, encoded by the frozen encoders, members and others alike. Two ways:
//!
//! - a regression on the victim's code and the label, fitted on records of which the adversary knows which they are;
//! - the top model's loss on all parties' codes (Yeom et al. 2018, "Privacy risk in machine learning"), which is lower
//!   on what was learned.

use std::collections::BTreeMap;
use std::time::Instant;

use hashvfl_core::codes::randomised_response::Response;
use hashvfl_core::random::{stream, uniform};
use hashvfl_learning::top::loss::Labels;

use crate::evaluation::victim::{AttackSurface, Findings, VictimContext};
use crate::evidence::knowledge::{Fact, names as known};
use crate::metrics::{Bootstrap, label};
use crate::reconstruction::regression::{Examples, Regression};
use crate::report::{CutKind, names};

/// Members, then as many others.
struct Mixed {
    rows: Vec<u32>,
    member: Vec<bool>,
}

impl Mixed {
    fn new(members: &[u32], others: &[u32]) -> Self {
        let count = members.len().min(others.len());
        let rows = members[..count].iter().chain(&others[..count]).copied().collect();
        Self { rows, member: (0..2 * count).map(|place| place < count).collect() }
    }
}

impl VictimContext<'_> {
    /// Codes as a party would send them: flipped as often as the run says, where it has randomised response.
    fn flipped(&self, attackable: &AttackSurface, mut codes: Vec<f32>) -> Vec<f32> {
        let epsilon = self.evidence.coordinator.run.randomised_response;
        let Some(epsilon) = epsilon.filter(|_| attackable.cut == CutKind::Codes) else { return codes };
        let share = Response::flip_probability(epsilon) as f32;
        let mut rng = stream(self.config.seed, "flips of codes that nobody asked for", &[codes.len() as u64]);
        codes.iter_mut().filter(|_| uniform(&mut rng) < share).for_each(|code| *code = -*code);
        codes
    }

    /// Tells training records from test records, at a cut whose trained encoders are there.
    pub fn membership(&self, attackable: &AttackSurface, findings: &mut Findings) -> anyhow::Result<()> {
        if attackable.encoders.is_empty() {
            return Ok(());
        }
        let share = self.config.share();
        let auxiliary = Mixed::new(self.trained.auxiliary(share), self.frozen.auxiliary(share));
        let targets = Mixed::new(&self.trained.targets, &self.frozen.targets);
        let attack_context = self.frozen_context(attackable);
        let codes = |mixed: &Mixed| -> Vec<Vec<f32>> {
            let owners = self.evidence.owners.iter().zip(attackable.encoders.iter().copied());
            let code = |columns: Vec<f32>, encoder: &hashvfl_learning::Encoder| {
                self.flipped(attackable, attack_context.at_cut(encoder.encode(columns, mixed.rows.len())))
            };
            owners.map(|(owner, encoder)| code(owner.columns.gather(&mixed.rows), encoder)).collect()
        };
        let mut facts = vec![Fact::Label];
        facts.extend(self.own.map(|_| Fact::OwnColumns));
        let bootstrap = Bootstrap::new(self.config.seed);
        let area = |scores: &[f64], rows: &[usize]| {
            let member: Vec<bool> = rows.iter().map(|row| targets.member[*row]).collect();
            let scores: Vec<f64> = rows.iter().map(|row| scores[*row]).collect();
            label::auc(&member, &scores).unwrap_or(f64::NAN)
        };
        let victim = format!("training records of {} from others", self.config.victim);
        let mut bare: Option<Vec<f64>> = None;
        let mut tell = |attack: &str, (knowledge, releases): (Vec<String>, u64), scores: Vec<f64>, began| {
            let count = scores.len();
            let reached = bootstrap.estimate(count, |rows| area(&scores, rows));
            let mut metrics = BTreeMap::from([(names::AUC.to_string(), reached)]);
            if let Some(bare) = bare.as_ref().filter(|_| releases > 0) {
                let gain = bootstrap.estimate(count, |rows| area(&scores, rows) - area(bare, rows));
                metrics.insert(names::ADDED.to_string(), gain);
            }
            let note = "half of the scored records were learned from; an AUC of 0.5 is chance".to_string();
            findings.keep(attack_context.told(
                attack,
                &victim,
                (knowledge, releases),
                (count, metrics),
                note,
                began,
            ));
            if releases == 0 {
                bare = Some(scores);
            }
        };
        let (known_codes, seen_codes) = (codes(&auxiliary), codes(&targets));
        let knowledge = [known(&facts), vec!["which auxiliary records were learned from".into()]].concat();
        for (attack, releases) in [(names::NO_CODE, 0), ("membership by regression", 1)] {
            let began = Instant::now();
            let inputs = |mixed: &Mixed, codes: &[Vec<f32>]| -> anyhow::Result<Vec<f32>> {
                let features = attack_context.sources.features(&facts, &mixed.rows)?;
                let code = if releases == 0 { &[][..] } else { &codes[self.victim][..] };
                let (width, bits) = (features.width, code.len() / mixed.rows.len());
                let row = |row: usize| {
                    let known = &features.values[row * width..][..width];
                    known.iter().chain(&code[row * bits..][..bits]).copied()
                };
                Ok((0..mixed.rows.len()).flat_map(row).collect())
            };
            let examples = Examples {
                inputs: inputs(&auxiliary, &known_codes)?,
                outputs: auxiliary.member.iter().map(|member| f32::from(u8::from(*member))).collect(),
                rows: auxiliary.rows.len(),
                discrete: false,
            };
            let regression = Regression::fit(&examples, self.config.seed);
            let guess = regression.predict(&inputs(&targets, &seen_codes)?, targets.rows.len());
            tell(attack, (knowledge.clone(), releases), guess.into_iter().map(f64::from).collect(), began);
        }
        if let (Some(top), Labels::Classes { count, index }) = (attackable.top, &self.evidence.labels) {
            let began = Instant::now();
            let outputs = top.predict(&seen_codes, targets.rows.len());
            let rows = outputs.chunks_exact(*count).zip(&targets.rows);
            let scores: Vec<f64> =
                rows.map(|(row, record)| -loss(row, index[*record as usize] as usize)).collect();
            let knowledge = [known(&facts), vec!["the top model".into()]].concat();
            // Without codes the top model has nothing to judge by.
            tell(names::NO_CODE, (knowledge.clone(), 0), vec![0.0; targets.rows.len()], began);
            let parties = self.evidence.owners.len() as u64;
            tell("membership by the top model's loss", (knowledge, parties), scores, began);
        }
        Ok(())
    }
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
