//! Columns from predictions: what somebody who is given them, and not the codes, reconstructs (Luo et al. 2021, "Feature
//! inference attack on model predictions in vertical federated learning"). The adversary is the organisation with columns
//! of its own, which knows its own code. Here: the conditional mean given its own columns and the predictions.

use hashvfl_data::Matrix;
use hashvfl_learning::Classifier;

use crate::attacks::AttackId;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::AttackSurface;
use crate::evidence::knowledge::Fact;
use crate::evidence::observed::ObservedAt;
use crate::report::{CutKind, Knowledge};
use hashvfl_leakage::regression::{Examples, Regression};

/// The conditional mean given predictions and own columns.
pub struct PredictionMean;

const KNOWS: &[Knowledge] = &[Knowledge::OwnColumns];

impl Attack for PredictionMean {
    fn about(&self) -> About {
        About {
            title: "the conditional mean of predictions",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks, Need::OwnColumns],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let Some(own) = victim.own else { return Ok(()) };
        let mut context = victim.test_context(&surfaces.codes);
        let known = context.owned_frozen();
        context.auxiliary = &known;
        evaluation.keep(context.conditional_mean_as(&[Fact::OwnColumns], KNOWS.to_vec())?);
        for surface in surfaces.all() {
            let Some(top) = surface.top else { continue };
            let attempt = Attempt::begin(AttackId::PredictionMean, KNOWS, 1);
            let mut context = victim.test_context(surface);
            context.auxiliary = &known;
            let predicted = predictions(top, surface, context.auxiliary)?;
            let seen = predictions(top, surface, context.targets)?;
            let examples = Examples {
                inputs: beside(own, context.auxiliary, &predicted),
                outputs: context.columns.gather(context.auxiliary),
                rows: context.auxiliary.len(),
                discrete: false,
            };
            let regression = Regression::fit(&examples, context.seed);
            let guess = regression.predict(&beside(own, context.targets, &seen), context.targets.len());
            let numbers = seen.len() / context.targets.len();
            evaluation.keep(scored(&context, attempt.noted(regression.chosen()), guess, numbers));
        }
        Ok(())
    }
}

/// What the top model predicts for `rows`, from what all parties sent: probabilities [rows, classes].
pub fn predictions(top: &Classifier, surface: &AttackSurface, rows: &[u32]) -> anyhow::Result<Vec<f32>> {
    let parts = surface.observed.gather_all(ObservedAt::Frozen, rows)?;
    let outputs = top.predict(&parts, rows.len());
    Ok(probabilities(&outputs, outputs.len() / rows.len()))
}

/// Own columns of `rows` beside their predictions, row by row.
fn beside(own: &Matrix, rows: &[u32], predicted: &[f32]) -> Vec<f32> {
    let (width, classes) = (own.cols(), predicted.len() / rows.len());
    let columns = own.gather(rows);
    let pairs = columns.chunks_exact(width).zip(predicted.chunks_exact(classes));
    pairs.flat_map(|(columns, predicted)| columns.iter().chain(predicted)).copied().collect()
}

/// Probabilities of classes from outputs [rows, classes]; of one output, itself.
pub fn probabilities(outputs: &[f32], classes: usize) -> Vec<f32> {
    if classes == 1 {
        return outputs.to_vec();
    }
    let row = |row: &[f32]| {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = row.iter().map(|v| (v - most).exp()).collect();
        let sum: f32 = powers.iter().sum();
        powers.into_iter().map(move |power| power / sum)
    };
    outputs.chunks_exact(classes).flat_map(row).collect()
}

/// The outcome of a try at columns from predictions of `numbers` numbers per record.
pub fn scored(context: &AttackContext, attempt: Attempt, guess: Vec<f32>, numbers: usize) -> AttackOutcome {
    let mut attacked = context.scored(attempt, guess);
    attacked.result.defence = attacked.result.defence.predictions();
    attacked.result.cut = CutKind::Predictions;
    attacked.result.bits = 32 * numbers as u64;
    attacked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one() {
        let found = probabilities(&[0.0, 0.0, 1000.0, 0.0], 2);
        assert_eq!(found, [0.5, 0.5, 1.0, 0.0]);
        assert_eq!(probabilities(&[3.0], 1), [3.0]);
    }
}
