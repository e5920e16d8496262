//! PCAT (Gao and Zhang 2023, "PCAT: Functionality and data stealing from split learning by pseudo-client attack", section 4,
//! algorithm 2): a substitute of the victim's bottom model learns through the top model as it is at each step of the run, on
//! auxiliary records with the labels of the step's batch. It begins late, once the top model has learned a little. What it
//! became is then inverted (section 4.2) by regressions on its own codes.
//!
//! The paper's last step, a search from each guess for columns that give the victim's code through the substitute, is left
//! out.

use hashvfl_core::random::{below, stream};
use hashvfl_learning::top::loss::Labels;

use crate::attacks::reconstruction::moment::Moment;
use crate::attacks::reconstruction::substitute::Substitute;

/// The attack while the run goes on.
pub struct Pcat<'a> {
    /// What learns.
    pub substitute: Substitute<'a>,
    alike: Alike,
}

impl<'a> Pcat<'a> {
    /// One whose substitute has learned nothing; `auxiliary` records can be encoded in the run.
    pub fn new(substitute: Substitute<'a>, auxiliary: &[u32], labels: &Labels, seed: u64) -> Self {
        Self { substitute, alike: Alike::new(auxiliary, labels, seed) }
    }

    /// An update at one step.
    pub fn learn(&mut self, moment: &Moment) {
        let rows = moment.last.known(self.alike.draw(moment.rows));
        if rows.is_empty() {
            return;
        }
        let codes = self.substitute.encode_batch(&rows);
        self.substitute.encoder.learn(moment.gradient(codes, &rows));
    }
}

/// Draws records with the labels of others. Where labels are numbers, any record is like any other.
struct Alike {
    classes: Vec<u32>,
    of_class: Vec<Vec<u32>>,
    seed: u64,
    drawn: u64,
}

impl Alike {
    /// Draws from `records`.
    fn new(records: &[u32], labels: &Labels, seed: u64) -> Self {
        let (count, classes) = match labels {
            Labels::Classes { count, index } => (*count, index.clone()),
            Labels::Real(values) => (1, vec![0; values.len()]),
        };
        let mut of_class = vec![Vec::new(); count];
        records.iter().for_each(|record| of_class[classes[*record as usize] as usize].push(*record));
        Self { classes, of_class, seed, drawn: 0 }
    }

    /// A record for each of `rows`, except where none has its label.
    fn draw(&mut self, rows: &[u32]) -> Vec<u32> {
        let mut rng = stream(self.seed, "records of the same labels", &[self.drawn]);
        self.drawn += 1;
        let pools = rows.iter().map(|row| &self.of_class[self.classes[*row as usize] as usize]);
        pools.filter(|pool| !pool.is_empty()).map(|pool| pool[below(&mut rng, pool.len())]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_records_have_the_labels_of_the_batch() {
        let labels = Labels::Classes { count: 3, index: vec![0, 1, 2, 0, 1, 2, 0] };
        let mut alike = Alike::new(&[3, 4, 6], &labels, 0);
        for _ in 0..20 {
            let drawn = alike.draw(&[0, 1, 2, 0]);
            // No record that may be drawn has label 2.
            assert!(matches!(drawn[..], [3 | 6, 4, 3 | 6]), "{drawn:?}");
        }
        assert_eq!(Alike::new(&[1], &Labels::Real(vec![0.5; 2]), 0).draw(&[0, 1]), [1, 1]);
    }
}
