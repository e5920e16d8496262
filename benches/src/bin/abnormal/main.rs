//! Which detectors see which abnormal inputs, and how often they err on normal ones.
//!
//! ```text
//! data -> federation (trained here) -> what each side sees of training, calibration and test rows
//!                                        fit detectors    p-values      normal, and one set per kind of abnormal
//! ```
//!
//! Detectors and their default combination see only normal rows; the same serve all kinds.

mod backdoor;
mod benchmark;
mod choose;
mod data;
mod federation;
mod kdd;
mod kinds;
mod measure;
mod scores;
mod screening;
mod sources;
mod table;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use crate::backdoor::Poisoned;
use crate::benchmark::DetectorBenchmark;
use crate::data::{Name, Set};
use crate::federation::Federation;
use crate::kdd::DetectorFigures;
use crate::scores::Fitted;
use crate::table::Row;
use hashvfl_files::say;

/// Measures detectors of abnormal inputs and writes abnormal.html.
#[derive(Debug, Parser)]
#[command(name = "abnormal", version)]
struct Arguments {
    /// The data.
    #[arg(value_enum, default_value = "digits")]
    dataset: Name,
    /// Folder with `credit-default/`, `mnist/` and `kdd99/`.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// IDX file of 28 x 28 images that are not digits, for mnist (`benches/python/photographs.py` makes one).
    #[arg(long, value_name = "FILE")]
    unlike: Option<PathBuf>,
    /// Folder that abnormal.html is written to.
    #[arg(long, value_name = "FOLDER", default_value = "out/abnormal")]
    out: PathBuf,
    /// Folder in which trained models are kept, and used again.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Bits of each party's code.
    #[arg(long, default_value_t = 16)]
    bits: usize,
    /// The most abnormal rows of a kind.
    #[arg(long, default_value_t = 2000)]
    rows: usize,
    /// The most training rows that detectors are fitted on. A run fits them on half of its calibration records
    #[arg(long, default_value_t = 20_000, value_name = "ROWS")]
    fit_rows: usize,
    /// Abnormal rows in a batch that is compared with itself, as a fraction of its normal rows.
    #[arg(long, default_value_t = 0.1)]
    strange: f64,
    /// Seeds, from --seed on, for which false alarms are counted; each trains a federation of its own.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Level at which they are counted.
    #[arg(long, default_value_t = 0.01)]
    level: f64,
    /// Skips the poisoned federation, which is trained separately.
    #[arg(long)]
    no_backdoor: bool,
    /// Shows what several sources flag together at --level when so few rows calibrate, and stops.
    #[arg(long, value_name = "ROWS")]
    few: Option<usize>,
    /// Shows how the default combinations are chosen, on normal records alone, and stops.
    #[arg(long)]
    choose: bool,
    /// Seed of splits, weights, detectors and abnormal rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Arguments {
    fn load(&self, seed: u64) -> anyhow::Result<Set> {
        Set::load(self.dataset, self.data.as_deref(), self.bits, seed)
    }

