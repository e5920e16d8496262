//! The run trained again with other first weights and noise: how far figures move, and whether a record can be followed
//! from one run to another.

use anyhow::Context;
use hashvfl_learning::encoder::CutLayer;

use crate::attacks::AttackId;
use crate::attacks::inference::linkage::link;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::AttackSurface;
use crate::evidence::knowledge::known;
use crate::evidence::simulation::{RunVariant, simulate};
use crate::report::{AttackResult, Change, Knowledge, Metric, Population, Quantity, Spread};

/// Trains the run and its float baseline again, as many times as the config says, and attacks each: one code with
/// nothing else known, and with what the strongest adversary knows.
pub struct OtherTrainings;

impl Attack for OtherTrainings {
    fn about(&self) -> About {
        About {
            title: "other first weights, and linkage of records across runs",
            knows: &[
                Knowledge::Labels,
                Knowledge::OtherCodes,
                Knowledge::OwnColumns,
                Knowledge::CodesInBothRuns,
            ],
            needs: &[Need::Trainings],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let surfaces = evaluation.surfaces;
        for (surface, cut, name) in surfaces.repeated_cuts() {
            replicate(evaluation, surface, cut, name)?;
        }
        Ok(())
    }
}

fn replicate(
    evaluation: &mut PrivacyEvaluation,
    surface: &AttackSurface,
    cut: CutLayer,
    name: &str,
) -> anyhow::Result<()> {
    let victim = evaluation.victim;
    let run = &victim.evidence.coordinator.run;
    let adversaries = [Adversary::Stranger, Adversary::strongest(victim)];
    let of_test = victim.columns(Population::Test);
    let mut spreads = Vec::new();
    for adversary in adversaries {
        let knows = known(&adversary.facts(victim.evidence.owners.len()));
        let mut found = evaluation.findings.on(&surface.defence, &of_test);
        let first = found.find(|found| {
            let AttackResult { attack, releases, knowledge, .. } = &found.result;
            (*attack, *releases) == (AttackId::ConditionalMean, 1) && *knowledge == knows
        });
        let values = vec![first.context("the run itself was not attacked")?.skill().value];
        let what = format!("skill from one record's {name}, {adversary}");
        spreads.push(Spread { what, figure: Metric::Skill.into(), values });
    }
    let mut of_task = Spread {
        what: format!("the task with {name}"),
        figure: Quantity::of_task(run.task),
        values: surface.utility.into_iter().collect(),
    };
    for draw in 1..u64::from(victim.config.trainings) {
        evaluation.say(&format!("training again with {name}, draw {} of first weights", draw + 1));
        let path = evaluation.out.join(format!("simulated-{name}-draw{}.parquet", draw + 1));
        let variant = RunVariant { draw, ..RunVariant::new(run, cut) };
        let repeated = simulate(victim.evidence, &variant, &path)?;
        of_task.values.push(repeated.utility);
        let defence = surface.defence.changed(Change::Replicate(draw + 1));
        let other = AttackSurface::repeated(&repeated, surface, defence);
        let mut grid = AdversaryGrid::new(victim, &other, &victim.test, &[ObservedRelease::OneCode]);
        evaluation.keep_grid(&mut grid)?;
        for (adversary, spread) in adversaries.into_iter().zip(&mut spreads) {
            spread.values.push(grid.outcome(adversary, ObservedRelease::OneCode)?.skill().value);
        }
        if draw == 1 {
            link(victim, surface, &repeated.observed)?
                .into_iter()
                .for_each(|attacked| evaluation.keep(attacked));
        }
    }
    spreads.push(of_task);
    evaluation.findings.spreads.extend(spreads);
    Ok(())
}
