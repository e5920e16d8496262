//! Reports file operations before they happen to a simulation, which may let the process die there (`tests/simulation`).
//! Without the feature `simulation` nobody is told.

use std::io;
use std::path::Path;

#[cfg(feature = "simulation")]
pub use observed::{Observer, observe};

/// What is about to be done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It gets its name, whole, in place of a file that has it.
    Whole,
    /// It gets another name.
    Renamed,
    /// It goes.
    Removed,
    /// A record is appended to it.
    Grown,
    /// What was appended is forced to the disk.
    Synced,
    /// A ledger commits.
    Committed,
}

/// Tells whoever simulates this thread that `effect` on the file `path` comes next; whether it is to be done.
///
/// # Errors
/// If it is to fail.
#[cfg(feature = "simulation")]
pub fn before(effect: Effect, path: &Path) -> io::Result<bool> {
    observed::ask(effect, path)
}

/// Whether `effect` on the file `path` is to be done: always, where nobody simulates.
///
/// # Errors
/// None.
#[cfg(not(feature = "simulation"))]
#[inline]
pub fn before(_effect: Effect, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(feature = "simulation")]
mod observed {
    use std::cell::RefCell;
    use std::io;
    use std::path::Path;

    use super::Effect;

    /// Says whether an effect is to be done, or how it fails. It may unwind: the thread's process dies there.
    pub type Observer = Box<dyn FnMut(Effect, &Path) -> io::Result<bool>>;

    thread_local! {
        static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
    }

    /// Asks `observer` before each effect of this thread from now on; nobody where it is `None`.
    pub fn observe(observer: Option<Observer>) {
        OBSERVER.with(|current| *current.borrow_mut() = observer);
    }

    pub(super) fn ask(effect: Effect, path: &Path) -> io::Result<bool> {
        OBSERVER.with(|observer| match observer.borrow_mut().as_mut() {
            Some(observer) => observer(effect, path),
            None => Ok(true),
        })
    }
}
