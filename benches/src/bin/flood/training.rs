//! A run, undisturbed and flooded. Strangers begin to come when training does; the window begins with the end of the first
//! epoch by which all of them have come, and ends with the last epoch.

use std::time::Instant;

use anyhow::{Context, ensure};
use hashvfl_coordinator::progress::Event;
use hashvfl_core::PartyName;
use hashvfl_testbed::processes::{self, ProcessUsage};

use crate::Arguments;
use crate::crowd::Crowd;
use crate::foreign;
use crate::pair::{PARTIES, Pair, Used, log_bytes, write_federation};
use crate::stranger::Stranger;

/// How far a coordinator was at the end of an epoch.
struct Sample {
    at: Instant,
    processor_s: f64,
    log_bytes: u64,
    opened: u64,
    held_seconds: u64,
    failed: u64,
    /// Whether all strangers had come.
    is_whole: bool,
}

/// A run.
struct Run {
    losses: Vec<f64>,
    samples: Vec<Sample>,
    peak_bytes: f64,
}

/// A pair of runs; who is first changes from round to round.
pub fn measure(arguments: &Arguments, strangers: &[Stranger], round: usize) -> anyhow::Result<Pair> {
    let (quiet, flooded) = match round % 2 {
        0 => {
            let quiet = run(arguments, strangers[0], &[])?;
            (quiet, run(arguments, strangers[0], strangers)?)
        }
        _ => {
            let flooded = run(arguments, strangers[0], strangers)?;
            (run(arguments, strangers[0], &[])?, flooded)
        }
    };
    let first = flooded.samples.iter().position(|sample| sample.is_whole);
    let epochs = flooded.samples.len().min(quiet.samples.len());
    let first = first.filter(|first| *first < epochs / 2).context(
        "not all strangers had connected by the middle of the run: raise --epochs, and check `ulimit -n`",
    )?;
    let (begin, end) = (&flooded.samples[first], &flooded.samples[epochs - 1]);
    let seconds = (end.at - begin.at).as_secs_f64();
    Ok(Pair {
        quiet: quiet.used(first, epochs),
        flooded: flooded.used(first, epochs),
        seconds,
        opened_per_second: (end.opened - begin.opened) as f64 / seconds,
        held: (end.held_seconds - begin.held_seconds) as f64 / seconds,
        failed: end.failed,
        same: quiet.losses == flooded.losses,
    })
}

impl Run {
    /// What the coordinator used from the end of one epoch to that of the last of `epochs`.
    fn used(&self, first: usize, epochs: usize) -> Used {
        let (begin, end) = (&self.samples[first], &self.samples[epochs - 1]);
        let log_bytes = (end.log_bytes - begin.log_bytes) as f64;
        Used {
            processor_s: end.processor_s - begin.processor_s,
            peak_bytes: self.peak_bytes,
            log_per_second: log_bytes / (end.at - begin.at).as_secs_f64(),
        }
    }
}

/// A run of a federation for the target of `kind`, to which `strangers` come.
fn run(arguments: &Arguments, kind: Stranger, strangers: &[Stranger]) -> anyhow::Result<Run> {
    let (out, configs) = write_federation(arguments, kind.target(), arguments.epochs)?;
    let foreign = match strangers.contains(&Stranger::ForeignCertificate) {
        true => Some(foreign::connector(&out, &PartyName::new(PARTIES[0])?)?),
        false => None,
    };
    let log = out.join("coordinator/coordinator.log");
    let (mut address, mut crowd, mut samples) = (None, None, Vec::new());
    let (summary, used) = processes::run_observed(&configs, |event, used| match event {
        Event::Listening { address: listening } => address = Some(*listening),
        Event::Start { .. } if !strangers.is_empty() => {
            crowd =
                address.map(|address| Crowd::gather(strangers, arguments.times, address, foreign.as_ref()));
        }
        Event::Epoch(_) => samples.push(Sample {
            at: Instant::now(),
            processor_s: used[0].processor_s.unwrap_or(f64::NAN),
            log_bytes: log_bytes(&log),
            opened: crowd.as_ref().map_or(0, Crowd::opened),
            held_seconds: crowd.as_ref().map_or(0, Crowd::held_seconds),
            failed: crowd.as_ref().map_or(0, Crowd::failed),
            is_whole: crowd.as_ref().is_some_and(Crowd::is_whole),
        }),
        _ => {}
    })?;
    ensure!(!samples.is_empty(), "a run without an epoch");
    let peak = used.first().and_then(|ProcessUsage { peak_bytes, .. }| *peak_bytes);
    let losses = summary.epochs.iter().map(|epoch| epoch.train_loss).collect();
    Ok(Run { losses, samples, peak_bytes: peak.unwrap_or(0) as f64 })
}
