//! A substitute of the victim's bottom model, learned without asking it anything, and an inverse network on its codes
//! that then reads the victim's.

use hashvfl_core::random::stream;
use hashvfl_learning::bottom::InputShape;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::{CutLayer, Encoder};
use hashvfl_learning::training::schedule::Rates;
use rand::Rng;

use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::VictimContext;
use crate::evidence::knowledge::{Fact, side_by_side};
use crate::report::CutKind;
use hashvfl_leakage::regression::{Examples, Regression};

/// Records of a batch.
pub const BATCH: usize = 128;
/// Updates of a substitute.
pub const UPDATES: u64 = 1500;
/// Updates after which its thresholds are measured anew.
const CALIBRATE: u64 = 25;

/// A bottom model of the victim's architecture with weights of its own.
pub fn untrained(victim: &VictimContext, cut: CutKind) -> anyhow::Result<Encoder> {
    let cut = if cut == CutKind::SimulatedFloats { CutLayer::SimulatedFloat } else { CutLayer::Hash };
    let owner = victim.owner;
    let input = InputShape { columns: owner.columns.cols(), image: owner.image, ..InputShape::default() };
    let rates = Rates::of_run(&victim.evidence.coordinator.run, UPDATES);
    // The adversary does not know the victim's seed.
    let seed = stream(victim.config.seed, "substitute", &[]).next_u64();
    let (config, form) = (owner.config.encoder.clone(), owner.config.code_form());
    Ok(Encoder::new(config, cut, input, form, rates, seed, &Device::flex())?)
}

/// A substitute that learns.
pub struct Substitute<'a> {
    /// The model.
    pub encoder: Encoder,
    context: &'a AttackContext<'a>,
}

impl<'a> Substitute<'a> {
    /// One that has learned nothing, for the cut of `context`.
    pub fn new(victim: &VictimContext, context: &'a AttackContext<'a>) -> anyhow::Result<Self> {
        Ok(Self { encoder: untrained(victim, context.cut)?, context })
    }

    /// Its codes of auxiliary `rows` [rows, bits], which the next update is about.
    pub fn encode_batch(&mut self, update: u64, rows: &[u32]) -> Vec<f32> {
        let columns = self.context.columns;
        if update.is_multiple_of(CALIBRATE) {
            self.encoder.calibrate(self.context.auxiliary, &|rows| columns.gather(rows));
        }
        self.context.at_cut(self.encoder.encode_batch(columns.gather(rows), rows.len()))
    }

    /// An inverse network on its codes of auxiliary records, asked for the victim's.
    pub fn read(mut self, attempt: Attempt) -> anyhow::Result<AttackOutcome> {
        let AttackContext { columns, auxiliary, targets, cut, seed, .. } = *self.context;
        self.encoder.freeze(auxiliary, &|rows| columns.gather(rows));
        let rows = auxiliary.len();
        let codes = self.context.at_cut(self.encoder.encode(columns.gather(auxiliary), rows));
        let inputs = match self.encoder.form() {
            form if form.is_signs() => codes,
            form => side_by_side(&[codes.clone(), form.decode(&codes).into_owned()], rows).1,
        };
        let examples = Examples {
            inputs,
            outputs: columns.gather(auxiliary),
            rows,
            discrete: cut != CutKind::SimulatedFloats,
        };
        let regression = Regression::fit(&examples, seed);
        let guess = self.context.predict(&regression, &[Fact::Code], targets)?;
        let note = format!("{UPDATES} updates of a substitute; its codes are read by: {}", regression.kind);
        Ok(self.context.scored(attempt.noted(note), guess))
    }
}
