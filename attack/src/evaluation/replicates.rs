//! The run trained again with other first weights and noise: how far figures move, and whether a record can be followed
//! from one run to another.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use hashvfl_learning::encoder::CutLayer;

use crate::evaluation::victim::{AttackSurface, CANDIDATES, Findings, TEST, VictimContext, skill, victims};
use crate::evidence::knowledge::{Fact, names as known};
use crate::evidence::observed::{Observed, ObservedAt};
use crate::evidence::simulation::{RunVariant, simulate};
use crate::metrics::{Bootstrap, reidentify};
use crate::reconstruction::regression::{Examples, Regression};
use crate::report::{CutKind, Spread, names};

impl VictimContext<'_> {
    /// Trains the run and its float baseline again, as often as the config says, and attacks each: one code with nothing
    /// else known, and with `strongest`.
    pub fn train_replicates(
        &self,
        out: &Path,
        tell: &mut dyn FnMut(&str),
        (cuts, strongest): ([&AttackSurface; 2], &[Fact]),
        utilities: [f64; 2],
        findings: &mut Findings,
    ) -> anyhow::Result<Vec<Spread>> {
        let run = &self.evidence.coordinator.run;
        let mut spreads = Vec::new();
        for (attackable, utility) in cuts.into_iter().zip(utilities) {
            let (cut, name) = match attackable.cut {
                CutKind::SimulatedFloats => (CutLayer::SimulatedFloat, "floats"),
                _ => (CutLayer::Hash, "codes"),
            };
            let sets: [(String, &[Fact]); 2] = [
                (format!("skill from {name}, nothing else known"), &[Fact::Code]),
                (format!("skill from {name}, with {}", known(strongest).join(" and ")), strongest),
            ];
            let first = self.frozen_context(attackable);
            let mut figures = Vec::new();
            for (_, facts) in &sets {
                figures.push(vec![skill(&first.conditional_mean(facts)?).value]);
            }
            let mut metric = vec![utility];
            for draw in 1..u64::from(self.config.trainings) {
                tell(&format!("training again with {name}, draw {} of first weights", draw + 1));
                let path = out.join(format!("simulated-{name}-draw{}.parquet", draw + 1));
                let again =
                    simulate(self.evidence, &RunVariant { draw, ..RunVariant::new(run, cut) }, &path)?;
                metric.push(again.utility);
                let defence = format!("{}, draw {} of first weights", attackable.defence, draw + 1);
                let other = AttackSurface { defence, ..AttackSurface::of(&again, attackable) };
                let attack_context = self.frozen_context(&other);
                for ((_, facts), figures) in sets.iter().zip(&mut figures) {
                    let attacked = attack_context.conditional_mean(facts)?;
                    figures.push(skill(&attacked).value);
                    findings.keep(attacked);
                }
                if draw == 1 {
                    self.link(attackable, &again.observed, findings)?;
                }
            }
            let shares = sets.into_iter().zip(figures).map(|((what, _), values)| (what, values));
            spreads.extend(shares.map(|(what, values)| Spread { what, figure: names::SKILL.into(), values }));
            let figure = hashvfl_learning::top::loss::Evaluation::metric_name(run.task).to_string();
            spreads.push(Spread { what: format!("the task with {name}"), figure, values: metric });
        }
        Ok(spreads)
    }

    /// Which record of another run's codes is this one? By a regression from one run's codes to the other's, fitted on
    /// records that the adversary can name in both.
    fn link(
        &self,
        attackable: &AttackSurface,
        other: &Observed,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let attack_context = self.frozen_context(attackable);
        let targets = &attack_context.targets[..attack_context.targets.len().min(CANDIDATES)];
        let theirs = |records: &[u32]| other.gather(self.victim, ObservedAt::Frozen, records);
        let (known_codes, truth) = (theirs(attack_context.auxiliary)?, theirs(targets)?);
        let bootstrap = Bootstrap::new(self.config.seed);
        let party = victims(self.config.victim.as_str(), TEST);
        let mut bare: Option<Vec<f64>> = None;
        for (attack, facts) in
            [(names::NO_CODE, &[Fact::Label][..]), ("linkage across runs", &[Fact::Label, Fact::Code][..])]
        {
            let began = Instant::now();
            let examples = Examples {
                outputs: known_codes.clone(),
                ..attack_context.examples(facts, attack_context.auxiliary)?
            };
            let regression = Regression::fit(&examples, self.config.seed);
            let guess = attack_context.predict(&regression, facts, targets)?;
            let hits = reidentify::top1(&truth, &guess, other.width);
            let mut metrics = BTreeMap::from([(names::TOP1.to_string(), bootstrap.mean(&hits))]);
            if let Some(bare) = &bare {
                metrics.insert(names::ADDED.to_string(), bootstrap.mean_gain(&hits, bare));
            }
            bare.get_or_insert(hits);
            let knowledge = [known(facts), vec!["auxiliary records' codes in both runs".into()]].concat();
            let releases = u64::from(attack != names::NO_CODE);
            // Each cut beside its own baseline.
            let what = if attackable.cut == CutKind::SimulatedFloats { "floats" } else { "codes" };
            let victim = format!("the same record in another run with {what}, of {party}");
            let note = format!("among {} records of a run with other first weights", targets.len());
            let scored = (targets.len(), metrics);
            findings.keep(attack_context.told(attack, &victim, (knowledge, releases), scored, note, began));
        }
        Ok(())
    }
}
