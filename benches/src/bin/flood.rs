//! What strangers cost a run: the same federation over TLS, left alone and while its port is flooded, in turn.
//!
//! Each kind of flood is what anybody can do who reaches the port: connections that say nothing, greetings that stop half
//! way, and bytes one at a time. They begin when all parties have joined.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use hashvfl_coordinator::progress::Event;
use hashvfl_coordinator::summary::Summary;
use hashvfl_core::PartyName;
use hashvfl_core::settings::{RunSettings, Task};
use hashvfl_data::{CsvLabels, LabelsSource, Preprocessing};
use hashvfl_files::say;
use hashvfl_learning::{EncoderConfig, TopConfig};
use hashvfl_testbed::dataset::csv;
use hashvfl_testbed::digits::Digits;
use hashvfl_testbed::federation::{self, CoordinatorSide, PartySide, fresh_folder, home};
use hashvfl_testbed::processes::{self, Configs, Usage};
use hashvfl_testbed::statistics::median;

/// The first bytes of a TLS greeting of 512 bytes, whose rest does not come.
const HALF_GREETING: [u8; 6] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];

/// Measures what a flood costs a run.
#[derive(Debug, Parser)]
#[command(name = "flood", version)]
struct Arguments {
    /// Connections that say nothing, held open or opened again.
    #[arg(long, default_value_t = 5000)]
    silent: usize,
    /// Connections whose greeting stops half way.
    #[arg(long, default_value_t = 1000)]
    half: usize,
    /// Connections that send a byte a second.
    #[arg(long, default_value_t = 100)]
    slow: usize,
    /// Connections opened each second where others have been closed.
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// Epochs of the run.
    #[arg(long, default_value_t = 400)]
    epochs: u32,
    /// Runs of each kind, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Folder for everything that is written.
    #[arg(long, value_name = "FOLDER", default_value = "out/flood")]
    out: PathBuf,
}

fn main() -> ExitCode {
    processes::main(|| measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let (mut times, mut memories) = (Vec::new(), Vec::new());
    for round in 1..=arguments.rounds {
        let (quiet, usual) = run(arguments, None)?;
        let flood = Flood::new(arguments);
        let (flooded, used) = run(arguments, Some(&flood))?;
        ensure!(quiet.epochs.len() == flooded.epochs.len(), "the flooded run has other epochs");
        let losses =
            |summary: &Summary| -> Vec<f64> { summary.epochs.iter().map(|epoch| epoch.train_loss).collect() };
        ensure!(losses(&quiet) == losses(&flooded), "the flooded run has learned something else");
        let seconds = [&usual, &used].map(|used| used.processor_s.unwrap_or(f64::NAN));
        let bytes = [&usual, &used].map(|used| used.peak_bytes.unwrap_or(0) as f64 / 1e6);
        say!(
            "round {round}: {} connections in {:.0} s; the coordinator's processor time {:.2} s, flooded {:.2} s; memory \
             {:.1} MB, flooded {:.1} MB",
            flood.opened.load(Ordering::Relaxed),
            flooded.seconds.run,
            seconds[0],
            seconds[1],
            bytes[0],
            bytes[1]
        );
        times.push(seconds[1] / seconds[0]);
        memories.push(bytes[1] - bytes[0]);
    }
    say!("processor time flooded to undisturbed, median: {:.3}", median(times));
    say!("memory above the usual, median: {:.1} MB", median(memories));
    Ok(())
}

/// Runs a federation; what the coordinator used.
fn run(arguments: &Arguments, flood: Option<&Flood>) -> anyhow::Result<(Summary, Usage)> {
    let out = fresh_folder(&arguments.out, "flood benchmark")?;
    let configs = write_federation(&out, arguments.epochs)?;
    let (mut address, mut joined) = (None, 0);
    let (summary, used) = thread::scope(|scope| {
        let result = processes::run_measured(&configs, |event| match event {
            Event::Listening { address: listening } => address = Some(*listening),
            Event::Joined { .. } => {
                joined += 1;
                if let (Some(flood), Some(address), 2) = (flood, address, joined) {
                    flood.begin(scope, address);
                }
            }
            _ => {}
        });
        if let Some(flood) = flood {
            flood.stop.store(true, Ordering::Relaxed);
        }
        result
    })?;
    Ok((summary, *used.first().context("the coordinator's usage")?))
}

fn write_federation(out: &Path, epochs: u32) -> anyhow::Result<Configs> {
    let digits = Digits::load();
    let parties = ["left", "right"].map(PartyName::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    for (half, name) in parties.iter().enumerate() {
        federation::write(&home(out, name.as_str())?.join("table.csv"), &digits.table(half))?;
    }
    federation::write(&home(out, "coordinator")?.join("labels.csv"), &digits.label_table())?;
    let run =
        RunSettings { batch_rows: 64.into(), ..RunSettings::new(parties, Task::Multiclass, 32, epochs) };
    let side = |seed| PartySide {
        columns: csv("table.csv", Vec::new()),
        preprocessing: Preprocessing::default(),
        encoder: EncoderConfig::default(),
        seed,
    };
    let labels = LabelsSource::Csv(CsvLabels {
        paths: vec!["labels.csv".into()],
        id: "id".into(),
        column: "digit".into(),
    });
    let coordinator = CoordinatorSide { labels, top: TopConfig::default(), seed: 0, transcript: false };
    federation::write_configs(out, "flood", &run, &[side(1), side(2)], &coordinator)
}

/// Strangers at a port.
struct Flood {
    silent: usize,
    half: usize,
    slow: usize,
    rate: u64,
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicU64>,
}

impl Flood {
    fn new(arguments: &Arguments) -> Self {
        let Arguments { silent, half, slow, rate, .. } = *arguments;
        Self { silent, half, slow, rate, stop: Arc::default(), opened: Arc::default() }
    }

    /// Floods `address` until it is stopped.
    fn begin<'scope>(&self, scope: &'scope thread::Scope<'scope, '_>, address: SocketAddr) {
        let all = self.silent + self.half + self.slow;
        for (count, kind) in
            [(self.silent, Stranger::Silent), (self.half, Stranger::Half), (self.slow, Stranger::Slow)]
        {
            if count == 0 {
                continue;
            }
            let pause = Duration::from_secs_f64(all as f64 / count as f64 / self.rate as f64);
            let (stop, opened) = (Arc::clone(&self.stop), Arc::clone(&self.opened));
            scope.spawn(move || hold(address, kind, count, pause, &stop, &opened));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stranger {
    Silent,
    Half,
    Slow,
}

/// Holds `count` connections, and opens another in the place of the oldest after each `pause`.
fn hold(
    address: SocketAddr,
    kind: Stranger,
    count: usize,
    pause: Duration,
    stop: &AtomicBool,
    opened: &AtomicU64,
) {
    let mut held = std::collections::VecDeque::new();
    let mut told = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        // Whoever is turned away is, which is the point.
        if let Ok(mut connection) = TcpStream::connect(address) {
            if kind == Stranger::Half {
                let _ = connection.write_all(&HALF_GREETING);
            }
            held.push_back(connection);
            opened.fetch_add(1, Ordering::Relaxed);
        }
        if held.len() > count {
            held.pop_front();
        }
        if kind == Stranger::Slow && told.elapsed() > Duration::from_secs(1) {
            told = Instant::now();
            for connection in &mut held {
                let _ = connection.write_all(&HALF_GREETING[..1]);
            }
        }
        thread::sleep(pause);
    }
}
