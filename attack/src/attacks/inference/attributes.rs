//! Attribute inference: the values of columns that take few, from a code.
//!
//! A regression on what is known says how likely each value is; the guess is the value whose likelihood is raised most
//! over its fraction among auxiliary records, which is what balanced accuracy rewards.

use crate::attacks::AttackId;
use crate::attacks::reconstruction::regression::{Examples, Regression};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::score::FEW_VALUES;
use crate::evaluation::victim::VictimContext;
use crate::evidence::knowledge::{Fact, known};
use crate::metrics::attribute::levels;
use crate::metrics::error::column;
use crate::report::{Knowledge, Metric, Metrics, Population, Victim};

/// Added to fractions: a value that hardly occurs must not be guessed all the time.
const LEAST_FRACTION: f32 = 0.01;

/// A column and the values that it takes among auxiliary records.
struct Attribute {
    column: usize,
    levels: Vec<f32>,
}

/// Infers each column that takes few values from one code of test records, beside the same adversary without codes.
pub struct AttributeInference;

impl Attack for AttributeInference {
    fn about(&self) -> About {
        About {
            title: "attribute inference",
            knows: &[Knowledge::Labels, Knowledge::OwnColumns],
            needs: &[Need::FurtherAttacks, Need::Table],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let mut facts = vec![Fact::Label];
        facts.extend(victim.own.map(|_| Fact::OwnColumns));
        let knowledge = known(&facts);
        let context = victim.test_context(&surfaces.codes);
        let attributes = context.attributes();
        if attributes.is_empty() {
            return Ok(());
        }
        let bare = context.guess_attributes(&facts, &attributes)?;
        for (attribute, guess) in attributes.iter().zip(&bare) {
            let attempt = Attempt::begin(AttackId::NoCode, &knowledge, 0);
            let attacked = attribute.outcome(victim, &context, attempt, guess, None);
            attacked.into_iter().for_each(|attacked| evaluation.keep(attacked));
        }
        facts.push(Fact::Code);
        for surface in surfaces.all() {
            let context = victim.test_context(surface);
            let guesses = context.guess_attributes(&facts, &attributes)?;
            for ((attribute, guess), bare) in attributes.iter().zip(&guesses).zip(&bare) {
                let attempt = Attempt::begin(AttackId::AttributeInference, &knowledge, 1);
                let attacked = attribute.outcome(victim, &context, attempt, guess, Some(bare));
                attacked.into_iter().for_each(|attacked| evaluation.keep(attacked));
            }
        }
        Ok(())
    }
}

impl Attribute {
    /// What a `guess` [targets] reaches, and what it gains over that of the `bare` adversary; nothing for a column that
    /// is not scored.
    fn outcome(
        &self,
        victim: &VictimContext,
        context: &AttackContext,
        attempt: Attempt,
        guess: &[f32],
        bare: Option<&[f32]>,
    ) -> Option<AttackOutcome> {
        let reached = context.scorer.balanced(self.column, guess, None)?;
        let mut metrics = Metrics::from([(Metric::Balanced, reached)]);
        if bare.is_some() {
            let gain = context.scorer.balanced(self.column, guess, bare);
            metrics.extend(gain.map(|gain| (Metric::Added, gain)));
        }
        let column = victim.owner.names.get(self.column).cloned().unwrap_or_default();
        let party = context.party.clone();
        let victim = Victim::Column { party, column, of: Population::Test };
        let attempt = attempt.noted(format!("one of {} values", self.levels.len()));
        Some(context.outcome(attempt, victim, context.targets.len(), metrics))
    }

    /// The value that `likely` [levels] raises most over its fraction among auxiliary records.
    fn best(&self, likely: &[f32], fractions: &[f32]) -> f32 {
        let raised = |level: usize| likely[level] / (fractions[level] + LEAST_FRACTION);
        let order = |a: &usize, b: &usize| raised(*a).total_cmp(&raised(*b));
        self.levels[(0..self.levels.len()).max_by(order).unwrap_or(0)]
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
    fn guess_attributes(&self, facts: &[Fact], attributes: &[Attribute]) -> anyhow::Result<Vec<Vec<f32>>> {
        let examples = self.examples(facts, self.auxiliary)?;
        let mut outputs = Vec::new();
        for row in examples.outputs.chunks_exact(self.columns.cols()) {
            for Attribute { column, levels } in attributes {
                outputs.extend(levels.iter().map(|level| f32::from(u8::from(row[*column] == *level))));
            }
        }
        let examples = Examples { outputs, ..examples };
        let fractions = examples.output_means();
        let regression = Regression::fit(&examples, self.seed);
        let likely = self.predict(&regression, facts, self.targets)?;
        let mut guesses = Vec::new();
        let mut start = 0;
        for attribute in attributes {
            let place = start..start + attribute.levels.len();
            start = place.end;
            let rows = likely.chunks_exact(fractions.len());
            let guess = rows.map(|row| attribute.best(&row[place.clone()], &fractions[place.clone()]));
            guesses.push(guess.collect());
        }
        Ok(guesses)
    }
}
