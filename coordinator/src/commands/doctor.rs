//! `coordinator doctor`: what somebody who helps has to know of this side, in one file without labels, ids and keys.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

use hashvfl_audit::{Side, read_heads};
use hashvfl_cli::doctor::{Bundle, Clock, DoctorArguments, ExaminedPath, Forecast, Program};
use hashvfl_core::Plan;
use hashvfl_transport::monitor::ask_page;
use serde_json::{Value, json};

use crate::config::CoordinatorConfig;
use crate::labels;

/// Bytes of a record in a ledger, at most (docs/reference/benchmarks.md), and of an empty one.
const LEDGER_BYTES: [u64; 2] = [300, 4 << 20];
/// Bytes of a transcript that holds nothing.
const FILE_BYTES: u64 = 64 << 10;
/// Bytes of a row in the transcript beside its code, at most.
const ROW_BYTES: u64 = 16;

/// Looks at all that the config names, and writes the bundle.
///
/// # Errors
/// If the bundle cannot be written.
pub fn run(arguments: &DoctorArguments) -> anyhow::Result<()> {
    let features = [("wgpu", cfg!(feature = "wgpu")), ("otlp", cfg!(feature = "otlp"))];
    let features = features.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
    let program = Program { name: "coordinator", version: env!("CARGO_PKG_VERSION"), features };
    let mut bundle = Bundle::begin(&program, &arguments.config);
    match CoordinatorConfig::read(&arguments.config) {
        Err(error) => bundle.add("check", json!({ "config_usable": false }), format!("{error:#}")),
        Ok(config) => look(&config, &mut bundle)?,
    }
    bundle.write(&arguments.out)
}

fn look(config: &CoordinatorConfig, bundle: &mut Bundle) -> anyhow::Result<()> {
    let mut places = vec![
        ExaminedPath::written("state", &config.state),
        ExaminedPath::written("ledger", &config.ledger),
        ExaminedPath::written("audit trail", config.audit.folder()),
    ];
    places.extend(config.identity.as_ref().map(|identity| ExaminedPath::read("key", &identity.key)));
    bundle.add_places(&places, &forecast(config));
    bundle.add_audit(&config.audit);
    let (found, line) = heads(config);
    bundle.add("heads", found, line);
    let (found, line) = port(config);
    bundle.add("port", found, line);
    let clock = Clock::beside(None);
    bundle.add("clock", clock.to_json(), &clock);
    let (found, line) = hashvfl_cli::doctor::certificate(config.identity.as_ref());
    bundle.add("certificate", found, line);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = config.monitor.as_ref().map(|address| runtime.block_on(ask_page(address, "/status")));
    let (found, line) = hashvfl_cli::doctor::process(status);
    bundle.add("process", found, line);
    Ok(())
}

/// What a run of this config writes at most, models and checkpoints aside.
fn forecast(config: &CoordinatorConfig) -> Forecast {
    let Ok(records) = labels::load(config).map(|labelled| labelled.ids.len()) else {
        return Forecast::default();
    };
    let Ok(plan) = Plan::new(&config.run, records) else { return Forecast::default() };
    let parties = config.run.parties.len() as u64;
    let code = (config.run.bits as u64).div_ceil(8);
    let rows: u64 = plan.releases().iter().map(|(rows, times)| rows.len() as u64 * u64::from(*times)).sum();
    let records = records as u64;
    let mut bytes =
        vec![("ledger", LEDGER_BYTES[1] + records * LEDGER_BYTES[0]), ("codes", records * parties * code)];
    if config.transcript {
        bytes.push(("transcript", FILE_BYTES + rows * parties * (code + ROW_BYTES)));
    }
    Forecast { records: Some(records), bytes }
}

/// When each party last told the head of its audit log, by its place in the run.
fn heads(config: &CoordinatorConfig) -> (Value, String) {
    let book = config.audit.heads();
    let (mut found, mut lines) = (BTreeMap::new(), Vec::new());
    for (place, party) in (1..).zip(&config.run.parties) {
        let path = book.path(&Side::Party(party.clone()));
        let last = fs::exists(&path).is_ok_and(|there| there).then(|| read_heads(&path).ok()).flatten();
        if let Some(head) = last.as_ref().and_then(|heads| heads.last()) {
            found.insert(format!("party {place}"), json!({ "entries": head.sequence, "time": head.time }));
            lines.push(format!("{party} {}", head.time));
        }
    }
    let line = if lines.is_empty() { "no party has sent one yet".to_string() } else { lines.join(", ") };
    (json!(found), line)
}

/// Whether parties can be listened for.
fn port(config: &CoordinatorConfig) -> (Value, String) {
    let listen = config.listen;
    let (word, line) = match TcpListener::bind(listen) {
        Ok(_) => ("free", format!("{listen} is free: no coordinator is running there")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            ("in use", format!("{listen} is in use: by this coordinator, or by another program"))
        }
        Err(error) => ("unusable", format!("{listen}: {error}: is it an address of this machine?")),
    };
    let everywhere = listen.ip().is_unspecified();
    (
        json!({ "is": word, "port": listen.port(), "loopback": listen.ip().is_loopback(), "all_addresses": everywhere }),
        line,
    )
}
