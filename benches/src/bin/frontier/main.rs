//! Task performance and leakage for each form of what parties send: one table and one picture per data set.
//!
//! ```text
//! data set -> configs as `init` writes them -> each seed -> each form: trained and attacked -> rows -> table, picture, JSON
//! ```
//!
//! Training, splits and adversary are the same for all forms of a seed, and the metric is that of the run that is attacked
//! ([`hashvfl_attack::frontier`]).

mod data;
mod form;
mod page;
mod records;
mod row;
mod scores;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use hashvfl_attack::AttackConfig;
use hashvfl_attack::frontier::{FrontierForm, MeasuredForm, measure};
use hashvfl_attack::report::CutKind;
use hashvfl_benches::first_configs::{FirstConfigs, Setting};
use hashvfl_benches::parties::seeded;
use hashvfl_core::{PartyName, RunSettings};
use hashvfl_files::say;
use hashvfl_testbed::processes;

use crate::data::Data;
use crate::form::Words;
use crate::row::{Frontier, Row};

/// Trains and attacks forms of codes by one adversary, and writes a table, a picture and frontier.json.
#[derive(Debug, Parser)]
#[command(name = "frontier", version)]
struct Arguments {
    /// The data set.
    #[arg(value_enum, default_value = "digits")]
    data_set: Data,
    /// The folder that holds credit-default/, adult/, vehicle/, kdd99/ and mnist/, as far as they are asked for.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// A form in place of the usual ones; once for each. 16x1: 16 signs; 2x3,noise=0.1: two latents of three bits;
    /// 16x4,victim=1x5,noise=0.4,victim_noise=0.1: a code and noise of its own for the party that is attacked; 16x1,epochs=8,cycles=2: a shorter
    /// run; 16x1,cohort=0.2: encode-once; 16x1,epsilon=2: randomised response; 16x1,floats and 16x1,one-bit: what is simulated.
    #[arg(long = "form", value_name = "FORM")]
    forms: Vec<Words>,
    /// Seeds, each of splits, weights, noise and attacks.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Epochs; by default those of the configs.
    #[arg(long)]
    epochs: Option<u32>,
    /// A key of the configs and a value in TOML, in place of what `init` or the preset writes: top.validate="last-cycle". Once for each;
    /// a form's own words come after it.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Setting>,
    /// For a first look: few forms, and regressions in closed form alone, whose figures are lower.
    #[arg(long)]
    quick: bool,
    /// Also measures codes as scores of the label, where there are two classes: what one code tells of the label without any label,
    /// what gradients tell their party of labels, and who can copy a code.
    #[arg(long)]
    scores: bool,
    /// The folder for frontier.html and frontier.json.
    #[arg(long, value_name = "FOLDER", default_value = "out/frontier")]
    out: PathBuf,
}

impl Arguments {
    /// The form of `words`. Its codes are scores where all records are in the cohort and an encoder makes them.
    fn form(&self, words: &Words, run: &RunSettings, victim: &PartyName) -> FrontierForm {
        let form = words.form(run, victim);
        let is_score = !form.run.encodes_once() && form.cut != CutKind::SimulatedQuantised;
        FrontierForm { as_score: self.scores && is_score, ..form }
    }
}

fn main() -> ExitCode {
    processes::main(|| run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut configs = arguments.data_set.configs(arguments.data.as_deref(), folder.path(), &arguments.set)?;
    if let Some(epochs) = arguments.epochs {
        configs.coordinator.run.epochs = epochs;
    }
    let words = match arguments.forms.as_slice() {
        [] => {
            let usual = arguments.data_set.forms(arguments.quick);
            usual
                .iter()
                .map(|form| form.parse())
                .collect::<Result<Vec<Words>, _>>()
                .map_err(anyhow::Error::msg)?
        }
        asked => asked.to_vec(),
    };
    let mut runs: Vec<Vec<MeasuredForm>> = words.iter().map(|_| Vec::new()).collect();
    for seed in arguments.first_seed..arguments.first_seed + arguments.seeds {
        say!("seed {seed}");
        let measured = of_seed(arguments, &configs, &words, seed)?;
        runs.iter_mut().zip(measured).for_each(|(runs, measured)| runs.push(measured));
    }
    let first: Vec<f64> = runs[0].iter().map(|run| run.metric).collect();
    let rows = words.iter().zip(runs).map(|(words, runs)| Row::of(words, runs, &first)).collect();
    let frontier = Frontier {
        data: arguments
            .data_set
            .to_possible_value()
            .map(|value| value.get_name().to_string())
            .unwrap_or_default(),
        metric: configs.metric().to_string(),
        victim: configs.parties[arguments.data_set.roles()[0]].name.to_string(),
        seeds: (arguments.first_seed..arguments.first_seed + arguments.seeds).collect(),
        epochs: configs.coordinator.run.epochs,
        quick: arguments.quick,
        rows,
    };
    say!("\n{}", table::markdown(&frontier));
    frontier.failed_checks().iter().for_each(|failed| say!("did not hold: {failed}"));
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot create {}", arguments.out.display()))?;
    let write = |name: &str, bytes: &[u8]| hashvfl_files::write_whole(&arguments.out.join(name), bytes);
    write("frontier.json", &serde_json::to_vec_pretty(&frontier)?)?;
    write("frontier.html", page::html(&frontier).as_bytes())?;
    say!("Written: {0}/frontier.html, {0}/frontier.json", arguments.out.display());
    Ok(())
}

/// All forms, on the splits of one seed.
fn of_seed(
    arguments: &Arguments,
    configs: &FirstConfigs,
    words: &[Words],
    seed: u64,
) -> anyhow::Result<Vec<MeasuredForm>> {
    let (mut coordinator, mut parties) = (configs.coordinator.clone(), configs.parties.clone());
    seeded(&mut coordinator, &mut parties, seed);
    let [victim, own] = arguments.data_set.roles().map(|place| parties[place].name.clone());
    let forms: Vec<FrontierForm> =
        words.iter().map(|words| arguments.form(words, &coordinator.run, &victim)).collect();
    let config = AttackConfig {
        own: Some(own),
        quick: arguments.quick,
        seed,
        ..AttackConfig::new(PathBuf::new(), victim)
    };
    let folder = tempfile::tempdir()?;
    measure(coordinator, parties, &config, &forms, folder.path(), &mut |measured| {
        say!("  {}", table::line(measured));
    })
}
