//! A side of the run: its folder, and how its process ends before its time.

use std::fs;
use std::io::{Error, ErrorKind};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashvfl_files::effects::{Effect, observe};

use crate::Fault;

/// What a process unwinds with that is killed.
pub struct Killed;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Killed,
    /// Nothing can be written from there on.
    DiskFull,
}

/// What comes of something that a process does to a file.
enum Outlook {
    Done,
    NotDone,
    Fails(ErrorKind),
    Dies,
}

struct Fate {
    folder: PathBuf,
    /// The folder as it was when the process died.
    frozen: PathBuf,
    fault: Option<Fault>,
    /// So many effects later the process ends so.
    next: Option<(u32, Ending)>,
    is_dead: bool,
    is_full: bool,
    deaths: u64,
    /// What has ended processes, and was not told of yet.
    struck: Vec<String>,
}

/// A side, whose process may run on another thread.
#[derive(Clone)]
pub struct Side(Arc<Mutex<Fate>>);

impl Side {
    /// The side with that name, in its folder below `root`.
    pub fn new(root: &Path, name: &str, fault: Option<Fault>) -> Self {
        let (folder, frozen) = (root.join(name), root.join(format!("{name}.frozen")));
        let (next, is_dead, is_full, deaths, struck) = (None, false, false, 0, Vec::new());
        let fate = Fate { folder, frozen, fault, next, is_dead, is_full, deaths, struck };
        Self(Arc::new(Mutex::new(fate)))
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn folder(&self) -> PathBuf {
        self.fate().folder.clone()
    }

    /// Processes of it that ended before their time.
    pub fn deaths(&self) -> u64 {
        self.fate().deaths
    }

    /// Its process ends so many effects later.
    pub fn ends_after(&self, effects: u32, ending: Ending) {
        self.fate().next = Some((effects, ending));
    }

    /// Whether its process can write nothing.
    pub fn is_full(&self) -> bool {
        self.fate().is_full
    }

    /// What has ended its processes since it was asked last.
    pub fn take_struck(&self) -> Vec<String> {
        std::mem::take(&mut self.fate().struck)
    }

    /// Its process is killed here.
    pub fn die(&self, place: String) {
        self.fate().die(place);
    }

    /// Decides from now on what this thread's process does to files.
    pub fn observe(&self) {
        let side = self.clone();
        observe(Some(Box::new(move |effect: Effect, path: &Path| {
            let outlook = side.fate().outlook(effect, path);
            match outlook {
                Outlook::Done => Ok(true),
                Outlook::NotDone => Ok(false),
                Outlook::Fails(kind) => Err(Error::from(kind)),
                Outlook::Dies => resume_unwind(Box::new(Killed)),
            }
        })));
    }

    /// The process has ended, and nothing of it runs any more: the folder is as it was when it died.
    pub fn bury(&self) {
        let mut fate = self.fate();
        (fate.is_full, fate.next) = (false, None);
        if fate.is_dead {
            fate.is_dead = false;
            fs::remove_dir_all(&fate.folder).unwrap();
            copy(&fate.frozen, &fate.folder);
            fs::remove_dir_all(&fate.frozen).unwrap();
        }
    }
}

impl Fate {
    fn outlook(&mut self, effect: Effect, path: &Path) -> Outlook {
        if self.is_dead {
            // What unwinds does nothing more.
            return Outlook::Fails(ErrorKind::BrokenPipe);
        }
        if self.is_full {
            return Outlook::Fails(ErrorKind::StorageFull);
        }
        if self.fault.is_some_and(|fault| fault.is_not_done(effect, path)) {
            return Outlook::NotDone;
        }
        match self.next {
            None => Outlook::Done,
            Some((0, ending)) => {
                self.next = None;
                let name = path.file_name().unwrap_or_default().display().to_string();
                // Names of checkpoints end in numbers that are drawn.
                let file = name.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or_default();
                let place = format!("before {effect:?} of {file}");
                match ending {
                    Ending::Killed => {
                        self.die(place);
                        Outlook::Dies
                    }
                    Ending::DiskFull => {
                        self.is_full = true;
                        self.count(format!("disk full {place}"));
                        Outlook::Fails(ErrorKind::StorageFull)
                    }
                }
            }
            Some((left, ending)) => {
                self.next = Some((left - 1, ending));
                Outlook::Done
            }
        }
    }

    fn die(&mut self, place: String) {
        if !self.is_dead {
            self.is_dead = true;
            copy(&self.folder, &self.frozen);
            self.count(format!("killed {place}"));
        }
    }

    fn count(&mut self, what: String) {
        self.deaths += 1;
        let name = self.folder.file_name().unwrap_or_default().display().to_string();
        self.struck.push(format!("{name}: {what}"));
    }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        match path.is_dir() {
            true => copy(&path, &to),
            false => {
                fs::copy(&path, &to).unwrap();
            }
        }
    }
}
