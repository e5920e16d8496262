//! What left the coordinator that depends on labels: gradients to each party, figures in the summary, predictions to
//! clients.

use hashvfl_core::{CodeForm, GradientEncoding, TableIds};
use hashvfl_ledger::{
    Cost, Flow, FlowKind, Ledger, LedgerError, Policy, RedbStore, StoreError, Terms, Volume,
};

use crate::config::CoordinatorConfig;

/// Passes over records whose gradients one durable write counts.
const PASSES_AHEAD: u32 = 4;
/// Figures of an epoch at most: training loss, and validation loss with two metrics.
const FIGURES_PER_EPOCH: usize = 4;
/// Figures of the test.
const TEST_FIGURES: usize = 3;

/// The coordinator's ledger at work. It counts; a label holder's policy can come later.
pub struct LabelLedger {
    ledger: Ledger<RedbStore>,
    bits: u32,
}

impl LabelLedger {
    /// Opens the ledger for the labelled records `ids`, or makes it, and counts the figures of the run.
    pub fn open(config: &CoordinatorConfig, ids: &[String]) -> Result<Self, StoreError> {
        let run = &config.run;
        // All parties' gradients are counted as that of the party with the most latents.
        let latents = run.code_forms().map(CodeForm::latents).max().unwrap_or(1);
        let bits = match run.gradient {
            GradientEncoding::F32 => 32 * latents,
            // The scale of a record's values, and a byte for each.
            GradientEncoding::Int8 => 32 + 8 * latents,
            // Signs, of which a few may be zero; the length is the batch's.
            GradientEncoding::Sign => 2 * latents,
        };
        let cost = Cost { bits: bits as u32, epsilon: None };
        let flow = |party: &hashvfl_core::PartyName| Flow::new(party.as_str(), FlowKind::Gradients);
        let flows = run.parties.iter().map(flow).collect();
        let terms = Terms { policy: Policy::default(), cost, flows };
        let store = RedbStore::open_or_create(&config.ledger)?;
        let ids = TableIds { ids, key_columns: config.labels.ids().key_columns() };
        let mut ledger = Ledger::open(store, ids, &[], terms)?;
        let figures = run.epochs as usize * FIGURES_PER_EPOCH + TEST_FIGURES;
        ledger.note(&Flow::new("summary", FlowKind::Losses), Volume::of(figures, 64))?;
        Ok(Self { ledger, bits: bits as u32 })
    }

    /// Bits of a record's gradient, as they are counted.
    pub fn bits_per_record(&self) -> u32 {
        self.bits
    }

    /// Before gradients about `rows` are sent; `block` holds them and those that will follow in this epoch.
    pub fn count(&mut self, rows: &[u32], block: &[u32]) -> Result<(), LedgerError> {
        self.ledger.spend(rows, (block, PASSES_AHEAD))
    }

    /// Gives back what was counted and not sent.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        self.ledger.settle()
    }
}

/// Predictions that are counted ahead at once, so that a prediction costs no durable write of its own.
const AHEAD: u64 = 1 << 16;

/// The ledger while predictions are served.
pub struct PredictionLedger {
    ledger: Ledger<RedbStore>,
    bits: u32,
    ahead: u64,
}

impl PredictionLedger {
    /// Opens the ledger, or makes it, for predictions of `outputs` numbers each.
    pub fn open(config: &CoordinatorConfig, outputs: usize) -> Result<Self, StoreError> {
        let (bits, cost) = (32 * outputs as u32, Cost { bits: 0, epsilon: None });
        let terms = Terms { policy: Policy::default(), cost, flows: Vec::new() };
        let nobody = TableIds { ids: &[], key_columns: 1 };
        let ledger = Ledger::open(RedbStore::open_or_create(&config.ledger)?, nobody, &[], terms)?;
        Ok(Self { ledger, bits, ahead: 0 })
    }

    /// Before `predictions` are sent: they are counted durably, and some more ahead.
    pub fn count(&mut self, predictions: usize) -> Result<(), StoreError> {
        let predictions = predictions as u64;
        if self.ahead < predictions {
            let more = (predictions - self.ahead).max(AHEAD);
            self.ledger.note(&flow(), Volume::of(more as usize, self.bits))?;
            self.ahead += more;
        }
        self.ahead -= predictions;
        Ok(())
    }

    /// At the end: gives back what was counted ahead.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        let rest = std::mem::take(&mut self.ahead);
        self.ledger.take_back(&flow(), Volume::of(rest as usize, self.bits))
    }
}

fn flow() -> Flow {
    Flow::new("clients", FlowKind::Predictions)
}
