//! What a party's own check finds in codes, by how many records it has and which regressions: on credit card defaults, with
//! configs as `init` writes them.

mod kept;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{anyhow, ensure};
use clap::Parser;
use hashvfl_benches::first_configs::FirstConfigs;
use hashvfl_benches::observed::ObservedParties;
use hashvfl_benches::parties::{party, seeded};
use hashvfl_benches::tables::Name;
use hashvfl_coordinator::{labels, top_file};
use hashvfl_core::{Part, Plan};
use hashvfl_data::Matrix;
use hashvfl_files::say;
use hashvfl_leakage::check::{Leakage, MOST_RECORDS, ReleasedValues};
use hashvfl_leakage::regression::family::Effort;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::training::in_process::InProcessParties;
use hashvfl_learning::training::{self, TrainingOptions};
use hashvfl_party::prepare::Prepared;
use hashvfl_testbed::processes;

use crate::kept::KeptCodes;

/// The host is the first party.
const HOST: usize = 0;
const EFFORTS: [(Effort, &str); 3] =
    [(Effort::Quick, "closed forms"), (Effort::Check, "with trees"), (Effort::All, "with networks too")];

/// Trains once, and prints what the check of the host's codes finds.
#[derive(Debug, Parser)]
#[command(name = "own_check", version)]
struct Arguments {
    /// The folder that holds credit-default/.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    data: PathBuf,
    /// How many records the check has; once for each row.
    #[arg(long, value_delimiter = ',', default_value = "1000,2000,4000,6000")]
    records: Vec<usize>,
    /// Epochs whose codes are looked at together, beside one.
    #[arg(long, default_value_t = 16)]
    epochs: usize,
    /// Seed of splits, weights and noise.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    processes::main(|| run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut configs = FirstConfigs::write(&Name::CreditDefault.read(&arguments.data)?, folder.path(), &[])?;
    seeded(&mut configs.coordinator, &mut configs.parties, arguments.seed);
    say!("credit-default: {}", configs.describe());
    let (coordinator, host) = (&configs.coordinator, &configs.parties[HOST]);
    let labels = labels::load(coordinator)?.labels;
    let mut plan = Plan::new(&coordinator.run, labels.len())?;
    let mut classifier = top_file::new(coordinator, labels, &plan, &Device::flex())?;
    let parties = configs.parties.iter().map(|config| party(config, CutLayer::Hash));
    let parties = InProcessParties::hashed(parties.collect::<anyhow::Result<Vec<_>>>()?, plan.clone());
    let observer = KeptCodes::new(plan.clone(), HOST, host.code_form());
    let mut parties = ObservedParties { parties, observer };
    let options = TrainingOptions::of(&coordinator.top);
    training::train(&mut parties, &coordinator.run, &mut plan, &mut classifier, options, &mut |_| {})
        .map_err(|error| anyhow!("{error}"))?;

    let ObservedParties { parties, observer: kept } = parties;
    let prepared = Prepared::load(host)?;
    let positions: Vec<usize> =
        prepared.input().categories.iter().map(|categories| categories.column).collect();
    let columns = prepared.columns.into_matrix()?;
    let rows = plan.part(Part::CohortTrain);
    let heads = EFFORTS.map(|(_, name)| name).join(" | ");
    say!("\n| records | one code, {heads} | {} epochs, {heads} |", arguments.epochs);
    say!("|---|{}", "---|".repeat(2 * EFFORTS.len()));
    for records in &arguments.records {
        ensure!(*records <= rows.len(), "--records {records}: the run has {} training records", rows.len());
        let mut cells = Vec::new();
        for epochs in [1, arguments.epochs] {
            let released = of(kept.of(&rows[..*records], epochs), &columns, &positions, &rows[..*records]);
            for (effort, _) in EFFORTS {
                cells.push(explained(&released, effort, arguments.seed)?);
            }
        }
        say!("| {records} | {} |", cells.join(" | "));
    }
    let rows = &rows[..MOST_RECORDS.min(rows.len())];
    let encoded = parties.into_encoders().swap_remove(HOST).encode(columns.gather(rows), rows.len());
    let signs: Vec<f32> = encoded.iter().map(|value| if *value >= 0.0 { 1.0 } else { -1.0 }).collect();
    let frozen = of(host.code_form().decode(&signs).into_owned(), &columns, &positions, rows);
    let found = explained(&frozen, Effort::Check, arguments.seed)?;
    say!("\none code of the frozen bottom model, {} records, with trees: {found}", rows.len());
    Ok(())
}

fn of(values: Vec<f32>, columns: &Matrix, positions: &[usize], rows: &[u32]) -> ReleasedValues {
    let (columns, positions) = (columns.gather(rows), positions.to_vec());
    ReleasedValues { values, columns, positions, records: rows.len() }
}

/// Fraction of the variance of all columns that is explained, in per cent with its interval.
fn explained(released: &ReleasedValues, effort: Effort, seed: u64) -> anyhow::Result<String> {
    let found = Leakage::measure(released, effort, seed)?.explained;
    Ok(format!("{:.1} ({:.1} to {:.1})", 100.0 * found.value, 100.0 * found.low, 100.0 * found.high))
}
