//! Parties in this process under the gradient monitor that each would have over the network.

use std::convert::Infallible;

use hashvfl_core::gradient_monitor::{GradientMonitor, SeenBatch};
use hashvfl_core::protocol::message::Command;
use hashvfl_core::{CodeForm, Digest, Gradient, PackedCodes, Plan, RowSelection, RunSettings};
use hashvfl_learning::training::backend::PartyBackend;
use hashvfl_learning::training::in_process::{InProcessParties, InProcessParty};
use hashvfl_learning::training::saved::SavedTraining;

/// Parties that send codes, each with its monitor. An alarm ends nothing here.
pub struct MonitoredParties<'a> {
    parties: InProcessParties<'a, PackedCodes>,
    monitors: Vec<GradientMonitor>,
    forms: Vec<CodeForm>,
    cycle_epochs: u32,
    plan: Plan,
    /// The batch that waits for its gradient, and its codes.
    sent: Option<(RowSelection, Vec<PackedCodes>)>,
}

impl<'a> MonitoredParties<'a> {
    /// The parties of a run.
    pub fn new(parties: Vec<InProcessParty<'a>>, plan: Plan, run: &RunSettings) -> Self {
        let forms: Vec<CodeForm> = run.code_forms().collect();
        let records = plan.records();
        let monitors =
            forms.iter().map(|form| GradientMonitor::of_run(run, *form, records, run.seed)).collect();
        let parties = InProcessParties::hashed(parties, plan.clone());
        Self { parties, monitors, forms, cycle_epochs: run.cycle_epochs(), plan, sent: None }
    }

    /// How many parties would have stopped.
    pub fn alarms(&self) -> usize {
        self.monitors.iter().filter(|monitor| monitor.alarm().is_some()).count()
    }
}

impl PartyBackend for MonitoredParties<'_> {
    type Embedding = PackedCodes;
    type Error = Infallible;

    fn encode(&mut self, rows: RowSelection, count: usize) -> Result<Vec<PackedCodes>, Infallible> {
        let codes = self.parties.encode(rows, count)?;
        if let RowSelection::Batch { .. } = rows {
            self.sent = Some((rows, codes.clone()));
        }
        Ok(codes)
    }

    fn encode_synthetic(&mut self, chunk: u32) -> Result<Vec<PackedCodes>, Infallible> {
        self.parties.encode_synthetic(chunk)
    }

    fn learn(&mut self, gradients: Vec<Gradient>) -> Result<(), Infallible> {
        if let Some((selection, sent)) = self.sent.take() {
            // Unwrap safety: the training loop asks for rows of the same plan.
            let rows = &self.plan.rows(selection).expect("rows of the plan");
            let begins_cycle = matches!(
                selection,
                RowSelection::Batch { epoch, batch: 0 } if epoch.is_multiple_of(self.cycle_epochs)
            );
            for (party, (monitor, codes)) in self.monitors.iter_mut().zip(&sent).enumerate() {
                let signs = codes.to_signs();
                let codes = &self.forms[party].decode(&signs);
                let (expected, gradient) = (&self.parties.expected_codes(party), &gradients[party].decode());
                monitor.observe(&SeenBatch { begins_cycle, rows, codes, expected, gradient });
            }
        }
        self.parties.learn(gradients)
    }

    fn carry_out(&mut self, command: Command) -> Result<(), Infallible> {
        self.parties.carry_out(command)
    }

    fn is_time_to_save(&self, ended: bool) -> bool {
        self.parties.is_time_to_save(ended)
    }

    fn save(&mut self, saved: SavedTraining) -> Result<(), Infallible> {
        self.parties.save(saved)
    }

    fn freeze(&mut self) -> Result<Vec<Digest>, Infallible> {
        self.parties.freeze()
    }
}
