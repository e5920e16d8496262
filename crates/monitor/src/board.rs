//! Where a process writes down how it is, and where others read it: a person at its terminal, and whoever asks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use hashvfl_core::PackedCodes;
use hashvfl_identity::{ExpiryTimes, IdentityConfig};
use hashvfl_transport::monitor::{AddressRange, Monitor, MonitorAddress, Page, Pages};
use serde::Serialize;

use crate::balance::BitBalance;
use crate::curve::{LearningCurve, Point};
use crate::flags::FlagHistory;
use crate::metrics;
use crate::progress::ProgressLine;
use crate::runs::read_runs;
use crate::status::{Status, now_s};

/// Entries of the audit trail that are shown.
const AUDIT_ENTRIES: usize = 20;
/// Least time between two looks at one side's bits, and at the identity's files.
const LOOK: Duration = Duration::from_secs(1);
const IDENTITY_LOOK: Duration = Duration::from_secs(10);

/// What of a config decides where a board is read, by whom, and what it shows beside the status.
#[derive(Debug, Clone, Default)]
pub struct BoardConfig {
    /// Where it is read; nowhere without.
    pub address: Option<MonitorAddress>,
    /// Who may read it there beside this machine.
    pub readers: Vec<AddressRange>,
    /// The log of the audit trail, whose last entries are shown.
    pub audit_log: Option<PathBuf>,
    /// The identity of which is shown until when it, its authority and its revocation list count.
    pub identity: Option<IdentityConfig>,
    /// The file of finished runs.
    pub runs: Option<PathBuf>,
    /// A privacy report, an HTML page that is a whole in itself.
    pub privacy_report: Option<PathBuf>,
}

/// A process's status, to be read at the address of its config, if it names one.
pub struct Board {
    shown: Arc<Shown>,
    monitor: Option<Monitor>,
    /// For a person at the terminal; it goes with the board.
    _line: Option<ProgressLine>,
}

