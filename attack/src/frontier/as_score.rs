//! A code as a score of two classes: what a short one tells of the label, and who can copy it.
//!
//! A code with few latents is close to a score of the label. So the code may reveal the label to an adversary that receives the code
//! and no label, the gradient of a latent may reveal the label to the party, and someone who knows the party's columns of some records
//! may learn to reproduce the codes of others. Each figure stands beside that of longer codes by the same adversary.

use anyhow::bail;
use hashvfl_leakage::metrics::{error, ratio};
use hashvfl_leakage::regression::{Examples, Regression, column_means};
use hashvfl_learning::Classifier;
use hashvfl_learning::top::loss::Labels;
use serde::Serialize;

use crate::attacks::inference::labels::{Classes, Insider, POOL, PartyView};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::observed::Observed;
use crate::frontier::SkillGain;
use crate::metrics::{area, label};
use crate::report::{Estimate, Knowledge};

/// One record of this many is at each end of the order by the first principal component of codes.
const END: usize = 32;

/// Labels that a party infers from the gradients of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelsOfEpoch {
    /// The epoch, from 1.
    pub epoch: u32,
    /// The attack that got most.
    pub attack: String,
    /// AUC of the labels of training records.
    pub auc: Estimate,
}

/// What the codes of one party tell as scores of two classes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AsScore {
    /// AUC of the labels of test records by the first principal component of one code. Its sign is granted; no label is known
    /// otherwise.
    pub label_of_code: Estimate,
    /// What the party itself infers from its gradients and a few labelled records per class: in the epochs 1, 2, 4, ... and the last.
    pub label_of_gradients: Vec<LabelsOfEpoch>,
    /// Fraction of the variance of one code of a test record that a model explains which knows the prediction and all other
    /// parties' codes; without: these codes alone.
    pub code_of_prediction: SkillGain,
    /// The same of a model that knows the party's columns: a copy of the bottom model, learned from auxiliary records.
    pub copied: Estimate,
    /// Fraction of the variance of the columns of those records that one code explains whose codes are the most extreme: one
    /// record of 32 at each end.
    pub columns_at_ends: Estimate,
}

/// Measures a run whose gradients were recorded. `by_code` is what who knows nothing else makes of one code of each test record.
///
/// # Errors
/// If the task has not two classes, or the transcript lacks something.
pub fn as_score(
    victim: &VictimContext,
    surface: &AttackSurface,
    top: &Classifier,
    by_code: &AttackOutcome,
) -> anyhow::Result<AsScore> {
    let Labels::Classes { count: 2, index } = &victim.evidence.labels else {
        bail!("a code is a score of two classes: this task has others");
    };
    let classes = Classes { of_record: index, count: 2 };
    let targets = &victim.test.targets;
    let model = CodeModel::new(victim, surface.observed)?;
    let scores = first_component(&model.truth.values, model.truth.width);
    let positive: Vec<bool> = targets.iter().map(|record| index[*record as usize] == 1).collect();
    Ok(AsScore {
        label_of_code: either_way(&scores, &positive),
        label_of_gradients: of_gradients(victim, surface, classes)?,
        code_of_prediction: of_prediction(&model, surface, top)?,
        copied: copied(&model)?,
        columns_at_ends: at_ends(&scores, by_code),
    })
}

/// Block of values.
struct Block {
    width: usize,
    values: Vec<f32>,
}

/// What the last codes of `records` of a party say, [records, latents].
fn decoded(observed: &Observed, party: usize, records: &[u32]) -> anyhow::Result<Block> {
    let form = observed.forms[party];
    let values = form.decode(&observed.gather_last(party, records)?).into_owned();
    Ok(Block { width: form.latents(), values })
}

