//! Real tables: unordered files of numbers and categories, joined by key, in a federation of three processes.

mod credit;
mod files;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hashvfl_testbed::processes;

/// Trains on credit-default's raw.csv, cut in two, each party's records in an order of its own and some of them
/// missing, and prints the test AUC of each seed and its mean.
#[derive(Debug, Parser)]
#[command(name = "tables", version)]
struct Arguments {
    /// The folder that holds credit-default/.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Folder for the files of the federations; its old content is replaced if this program wrote it.
    #[arg(long, value_name = "FOLDER", default_value = "out/tables")]
    out: PathBuf,
    /// Seeds: of what is missing, the orders, splits and weights.
    #[arg(long, value_delimiter = ',', default_value = "0,1,2")]
    seeds: Vec<u64>,
    /// Fraction of the records that each party lacks.
    #[arg(long, default_value_t = 0.1)]
    missing: f64,
    /// Read every column as numbers, for comparison.
    #[arg(long)]
    numbers: bool,
}

fn main() -> ExitCode {
    processes::main(|| credit::run(&Arguments::parse()))
}
