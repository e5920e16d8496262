//! Every code of training records that one party sent, as its own check keeps them.

use hashvfl_benches::observed::Observer;
use hashvfl_core::{CodeForm, Gradient, PackedCodes, Plan, RowSelection};
use hashvfl_learning::training::in_process::InProcessParties;

/// What one party of a run sent.
pub struct KeptCodes {
    plan: Plan,
    party: usize,
    /// What its codes are made of.
    form: CodeForm,
    /// Of each epoch, the values of latents [records, latents] by row.
    epochs: Vec<Vec<f32>>,
}

impl KeptCodes {
    /// Keeps codes of the party at the place `party`, made as `form` says.
    pub fn new(plan: Plan, party: usize, form: CodeForm) -> Self {
        Self { plan, party, form, epochs: Vec::new() }
    }

    /// Values [rows, epochs x latents] of the first `epochs` codes of each of `rows`, training records all of them.
    pub fn of(&self, rows: &[u32], epochs: usize) -> Vec<f32> {
        let latents = self.form.latents();
        let mut values = Vec::with_capacity(rows.len() * epochs * latents);
        for row in rows {
            let at = *row as usize * latents;
            self.epochs[..epochs].iter().for_each(|epoch| values.extend_from_slice(&epoch[at..at + latents]));
        }
        values
    }
}

impl Observer for KeptCodes {
    fn encoded(&mut self, rows: RowSelection, codes: &[PackedCodes]) {
        let RowSelection::Batch { epoch, .. } = rows else { return };
        let (form, records) = (self.form, self.plan.records());
        let signs = codes[self.party].to_signs();
        let values = form.decode(&signs);
        self.epochs.resize(epoch as usize + 1, vec![0.0; records * form.latents()]);
        // Unwrap safety: these very rows were encoded just now.
        let numbers = self.plan.rows(rows).expect("rows of the plan");
        for (row, value) in numbers.iter().zip(values.chunks_exact(form.latents())) {
            let at = *row as usize * form.latents();
            self.epochs[epoch as usize][at..at + form.latents()].copy_from_slice(value);
        }
    }

    fn answered(&mut self, _: &InProcessParties<'_, PackedCodes>, _: &[Gradient]) {}
}
