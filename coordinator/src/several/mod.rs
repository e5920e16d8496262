//! Several runs in one process: `coordinator --config A --config B`. Each works on a thread of its own, and one that fails,
//! finishes or is cancelled leaves the others as they are.

mod clashes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder};

use anyhow::anyhow;
use hashvfl_cli::RunExits;
use tracing::warn;

use crate::config::CoordinatorConfig;
use crate::training::cancellation::Cancelled;
use crate::training::shared_port::SharedPort;
use crate::training::{commit, is_cancelled, run_among_others};

/// Stack of a run's thread: as much as a main thread has.
const STACK_BYTES: usize = 8 << 20;

/// A config and the file that it was read from.
pub struct ConfigFile {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub config: CoordinatorConfig,
}

/// Whether one process can hold the runs of all of `files`.
///
/// # Errors
/// If two of them name the same run, place or monitor, or differ where they share a port.
pub fn check(files: &[ConfigFile]) -> anyhow::Result<()> {
    for (at, file) in files.iter().enumerate() {
        for before in &files[..at] {
            clashes::check(before, file)?;
        }
    }
    Ok(())
}

/// Runs the runs of all of `files` at the same time, as [`crate::training::run`] does with one; how each ended is said when it
/// does.
///
/// # Errors
/// If they clash, nobody can listen for their parties, or not all of them finish.
pub fn run(files: &[ConfigFile], json: bool, fresh: bool) -> anyhow::Result<()> {
    check(files)?;
    let ports = open_ports(files)?;
    let ends = Mutex::new(RunExits::default());
    let note = |run: &str, ended| ends.lock().unwrap_or_else(PoisonError::into_inner).note(run, ended);
    thread::scope(|scope| {
        for ConfigFile { config, .. } in files {
            let (port, run) = (ports.get(&config.listen), config.run_id.as_str());
            let work = move || note(run, hold(config, port, json, fresh));
            let started =
                Builder::new().name(run.to_string()).stack_size(STACK_BYTES).spawn_scoped(scope, work);
            if let Err(error) = started {
                note(run, Err(error.into()));
            }
        }
    });
    Ok(ends.into_inner().unwrap_or_else(PoisonError::into_inner).all()?)
}

/// A port for each `listen`.
fn open_ports(files: &[ConfigFile]) -> anyhow::Result<BTreeMap<SocketAddr, SharedPort>> {
    let mut sharing: BTreeMap<SocketAddr, Vec<&CoordinatorConfig>> = BTreeMap::new();
    for ConfigFile { config, .. } in files {
        sharing.entry(config.listen).or_default().push(config);
    }
    sharing.into_iter().map(|(listen, configs)| Ok((listen, SharedPort::open(&configs)?))).collect()
}

/// One run, to its end; its parties hear at the port that it has ended, and those that have not confirmed their models that these count.
fn hold(
    config: &CoordinatorConfig,
    port: Option<&SharedPort>,
    json: bool,
    fresh: bool,
) -> anyhow::Result<()> {
    let work = AssertUnwindSafe(|| run_among_others(config, port, json, fresh));
    let ended = catch_unwind(work).unwrap_or_else(|_| Err(anyhow!("it panicked, as is said above")));
    let why = match &ended {
        Err(error) if is_cancelled(error) => Cancelled.to_string(),
        _ => "the coordinator's log says how".to_string(),
    };
    let Some(port) = port else { return ended };
    // Where this one has failed, what its state folder says may be of another run.
    let answers = if ended.is_ok() { commit::answer_later(config, port) } else { Ok(false) };
    match answers {
        Ok(true) => return ended,
        Ok(false) => {}
        Err(error) => warn!("parties that ask whether the run has finished are not told: {error:#}"),
    }
    port.leave(&config.run_id, why);
    ended
}