    /// The folder in which trained models are kept.
    fn kept(&self, seed: u64, what: &str) -> Option<PathBuf> {
        let name = format!("{:?}-{}-{seed}{what}", self.dataset, self.bits).to_lowercase();
        self.keep.as_ref().map(|folder| folder.join(name))
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let sections = match arguments.dataset {
        Name::Kdd99 => connections(&arguments)?,
        _ => federations(&arguments)?,
    };
    if arguments.choose || arguments.few.is_some() {
        return Ok(());
    }
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot create {}", arguments.out.display()))?;
    let title = format!("{:?}, {} bits per party", arguments.dataset, arguments.bits);
    let caveat = "Detectors were fitted and combined on normal rows alone. Small figures are 95 % bootstrap intervals.";
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let mut sections: Vec<(&str, String)> =
        sections.iter().map(|(name, html)| (name.as_str(), html.clone())).collect();
    let command = format!("<pre>abnormal {}</pre>", hashvfl_attack::report::escape(&command));
    sections.push(("How to reproduce these figures", command));
    let page = hashvfl_attack::report::sheet(
        "abnormal inputs",
        ["Detectors of abnormal inputs", &title, caveat],
        &sections,
    );
    let path = arguments.out.join("abnormal.html");
    hashvfl_files::write_whole(&path, page.as_bytes())?;
    say!("\nWritten: {}", path.display());
    Ok(())
}

type Sections = Vec<(String, String)>;

fn connections(arguments: &Arguments) -> anyhow::Result<Sections> {
    let folder = arguments.data.as_deref().context("name the folder that contains kdd99/ with --data")?;
    if arguments.choose {
        kdd::choose(folder, arguments.seed)?;
        return Ok(Vec::new());
    }
    if let Some(few) = arguments.few {
        kdd::sources(folder, arguments.seed, few, arguments.level)?;
        return Ok(Vec::new());
    }
    let found = kdd::run(folder, arguments.seed)?;
    let (mut all, mut distinct) = (Vec::new(), Vec::new());
    for DetectorFigures { name, all: of_all, distinct: of_distinct, micros, .. } in &found {
        let (name, side, micros) = (name.to_string(), "parties", *micros);
        all.push(Row { name: name.clone(), side, figures: of_all.clone(), micros });
        distinct.push(Row { name, side, figures: of_distinct.clone(), micros });
    }
    table::print("attacks, all test rows", &all);
    table::print("attacks, test rows without duplicates", &distinct);
    let mut means = String::from("<table><tbody>");
    for found in &found {
        say!(
            "{:<26} mean AUROC over {} types of attacks {:.3}",
            found.name,
            found.types,
            found.mean_over_types
        );
        means += &format!(
            "<tr><td>{}</td><td class=\"figure\">{:.3}</td></tr>",
            found.name, found.mean_over_types
        );
    }
    Ok(vec![
        ("All test rows".into(), table::section("attacks of the corrected test part", &all)),
        (
            "Without duplicates".into(),
            table::section("rows of the corrected test part that differ", &distinct),
        ),
        ("Mean AUROC over types of attacks".into(), means + "</tbody></table>"),
    ])
}

fn federations(arguments: &Arguments) -> anyhow::Result<Sections> {
    let mut sections = Vec::new();
    let mut alarms = String::new();
    for seed in arguments.seed..arguments.seed + arguments.seeds {
        say!("seed {seed}");
        let set = arguments.load(seed)?;
        let federation = Federation::train(&set, seed, arguments.kept(seed, "").as_deref())?;
        if arguments.choose {
            choose::choose(&federation, &Fitted::fit(&federation, seed, arguments.fit_rows)?.0, seed)?;
            continue;
        }
        let benchmark = DetectorBenchmark::fit(&federation, seed, arguments.fit_rows)?;
        if let Some(few) = arguments.few {
            benchmark.sources(arguments, few)?;
            continue;
        }
        alarms += &benchmark.false_alarms(arguments, seed)?;
        if seed > arguments.seed {
            continue;
        }
        sections.extend(benchmark.kinds(arguments)?);
        sections.push(("Slow drift".into(), benchmark.drift()?));
        sections.push(("Cost".into(), benchmark.cost()?));
        if !arguments.no_backdoor {
            let poisoned = Poisoned::new(arguments.load(seed)?, seed)?;
            let federation =
                Federation::train(&poisoned.set, seed, arguments.kept(seed, "-poisoned").as_deref())?;
            let benchmark = DetectorBenchmark::fit(&federation, seed, arguments.fit_rows)?;
            let html = screening::measure(&benchmark, &poisoned, &set, arguments.rows, arguments.strange)?;
            sections.push(("Backdoor".into(), html));
        }
    }
    let head = "<table><thead><tr><th>seed</th><th>detector</th><th class=\"figure\">flagged</th><th class=\"figure\">of</th>\
                <th class=\"figure\">share, %</th><th>interval of the count</th></tr></thead><tbody>";
    sections.insert(0, ("False alarms on normal rows".into(), format!("{head}{alarms}</tbody></table>")));
    Ok(sections)
}
