//! Attribute inference: the values of columns that take few, from a code.
//!
//! A regression on what is known says how likely each value is; the guess is the value whose likelihood is raised most
//! over its share among auxiliary records, which is what balanced accuracy rewards.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::evaluation::context::AttackContext;
use crate::evaluation::score::FEW_VALUES;
use crate::evaluation::victim::{AttackSurface, Findings, TEST, VictimContext};
use crate::evidence::knowledge::{Fact, names as known};
use crate::metrics::attribute::levels;
use crate::metrics::error::column;
use crate::reconstruction::regression::{Examples, Regression};
use crate::report::names;

/// Added to shares: a value that hardly occurs must not be guessed all the time.
const SHARE: f32 = 0.01;

/// A column and the values that it takes among auxiliary records.
struct Attribute {
    column: usize,
    levels: Vec<f32>,
}

impl VictimContext<'_> {
    /// Infers each column that takes few values from one code of test records, at each of `cuts`, beside the same
    /// adversary without codes.
    pub fn attributes(&self, cuts: &[&AttackSurface], findings: &mut Findings) -> anyhow::Result<()> {
        let Some(first) = cuts.first().filter(|_| self.owner.image.is_none()) else { return Ok(()) };
        let began = Instant::now();
        let mut facts = vec![Fact::Label];
        facts.extend(self.own.map(|_| Fact::OwnColumns));
        let attack_context = self.frozen_context(first);
        let attributes = attack_context.attributes();
        if attributes.is_empty() {
            return Ok(());
        }
        let bare = attack_context.guess(&facts, &attributes)?;
        let knowledge = known(&facts);
        let mut tell = |attack_context: &AttackContext,
                        attack: &str,
                        releases: u64,
                        began: Instant,
                        guesses: &[Vec<f32>]| {
            for ((attribute, guess), bare) in attributes.iter().zip(guesses).zip(&bare) {
                let Some(reached) = attack_context.scorer.balanced(attribute.column, guess, None) else {
                    continue;
                };
                let mut metrics = BTreeMap::from([(names::BALANCED.to_string(), reached)]);
                if releases > 0 {
                    let gain = attack_context.scorer.balanced(attribute.column, guess, Some(bare));
                    metrics.extend(gain.map(|gain| (names::ADDED.to_string(), gain)));
                }
                let name = self.owner.names.get(attribute.column).map_or("", String::as_str);
                let victim = format!("{}'s column {name} ({TEST})", self.config.victim);
                let note = format!("one of {} values", attribute.levels.len());
                let scored = (self.frozen.targets.len(), metrics);
                findings.keep(attack_context.told(
                    attack,
                    &victim,
                    (knowledge.clone(), releases),
                    scored,
                    note,
                    began,
                ));
            }
        };
        tell(&attack_context, names::NO_CODE, 0, began, &bare);
        facts.push(Fact::Code);
        for cut in cuts {
            let (attack_context, began) = (self.frozen_context(cut), Instant::now());
            let guesses = attack_context.guess(&facts, &attributes)?;
            tell(&attack_context, "attribute inference", 1, began, &guesses);
        }
        Ok(())
    }
}

impl AttackContext<'_> {
    fn attributes(&self) -> Vec<Attribute> {
        let known = self.columns.gather(self.auxiliary);
        let width = self.columns.cols();
        let of = |at| Some(Attribute { column: at, levels: levels(&column(&known, width, at), FEW_VALUES)? });
        (0..width).filter_map(of).collect()
    }

    /// Guesses [attributes][targets] of their values.
    fn guess(&self, facts: &[Fact], attributes: &[Attribute]) -> anyhow::Result<Vec<Vec<f32>>> {
        let examples = self.examples(facts, self.auxiliary)?;
        let width = self.columns.cols();
        let outputs: Vec<f32> = examples
            .outputs
            .chunks_exact(width)
            .flat_map(|row| {
                attributes.iter().flat_map(|Attribute { column, levels }| {
                    levels.iter().map(|level| f32::from(u8::from(row[*column] == *level)))
                })
            })
            .collect();
        let examples = Examples { outputs, ..examples };
        let shares = examples.output_means();
        let regression = Regression::fit(&examples, self.seed);
        let likely = self.predict(&regression, facts, self.targets)?;
        let mut start = 0;
        let guess = |Attribute { levels, .. }: &Attribute| {
            let place = start..start + levels.len();
            start = place.end;
            let raised = |row: &[f32], level: usize| {
                let at = place.start + level;
                row[at] / (shares[at] + SHARE)
            };
            let best = |row: &[f32]| {
                let order = |a: &usize, b: &usize| raised(row, *a).total_cmp(&raised(row, *b));
                levels[(0..levels.len()).max_by(order).unwrap_or(0)]
            };
            likely.chunks_exact(shares.len()).map(best).collect()
        };
        Ok(attributes.iter().map(guess).collect())
    }
}
