//! `party align`: this party's part in a private alignment, through the coordinator's relay.

use std::time::{Duration, Instant};

use anyhow::Context;
use hashvfl_alignment::{AlignmentConfig, Bar, Event, Owner, Relay, RelayError, Spool, align};
use hashvfl_core::PartyName;
use hashvfl_core::protocol::message::PROTOCOL_VERSION;
use hashvfl_files::say;
use hashvfl_ledger::Policy;
use hashvfl_proto::alignment::{Envelope, FromHolder, FromRelay};
use hashvfl_transport::StreamError;
use hashvfl_transport::dial::{AlignmentStream, DialError};
use tokio::runtime::Runtime;
use tracing::{info, warn};

use crate::config::PartyConfig;
use crate::connection::dialer;

/// Longest wait until the relay has taken what was said last.
const FAREWELL: Duration = Duration::from_secs(5);
/// Pause before the relay is dialled again.
const PAUSE: Duration = Duration::from_millis(200);

/// Aligns, or goes on with it.
pub fn run(config: &PartyConfig) -> anyhow::Result<()> {
    let alignment = config
        .alignment
        .as_ref()
        .context("the config has no [alignment] table: see docs/reference/config.md")?;
    let policy = config.policy.as_deref().map_or_else(|| Ok(Policy::default()), Policy::read)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let ids = config.columns.ids();
    let read = |mut spool: Spool<'_>| {
        let fingerprint = config.columns.visit_ids(|id| anyhow::Ok(spool.push(id)?))?;
        Ok(spool.finish(Some(fingerprint))?)
    };
    let (key_columns, ledger) = (ids.key_columns(), &config.ledger);
    let owner = Owner { key_columns, read: &read, ledger, policy: &policy };
    let mut bar = Bar::new();
    let join = || RelayConnection::open(config, alignment, &runtime);
    let outcome = align(alignment, &config.name, &owner, join, &mut |progress| bar.tell(progress))?;
    info!("{} of {} records are common to all holders", outcome.common, outcome.records);
    say!("{} written", alignment.folder.join("order.csv").display());
    Ok(())
}

/// A connection to the relay, made anew when it breaks.
struct RelayConnection<'a> {
    config: &'a PartyConfig,
    alignment: &'a AlignmentConfig,
    runtime: &'a Runtime,
    stream: AlignmentStream,
    /// Holders that were there when the connection broke, and have to be reported as gone.
    lost: Vec<PartyName>,
}

impl<'a> RelayConnection<'a> {
    fn open(
        config: &'a PartyConfig,
        alignment: &'a AlignmentConfig,
        runtime: &'a Runtime,
    ) -> anyhow::Result<Self> {
        let stream = runtime.block_on(dial(config, alignment))?;
        Ok(Self { config, alignment, runtime, stream, lost: Vec::new() })
    }

    /// Dials again after the relay has gone.
    fn reopen(&mut self, why: &str) -> Result<(), RelayError> {
        warn!("{why}: dialling again");
        let began = Instant::now();
        let limit = Duration::from_secs(self.config.timeouts.connect_s);
        loop {
            match self.runtime.block_on(dial(self.config, self.alignment)) {
                Ok(stream) => {
                    self.stream = stream;
                    let others =
                        self.alignment.settings.holders.iter().filter(|name| **name != self.config.name);
                    self.lost = others.cloned().collect();
                    return Ok(());
                }
                Err(error) if began.elapsed() >= limit => return Err(RelayError(error.to_string())),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}

impl Relay for RelayConnection<'_> {
    fn receive(&mut self, wait: Duration) -> Result<Option<Event>, RelayError> {
        loop {
            if let Some(name) = self.lost.pop() {
                return Ok(Some(Event::Left(name)));
            }
            let received = self.runtime.block_on(self.stream.next_within(wait));
            let message = match received {
                Ok(received) => received.message,
                Err(StreamError::TimedOut(_)) => return Ok(None),
                Err(StreamError::Closed) => {
                    self.reopen("the relay closed the stream")?;
                    continue;
                }
                Err(StreamError::Broken(reason)) => {
                    self.reopen(&reason)?;
                    continue;
                }
                Err(StreamError::Unusable(error)) => return Err(RelayError(format!("the relay: {error}"))),
            };
            return match message {
                FromRelay::Envelope(envelope) => Ok(Some(Event::Frame(envelope.holder, envelope.sealed))),
                FromRelay::Presence { holder, here: true } => Ok(Some(Event::Arrived(holder))),
                FromRelay::Presence { holder, here: false } => Ok(Some(Event::Left(holder))),
                FromRelay::Refused { text } => Err(RelayError(format!("the relay refuses: {text}"))),
            };
        }
    }

    fn send(&mut self, to: &PartyName, frame: Vec<u8>) -> Result<(), RelayError> {
        let message = FromHolder::Envelope(Envelope { holder: to.clone(), sealed: frame });
        // Where the connection is gone, `receive` finds out and dials again; the session starts anew then.
        let _ = self.runtime.block_on(self.stream.send_patiently(message));
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

async fn dial(config: &PartyConfig, alignment: &AlignmentConfig) -> Result<AlignmentStream, DialError> {
    let settings = alignment.settings.to_settings();
    let enrol = FromHolder::Enrol {
        protocol: PROTOCOL_VERSION,
        holder: config.name.clone(),
        settings_digest: settings.digest(),
        settings,
    };
    dialer(config).alignment(enrol).await
}
