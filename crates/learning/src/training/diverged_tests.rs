//! A model whose outputs are no numbers gives no figures, and is not chosen by them.

use std::convert::Infallible;

use hashvfl_core::protocol::message::Command;
use hashvfl_core::{Digest, Gradient, PartyName, Plan, RowSelection, RunSettings, Task};

use super::{TrainingError, TrainingOptions, train};
use crate::device::Device;
use crate::top::classifier::{Classifier, TopConfig};
use crate::top::loss::Labels;
use crate::training::backend::{PartyBackend, SimulatedFloats};
use crate::training::saved::SavedTraining;

const BITS: usize = 4;

/// A party whose values are numbers in training batches alone.
struct Overflowing;

impl PartyBackend for Overflowing {
    type Embedding = SimulatedFloats;
    type Error = Infallible;

    fn encode(&mut self, rows: RowSelection, count: usize) -> Result<Vec<SimulatedFloats>, Infallible> {
        let value = if matches!(rows, RowSelection::Batch { .. }) { 0.5 } else { f32::INFINITY };
        let values = [value, 0.0, 0.0, 0.0].repeat(count);
        Ok(vec![SimulatedFloats(values)])
    }

    fn encode_synthetic(&mut self, _: u32) -> Result<Vec<SimulatedFloats>, Infallible> {
        Ok(Vec::new())
    }

    fn learn(&mut self, _: Vec<Gradient>) -> Result<(), Infallible> {
        Ok(())
    }

    fn carry_out(&mut self, _: Command) -> Result<(), Infallible> {
        Ok(())
    }

    fn is_time_to_save(&self, _: bool) -> bool {
        false
    }

    fn save(&mut self, _: SavedTraining) -> Result<(), Infallible> {
        Ok(())
    }

    fn freeze(&mut self) -> Result<Vec<Digest>, Infallible> {
        Ok(vec![Digest::of(b"frozen")])
    }
}

#[test]
fn outputs_that_are_no_numbers_end_a_run_on_validation_and_on_test_records() {
    let device = Device::flex();
    for (validation_fraction, epochs) in [(0.2, 3), (0.0, 2)] {
        let parties = vec![PartyName::new("bank").unwrap()];
        let settings =
            RunSettings { validation_fraction, ..RunSettings::new(parties, Task::Binary, BITS, epochs) };
        let mut plan = Plan::new(&settings, 100).unwrap();
        let labels = Labels::Classes { count: 2, index: (0..100).map(|row| row % 2).collect() };
        let top = TopConfig { hidden: Vec::new(), ..TopConfig::default() };
        let mut classifier = Classifier::of_run(&top, labels, &settings, &plan, 3, &device).unwrap();
        let options = TrainingOptions::default();
        let ended = train(&mut Overflowing, &settings, &mut plan, &mut classifier, options, &mut |_| {});
        // On validation records behind the first epoch, on test records behind the last.
        let expected = if validation_fraction > 0.0 { 1 } else { epochs };
        assert!(matches!(ended, Err(TrainingError::Diverged { epoch }) if epoch == expected));
    }
}
