//! Where a process writes down how it is, and where others read it: a person at its terminal, and whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use hashvfl_transport::monitor::{Monitor, MonitorAddress, Page, Pages};

use crate::curve::{Curve, Point};
use crate::metrics;
use crate::progress::ProgressLine;
use crate::status::Status;

/// A process's status, to be read at the address of its config, if it names one.
pub struct Board {
    shown: Arc<Shown>,
    monitor: Option<Monitor>,
    /// For a person at the terminal; it goes with the board.
    _line: Option<ProgressLine>,
}

impl Board {
    /// A board with this status, to be read at `address`.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn open(address: Option<&MonitorAddress>, status: Status) -> anyhow::Result<Self> {
        let shown = Arc::new(Shown { status: Arc::new(Mutex::new(status)), curve: Mutex::default() });
        let monitor = match address {
            Some(address) => {
                let monitor = Monitor::start(address, Arc::clone(&shown));
                Some(monitor.with_context(|| format!("cannot listen on {address} (monitor)"))?)
            }
            None => None,
        };
        Ok(Self { shown, monitor, _line: None })
    }

    /// The same, with a line for a person where standard error is a terminal.
    pub fn with_progress_line(self) -> Self {
        let status = Arc::clone(&self.shown.status);
        Self { _line: ProgressLine::start(status), ..self }
    }

    /// The status, to change. Nobody reads it meanwhile.
    pub fn status(&self) -> MutexGuard<'_, Status> {
        lock(&self.shown.status)
    }

    /// Adds an epoch to the curve.
    pub fn add_epoch(&self, point: Point) {
        lock(&self.shown.curve).add(point);
    }

    /// Says whether predictions are answered.
    pub fn set_ready(&self, ready: bool) {
        self.status().ready = ready;
        if let Some(monitor) = &self.monitor {
            monitor.set_ready(ready);
        }
    }
}

fn lock<T>(shown: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock was held leaves figures of which each is right.
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is to be seen.
struct Shown {
    status: Arc<Mutex<Status>>,
    curve: Mutex<Curve>,
}

impl Pages for Shown {
    fn page(&self, path: &str) -> Option<Page> {
        let (media_type, text) = match path {
            "/" => ("text/html; charset=utf-8", include_str!("page/page.html").to_string()),
            "/page.css" => ("text/css; charset=utf-8", include_str!("page/page.css").to_string()),
            "/page.js" => ("text/javascript; charset=utf-8", include_str!("page/page.js").to_string()),
            "/status" => ("application/json", serde_json::to_string(&*lock(&self.status)).ok()?),
            "/curve" => ("application/json", serde_json::to_string(lock(&self.curve).points()).ok()?),
            "/metrics" => (metrics::MEDIA_TYPE, metrics::text(&lock(&self.status))),
            _ => return None,
        };
        Some(Page { media_type, text })
    }
}
