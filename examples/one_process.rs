//! A whole federation in one process: to try settings, or to compare codes with floats, without a network.
//!
//!     cargo run --release -p hashvfl-examples --example one_process

use anyhow::Context;
use hashvfl_core::{PartyName, RunSettings, Task};
use hashvfl_data::Preprocessing;
use hashvfl_learning::TopConfig;
use hashvfl_learning::encoder::{CutLayer, EncoderConfig};
use hashvfl_testbed::digits::Digits;
use hashvfl_testbed::simulation::{SimulatedParty, simulate};

fn main() -> anyhow::Result<()> {
    let digits = Digits::load();
    let names = [PartyName::new("left")?, PartyName::new("right")?];
    // 16 bits per code, 10 epochs.
    let settings = RunSettings {
        learning_rate: 0.01,
        batch_rows: 64.into(),
        ..RunSettings::new(names.to_vec(), Task::Multiclass, 16, 10)
    };
    let sides: Vec<SimulatedParty> = digits
        .halves
        .iter()
        .zip(1..)
        .map(|(columns, seed)| SimulatedParty {
            columns,
            image: None,
            preprocessing: (Preprocessing::default(), None),
            encoder: EncoderConfig::default(),
            seed,
        })
        .collect();
    for (what, cut) in [("hash codes", CutLayer::Hash), ("floats", CutLayer::SimulatedFloat)] {
        let run = simulate(&sides, &digits.labels(), &settings, &TopConfig::default(), 0, cut)?;
        let accuracy = run.test.and_then(|test| test.accuracy).context("a test part and classes")?;
        println!("{what} at the cut: {:.1} % of test digits are right", accuracy * 100.0);
    }
    Ok(())
}
