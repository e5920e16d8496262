//! Membership inference by shadow federations: what the top model makes of a record that nobody learned from is learned from
//! federations of the attacker's own, which have the run's settings and only the training records that it owns.
//!
//! ```text
//! own federations, without the record --> how sure their top models are of its label, on average: what to expect
//! the run, with the record or without --> how sure its top model is; the more beyond that, the likelier it is a member
//! ```
//!
//! This is LiRA's offline attack (Carlini et al. 2022, "Membership inference attacks from first principles", section IV), with one
//! variance for all records, since shadow federations are few; shadow models are those of Shokri et al. 2017, "Membership inference
//! attacks against machine learning models". The loss alone (`membership`) takes records that are easy for members.

use std::path::Path;

use hashvfl_core::{ExcludedRecords, Part};
use hashvfl_leakage::cores::on_all_cores;
use hashvfl_learning::Classifier;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::top::loss::Labels;

use crate::attacks::AttackId;
use crate::attacks::inference::labels::Classes;
use crate::attacks::inference::membership::{Trial, codes};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::Attempt;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::simulation::{RunVariant, simulate};
use crate::report::Knowledge;

/// Membership inference by shadow federations, at the cuts of codes and floats.
pub struct ShadowFederations;

const KNOWS: &[Knowledge] =
    &[Knowledge::Labels, Knowledge::CandidateColumns, Knowledge::TopModel, Knowledge::Architecture];

/// Federations of the attacker's own at each cut.
const SHADOWS: u64 = 4;

impl Attack for ShadowFederations {
    fn about(&self) -> About {
        About {
            title: "membership inference by shadow federations",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks, Need::Classes, Need::Thorough],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces, out) = (evaluation.victim, evaluation.surfaces, evaluation.out);
        let Labels::Classes { count, index } = &victim.evidence.labels else { return Ok(()) };
        let classes = Classes { of_record: index, count: *count };
        let excluded = not_owned(victim);
        if let Err(error) = victim.evidence.plan.clone().without(&excluded) {
            let title = self.about().title;
            evaluation
                .not_tried
                .push(format!("{title}, since, of the records that the adversary owns, {error}"));
            return Ok(());
        }
        for (surface, cut, name) in surfaces.repeated_cuts() {
            let Some(top) = surface.top else { continue };
            let parties = victim.evidence.owners.len() as u64;
            let attempt = Attempt::begin(AttackId::MembershipByShadows, KNOWS, parties);
            let trial = Trial::new(victim, surface);
            let draws: Vec<u64> = (1..=SHADOWS).collect();
            let expected = on_all_cores(&draws, |draw| {
                let path = out.join(format!("simulated-shadow-{name}-{draw}.parquet"));
                let shadow = ShadowFederation { draw: *draw, cut, excluded: &excluded, path: &path };
                shadow.confidences(&trial, surface, classes)
            });
            let expected = expected.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
            let seen = confidences(top, &trial.targets.codes, &trial.targets.rows, classes);
            let scores = beyond_expected(&seen, &expected);
            let bare = vec![0.0; seen.len()];
            evaluation.keep(trial.outcome(Attempt::begin(AttackId::NoCode, KNOWS, 0), &bare, None));
            let mut outcome = trial.outcome(attempt, &scores, Some(&bare));
            outcome.result.auxiliary_rows = victim.test.elsewhere.len();
            evaluation.keep(outcome);
        }
        Ok(())
    }
}

/// Training and validation records that the adversary does not own.
fn not_owned(victim: &VictimContext) -> ExcludedRecords {
    let plan = &victim.evidence.plan;
    let owned = ExcludedRecords::of(&victim.test.elsewhere, plan.records());
    let learned_from = [plan.part(Part::Train), plan.part(Part::Validation)].concat();
    let rest: Vec<u32> = learned_from.into_iter().filter(|record| !owned.contains(*record)).collect();
    ExcludedRecords::of(&rest, plan.records())
}

/// One federation of the attacker's own.
struct ShadowFederation<'a> {
    /// Which first weights and noise it has.
    draw: u64,
    cut: CutLayer,
    excluded: &'a ExcludedRecords,
    path: &'a Path,
}

