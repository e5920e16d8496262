//! What a party that is away costs: the test metric with all parties' codes and without each one's, for top models that
//! were trained with and without party dropout.

use anyhow::Context;
use hashvfl_core::PartyName;
use hashvfl_core::settings::{RunSettings, Task};
use hashvfl_data::{Matrix, Preprocessing};
use hashvfl_files::say;
use hashvfl_learning::TopConfig;
use hashvfl_learning::encoder::{CutLayer, EncoderConfig};
use hashvfl_learning::top::loss::Labels;
use hashvfl_testbed::dataset::Dataset;
use hashvfl_testbed::digits::Digits;
use hashvfl_testbed::simulation::{SimulatedParty, simulate};

/// Rates that are tried.
const RATES: [f64; 3] = [0.0, 0.1, 0.3];

/// Prints the table: means over `seeds` splits and weights.
pub fn tell(credit: &Dataset, seeds: u64) -> anyhow::Result<()> {
    let digits = Digits::load();
    say!("means over {seeds} seeds of the test metric: all parties, without the first, without the second");
    let names = ["first", "second"].map(PartyName::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    let on_digits = RunSettings {
        batch_rows: 64.into(),
        learning_rate: 0.01,
        ..RunSettings::new(names.clone(), Task::Multiclass, 32, 30)
    };
    let on_credit = RunSettings { learning_rate: 0.005, ..RunSettings::new(names, Task::Binary, 16, 15) };
    table("digits, halves, accuracy", &on_digits, &digits.halves.each_ref(), &digits.labels(), seeds)?;
    let columns: Vec<&Matrix> = credit.parties.iter().map(|party| &party.matrix).collect();
    table("credit-default, AUC", &on_credit, &columns, &credit.all_labels(), seeds)
}

fn table(
    what: &str,
    settings: &RunSettings,
    columns: &[&Matrix],
    labels: &Labels,
    seeds: u64,
) -> anyhow::Result<()> {
    say!("{what}");
    for rate in RATES {
        let mut sums = [0.0; 3];
        for seed in 0..seeds {
            let settings = RunSettings { party_dropout: rate, seed, ..settings.clone() };
            let side = |(number, columns)| SimulatedParty {
                columns,
                image: None,
                preprocessing: (Preprocessing::default(), None),
                encoder: EncoderConfig::default(),
                seed: 10 * seed + number,
            };
            let sides: Vec<SimulatedParty> = (1..).zip(columns.iter().copied()).map(side).collect();
            let found = simulate(&sides, labels, &settings, &TopConfig::default(), seed, CutLayer::Hash)?;
            let metrics = found.test.iter().chain(&found.without).map(|test| test.metric(settings.task));
            for (sum, metric) in sums.iter_mut().zip(metrics) {
                *sum += metric.context("the metric on test records is undefined")?;
            }
        }
        let [all, first, second] = sums.map(|sum| sum / seeds as f64);
        say!("  party_dropout {rate:.1}: {all:.4} {first:.4} {second:.4}");
    }
    Ok(())
}
