//! `party align`: this party's part in a private alignment, through the coordinator's relay.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use hashvfl_alignment::identity::{PublicKey, SecretKey};
use hashvfl_alignment::{
    AlignmentConfig, AlignmentError, AlignmentResult, Bar, Owner, PinnedKey, Relay, RelayError, RelayEvent,
    Spool, align,
};
use hashvfl_audit::AuditEvent;
use hashvfl_cli::Unfinished;
use hashvfl_core::PartyName;
use hashvfl_core::protocol::message::PROTOCOL_VERSION;
use hashvfl_core::text::counted;
use hashvfl_files::say;
use hashvfl_ledger::Policy;
use hashvfl_proto::alignment::{Envelope, FromHolder, FromRelay};
use hashvfl_traces::spans;
use hashvfl_transport::StreamError;
use hashvfl_transport::dial::{AlignmentStream, DialError, Dialer};
use hashvfl_transport::limits::quiet::QuietLog;
use hashvfl_transport::runtime::NetworkRuntime;
use hashvfl_transport::stop::{GRACE, Stop};
use tokio::runtime::Runtime;
use tracing::{info, warn};

use crate::config::PartyConfig;
use crate::connection::dialer;

/// Longest wait until the relay has taken what was said last.
const FAREWELL: Duration = Duration::from_secs(5);
/// Pause before the relay is dialled again.
const PAUSE: Duration = Duration::from_millis(200);

/// The config's [alignment] table.
fn table(config: &PartyConfig) -> anyhow::Result<&AlignmentConfig> {
    config.alignment.as_ref().context("the config has no [alignment] table: `party init --align` writes one")
}

fn policy_path(config: &PartyConfig) -> anyhow::Result<&Path> {
    config
        .policy
        .as_deref()
        .context("the config has no `policy`: set it to a policy file, which pins the other holders' keys")
}

/// This party's public key.
pub fn key(config: &PartyConfig) -> anyhow::Result<PublicKey> {
    Ok(SecretKey::read(&table(config)?.key)?.public())
}

/// Pins keys of other holders.
pub fn pin(config: &PartyConfig, pins: &[PinnedKey]) -> anyhow::Result<()> {
    let path = policy_path(config)?;
    hashvfl_alignment::pin(path, &table(config)?.settings, &config.name, key(config)?, pins)?;
    say!("{} pins {} of the other holders' keys", path.display(), Policy::read(path)?.alignment.keys.len());
    Ok(())
}

/// Aligns the records of the training, or those that are `served`, or goes on with it.
///
/// # Errors
/// If something keeps it from that. The others are told that this party has given up, unless they know why it ends.
pub fn run(config: &PartyConfig, served: bool) -> anyhow::Result<()> {
    let alignment = match served {
        false => table(config)?.clone(),
        true => table(config)?.served()?,
    };
    let runtime = NetworkRuntime::on_a_thread()?;
    let outcome = align_records(config, &alignment, served, &runtime);
    // One that did not reach the relay reaches nobody now.
    if outcome.as_ref().is_err_and(|error| !error.is::<DialError>() && alignment.concerns_others(error)) {
        give_up(config, &alignment, &runtime);
    }
    let outcome = outcome.map_err(explain_end)?;
    info!("{} in common with all holders, of {}", counted(outcome.common, "record"), outcome.records);
    say!("{} written", alignment.order().display());
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

/// Does so, and writes it down.
fn align_records(
    config: &PartyConfig,
    alignment: &AlignmentConfig,
    served: bool,
    runtime: &Runtime,
) -> anyhow::Result<AlignmentResult> {
    let columns = match served {
        false => &config.columns,
        true => {
            let columns = config.serve.columns.as_ref();
            columns.context("--served aligns the records of [serve.columns], which the config lacks")?
        }
    };
    let policy = Policy::read(policy_path(config)?)?;
    let audit = config.audit_trail()?;
    let ids = columns.ids();
    columns.remarks()?.iter().for_each(|remark| warn!("{remark}"));
    let read = |mut spool: Spool<'_>| {
        let fingerprint = columns.visit_ids(|id| anyhow::Ok(spool.push(id)?))?;
        Ok(spool.finish(Some(fingerprint))?)
    };
    let (key_columns, ledger) = (ids.key_columns(), &config.ledger);
    let wait = Duration::from_secs(config.timeouts.start_s);
    let owner = Owner { key_columns, read: &read, ledger, policy: &policy, wait };
    let _traced = spans::alignment(config.run_id.as_str(), config.name.as_str()).entered();
    let mut bar = Bar::new();
    let join = || RelayConnection::open(config, alignment, runtime);
    let outcome = align(alignment, &config.name, &owner, join, &mut |progress| bar.tell(progress));
    let counts = outcome.as_ref().ok().map(|outcome| (outcome.records, outcome.common));
    audit.note(AuditEvent::alignment(&alignment.settings.holders, counts))?;
    outcome
}

/// Tells the others that this party takes no part any more, so that they do not wait for it: those who are there, and those who
/// come later. Where nobody is there, nobody waits.
fn give_up(config: &PartyConfig, alignment: &AlignmentConfig, runtime: &Runtime) {
    let farewell = async {
        let mut stream = dial(&dialer(config)?, config, alignment).await?;
        // Whoever does not hear it waits as for any that does not come.
        let _ = stream.send(FromHolder::GaveUp, FAREWELL).await;
        stream.close(FAREWELL).await;
        anyhow::Ok(())
    };
    let _ = runtime.block_on(async { tokio::time::timeout(FAREWELL, farewell).await });
}