impl ShadowFederation<'_> {
    /// How sure it is of the labels of a trial's targets, from which it has not learned.
    fn confidences(
        &self,
        trial: &Trial,
        surface: &AttackSurface,
        classes: Classes,
    ) -> anyhow::Result<Vec<f64>> {
        let victim = trial.victim;
        let run = &victim.evidence.coordinator.run;
        let variant =
            RunVariant { draw: self.draw, excluded: Some(self.excluded), ..RunVariant::new(run, self.cut) };
        let shadow = simulate(victim.evidence, &variant, self.path)?;
        let repeated = AttackSurface::repeated(&shadow, surface, surface.defence.clone());
        let rows = &trial.targets.rows;
        let codes = codes(victim, &repeated, &trial.context, rows);
        Ok(confidences(&shadow.top, &codes, rows, classes))
    }
}

/// How sure a top model is of each record's label, by all parties' `codes` [party][rows, bits]: the logarithm of its odds.
fn confidences(top: &Classifier, codes: &[Vec<f32>], rows: &[u32], classes: Classes) -> Vec<f64> {
    let outputs = top.predict(codes, rows.len());
    let outputs = outputs.chunks_exact(classes.count).zip(rows);
    outputs.map(|(outputs, record)| log_odds(outputs, classes.of_record[*record as usize] as usize)).collect()
}

/// The logarithm of the odds of a class: unlike its probability, it is spread much like a normal distribution.
fn log_odds(outputs: &[f32], class: usize) -> f64 {
    let others = || {
        let others = outputs.iter().enumerate().filter(move |(other, _)| *other != class);
        others.map(|(_, output)| *output)
    };
    let most = others().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = others().map(|output| f64::from(output - most).exp()).sum();
    f64::from(outputs[class] - most) - sum.ln()
}

/// What is `seen` of each record beyond the mean of what shadows make `expected` [shadows][records].
fn beyond_expected(seen: &[f64], expected: &[Vec<f64>]) -> Vec<f64> {
    let mean =
        |record: usize| expected.iter().map(|of| of[record]).sum::<f64>() / expected.len().max(1) as f64;
    seen.iter().enumerate().map(|(record, seen)| seen - mean(record)).collect()
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{stream, uniform};

    use super::*;
    use crate::metrics::label::auc;

    #[test]
    fn odds_by_hand() {
        assert!((log_odds(&[2.0, 0.5], 0) - 1.5).abs() < 1e-9);
        assert!((log_odds(&[1000.0, 0.0, 0.0], 1) + 1000.0).abs() < 1e-9);
        // One of three that are alike: odds of one to two.
        assert!((log_odds(&[0.0; 3], 2) + 2.0_f64.ln()).abs() < 1e-9);
    }

    /// Records differ far more than it matters whether they were learned from: the loss alone hardly tells, shadows do.
    #[test]
    fn members_are_told_from_easy_records_and_not_by_the_figures_of_others() {
        let mut rng = stream(8, "shadows test", &[]);
        let mut draw = || f64::from(uniform(&mut rng)) - 0.5;
        let member: Vec<bool> = (0..800).map(|record| record < 400).collect();
        let easy: Vec<f64> = member.iter().map(|_| 10.0 * draw()).collect();
        let mut sure = |learned: f64, member: &[bool]| -> Vec<f64> {
            let records = easy.iter().zip(member);
            records.map(|(easy, member)| easy + learned * f64::from(u8::from(*member)) + draw()).collect()
        };
        let seen = sure(0.8, &member);
        let expected: Vec<Vec<f64>> = (0..SHADOWS).map(|_| sure(0.0, &member)).collect();
        let scores = beyond_expected(&seen, &expected);
        let (by_loss, by_shadows) = (auc(&member, &seen).unwrap(), auc(&member, &scores).unwrap());
        assert!(by_loss < 0.65 && by_shadows > 0.9, "{by_loss} {by_shadows}");
        let mut others = member;
        others.rotate_left(200);
        let by_chance = auc(&others, &scores).unwrap();
        assert!((by_chance - 0.5).abs() < 0.08, "{by_chance}");
    }
}
