//! `coordinator align`: the relay of a private alignment, and the label holder's part in it.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use hashvfl_alignment::identity::{PublicKey, SecretKey};
use hashvfl_alignment::{AlignmentConfig, AlignmentError, Bar, Owner, PinnedKey, Spool, align};
use hashvfl_audit::{AuditEvent, Service};
use hashvfl_cli::Unfinished;
use hashvfl_core::PartyName;
use hashvfl_core::text::counted;
use hashvfl_data::IdSource;
use hashvfl_files::say;
use hashvfl_ledger::Policy;
use hashvfl_traces::spans;
use hashvfl_transport::listen::{self, Listener};
use hashvfl_transport::runtime::NetworkRuntime;
use hashvfl_transport::stop::Stop;
use tracing::{info, warn};

use crate::admission_log::AdmissionLog;
use crate::config::CoordinatorConfig;
use crate::identity;
use crate::permissions::{self, PartyAction};
use crate::progress::ProgressReporter;
use crate::relay::{self, HolderAccount, LocalHolder, RelayHub};

/// Pause between looks at the relay.
const TICK: Duration = Duration::from_millis(50);

/// How long the relay stays for holders that are not through, once the label holder is.
const LINGER: Duration = Duration::from_secs(60);

/// Longest wait until the others have been told that this process ends, and for the network to take it then.
const FAREWELL: [Duration; 2] = [Duration::from_secs(2), Duration::from_millis(200)];

/// How long it stays after a failure for holders that have not come yet: they hear at once who has given up.
const EXPECTED: Duration = Duration::from_secs(10);

/// The config's [alignment] table.
fn table(config: &CoordinatorConfig) -> anyhow::Result<&AlignmentConfig> {
    config
        .alignment
        .as_ref()
        .context("the config has no [alignment] table: `coordinator init --align` writes one")
}

fn policy_path(config: &CoordinatorConfig) -> anyhow::Result<&Path> {
    config
        .policy
        .as_deref()
        .context("the config has no `policy`: set it to a policy file, which pins the other holders' keys")
}

fn label_holder(alignment: &AlignmentConfig) -> anyhow::Result<&PartyName> {
    alignment.name.as_ref().context(
        "[alignment] has no `name`: set it to the label holder's name, one of alignment.settings.holders",
    )
}

/// The label holder's public key.
pub fn key(config: &CoordinatorConfig) -> anyhow::Result<PublicKey> {
    Ok(SecretKey::read(&table(config)?.key)?.public())
}

/// Pins keys of other holders.
pub fn pin(config: &CoordinatorConfig, pins: &[PinnedKey]) -> anyhow::Result<()> {
    let (path, table) = (policy_path(config)?, table(config)?);
    hashvfl_alignment::pin(path, &table.settings, label_holder(table)?, key(config)?, pins)?;
    say!("{} pins {} of the other holders' keys", path.display(), Policy::read(path)?.alignment.keys.len());
    Ok(())
}

