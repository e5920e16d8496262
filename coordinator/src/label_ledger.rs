//! What left the coordinator that depends on labels: gradients to each party, figures in the summary, predictions to
//! clients.

use hashvfl_core::{CodeForm, Digest, GradientEncoding, PartyName, TableIds};
use hashvfl_ledger::{
    AnswerLog, AnswerLogError, AnswerStatus, Cost, Flow, FlowKind, Ledger, LedgerError, LedgerOptions,
    Policy, RedbStore, RowBlock, StoreError, Volume,
};

use crate::config::CoordinatorConfig;

/// Passes over records whose gradients one durable write counts.
const PASSES_AHEAD: u32 = 4;
/// Figures of an epoch at most: training loss, and validation loss with two metrics.
const FIGURES_PER_EPOCH: usize = 4;
/// Figures of the test.
const TEST_FIGURES: usize = 3;

/// Bits of a record's gradient of a code of `form`, as they are counted.
pub fn gradient_bits(encoding: GradientEncoding, form: CodeForm) -> u32 {
    let latents = form.latents() as u32;
    match encoding {
        GradientEncoding::F32 => 32 * latents,
        // The scale of a record's values, and a byte for each.
        GradientEncoding::Int8 => 32 + 8 * latents,
        // Signs, of which a few may be zero; the length is the batch's.
        GradientEncoding::Sign => 2 * latents,
    }
}

/// The coordinator's ledger at work. It counts; a label holder's policy can come later.
pub struct LabelLedger {
    ledger: Ledger<RedbStore>,
}

impl LabelLedger {
    /// Opens the ledger for the labelled records `ids`, or makes it, and counts the figures of the run.
    pub fn open(config: &CoordinatorConfig, ids: &[String]) -> Result<Self, StoreError> {
        let run = &config.run;
        let cost = |form| Cost { bits: gradient_bits(run.gradient, form), epsilon: None };
        let flow = |party: &PartyName| Flow::new(party.as_str(), FlowKind::Gradients);
        let flows = run.parties.iter().map(flow).zip(run.code_forms().map(cost)).collect();
        let terms = LedgerOptions { policy: Policy::default(), flows };
        let store = RedbStore::open_or_create(&config.ledger)?;
        let ids = TableIds { ids, key_columns: config.labels.ids().key_columns() };
        let mut ledger = Ledger::open(store, ids, &[], terms)?;
        let figures = run.epochs as usize * FIGURES_PER_EPOCH + TEST_FIGURES;
        ledger.note(&Flow::new("summary", FlowKind::Losses), Volume::of(figures, 64))?;
        Ok(Self { ledger })
    }

    /// Before gradients about `rows` are sent; `block` holds them and those that will follow in this epoch.
    pub fn count(&mut self, rows: &[u32], block: &[u32]) -> Result<(), LedgerError> {
        self.ledger.spend(rows, RowBlock { rows: block, passes: PASSES_AHEAD })
    }

    /// Gives back what was counted and not sent.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        self.ledger.settle()
    }
}

/// Before the gradients of a batch are sent, which `said` names: counts them by `count`, unless the very same were sent before
/// the run went back to a checkpoint, and then writes down that they are sent. Whoever dies in between counts them once more
/// when the run goes on, never too few.
///
/// # Errors
/// If others were sent before, or they cannot be counted or written down: nothing may be sent then.
pub fn count_and_say<E: From<AnswerLogError> + From<LedgerError>>(
    log: &mut AnswerLog,
    batch: u64,
    said: &Digest,
    count: impl FnOnce() -> Result<(), LedgerError>,
) -> Result<(), E> {
    if log.look(batch, said)? == AnswerStatus::New {
        count()?;
    }
    log.say(batch, said)?;
    Ok(())
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
        let bits = 32 * outputs as u32;
        let terms = LedgerOptions { policy: Policy::default(), flows: Vec::new() };
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

#[cfg(test)]
mod tests {
    use hashvfl_ledger::{Accounts, MemoryStore};

    use super::*;

    const BATCHES: u64 = 6;

    /// The process of a run that goes on from its beginning: sends the gradients of all batches, until that fails.
    fn send(disk: &MemoryStore, log: &std::path::Path, sent: &mut Vec<u64>) -> anyhow::Result<()> {
        let ids = ["r0", "r1"].map(String::from);
        let flow = (Flow::new("bank", FlowKind::Gradients), Cost { bits: 1, epsilon: None });
        let terms = LedgerOptions { policy: Policy::default(), flows: vec![flow] };
        let mut ledger = Ledger::open(disk.clone(), TableIds { ids: &ids, key_columns: 1 }, &[], terms)?;
        let mut log = AnswerLog::open(log, &Digest([1; 32]))?;
        for batch in 1..=BATCHES {
            let said = Digest::of(&batch.to_le_bytes());
            // A block holds one pass, so that each batch writes.
            let count = || ledger.spend(&[0, 1], RowBlock::once(&[0, 1]));
            count_and_say::<anyhow::Error>(&mut log, batch, &said, count)?;
            sent.push(batch);
        }
        ledger.settle()?;
        Ok(())
    }

    #[test]
    fn a_gradient_whose_count_cannot_be_written_is_counted_when_it_is_sent() {
        for full_at in 0..BATCHES {
            let folder = tempfile::tempdir().unwrap();
            let log = folder.path().join("answers");
            let (disk, mut sent) = (MemoryStore::new([7; 32]), Vec::new());
            disk.fail_after(full_at);
            let error = send(&disk, &log, &mut sent).unwrap_err().to_string();
            assert!(error.contains("cannot write the ledger"), "{error}");
            assert_eq!(sent.len() as u64, full_at, "nothing is sent that is not counted");
            send(&disk, &log, &mut sent).unwrap();
            let mut bits = Vec::new();
            disk.scan(&mut |_, account| bits.push(account.bits)).unwrap();
            assert_eq!(bits, [BATCHES; 2], "full at write {full_at}");
        }
    }
}
