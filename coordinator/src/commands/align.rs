//! `coordinator align`: the relay of a private alignment, and the label holder's part in it.

use std::time::{Duration, Instant};

use anyhow::Context;
use hashvfl_alignment::{Bar, Owner, Spool, align};
use hashvfl_ledger::Policy;
use hashvfl_transport::listen::{self, Listener};
use tracing::info;

use crate::config::CoordinatorConfig;
use crate::progress::ProgressReporter;
use crate::relay::{self, Inside, RelayHub};

/// How long the relay stays for holders that are not through, once the label holder is.
const LINGER: Duration = Duration::from_secs(60);

/// Relays until all holders are through; takes part where `[alignment] name` is a holder.
pub fn run(config: &CoordinatorConfig, json: bool) -> anyhow::Result<()> {
    let alignment = config
        .alignment
        .as_ref()
        .context("the config has no [alignment] table: see docs/reference/config.md")?;
    let policy = config.policy.as_deref().map_or_else(|| Ok(Policy::default()), Policy::read)?;
    let reporter = ProgressReporter::new(json);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let hub = RelayHub::new(alignment.settings.clone());
    let listener = runtime
        .block_on(Listener::bind(config.listen))
        .with_context(|| format!("cannot listen on {}: is another coordinator up there?", config.listen))?;
    reporter.listening(listener.address()?);
    let (arrivals, serving) = listen::alignment(listener);
    runtime.spawn(serving);
    runtime.spawn(relay::attend(hub.clone(), arrivals));
    let name =
        alignment.name.as_ref().context("[alignment] name: which of the holders is the label holder?")?;
    let ids = config.labels.ids();
    let read = |mut spool: Spool<'_>| {
        ids.visit(|id| anyhow::Ok(spool.push(id)?))?;
        Ok(spool.finish(Some(hashvfl_data::fingerprint(config.labels.files())?))?)
    };
    let (key_columns, ledger) = (ids.key_columns(), &config.ledger);
    let owner = Owner { key_columns, read: &read, ledger, policy: &policy };
    let mut bar = Bar::new();
    let join = || Ok(Inside::enter(&hub, name, &runtime));
    let outcome = align(alignment, name, &owner, join, &mut |progress| bar.tell(progress));
    // Others may yet need the relay, even where the label holder has failed.
    let start = Instant::now();
    while !hub.is_empty() && start.elapsed() < LINGER {
        std::thread::sleep(Duration::from_millis(50));
    }
    let outcome = outcome?;
    info!("{} of {} records are common to all holders", outcome.common, outcome.records);
    reporter.finished(&alignment.folder.join("order.csv"));
    Ok(())
}
