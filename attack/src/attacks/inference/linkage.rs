//! Linkage: which record of another run's codes is this one? By a regression from one run's codes to the other's, fitted
//! on records that the adversary can name in both.

use crate::attacks::AttackId;
use crate::evaluation::context::Attempt;
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::knowledge::{Fact, known};
use crate::evidence::observed::{Observed, ObservedAt};
use crate::report::{Knowledge, Metric, Metrics, Victim};
use hashvfl_leakage::metrics::reidentify::CANDIDATES;
use hashvfl_leakage::metrics::{proportion, reidentify};
use hashvfl_leakage::regression::{Examples, Regression};

/// Links test records of one run to those of another run with other first weights: without the code, and with it.
///
/// # Errors
/// If a transcript lacks codes of these records.
pub fn link(
    victim: &VictimContext,
    surface: &AttackSurface,
    other: &Observed,
) -> anyhow::Result<[AttackOutcome; 2]> {
    let bare = by(victim, surface, other, AttackId::NoCode, &[Fact::Label])?;
    let mut found = by(victim, surface, other, AttackId::Linkage, &[Fact::Label, Fact::Code])?;
    let gain = proportion::gain(&found.hits, &bare.hits);
    found.result.metrics.insert(Metric::Added, gain);
    Ok([bare, found])
}

fn by(
    victim: &VictimContext,
    surface: &AttackSurface,
    other: &Observed,
    attack: AttackId,
    facts: &[Fact],
) -> anyhow::Result<AttackOutcome> {
    let context = victim.test_context(surface);
    let knowledge = [known(facts), vec![Knowledge::CodesInBothRuns]].concat();
    let attempt = Attempt::begin(attack, &knowledge, context.releases(facts));
    let targets = &context.targets[..context.targets.len().min(CANDIDATES)];
    let examples = Examples {
        outputs: other.gather(victim.place, ObservedAt::Frozen, context.auxiliary)?,
        ..context.examples(facts, context.auxiliary)?
    };
    let regression = Regression::fit(&examples, victim.config.seed);
    let guess = context.predict(&regression, facts, targets)?;
    let truth = other.gather(victim.place, ObservedAt::Frozen, targets)?;
    let hits = reidentify::top1(&truth, &guess, other.width(victim.place));
    let metrics = Metrics::from([(Metric::Top1, proportion::of(&hits))]);
    let note = format!("among {} records of a run with other first weights", targets.len());
    let (party, of) = (context.party.clone(), context.population);
    let after = Victim::OtherRun { party, of, cut: surface.cut };
    Ok(context.outcome(attempt.noted(note), after, targets.len(), metrics).with_hits(hits))
}
