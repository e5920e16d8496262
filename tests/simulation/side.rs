//! A side of the run: its folder, and how its process ends before its time.

use std::collections::BTreeMap;
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
    /// Its machine loses power: what grew and was not forced to the disk is lost, or has become zeros.
    PowerLost,
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
    /// How much of files that grow was forced to the disk.
    synced: BTreeMap<PathBuf, u64>,
    /// One that is forced to the disk now: how long it is then is seen before anything else happens to a file.
    syncing: Option<PathBuf>,
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
        let (synced, syncing) = (BTreeMap::new(), None);
        let fate = Fate { folder, frozen, fault, next, synced, syncing, is_dead, is_full, deaths, struck };
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

    /// Its process is killed here, or its machine loses power.
    pub fn die(&self, place: String, ending: Ending) {
        self.fate().die(place, ending);
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
        self.measure();
        if effect == Effect::Grown {
            self.synced.entry(path.to_path_buf()).or_insert(0);
        }
        // What goes needs no room.
        if self.is_full && effect != Effect::Removed {
            return Outlook::Fails(ErrorKind::StorageFull);
        }
        if self.fault.is_some_and(|fault| fault.is_not_done(effect, path)) {
            return Outlook::NotDone;
        }
        let outlook = self.draw(effect, path);
        if effect == Effect::Synced && matches!(outlook, Outlook::Done) {
            self.syncing = Some(path.to_path_buf());
        }
        outlook
    }

    /// How long a file is that was forced to the disk.
    fn measure(&mut self) {
        if let Some(path) = self.syncing.take()
            && let Ok(metadata) = fs::metadata(&path)
        {
            self.synced.insert(path, metadata.len());
        }
    }

    fn draw(&mut self, effect: Effect, path: &Path) -> Outlook {
        match self.next {
            None => Outlook::Done,
            Some((0, ending)) => {
                self.next = None;
                let name = path.file_name().unwrap_or_default().display().to_string();
                // Names of checkpoints end in numbers that are drawn.
                let file = name.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or_default();
                let place = format!("before {effect:?} of {file}");
                match ending {
                    Ending::Killed | Ending::PowerLost => {
                        self.die(place, ending);
                        Outlook::Dies
                    }
                    Ending::DiskFull => {
                        self.is_full = true;
                        self.count(format!("disk full {place}"));
                        match effect {
                            Effect::Removed => Outlook::Done,
                            _ => Outlook::Fails(ErrorKind::StorageFull),
                        }
                    }
                }
            }
            Some((left, ending)) => {
                self.next = Some((left - 1, ending));
                Outlook::Done
            }
        }
    }

    fn die(&mut self, place: String, ending: Ending) {
        if self.is_dead {
            return;
        }
        self.measure();
        self.is_dead = true;
        copy(&self.folder, &self.frozen);
        if ending == Ending::PowerLost {
            self.lose_what_is_not_on_the_disk();
            // A party's answers since its last checkpoint may count once more, beside what was reserved.
            self.deaths += 1;
        }
        let what = if ending == Ending::PowerLost { "without power" } else { "killed" };
        self.count(format!("{what} {place}"));
    }

    /// Takes from the frozen folder what files that grow hold behind what was forced to the disk.
    fn lose_what_is_not_on_the_disk(&self) {
        for (path, length) in &self.synced {
            let Ok(name) = path.strip_prefix(&self.folder) else { continue };
            let Ok(file) = fs::File::options().write(true).open(self.frozen.join(name)) else { continue };
            let whole = file.metadata().unwrap().len();
            if whole <= *length {
                continue;
            }
            file.set_len(*length).unwrap();
            if self.deaths.is_multiple_of(2) {
                // Some file systems keep the length, and zeros in place of what was written.
                file.set_len(whole).unwrap();
            }
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
