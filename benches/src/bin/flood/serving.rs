//! Predictions, undisturbed and flooded: a client asks for all records again and again. All codes are known from the first
//! pass on, so that the coordinator's own work is what is measured.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hashvfl_testbed::digits::Digits;
use hashvfl_testbed::federation;
use hashvfl_testbed::processes::{self, Configs, ServingFederation};

use crate::Arguments;
use crate::crowd::Crowd;
use crate::pair::{Pair, Used, change, log_bytes, write_federation};
use crate::stranger::{Stranger, Target};

/// Epochs of the run whose model predicts.
const EPOCHS: u32 = 10;
/// A pass takes about as long as so many epochs of a run.
const EPOCHS_PER_PASS: u32 = 20;
/// Longest wait until all strangers have come.
const GATHERING: Duration = Duration::from_secs(60);

/// One of the two.
struct Served {
    used: Used,
    predictions: String,
    seconds: f64,
    opened: u64,
    held_seconds: u64,
    failed: u64,
}

/// A pair over one trained federation; who is first changes from round to round.
pub fn measure(arguments: &Arguments, strangers: &[Stranger], round: usize) -> anyhow::Result<Pair> {
    let (out, configs) = write_federation(arguments, Target::Serving, EPOCHS)?;
    processes::run(&configs, |_| {})?;
    serve_all(&configs)?;
    let labels = Digits::load().label_table();
    let ids: String =
        labels.lines().filter_map(|line| line.split(',').next()).map(|id| format!("{id}\n")).collect();
    federation::write(&out.join("ids.csv"), &ids)?;
    let (quiet, flooded) = match round % 2 {
        0 => {
            let quiet = serve(arguments, &configs, &out, &[])?;
            (quiet, serve(arguments, &configs, &out, strangers)?)
        }
        _ => {
            let flooded = serve(arguments, &configs, &out, strangers)?;
            (serve(arguments, &configs, &out, &[])?, flooded)
        }
    };
    Ok(Pair {
        same: quiet.predictions == flooded.predictions,
        quiet: quiet.used,
        flooded: flooded.used,
        seconds: flooded.seconds,
        opened_per_second: flooded.opened as f64 / flooded.seconds,
        held: flooded.held_seconds as f64 / flooded.seconds,
        failed: flooded.failed,
    })
}

/// Adds to all configs that the records of the run are served.
fn serve_all(configs: &Configs) -> anyhow::Result<()> {
    let served = |of: &str, path: &str| {
        format!("\n[serve.{of}]\nformat = \"csv\"\npaths = [\"{path}\"]\nid = \"id\"\n")
    };
    change(&configs.coordinator, |text| text + &served("records", "labels.csv"))?;
    configs
        .parties
        .iter()
        .try_for_each(|(_, config)| change(config, |text| text + &served("columns", "table.csv")))
}

fn serve(
    arguments: &Arguments,
    configs: &Configs,
    out: &Path,
    strangers: &[Stranger],
) -> anyhow::Result<Served> {
    let serving = ServingFederation::start(configs)?;
    let (ids, answers) = (out.join("ids.csv"), out.join("answers.csv"));
    let log = out.join("coordinator/serving.log");
    serving.predict(&ids, &answers, &[])?;
    let crowd = Crowd::gather(strangers, arguments.times, serving.address, None);
    let began = Instant::now();
    while !crowd.is_whole() {
        ensure!(began.elapsed() < GATHERING, "not all strangers could connect: check `ulimit -n`");
        thread::sleep(Duration::from_millis(20));
    }
    let (began, opened, held_seconds) = (Instant::now(), crowd.opened(), crowd.held_seconds());
    let logged = log_bytes(&log);
    let before = serving.usage()[0].processor_s.context("the coordinator's processor time")?;
    for _ in 0..(arguments.epochs / EPOCHS_PER_PASS).max(1) {
        serving.predict(&ids, &answers, &[])?;
    }
    let usage = serving.usage()[0];
    let after = usage.processor_s.context("the coordinator's processor time")?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Served {
        used: Used {
            processor_s: after - before,
            peak_bytes: usage.peak_bytes.unwrap_or(0) as f64,
            log_per_second: (log_bytes(&log) - logged) as f64 / seconds,
        },
        predictions: std::fs::read_to_string(&answers).context("reading the predictions")?,
        seconds,
        opened: crowd.opened() - opened,
        held_seconds: crowd.held_seconds() - held_seconds,
        failed: crowd.failed(),
    })
}
