//! A substitute of the victim's bottom model, learned without asking it anything, and regressions on its codes that then read
//! the victim's.

use hashvfl_core::random::stream;
use hashvfl_core::{Plan, RunSettings};
use hashvfl_data::Matrix;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::{CutLayer, Encoder};
use hashvfl_learning::schedule::Rates;
use rand::Rng;

use crate::evaluation::context::{AttackContext, Attempt, signs};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::VictimContext;
use crate::evidence::knowledge::{Fact, label_values, side_by_side};
use crate::report::CutKind;
use hashvfl_leakage::regression::{Examples, Regression};

/// Records of a batch.
pub const BATCH: usize = 128;
/// Updates of a substitute.
pub const UPDATES: u64 = 1500;
/// Updates after which its thresholds are measured anew.
const CALIBRATE: u64 = 25;

/// A bottom model of the victim's architecture with weights of its own, which makes so many `updates`.
pub fn untrained(victim: &VictimContext, cut: CutKind, updates: u64) -> anyhow::Result<Encoder> {
    let cut = if cut == CutKind::SimulatedFloats { CutLayer::SimulatedFloat } else { CutLayer::Hash };
    let owner = victim.owner;
    let input = owner.input.clone();
    let rates = rates(&victim.evidence.coordinator.run, &victim.evidence.plan, updates);
    // The adversary does not know the victim's seed.
    let seed = stream(victim.config.seed, "substitute", &[]).next_u64();
    let (config, form) = (owner.config.encoder.clone(), owner.config.code_form());
    Ok(Encoder::new(config, cut, input, form, rates, seed, &Device::flex())?)
}

/// The rates of a run as it was planned, batches of whose size they are, over so many `updates`.
fn rates(run: &RunSettings, plan: &Plan, updates: u64) -> Rates {
    Rates::of_plan(run, plan).over(updates)
}

/// A substitute that learns.
pub struct Substitute<'a> {
    /// The model.
    pub encoder: Encoder,
    columns: &'a Matrix,
    auxiliary: &'a [u32],
    updates: u64,
}

impl<'a> Substitute<'a> {
    /// One that has learned nothing, for the cut of `context`.
    pub fn new(victim: &VictimContext, context: &AttackContext<'a>) -> anyhow::Result<Self> {
        let encoder = untrained(victim, context.cut, UPDATES)?;
        Ok(Self::of(encoder, context.columns, context.auxiliary))
    }

    /// The same, from an existing model, for the `auxiliary` rows of `columns`.
    pub fn of(encoder: Encoder, columns: &'a Matrix, auxiliary: &'a [u32]) -> Self {
        Self { encoder, columns, auxiliary, updates: 0 }
    }

    /// Values of its encoder as they cross its cut.
    fn at_cut(&self, values: Vec<f32>) -> Vec<f32> {
        match self.encoder.cut() {
            CutLayer::Hash => signs(values),
            CutLayer::SimulatedFloat => values,
        }
    }

    /// Its codes of auxiliary `rows` [rows, bits], which the next update is about.
    pub fn encode_batch(&mut self, rows: &[u32]) -> Vec<f32> {
        if self.updates.is_multiple_of(CALIBRATE) {
            self.encoder.calibrate(self.auxiliary, &|rows| self.columns.gather(rows));
        }
        self.updates += 1;
        let values = self.encoder.encode_batch(self.columns.gather(rows), rows.len());
        self.at_cut(values)
    }

    /// It learns nothing from here on.
    pub fn freeze(&mut self) {
        self.encoder.freeze(self.auxiliary, &|rows| self.columns.gather(rows));
    }

    /// Its codes of `rows` [rows, bits] with statistics as it last measured them.
    pub fn encode(&self, rows: &[u32]) -> Vec<f32> {
        self.at_cut(self.encoder.encode(self.columns.gather(rows), rows.len()))
    }

    /// Once it is frozen, codes of auxiliary `rows` [rows, bits] as a party in training sends them: of signs and levels those under
    /// noise and dropout, which `draw` names.
    pub fn encode_with_noise(&self, rows: &[u32], draw: u32) -> Vec<f32> {
        let columns = self.columns.gather(rows);
        let values = match self.encoder.cut() {
            CutLayer::Hash => self.encoder.encode_with_noise(columns, rows.len(), draw),
            CutLayer::SimulatedFloat => self.encoder.encode(columns, rows.len()),
        };
        self.at_cut(values)
    }

    /// Regressions from its codes of auxiliary records, and what `beside` [records, values] says of them, to their columns.
    /// It learns nothing from here on.
    pub fn reader(&mut self, beside: &[f32], seed: u64) -> Regression {
        self.freeze();
        let (columns, auxiliary, rows) = (self.columns, self.auxiliary, self.auxiliary.len());
        let codes = self.encode(auxiliary);
        // In the order of `Sources::inputs`.
        let mut blocks = vec![codes.clone(), beside.to_vec()];
        let form = self.encoder.form();
        if !form.is_signs() {
            blocks.push(form.decode(&codes).into_owned());
        }
        let examples = Examples {
            inputs: side_by_side(&blocks, rows).1,
            outputs: columns.gather(auxiliary),
            rows,
            discrete: self.encoder.cut() == CutLayer::Hash,
        };
        Regression::fit(&examples, seed)
    }

    /// What such regressions make of the victim's codes, with the label beside them where it is `labelled`.
    ///
    /// # Errors
    /// If the transcript lacks a code of a target.
    pub fn read(
        mut self,
        context: &AttackContext,
        labelled: bool,
        attempt: Attempt,
    ) -> anyhow::Result<AttackOutcome> {
        let labels = context.sources.labels;
        let (facts, beside) = match labelled {
            true => (&[Fact::Code, Fact::Label][..], label_values(labels, self.auxiliary)),
            false => (&[Fact::Code][..], Vec::new()),
        };
        let regression = self.reader(&beside, context.seed);
        let guess = context.predict(&regression, facts, context.targets)?;
        let note =
            format!("{} updates of a substitute; its codes are read by: {}", self.updates, regression.kind);
        Ok(context.scored(attempt.noted(note), guess))
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::settings::BatchRows;
    use hashvfl_core::{PartyName, Task};

    use super::*;

    /// Levels vary as in batches of the run: of few records these are small.
    #[test]
    fn batches_are_as_large_as_the_run_has_them() {
        let parties = vec![PartyName::new("a").unwrap()];
        let run =
            RunSettings { batch_rows: BatchRows::Auto, ..RunSettings::new(parties, Task::Binary, 4, 3) };
        let plan = Plan::new(&run, 1_000).unwrap();
        let rates = rates(&run, &plan, 70);
        assert_eq!(rates.batch_rows(), plan.batch_rows());
        assert!(plan.batch_rows() < run.batch_rows.most(), "{}", plan.batch_rows());
        assert_eq!([35, 70].map(|updates| rates.progress(updates)), [0.5, 1.0]);
    }
}
