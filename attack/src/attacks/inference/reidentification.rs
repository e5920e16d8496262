//! Re-identification: which of these records has this code? By a victim's encoder that answers queries or is known.

use crate::attacks::AttackId;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evidence::knowledge::Fact;
use crate::report::{Knowledge, Metric, Metrics, Victim};
use hashvfl_leakage::metrics::reidentify::CANDIDATES;
use hashvfl_leakage::metrics::{proportion, reidentify};
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
            let note = format!("among {} records", targets.len());
            let bare = Attempt::begin(AttackId::NoCode, KNOWS, 0).noted(note.clone());
            let attempt = Attempt::begin(AttackId::Reidentification, KNOWS, 1).noted(note);
            let hits = hits(&context, Some(encoder), targets)?;
            let chance = vec![1.0 / targets.len() as f64; targets.len()];
            let identity = Victim::Identity { party: context.party.clone(), of: context.population };
            let metrics = Metrics::from([(Metric::Top1, proportion::of(&chance))]);
            evaluation.keep(context.outcome(bare, identity.clone(), targets.len(), metrics));
            let metrics = Metrics::from([
                (Metric::Top1, proportion::of(&hits)),
                (Metric::Added, proportion::gain(&hits, &chance)),
            ]);
            evaluation.keep(context.outcome(attempt, identity, targets.len(), metrics));
        }
        Ok(())
    }
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
