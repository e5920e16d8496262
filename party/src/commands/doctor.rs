//! `party doctor`: what somebody who helps has to know of this side, in one file without values, ids and keys.

use std::net::ToSocketAddrs;
use std::time::{Duration, Instant, SystemTime};

use hashvfl_cli::doctor::{Bundle, Clock, DoctorArguments, ExaminedPath, Forecast, Program};
use hashvfl_core::Plan;
use hashvfl_core::text::counted;
use hashvfl_ledger::{LedgerView, StoreError, Volume};
use hashvfl_transport::dial::{DialError, Dialer};
use hashvfl_transport::monitor::ask_page;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::commands::ledger::ids;
use crate::config::PartyConfig;
use crate::connection::dialer;

/// Longest wait for whoever answers at the coordinator's address.
const LOOK: Duration = Duration::from_secs(5);
/// Bytes of a record in a ledger, at most (docs/reference/benchmarks.md), and of an empty one.
const LEDGER_BYTES: [u64; 2] = [300, 4 << 20];
/// Bytes of a transcript that holds nothing.
const FILE_BYTES: u64 = 64 << 10;
/// Bytes of a step in the log of answers, at most.
const STEP_BYTES: u64 = 64;

/// Looks at all that the config names, and writes the bundle.
///
/// # Errors
/// If the bundle cannot be written.
pub fn run(arguments: &DoctorArguments) -> anyhow::Result<()> {
    let features =
        [("sql", cfg!(feature = "sql")), ("wgpu", cfg!(feature = "wgpu")), ("otlp", cfg!(feature = "otlp"))];
    let features = features.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
    let program = Program { name: "party", version: env!("CARGO_PKG_VERSION"), features };
    let mut bundle = Bundle::begin(&program, &arguments.config);
    match PartyConfig::read(&arguments.config) {
        Err(error) => bundle.add("check", json!({ "config_usable": false }), format!("{error:#}")),
        Ok(config) => look(&config, &mut bundle)?,
    }
    bundle.write(&arguments.out)
}

fn look(config: &PartyConfig, bundle: &mut Bundle) -> anyhow::Result<()> {
    let mut places = vec![
        ExaminedPath::written("state", &config.state),
        ExaminedPath::written("ledger", &config.ledger),
        ExaminedPath::written("audit trail", config.audit.folder()),
    ];
    places.extend(config.cache.as_deref().map(|cache| ExaminedPath::written("cache", cache)));
    places.extend(config.identity.as_ref().map(|identity| ExaminedPath::read("key", &identity.key)));
    bundle.add_places(&places, &forecast(config));
    let (found, line) = ledger(config);
    bundle.add("ledger", found, line);
    bundle.add_audit(&config.audit);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (found, line, clock) = reach(config, &runtime);
    bundle.add("coordinator", found, line);
    let clock = Clock::beside(clock);
    bundle.add("clock", clock.to_json(), &clock);
    let (found, line) = hashvfl_cli::doctor::certificate(config.identity.as_ref());
    bundle.add("certificate", found, line);
    let status = config.monitor.as_ref().map(|address| runtime.block_on(ask_page(address, "/status")));
    let (found, line) = hashvfl_cli::doctor::process(status);
    bundle.add("process", found, line);
    Ok(())
}

/// What a run of this config writes at most, models and checkpoints aside.
fn forecast(config: &PartyConfig) -> Forecast {
    let Ok(records) = ids(config).map(|ids| ids.len()) else { return Forecast::default() };
    let Ok(plan) = Plan::new(&config.run, records) else { return Forecast::default() };
    let codes: u64 = plan.releases().iter().map(|(rows, times)| rows.len() as u64 * u64::from(*times)).sum();
    let steps = (u64::from(config.run.epochs) + 1) * u64::from(plan.batches());
    let mut bytes =
        vec![("ledger", LEDGER_BYTES[1] + records as u64 * LEDGER_BYTES[0]), ("answers", steps * STEP_BYTES)];
    if config.transcript {
        // A code, and a gradient of a byte for each latent with its scale.
        let bits = config.run.bits as u64;
        bytes.push(("transcript", FILE_BYTES + codes * (bits.div_ceil(8) + bits + 16)));
    }
    Forecast { records: Some(records as u64), bytes }
}

/// How the ledger is, and what it counts in all.
fn ledger(config: &PartyConfig) -> (Value, String) {
    let path = config.ledger.display();
    if !config.ledger.exists() {
        return (json!({ "is": "absent" }), format!("{path} does not exist yet"));
    }
    let total = LedgerView::open(&config.ledger).and_then(|view| view.total());
    match total {
        Ok(Volume { items, bits }) => {
            let before = config.audit.counted().ok();
            let is_older = before.is_some_and(|before| items < before.items || bits < before.bits);
            let found = json!({ "is": "in order", "releases": items, "bits": bits, "older_than_audit_trail": is_older });
            let line = format!("{} in total, {}", counted(items, "release"), counted(bits, "bit"));
            let older =
                if is_older { "; THE AUDIT TRAIL KNOWS OF MORE: an older copy was restored" } else { "" };
            (found, line + older)
        }
        Err(error) => {
            let word = match &error {
                StoreError::Locked(_) => "in use",
                StoreError::NotClosed(_) => "not closed",
                StoreError::Missing(_) => "absent",
                StoreError::Damaged { .. } => "damaged",
                StoreError::Io { .. } => "unreadable",
            };
            (json!({ "is": word }), error.to_string())
        }
    }
}

/// Whether the coordinator is reached, how, and what time it is there.
fn reach(config: &PartyConfig, runtime: &Runtime) -> (Value, String, Option<SystemTime>) {
    let (host, port) = (config.coordinator.host(), config.coordinator.port());
    let known = (host, port).to_socket_addrs().map_or(0, Iterator::count);
    if known == 0 {
        let line = format!("the machine {host} is not known here: its name does not resolve");
        return (json!({ "addresses": 0, "answers": false }), line, None);
    }
    let dialer = match dialer(config) {
        Ok(dialer) => dialer,
        Err(error) => {
            let found = json!({ "addresses": known, "identity_usable": false });
            return (found, format!("did not connect to the coordinator: {error:#}"), None);
        }
    };
    let began = Instant::now();
    let answered = runtime.block_on(async { tokio::time::timeout(LOOK, dialer.who_answers()).await });
    let milliseconds = began.elapsed().as_millis() as u64;
    let (word, line) = match answered {
        Ok(Ok(peer)) => {
            let who =
                peer.map_or_else(|| "something in plain text".to_string(), |peer| peer.identity.to_string());
            ("yes", format!("{who} answers at {} after {milliseconds} ms", dialer.address()))
        }
        Ok(Err(DialError::Absent { .. })) | Err(_) => (
            "nobody",
            format!(
                "nothing answers at {}: is the coordinator running, and does the firewall allow outgoing TCP?",
                dialer.address()
            ),
        ),
        Ok(Err(DialError::Identity { reason, .. })) => ("another identity", reason.to_string()),
        Ok(Err(error)) => ("broken", error.to_string()),
    };
    let found = json!({ "addresses": known, "answers": word, "milliseconds": milliseconds, "tls": config.identity.is_some() });
    let clock = (word == "yes").then(|| clock(&dialer, runtime)).flatten();
    (found, line, clock)
}

fn clock(dialer: &Dialer, runtime: &Runtime) -> Option<SystemTime> {
    runtime.block_on(async { tokio::time::timeout(LOOK, dialer.clock()).await }).ok()?.ok()?
}
