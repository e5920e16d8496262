//! `cargo run --release`: a real federation on real data, and what it cost and gave.
//!
//! ```text
//! digits (8 x 8 pixels) --- left half  --> party "left"  ---codes--.
//!                      `--- right half --> party "right" ---codes--+--> coordinator (labels)
//! ```
//!
//! Three processes of the operating system talk gRPC over loopback; they share no memory, and no files but
//! their own configs. Baselines run in this process: each party alone, and the same network without hashing.

mod baseline;
mod chart;
mod files;
mod privacy;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use hashvfl_coordinator::progress::Event;
use hashvfl_files::say;
use hashvfl_testbed::digits::Digits;
use hashvfl_testbed::federation::fresh_folder;
use hashvfl_testbed::processes;
use indicatif::{ProgressBar, ProgressStyle};

use crate::baseline::Model;
use crate::report::Report;

/// Trains one model on the two halves of handwritten digits, held by two parties that send only hash codes.
///
/// Starts a coordinator and two parties as processes of their own, over gRPC on loopback, and compares the
/// result with each party alone and with the same network without hashing.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Arguments {
    /// Folder for everything that the demo writes. Its content is replaced if an earlier demo wrote it.
    #[arg(long, value_name = "FOLDER", default_value = "out/demo")]
    out: PathBuf,
    /// Seed of splits, batches and weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Bits of each party's code.
    #[arg(long, default_value_t = 32)]
    bits: usize,
}

fn main() -> ExitCode {
    processes::main(|| demo(&Arguments::parse()))
}

fn demo(arguments: &Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    let digits = Digits::load();
    let out = fresh_folder(&arguments.out, "demo")?;
    say!(
        "{} handwritten digits: one party holds the left halves, another the right halves,",
        digits.records()
    );
    say!(
        "and the coordinator the labels. Each runs in its own process; parties send codes of {} bits.",
        arguments.bits
    );

    let tuning = bar((Model::ALL.len() * baseline::RATES.len()) as u64, "tuning  ");
    let tuned = baseline::tune(&digits, arguments.bits, arguments.seed, &mut || tuning.inc(1))?;
    tuning.finish();

    let settings = baseline::settings(arguments.bits, arguments.seed, tuned.federation_rate);
    let configs = files::write_federation(&out, &digits, &settings, arguments.seed)?;
    let training = bar(u64::from(settings.epochs), "training");
    let summary = processes::run(&configs, |event| match event {
        Event::Epoch(report) => {
            training.inc(1);
            if let Some(accuracy) = report.validation.and_then(|validation| validation.accuracy) {
                let line = format!("validation accuracy {:.1} %", accuracy * 100.0);
                // Where there is no terminal, a line now and then instead of a bar.
                if training.is_hidden() && report.epoch % 10 == 0 {
                    say!("epoch {}: {line}", report.epoch);
                }
                training.set_message(line);
            }
        }
        Event::Listening { .. }
        | Event::Joined { .. }
        | Event::Left { .. }
        | Event::Start { .. }
        | Event::Phase { .. }
        | Event::Finished { .. } => {}
    })?;
    training.finish();

    let attacked = privacy::attack(&out, &configs, &summary, arguments.seed)?;
    let report = Report::new(summary, tuned, began.elapsed().as_secs_f64());
    report.print();
    privacy::print(&attacked);
    report.write(&out.join("summary.json"))?;
    chart::draw(&report.federation.epochs, &out.join("curve.svg"))?;
    say!("\nRead next: {}/attacks/report.html, then docs/tutorial/two-organisations.md", out.display());
    Ok(())
}

/// A progress bar; hidden where standard error is no terminal.
fn bar(length: u64, name: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {elapsed} {msg}");
    let bar = ProgressBar::new(length).with_prefix(name);
    // Unwrap safety: the template is a constant.
    bar.set_style(style.expect("a valid template").progress_chars("=> "));
    bar
}
