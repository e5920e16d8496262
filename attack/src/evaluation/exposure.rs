//! How much of each column of the victim's table attacks on the run explain: what the report's first screen needs.

use std::collections::BTreeMap;

use crate::evaluation::Surfaces;
use crate::evaluation::findings::{AttackOutcome, Findings};
use crate::evaluation::victim::{Records, VictimContext};
use crate::report::{AttackResult, CutKind, Estimate, Population, Victim};

/// Puts what is explained of each column into results about the run's own codes, about those of a coordinator that cheats, and about
/// what is known without them.
pub fn put_columns(findings: &mut Findings, victim: &VictimContext, surfaces: &Surfaces) {
    if victim.owner.image.is_some() {
        return;
    }
    for attacked in &mut findings.attacked {
        if is_asked_for(&attacked.result, surfaces)
            && let Some(records) = records_of(victim, &attacked.result)
            && records.scorer.reference().starts_with(&attacked.reference)
        {
            attacked.result.of_columns = explained(victim, records, attacked);
        }
    }
}

fn is_asked_for(result: &AttackResult, surfaces: &Surfaces) -> bool {
    let own = &surfaces.codes.defence;
    let of_run = result.defence.sent == own.sent
        && !result.defence.predictions
        && (result.defence.change.is_none() || result.defence.is_steered());
    result.cut == CutKind::Codes && of_run
}

/// The records that were scored, if they are those of the run.
fn records_of<'a>(victim: &'a VictimContext, result: &AttackResult) -> Option<&'a Records> {
    let Victim::Columns { of, .. } = result.victim else { return None };
    match of {
        Population::Test => Some(&victim.test),
        Population::Training => Some(&victim.training),
        Population::Validation => victim.validation.as_ref(),
        _ => None,
    }
}

/// Of each of the table's columns; of one that a model takes as several, that which is explained best, as a party's own check has it.
fn explained(
    victim: &VictimContext,
    records: &Records,
    attacked: &AttackOutcome,
) -> BTreeMap<String, Estimate> {
    let mut explained: BTreeMap<String, Estimate> = BTreeMap::new();
    if attacked.guess.is_empty() {
        return explained;
    }
    for (column, found) in records.scorer.explained(attacked.guessed()) {
        let Some(name) = victim.owner.sources.get(column) else { continue };
        let best = explained.entry(name.clone()).or_insert(found);
        if found.high > best.high {
            *best = found;
        }
    }
    explained
}