/// A connection to the relay, made anew when it breaks.
struct RelayConnection<'a> {
    config: &'a PartyConfig,
    alignment: &'a AlignmentConfig,
    runtime: &'a Runtime,
    dialer: Dialer,
    stream: AlignmentStream,
    stop: Stop,
    /// Lines that the relay, or whoever is on the way, may cause here.
    lines: QuietLog,
}

impl<'a> RelayConnection<'a> {
    fn open(
        config: &'a PartyConfig,
        alignment: &'a AlignmentConfig,
        runtime: &'a Runtime,
    ) -> anyhow::Result<Self> {
        let dialer = dialer(config)?;
        let stream = runtime.block_on(dial(&dialer, config, alignment))?;
        let (stop, lines) = (Stop::listen(), QuietLog::new());
        Ok(Self { config, alignment, runtime, dialer, stream, stop, lines })
    }

    /// Dials again after the relay has gone.
    fn reopen(&mut self, why: &str) -> Result<RelayEvent, RelayError> {
        let (config, alignment, stop) = (self.config, self.alignment, &mut self.stop);
        let (began, limit) = (Instant::now(), Duration::from_secs(config.timeouts.connect_s));
        self.lines.warn(&format!("{why}: reconnecting for up to {} s", limit.as_secs()));
        loop {
            let left_s = limit.saturating_sub(began.elapsed()).as_secs().max(1);
            let dialer = self.dialer.clone().waiting(left_s);
            let dialled = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stop.stopped() => None,
                    dialled = dial(&dialer, config, alignment) => Some(dialled),
                }
            });
            match dialled {
                None => return Ok(RelayEvent::AskedToEnd),
                Some(Ok(stream)) => {
                    self.stream = stream;
                    return Ok(RelayEvent::RelayLost);
                }
                Some(Err(error)) if error.may_pass() && began.elapsed() < limit => {
                    std::thread::sleep(PAUSE);
                }
                Some(Err(error)) if error.may_pass() => {
                    let limit_s = limit.as_secs();
                    return Err(RelayError(format!("could not reconnect within {limit_s} s: {error}")));
                }
                // Another attempt would end as this one.
                Some(Err(error)) => return Err(RelayError(error.to_string())),
            }
        }
    }
}

impl Relay for RelayConnection<'_> {
    fn receive(&mut self, wait: Duration) -> Result<Option<RelayEvent>, RelayError> {
        loop {
            let (stream, stop) = (&mut self.stream, &mut self.stop);
            let received = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stop.stopped() => None,
                    received = stream.next_within(wait) => Some(received),
                }
            });
            let Some(received) = received else { return Ok(Some(RelayEvent::AskedToEnd)) };
            let message = match received {
                Ok(received) => received.message,
                Err(StreamError::TimedOut(_)) => return Ok(None),
                Err(StreamError::Closed) => return self.reopen("the relay closed the stream").map(Some),
                Err(StreamError::Broken(reason) | StreamError::Refused(reason)) => {
                    return self.reopen(&reason).map(Some);
                }
                Err(StreamError::Unusable(error)) => return Err(RelayError(format!("the relay: {error}"))),
            };
            return match message {
                FromRelay::Envelope(envelope) => {
                    Ok(Some(RelayEvent::Frame(envelope.holder, envelope.sealed)))
                }
                FromRelay::Presence { holder, here: true } => Ok(Some(RelayEvent::Arrived(holder))),
                FromRelay::Presence { holder, here: false } => Ok(Some(RelayEvent::Left(holder))),
                FromRelay::Absence { holder, refused: false } => Ok(Some(RelayEvent::GaveUp(holder))),
                FromRelay::Absence { holder, refused: true } => {
                    self.lines.warn(&format!(
                        "the relay has refused {holder} (its own log says why); waiting for it to connect again"
                    ));
                    continue;
                }
                FromRelay::Refused { text } => Err(RelayError(format!("the relay refuses: {text}"))),
            };
        }
    }

    fn send(&mut self, to: &PartyName, frame: Vec<u8>) -> Result<(), RelayError> {
        let message = FromHolder::Envelope(Envelope { holder: to.clone(), sealed: frame });
        let (stream, stop) = (&self.stream, &mut self.stop);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                // From then on nothing is sent, since frames must not be missing from among others.
                () = stop.overdue(GRACE) => {}
                // Where the connection is gone, `receive` finds out and dials again; the session starts anew then.
                _ = stream.send_patiently(message) => {}
            }
        });
        Ok(())
    }
}

// What was said last is delivered before the process ends: others wait for it. The relay ends its side once it has heard the
// end of this one.
impl Drop for RelayConnection<'_> {
    fn drop(&mut self) {
        self.runtime.block_on(self.stream.close(FAREWELL));
    }
}

async fn dial(
    dialer: &Dialer,
    config: &PartyConfig,
    alignment: &AlignmentConfig,
) -> Result<AlignmentStream, DialError> {
    let settings = alignment.settings.to_settings();
    let enrol = FromHolder::Enrol {
        protocol: PROTOCOL_VERSION,
        holder: config.name.clone(),
        settings_digest: settings.digest(),
        settings,
    };
    dialer.alignment(enrol).await
}
