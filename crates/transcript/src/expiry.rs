//! Transcripts that are older than they may be: whole ones, and those of runs that have not finished.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hashvfl_files::write_readable;

use crate::read::written;
use crate::spool::begun;
use crate::{TranscriptError, TranscriptSpool};

/// What became of a transcript that may be too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// There is none.
    Absent,
    /// It may still be kept.
    Kept,
    /// It was too old.
    Removed,
    /// By its time stamp it was begun in the future, so many days from now. Its days count from when that was first seen.
    Ahead {
        /// Whole days.
        days: u64,
    },
}

const DAY_S: u64 = 24 * 60 * 60;

/// Removes a transcript that was begun more than `days` ago by what is written in it. A file of an older program does not
/// say: its time of change counts, which erasing renews. Where the time is a day or more ahead of `now`, the days count from
/// the first time that this was seen, which is kept in a file beside it.
///
/// # Errors
/// If it cannot be looked at or removed, or that file cannot be written.
pub fn expire(path: &Path, days: u32, now: SystemTime) -> Result<Expiry, TranscriptError> {
    expire_file(path, &written, days, now)
}

/// The same for what an unfinished run has kept of the transcript that would be at `path`. No process may be at work on it.
///
/// # Errors
/// As [`expire`].
pub fn expire_unfinished(path: &Path, days: u32, now: SystemTime) -> Result<Expiry, TranscriptError> {
    expire_file(&TranscriptSpool::unfinished(path), &begun, days, now)
}

/// Removes the file at `path`, of which `begun` tells when it was begun, where that is too long ago.
fn expire_file(
    path: &Path,
    begun: &dyn Fn(&Path) -> Option<SystemTime>,
    days: u32,
    now: SystemTime,
) -> Result<Expiry, TranscriptError> {
    let io = |what| move |source| TranscriptError::Io { what, path: path.to_path_buf(), source };
    let changed = match fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            forget_ahead(path);
            return Ok(Expiry::Absent);
        }
        changed => changed.map_err(io("read"))?,
    };
    let begun = begun(path).unwrap_or(changed);
    let ahead = begun.duration_since(now).unwrap_or_default().as_secs();
    // Clocks differ by seconds.
    let is_ahead = ahead >= DAY_S;
    let since = if is_ahead { first_seen_ahead(path, begun, now)? } else { begun };
    if now.duration_since(since).unwrap_or_default() > Duration::from_secs(u64::from(days) * DAY_S) {
        fs::remove_file(path).map_err(io("remove"))?;
        forget_ahead(path);
        return Ok(Expiry::Removed);
    }
    if is_ahead {
        return Ok(Expiry::Ahead { days: ahead / DAY_S });
    }
    forget_ahead(path);
    Ok(Expiry::Kept)
}

/// When it was first seen that the file at `path` was begun ahead of the clock, at `begun`: now, unless that is kept.
fn first_seen_ahead(path: &Path, begun: SystemTime, now: SystemTime) -> Result<SystemTime, TranscriptError> {
    let place = ahead_file(path);
    let stamp = seconds(begun);
    let kept = fs::read_to_string(&place).ok().and_then(|text| {
        let (of, seen) = text.trim().split_once(' ')?;
        // Of another transcript, or of a clock that was ahead itself, it says nothing.
        let is_of_it = of.parse::<u64>().ok()? == stamp;
        UNIX_EPOCH
            .checked_add(Duration::from_secs(seen.parse().ok()?))
            .filter(|seen| is_of_it && *seen <= now)
    });
    if let Some(seen) = kept {
        return Ok(seen);
    }
    write_readable(&place, format!("{stamp} {}\n", seconds(now)).as_bytes())?;
    Ok(now)
}

fn forget_ahead(path: &Path) {
    // Absent where nothing was ever ahead.
    let _ = fs::remove_file(ahead_file(path));
}

/// The file beside the one at `path` that says when it was first seen to be ahead: two numbers of seconds since 1970.
fn ahead_file(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".ahead");
    name.into()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
