//! The gradient monitor that each party would have over the network.

use hashvfl_benches::observed::Observer;
use hashvfl_core::gradient_monitor::{GradientMonitor, SeenBatch};
use hashvfl_core::{CodeForm, Gradient, PackedCodes, Plan, RowSelection, RunSettings};
use hashvfl_learning::training::in_process::InProcessParties;

/// Monitors of parties that send codes, one for each. An alarm ends nothing here.
pub struct Monitors<'r> {
    monitors: Vec<GradientMonitor>,
    forms: Vec<CodeForm>,
    run: &'r RunSettings,
    plan: Plan,
    /// The batch that waits for its gradient, and its codes.
    sent: Option<(RowSelection, Vec<PackedCodes>)>,
}

impl<'r> Monitors<'r> {
    /// The monitors of a run's parties.
    pub fn new(plan: Plan, run: &'r RunSettings) -> Self {
        let forms: Vec<CodeForm> = run.code_forms().collect();
        let records = plan.records();
        let monitors =
            forms.iter().map(|form| GradientMonitor::of_run(run, *form, records, run.seed)).collect();
        Self { monitors, forms, run, plan, sent: None }
    }

    /// How many parties would have stopped.
    pub fn alarms(&self) -> usize {
        self.monitors.iter().filter(|monitor| monitor.alarm().is_some()).count()
    }
}

impl Observer for Monitors<'_> {
    fn encoded(&mut self, rows: RowSelection, codes: &[PackedCodes]) {
        self.sent = Some((rows, codes.to_vec()));
    }

    fn answered(&mut self, parties: &InProcessParties<'_, PackedCodes>, gradients: &[Gradient]) {
        let Some((selection, sent)) = self.sent.take() else { return };
        // Unwrap safety: the training loop asks for rows of the same plan.
        let rows = &self.plan.rows(selection).expect("rows of the plan");
        let begins_cycle = selection.begins_cycle(self.run);
        for (party, (monitor, codes)) in self.monitors.iter_mut().zip(&sent).enumerate() {
            let signs = codes.to_signs();
            let codes = &self.forms[party].decode(&signs);
            let (expected, gradient) = (&parties.expected_codes(party), &gradients[party].decode());
            monitor.observe(&SeenBatch { begins_cycle, rows, codes, expected, gradient });
        }
    }
}
