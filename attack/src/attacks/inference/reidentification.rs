//! Re-identification: which of these records has this code? By a victim's encoder that answers queries or is known, or by a copy
//! of it that auxiliary records' columns and codes give.

use crate::attacks::AttackId;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evidence::knowledge::Fact;
use crate::report::{Knowledge, Metric, Metrics, Victim};
use hashvfl_leakage::copied;
use hashvfl_leakage::metrics::reidentify::CANDIDATES;
use hashvfl_leakage::metrics::{proportion, reidentify};
use hashvfl_leakage::regression::{Examples, Regression};
use hashvfl_learning::Encoder;

/// Re-identification.
pub struct Reidentification;

const KNOWS: &[Knowledge] = &[Knowledge::QueryAccess, Knowledge::CandidateColumns];

impl Attack for Reidentification {
    fn about(&self) -> About {
        About { title: "re-identification", knows: KNOWS, needs: &[Need::Weights] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        for surface in surfaces.all() {
            let Some(encoder) = surface.encoders.get(victim.place).copied() else { continue };
            let context = victim.test_context(surface);
            let targets = &context.targets[..context.targets.len().min(CANDIDATES)];
            let attempt = Attempt::begin(AttackId::Reidentification, KNOWS, 1);
            let hits = hits(&context, Some(encoder), targets)?;
            for outcome in outcomes(&context, attempt, KNOWS, &hits) {
                evaluation.keep(outcome);
            }
        }
        Ok(())
    }
}

/// Re-identification by a copy of the encoder, which nobody has to grant.
pub struct ReidentificationByCopy;

impl Attack for ReidentificationByCopy {
    fn about(&self) -> About {
        About {
            title: "re-identification by a copy of the encoder",
            knows: &[Knowledge::CandidateColumns],
            needs: &[Need::FurtherAttacks],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let context = victim.test_context(&surfaces.codes);
        let targets = &context.targets[..context.targets.len().min(CANDIDATES)];
        let known = context.owned_frozen();
        let knows = [Knowledge::CandidateColumns];
        let attempt = Attempt::begin(AttackId::ReidentificationByCopy, &knows, 1);
        let hits = hits_by_copy(&context, &known, targets)?;
        let [bare, mut outcome] = outcomes(&context, attempt, &knows, &hits);
        evaluation.keep(bare);
        outcome.result.auxiliary_rows = known.len();
        evaluation.keep(outcome);
        Ok(())
    }
}

/// What guessing finds of as many candidates as there are `hits`, and what `attempt` found of them; both know the same.
fn outcomes(
    context: &AttackContext,
    attempt: Attempt,
    knows: &[Knowledge],
    hits: &[f64],
) -> [AttackOutcome; 2] {
    let candidates = hits.len();
    let note = format!("among {candidates} records");
    let chance = vec![1.0 / candidates as f64; candidates];
    let identity = Victim::Identity { party: context.party.clone(), of: context.population };
    let bare = Attempt::begin(AttackId::NoCode, knows, 0).noted(note.clone());
    let metrics = Metrics::from([(Metric::Top1, proportion::of(&chance))]);
    let bare = context.outcome(bare, identity.clone(), candidates, metrics);
    let metrics = Metrics::from([
        (Metric::Top1, proportion::of(hits)),
        (Metric::Added, proportion::gain(hits, &chance)),
    ]);
    [bare, context.outcome(attempt.noted(note), identity, candidates, metrics)]
}

/// Whether a copy of the encoder, fitted on `known` records, finds the code that was seen of each of `candidates` likeliest by
/// its own columns.
fn hits_by_copy(context: &AttackContext, known: &[u32], candidates: &[u32]) -> anyhow::Result<Vec<f64>> {
    let form = context.sources.observed.forms[context.sources.victim];
    let codes = |records: &[u32]| -> anyhow::Result<Vec<f32>> {
        let bits = context.sources.features(&[Fact::Code], records)?.values;
        Ok(form.decode(&bits).into_owned())
    };
    let (seen, width) = (codes(candidates)?, form.latents());
    let (inputs, outputs) = (context.columns.gather(known), codes(known)?);
    let examples = Examples { inputs, outputs, rows: known.len(), discrete: false };
    let copy = Regression::fit(&examples, context.seed);
    let weights = copied::weights(&examples.outputs, &copy.predict(&examples.inputs, known.len()), width);
    let guessed = copy.predict(&context.columns.gather(candidates), candidates.len());
    Ok(copied::named(&guessed, &seen, &weights, width))
}

/// Whether the code that was seen of each of `candidates` is nearest to its own columns' code, by `encoder`, or without one by
/// codes that were seen without noise: 1 or 0.
///
/// # Errors
/// If one of them was not seen.
pub fn hits(
    context: &AttackContext,
    encoder: Option<&Encoder>,
    candidates: &[u32],
) -> anyhow::Result<Vec<f64>> {
    let seen = context.sources.features(&[Fact::Code], candidates)?;
    let codes = match encoder {
        Some(encoder) => context.at_cut(encoder.encode(context.columns.gather(candidates), candidates.len())),
        None => seen.values.clone(),
    };
    Ok(reidentify::top1(&codes, &seen.values, seen.width))
}
