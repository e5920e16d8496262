//! Re-identification: which of these records has this code? By a victim's encoder that answers queries or is known, or by a copy
//! of it that auxiliary records' columns and codes give.

use hashvfl_core::CodeForm;

use crate::attacks::AttackId;
use crate::attacks::sweeps::epochs::everything_of;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evidence::knowledge::Fact;
use crate::report::{Estimate, Knowledge, Metric, Metrics, Population, Victim};
use hashvfl_leakage::copied;
use hashvfl_leakage::metrics::reidentify::CANDIDATES;
use hashvfl_leakage::metrics::{proportion, reidentify};
use hashvfl_leakage::regression::family::Effort;
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
            for outcome in outcomes(&context, attempt, KNOWS, hits) {
                evaluation.keep(outcome);
            }
        }
        Ok(())
    }
}

/// Re-identification by a copy of the encoder, which nobody has to grant: by one code of test records, and by everything that
/// training and validation records sent.
pub struct ReidentificationByCopy;

impl Attack for ReidentificationByCopy {
    fn about(&self) -> About {
        About {
            title: "re-identification by a copy of the encoder",
            knows: &[Knowledge::CandidateColumns],
            needs: &[Need::Identities],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let knows = [Knowledge::CandidateColumns];
        let effort = if victim.config.quick { Effort::Quick } else { Effort::All };
        let populations = [Some(&victim.test), Some(&victim.training), victim.validation.as_ref()];
        for records in populations.into_iter().flatten() {
            let context = victim.context(&surfaces.codes, records);
            let facts = match records.population {
                Population::Test => vec![Fact::Code],
                _ => {
                    let all = everything_of(victim, &surfaces.codes, records);
                    all.last().map(|release| release.facts()).unwrap_or_default()
                }
            };
            let known = context.owned_like_targets(&facts);
            let targets = &context.targets[..context.targets.len().min(CANDIDATES)];
            let releases = context.releases(&facts);
            let attempt = Attempt::begin(AttackId::ReidentificationByCopy, &knows, releases);
            let hits = hits_by_copy(&context, &facts, &known, targets, effort)?;
            let [bare, mut outcome] = outcomes(&context, attempt, &knows, hits);
            evaluation.keep(bare);
            outcome.result.auxiliary_rows = known.len();
            evaluation.keep(outcome);
        }
        Ok(())
    }
}

/// What guessing finds of as many candidates as there are `hits`, and what `attempt` found of them; both know the same.
fn outcomes(
    context: &AttackContext,
    attempt: Attempt,
    knows: &[Knowledge],
    hits: Vec<f64>,
) -> [AttackOutcome; 2] {
    let candidates = hits.len();
    let note = format!("among {candidates} records");
    // Nothing was measured: it has no interval.
    let value = 1.0 / candidates as f64;
    let chance = vec![value; candidates];
    let identity = Victim::Identity { party: context.party.clone(), of: context.population };
    let bare = Attempt::begin(AttackId::NoCode, knows, 0).noted(note.clone());
    let metrics = Metrics::from([(Metric::Top1, Estimate { value, low: value, high: value })]);
    let bare = context.outcome(bare, identity.clone(), candidates, metrics);
    let found = Metrics::from([
        (Metric::Top1, proportion::of(&hits)),
        (Metric::Added, proportion::gain(&hits, &chance)),
    ]);
    let outcome = context.outcome(attempt.noted(note), identity, candidates, found).with_hits(hits);
    // Whom guessing finds is chance.
    [AttackOutcome { hits: chance, ..bare }, outcome]
}

/// Whether a copy of the encoder, fitted on `known` records, finds the codes that `facts` hold of each of `candidates` likeliest by
/// its own columns.
fn hits_by_copy(
    context: &AttackContext,
    facts: &[Fact],
    known: &[u32],
    candidates: &[u32],
    effort: Effort,
) -> anyhow::Result<Vec<f64>> {
    let form = context.sources.observed.forms[context.sources.victim];
    let codes = |records: &[u32]| -> anyhow::Result<Vec<f32>> {
        let bits = context.sources.features(facts, records)?.values;
        Ok(form.decode(&bits).into_owned())
    };
    let seen = codes(candidates)?;
    let width = seen.len() / candidates.len().max(1);
    let (inputs, outputs) = (context.columns.gather(known), codes(known)?);
    let examples = Examples { inputs, outputs, rows: known.len(), discrete: false };
    let copy = Regression::with_effort(&examples, context.seed, effort);
    let weights = copied::weights(&examples.outputs, &copy.predict(&examples.inputs, known.len()), width);
    let guessed = copy.predict(&context.columns.gather(candidates), candidates.len());
    Ok(copied::named(&guessed, &seen, &weights, width))
}

/// Whether the code that was seen of each of `candidates` is most like its own columns' code, by `encoder`, or without one by
/// codes that were seen without noise: 1 or 0. Of levels those are counted that are equal, since under flips all others are alike
/// likely.
///
/// # Errors
/// If one of them was not seen.
pub fn hits(
    context: &AttackContext,
    encoder: Option<&Encoder>,
    candidates: &[u32],
) -> anyhow::Result<Vec<f64>> {
    let form = context.sources.observed.forms[context.sources.victim];
    let seen = context.sources.features(&[Fact::Code], candidates)?;
    let codes = match encoder {
        Some(encoder) => context.at_cut(encoder.encode(context.columns.gather(candidates), candidates.len())),
        None => seen.values.clone(),
    };
    if form.is_signs() {
        return Ok(reidentify::top1(&codes, &seen.values, seen.width));
    }
    let levels = |codes: &[f32]| -> Vec<usize> {
        codes.chunks_exact(form.bits_per_latent()).map(CodeForm::level).collect()
    };
    Ok(reidentify::most_alike(&levels(&codes), &levels(&seen.values), form.latents()))
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{stream, uniform};
    use hashvfl_data::Matrix;
    use hashvfl_leakage::metrics::error::mean;
    use hashvfl_learning::top::loss::Labels;

    use super::*;
    use crate::evaluation::score::{Scorer, VictimTable};
    use crate::evidence::knowledge::{EpochRange, Sources};
    use crate::evidence::observed::{Observed, ObservedAt};
    use crate::report::{CutKind, Defence, Sent};
    use hashvfl_core::PartyName;

    const RECORDS: u32 = 600;
    const COLUMNS: usize = 6;
    const EPOCHS: u32 = 8;
    const SIGNS: usize = 4;

    /// Columns, and in each epoch signs of other sums of them.
    fn world() -> (Matrix, Observed) {
        let mut rng = stream(11, "re-identification test", &[]);
        let mut draw = || 2.0 * uniform(&mut rng) - 1.0;
        let columns: Vec<f32> = (0..RECORDS as usize * COLUMNS).map(|_| draw()).collect();
        let all: Vec<u32> = (0..RECORDS).collect();
        let mut observed = Observed::none(vec![CodeForm::signs(SIGNS)]);
        for epoch in 0..EPOCHS {
            let mixing: Vec<f32> = (0..SIGNS * COLUMNS).map(|_| draw()).collect();
            let sign = |row: &[f32], mixing: &[f32]| -> f32 {
                row.iter().zip(mixing).map(|(value, weight)| value * weight).sum::<f32>().signum()
            };
            let codes: Vec<f32> = columns
                .chunks_exact(COLUMNS)
                .flat_map(|row| mixing.chunks_exact(COLUMNS).map(move |mixing| sign(row, mixing)))
                .collect();
            observed = observed.with(0, ObservedAt::Epoch(epoch), &all, &codes);
        }
        (Matrix::new(RECORDS as usize, COLUMNS, columns).unwrap(), observed)
    }

    #[test]
    fn everything_that_was_sent_names_more_records_than_one_code() {
        let (columns, observed) = world();
        let (owned, targets): (Vec<u32>, Vec<u32>) = (0..RECORDS).partition(|record| *record < 350);
        let labels = Labels::Real(vec![0.0; RECORDS as usize]);
        let table = VictimTable { columns: &columns, sources: &[], positions: &[], image: None };
        let scorer = Scorer::new(table, &labels, [&owned, &[]], &targets, 1);
        let party = PartyName::new("bank").unwrap();
        let context = AttackContext {
            sources: Sources {
                observed: &observed,
                victim: 0,
                labels: &labels,
                own: None,
                others: Vec::new(),
            },
            columns: &columns,
            image: None,
            party: &party,
            population: Population::Training,
            auxiliary: &owned,
            elsewhere: &[],
            targets: &targets,
            scorer: &scorer,
            cut: CutKind::Codes,
            defence: Defence::new(Sent::Codes { bits: SIGNS, response: None }),
            value_bits: 1,
            seed: 1,
        };
        let named = |epochs: u32| {
            let facts = [Fact::EpochCodes(EpochRange::first(epochs))];
            mean(&hits_by_copy(&context, &facts, &owned, &targets, Effort::All).unwrap())
        };
        let (one, all) = (named(1), named(EPOCHS));
        assert!(one < 0.08 && all > 2.0 * one && all > 0.15, "{one} {all}");
    }
}