/// Relays until all holders are through, and takes part as the label holder: for the records of the training, or those
/// that are `served`.
pub fn run(config: &CoordinatorConfig, served: bool, json: bool) -> anyhow::Result<()> {
    let (ids, alignment): (Box<dyn IdSource>, _) = match served {
        false => (config.labels.ids(), table(config)?.clone()),
        true => {
            let records = config.serve.records.clone();
            let records =
                records.context("--served aligns the records of serve.records, which the config lacks")?;
            (Box::new(records), table(config)?.served()?)
        }
    };
    ids.remarks()?.iter().for_each(|remark| warn!("{remark}"));
    let (alignment, name) = (&alignment, label_holder(&alignment)?);
    let policy = Policy::read(policy_path(config)?)?;
    // Before anybody dials in, so that nobody waits for what cannot be.
    if let Some(missing) = alignment.check_files(name, &policy)?.into_iter().next() {
        return Err(AlignmentError::NotPinned(missing).into());
    }
    let audit = Arc::new(config.audit_trail()?);
    let parties: Vec<PartyName> =
        alignment.settings.holders.iter().filter(|holder| *holder != name).cloned().collect();
    permissions::check_parties(config, &parties, PartyAction::Align)?;
    let reporter = ProgressReporter::new(json, config.board()?);
    let (holders, board) = (alignment.settings.holders.clone(), Arc::clone(reporter.board()));
    let admissions = AdmissionLog::new(Arc::clone(&audit), Service::Alignment, holders, board);
    let rates = permissions::joins(config, PartyAction::Align, Some(Arc::clone(&audit)))?;
    let admissions = Arc::new(admissions.limited(rates));
    let runtime = NetworkRuntime::on_a_thread()?;
    let hub = RelayHub::new(alignment.settings.clone());
    let limits = config.relaying();
    let listener =
        runtime.block_on(Listener::bind(config.listen, limits)).with_context(|| config.cannot_listen())?;
    let permitted = identity::parties(&alignment.settings.holders);
    let account = HolderAccount { hub: Arc::clone(&hub), admissions: Arc::clone(&admissions) };
    let listener = identity::secure(listener, config, permitted, Arc::new(account))?;
    reporter.listening(listener.address()?);
    let (arrivals, serving) = listen::alignment(listener);
    runtime.spawn(serving);
    let greeting = Duration::from_secs(config.timeouts.handshake_s);
    runtime.spawn(relay::attend(hub.clone(), arrivals, admissions, greeting));
    let read = |mut spool: Spool<'_>| {
        ids.visit(|id| anyhow::Ok(spool.push(id)?))?;
        Ok(spool.finish(Some(hashvfl_data::fingerprint(ids.files())?))?)
    };
    let (key_columns, ledger) = (ids.key_columns(), &config.ledger);
    let wait = Duration::from_secs(config.timeouts.join_s);
    let owner = Owner { key_columns, read: &read, ledger, policy: &policy, wait };
    let _traced = spans::alignment(config.run_id.as_str(), name.as_str()).entered();
    let mut bar = Bar::new();
    let join = || Ok(LocalHolder::enter(&hub, name, &runtime));
    let outcome = align(alignment, name, &owner, join, &mut |progress| bar.tell(progress));
    if outcome.as_ref().is_err_and(|error| alignment.concerns_others(error)) {
        hub.give_up(name);
    }
    let counts = outcome.as_ref().ok().map(|outcome| (outcome.records, outcome.common));
    let noted = audit.note(AuditEvent::alignment(&alignment.settings.holders, counts));
    attend_to_others(&hub, outcome.is_err());
    noted?;
    let outcome = outcome.map_err(explain_end)?;
    info!("{} in common with all holders, of {}", counted(outcome.common, "record"), outcome.records);
    reporter.finished(&alignment.order());
    Ok(())
}

/// `error` with what to do, where this process was asked to end.
fn explain_end(error: anyhow::Error) -> anyhow::Error {
    if matches!(error.downcast_ref(), Some(AlignmentError::AskedToEnd)) {
        return error
            .context(Unfinished::AskedToEnd("start the same command again to continue the alignment"));
    }
    error
}

/// Stays for others, who may yet need the relay even if the label holder has failed, unless this process is asked to end.
fn attend_to_others(hub: &RelayHub, has_failed: bool) {
    let (start, stop) = (Instant::now(), Stop::listen());
    let is_expected = || has_failed && !hub.has_heard_of_all() && start.elapsed() < EXPECTED;
    while !stop.is_asked() && (is_expected() || (!hub.is_empty() && start.elapsed() < LINGER)) {
        thread::sleep(TICK);
    }
    if stop.is_asked() && !hub.is_empty() {
        let (asked, [limit, network]) = (Instant::now(), FAREWELL);
        while !hub.has_told_all() && asked.elapsed() < limit {
            thread::sleep(TICK);
        }
        thread::sleep(network);
    }
}