/// The first principal component of `values` [rows, width], one number for each row, by power iteration.
fn first_component(values: &[f32], width: usize) -> Vec<f64> {
    let means = column_means(values, width, values.len() / width);
    let centred: Vec<f64> =
        values.iter().zip(means.iter().cycle()).map(|(value, mean)| f64::from(value - mean)).collect();
    // No value is special: the start has a part of every direction.
    let mut direction: Vec<f64> = (0..width).map(|at| 1.0 + at as f64 / width as f64).collect();
    for _ in 0..100 {
        let mut next = vec![0.0; width];
        for row in centred.chunks_exact(width) {
            let along = dot(row, &direction);
            next.iter_mut().zip(row).for_each(|(sum, value)| *sum += along * value);
        }
        let length = dot(&next, &next).sqrt().max(1e-300);
        direction = next.into_iter().map(|value| value / length).collect();
    }
    centred.chunks_exact(width).map(|row| dot(row, &direction)).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// AUC of `scores`, or of their opposites where these are better.
fn either_way(scores: &[f64], positive: &[bool]) -> Estimate {
    let sign = if label::auc(positive, scores).is_some_and(|area| area < 0.5) { -1.0 } else { 1.0 };
    let scores: Vec<f64> = scores.iter().map(|score| sign * score).collect();
    area::area(positive, &scores)
}

fn of_gradients(
    victim: &VictimContext,
    surface: &AttackSurface,
    classes: Classes,
) -> anyhow::Result<Vec<LabelsOfEpoch>> {
    let view = PartyView {
        observed: surface.observed,
        parties: &[victim.place],
        gradients: Knowledge::OwnGradients,
        codes: Knowledge::OwnCodes,
        columns: Vec::new(),
        defence: surface.defence.clone(),
        note: String::new(),
    };
    let pool = victim.ownership.owned(victim.evidence.trained_records(), POOL);
    let insider = Insider::new(view, classes, &pool, &victim.training.targets, victim.config.seed);
    let epochs = surface.observed.epochs();
    let powers = (0..31).map(|power| (1 << power) - 1).take_while(|epoch| *epoch + 1 < epochs);
    let moments: Vec<u32> = powers.chain([epochs - 1]).collect();
    let mut found = Vec::new();
    for epoch in moments {
        let mut best: Option<LabelsOfEpoch> = None;
        for way in insider.ways().filter(|way| way.sees_gradients()) {
            let auc = insider.infer(way, epoch..epoch + 1)?.result.metrics[&insider.metric()];
            if best.as_ref().is_none_or(|best| auc.value > best.auc.value) {
                best = Some(LabelsOfEpoch { epoch: epoch + 1, attack: way.id().to_string(), auc });
            }
        }
        found.extend(best);
    }
    Ok(found)
}

/// What models that are fitted on auxiliary test records make of the codes of targets.
struct CodeModel<'a> {
    victim: &'a VictimContext<'a>,
    known: Block,
    truth: Block,
    /// Squared errors of the mean of auxiliary records.
    reference: Vec<f64>,
}

impl<'a> CodeModel<'a> {
    fn new(victim: &'a VictimContext<'a>, observed: &Observed) -> anyhow::Result<Self> {
        let (auxiliary, targets) = (&victim.test.auxiliary, &victim.test.targets);
        let known = decoded(observed, victim.place, auxiliary)?;
        let truth = decoded(observed, victim.place, targets)?;
        let mean = column_means(&known.values, known.width, auxiliary.len()).repeat(targets.len());
        let reference = error::squared_errors(&truth.values, &mean, truth.width);
        Ok(Self { victim, known, truth, reference })
    }

    /// Squared errors of a model that knows what `inputs` say of records.
    fn errors(&self, inputs: impl Fn(&[u32]) -> anyhow::Result<Vec<f32>>) -> anyhow::Result<Vec<f64>> {
        let (auxiliary, targets) = (&self.victim.test.auxiliary, &self.victim.test.targets);
        let (rows, outputs) = (auxiliary.len(), self.known.values.clone());
        let examples = Examples { inputs: inputs(auxiliary)?, outputs, rows, discrete: false };
        let model = Regression::fit(&examples, self.victim.config.seed);
        let guess = model.predict(&inputs(targets)?, targets.len());
        Ok(error::squared_errors(&self.truth.values, &guess, self.truth.width))
    }
}