impl Board {
    /// A board with this status, to be read where `config` says.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn open(config: BoardConfig, status: Status) -> anyhow::Result<Self> {
        let (address, readers) = (config.address.clone(), config.readers.clone());
        let shown = Arc::new(Shown {
            status: Arc::new(Mutex::new(status)),
            curve: Mutex::default(),
            flags: Mutex::default(),
            balances: Mutex::default(),
            ends: Mutex::default(),
            config,
        });
        let monitor = match address {
            Some(address) => {
                let monitor = Monitor::start(&address, readers, Arc::clone(&shown));
                Some(monitor.with_context(|| format!("cannot listen on {address} (key `monitor`)"))?)
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

    /// Counts records that detectors judged now.
    pub fn count_flags(&self, judged: u64, flagged: u64) {
        lock(&self.shown.flags).count(now_s(), judged, flagged);
    }

    /// Looks at the codes of `side` now and then: where somebody can read the board, once a second at most.
    pub fn look_at_codes(&self, side: &str, codes: &PackedCodes) {
        if self.monitor.is_none() {
            return;
        }
        let mut balances = lock(&self.shown.balances);
        let is_due = balances.get(side).is_none_or(|(_, looked)| looked.elapsed() >= LOOK);
        if is_due && let Some(balance) = BitBalance::of(codes) {
            balances.insert(side.to_string(), (balance, Instant::now()));
        }
    }

    /// Shows `balance` as that of the codes of `side`.
    pub fn set_balance(&self, side: &str, balance: BitBalance) {
        lock(&self.shown.balances).insert(side.to_string(), (balance, Instant::now()));
    }

    /// Says whether predictions are answered.
    pub fn set_ready(&self, ready: bool) {
        self.change_ready(|_| ready);
    }

    /// Changes the status, by something that says whether predictions are answered then. Of two changes at once the later counts,
    /// in the status and in the health.
    pub fn change_ready(&self, change: impl FnOnce(&mut Status) -> bool) {
        let mut status = self.status();
        let ready = change(&mut status);
        status.ready = ready;
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
    curve: Mutex<LearningCurve>,
    flags: Mutex<FlagHistory>,
    /// By side, with the moment of the last look.
    balances: Mutex<BTreeMap<String, (BitBalance, Instant)>>,
    /// When the identity's files were read last, and until when they count.
    ends: Mutex<Option<(Instant, ExpiryTimes)>>,
    config: BoardConfig,
}

/// An entry of the audit trail.
#[derive(Serialize)]
struct AuditLine {
    time: String,
    run: Option<String>,
    text: String,
}

impl Shown {
    /// The status of this moment.
    fn status(&self) -> Status {
        let mut status = lock(&self.status).clone();
        status.now_s = now_s();
        let ExpiryTimes { certificate_s, authority_s, list_s } = self.ends();
        status.certificate_end_s = certificate_s;
        status.authority_end_s = authority_s;
        status.revocation_list_end_s = list_s;
        status
    }

    /// Until when this side's certificate, its authority and its revocation list count: files may be replaced while the process
    /// runs.
    fn ends(&self) -> ExpiryTimes {
        let Some(identity) = &self.config.identity else { return ExpiryTimes::default() };
        let mut ends = lock(&self.ends);
        let known = *ends;
        match known {
            Some((read, ends)) if read.elapsed() < IDENTITY_LOOK => ends,
            _ => ends.insert((Instant::now(), identity.ends())).1,
        }
    }

    fn audit_lines(&self) -> Vec<AuditLine> {
        let Some(log) = &self.config.audit_log else { return Vec::new() };
        let mut lines = Vec::new();
        for entry in hashvfl_audit::tail(log, AUDIT_ENTRIES).into_iter().rev() {
            let text = entry.describe();
            lines.push(AuditLine { time: entry.time, run: entry.run, text });
        }
        lines
    }

    /// All that changes more seldom than the status, as one object.
    fn history(&self) -> Option<String> {
        // Each lock by itself, and before files are read: whoever trains waits for them.
        let balance = {
            let balances = lock(&self.balances);
            let by_side: BTreeMap<&str, &BitBalance> =
                balances.iter().map(|(side, (balance, _))| (side.as_str(), balance)).collect();
            serde_json::to_value(by_side).ok()?
        };
        let epochs = serde_json::to_value(lock(&self.curve).points()).ok()?;
        let flags = serde_json::to_value(lock(&self.flags).spans()).ok()?;
        let report = self.config.privacy_report.as_ref().is_some_and(|report| report.is_file());
        serde_json::to_string(&serde_json::json!({
            "epochs": epochs,
            "flags": flags,
            "balance": balance,
            "audit": self.audit_lines(),
            "runs": self.config.runs.as_deref().map(read_runs),
            "privacy_report": report,
        }))
        .ok()
    }
}

impl Pages for Shown {
    fn page(&self, path: &str) -> Option<Page> {
        const JSON: &str = "application/json";
        let (media_type, text) = match path {
            "/" => ("text/html; charset=utf-8", include_str!("page/page.html").to_string()),
            "/page.css" => ("text/css; charset=utf-8", include_str!("page/page.css").to_string()),
            "/page.js" => ("text/javascript; charset=utf-8", include_str!("page/page.js").to_string()),
            "/tables.js" => ("text/javascript; charset=utf-8", include_str!("page/tables.js").to_string()),
            "/pictures.js" => {
                ("text/javascript; charset=utf-8", include_str!("page/pictures.js").to_string())
            }
            "/status" => (JSON, serde_json::to_string(&self.status()).ok()?),
            "/history" => (JSON, self.history()?),
            "/metrics" => (metrics::MEDIA_TYPE, metrics::text(&self.status())),
            "/privacy-report" => {
                let text = std::fs::read_to_string(self.config.privacy_report.as_ref()?).ok()?;
                return Some(Page { media_type: "text/html; charset=utf-8", text, is_whole: true });
            }
            _ => return None,
        };
        Some(Page { media_type, text, is_whole: false })
    }
}
