//! `coordinator cancel`: ends the run of a config, whichever process holds it, and waits until that has obeyed.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use hashvfl_core::text::counted;
use hashvfl_files::{say, write_whole};

use crate::config::CoordinatorConfig;
use crate::state::StateFolder;

/// How often it is looked whether the process has obeyed.
const LOOK: Duration = Duration::from_millis(100);

/// Ends the run of `config`, and waits up to `limit_s` seconds until its process has obeyed. What the unfinished run has left in
/// the state folder stays, unless `fresh`.
///
/// # Errors
/// If the run has finished, no process works at it, or it does not end in time.
pub fn cancel(config: &CoordinatorConfig, fresh: bool, limit_s: u64) -> anyhow::Result<()> {
    let (run, state) = (&config.run_id, StateFolder::existing(&config.state));
    let finished = || {
        format!(
            "run {run} has finished, and its top model is {}: nothing is cancelled",
            state.top().display()
        )
    };
    ensure!(!state.is_finished(), finished());
    ensure!(
        state.is_worked_in()?,
        "no coordinator is working on run {run} (state folder {}): there is nothing to cancel. A coordinator that is \
         still reading its labels can be cancelled once it listens",
        config.state.display()
    );
    write_whole(&state.cancel_request(), b"cancel\n")?;
    let (began, limit) = (Instant::now(), Duration::from_secs(limit_s));
    loop {
        // In this order: whoever obeys removes the request first, and leaves the folder then.
        let (works, asked) = (state.is_worked_in()?, state.cancel_request().exists());
        if !works && !asked {
            break;
        }
        if !works {
            state.forget_cancel_request()?;
            ensure!(!state.is_finished(), finished());
            bail!("run {run} ended by itself: see the coordinator's log");
        }
        ensure!(
            began.elapsed() < limit,
            "run {run} has not ended within {limit_s} s (--timeout-s): the coordinator will end it between two \
             computations; to withdraw the request, remove {}",
            state.cancel_request().display()
        );
        sleep(LOOK);
    }
    let files = if fresh { Some(StateFolder::create(&config.state)?.throw_away()?) } else { None };
    match files {
        None => say!(
            "run {run} is cancelled; start the same command again to continue from its last checkpoint, or pass \
             --fresh to start over"
        ),
        Some(files) => {
            let (count, names) = (counted(files.len(), "file"), files.join(", "));
            say!("run {run} is cancelled; discarded {count} of it: {names}")
        }
    }
    Ok(())
}