fn of_prediction(model: &CodeModel, surface: &AttackSurface, top: &Classifier) -> anyhow::Result<SkillGain> {
    let (place, observed) = (model.victim.place, surface.observed);
    let with = model.errors(|records| {
        let mut blocks = codes_of_others(place, observed, records)?;
        blocks.push(prediction(observed, top, records)?);
        Ok(side_by_side(&blocks, records.len()))
    })?;
    let without = model
        .errors(|records| Ok(side_by_side(&codes_of_others(place, observed, records)?, records.len())))?;
    Ok(SkillGain {
        with: ratio::skill(&with, &model.reference),
        without: ratio::skill(&without, &model.reference),
        added: ratio::skill_gain(&with, &without, &model.reference),
    })
}

/// What the last codes of `records` say of all parties but the one at `place`.
fn codes_of_others(place: usize, observed: &Observed, records: &[u32]) -> anyhow::Result<Vec<Block>> {
    let others = (0..observed.parties.len()).filter(|party| *party != place);
    others.map(|party| decoded(observed, party, records)).collect()
}

/// What the top model makes of the last codes of `records`.
fn prediction(observed: &Observed, top: &Classifier, records: &[u32]) -> anyhow::Result<Block> {
    let parties = 0..observed.parties.len();
    let parts = parties.map(|party| observed.gather_last(party, records));
    let outputs = top.predict(&parts.collect::<anyhow::Result<Vec<_>>>()?, records.len());
    Ok(Block { width: outputs.len() / records.len(), values: outputs })
}

fn side_by_side(blocks: &[Block], rows: usize) -> Vec<f32> {
    let mut joined = Vec::new();
    for row in 0..rows {
        blocks.iter().for_each(|block| joined.extend(&block.values[row * block.width..][..block.width]));
    }
    joined
}

fn copied(model: &CodeModel) -> anyhow::Result<Estimate> {
    let victim = model.victim;
    let errors = model.errors(|records| Ok(victim.owner.columns.gather(records)))?;
    Ok(ratio::skill(&errors, &model.reference))
}

/// Skill at the columns of the records whose `scores` are the most extreme.
fn at_ends(scores: &[f64], by_code: &AttackOutcome) -> Estimate {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|one, other| scores[*one].total_cmp(&scores[*other]));
    let end = (order.len() / END).max(1);
    let ends = [&order[..end], &order[order.len() - end..]].concat();
    let pick = |values: &[f64]| -> Vec<f64> { ends.iter().map(|row| values[*row]).collect() };
    ratio::skill(&pick(&by_code.errors), &pick(&by_code.reference))
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{stream, uniform};

    use super::*;

    /// Two columns that follow one number, and one that does not.
    #[test]
    fn the_first_component_is_what_columns_have_in_common() {
        let mut rng = stream(3, "component", &[]);
        let mut draw = || 2.0 * uniform(&mut rng) - 1.0;
        let common: Vec<f32> = (0..500).map(|_| draw()).collect();
        let values: Vec<f32> =
            common.iter().flat_map(|value| [3.0 * value, 5.0 - 3.0 * value, draw()]).collect();
        let scores = first_component(&values, 3);
        let positive: Vec<bool> = common.iter().map(|value| *value > 0.0).collect();
        let found = either_way(&scores, &positive);
        assert!(found.value > 0.999 && found.low <= found.value, "{found:?}");
        let opposite: Vec<f64> = scores.iter().map(|score| -score).collect();
        assert_eq!(either_way(&opposite, &positive).value, found.value, "the sign is granted");
        let shuffled: Vec<bool> = (0..500).map(|at| at % 2 == 0).collect();
        assert!(either_way(&scores, &shuffled).value < 0.6);
    }
}
