//! Transcripts of either side: how long they stay, and what is said of those of runs that have not finished.

use std::path::Path;
use std::time::SystemTime;

use hashvfl_core::text::counted;
use hashvfl_files::{FolderLock, say};
use hashvfl_transcript::{Expiry, TranscriptSpool};
use tracing::{info, warn};

/// Says that the steps of a run that has not finished stay: they become a transcript, or go, when it ends.
pub fn tell_unfinished(transcript: &Path) {
    let unfinished = TranscriptSpool::unfinished(transcript);
    if unfinished.exists() {
        say!(
            "{} holds what an unfinished run saw, also of these records: erase again when the run has ended, or \
             discard the run with --fresh",
            unfinished.display()
        );
    }
}

/// Removes the transcript of the state folder `state` if it is older than `days`, and what an unfinished run has kept of one.
/// Without `days` it stays.
///
/// # Errors
/// If one cannot be looked at or removed.
pub fn expire(transcript: &Path, state: &Path, days: Option<u32>) -> anyhow::Result<()> {
    let Some(days) = days else { return Ok(()) };
    let now = SystemTime::now();
    tell("the transcript", days, hashvfl_transcript::expire(transcript, days, now)?);
    // A run that goes on writes to it.
    if !FolderLock::is_taken(state)? {
        let expiry = hashvfl_transcript::expire_unfinished(transcript, days, now)?;
        tell("the transcript of a run that has not finished", days, expiry);
    }
    Ok(())
}

/// Says so where `erase` was asked for nothing: it got no list, and no `days` after which a transcript goes.
pub fn tell_nothing_asked(days: Option<u32>) {
    if days.is_none() {
        say!("nothing to erase: pass --ids FILE, or set transcript_days in the config");
    }
}

/// Says what became of `what`.
fn tell(what: &str, days: u32, expiry: Expiry) {
    match expiry {
        Expiry::Removed => info!("{what} was older than transcript_days = {days} and has been removed"),
        Expiry::Ahead { days: ahead } => warn!(
            "the time stamp of {what} is {} ahead of this machine's clock: transcript_days = {days} counts from the \
             first command that noticed this",
            counted(ahead, "day")
        ),
        Expiry::Absent | Expiry::Kept => {}
    }
}
