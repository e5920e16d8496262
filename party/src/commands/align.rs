//! `party align`: this party's part in a private alignment, through the coordinator's relay.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use hashvfl_alignment::identity::{PublicKey, SecretKey};
use hashvfl_alignment::{AlignmentConfig, Bar, Event, Owner, Pin, Relay, RelayError, Spool, align};
use hashvfl_core::PartyName;
use hashvfl_core::limits::MAX_SEALED_BYTES;
use hashvfl_core::protocol::message::PROTOCOL_VERSION;
use hashvfl_files::say;
use hashvfl_ledger::Policy;
use hashvfl_proto::alignment::{Envelope, FromHolder, FromRelay};
use hashvfl_proto::status::describe;
use hashvfl_proto::v1::alignment_client::AlignmentClient;
use hashvfl_proto::v1::{HolderMessage, RelayMessage};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tracing::{info, warn};

use crate::config::PartyConfig;
use crate::training::connect;

/// Messages to the relay that may wait.
const OUTBOUND_MESSAGES: usize = 16;
/// Longest wait until the relay has taken what was said last.
const FAREWELL: Duration = Duration::from_secs(5);

/// The config's [alignment] table.
fn table(config: &PartyConfig) -> anyhow::Result<&AlignmentConfig> {
    config.alignment.as_ref().context("the config has no [alignment] table: `party init --align` writes one")
}

fn policy_path(config: &PartyConfig) -> anyhow::Result<&Path> {
    config.policy.as_deref().context("the config names no policy, which pins the other holders' keys")
}

/// This party's public key.
pub fn key(config: &PartyConfig) -> anyhow::Result<PublicKey> {
    Ok(SecretKey::read(&table(config)?.key)?.public())
}

/// Pins keys of other holders.
pub fn pin(config: &PartyConfig, pins: &[Pin]) -> anyhow::Result<()> {
    let path = policy_path(config)?;
    hashvfl_alignment::pin(path, &table(config)?.settings, (&config.name, key(config)?), pins)?;
    say!("{} pins {} of the other holders' keys", path.display(), Policy::read(path)?.alignment.keys.len());
    Ok(())
}

/// Aligns the records of the training, or those that are `served`, or goes on with it.
pub fn run(config: &PartyConfig, served: bool) -> anyhow::Result<()> {
    let (columns, alignment) = match served {
        false => (&config.columns, table(config)?.clone()),
        true => {
            let columns = config.serve.columns.as_ref();
            let columns =
                columns.context("--served aligns the records of [serve.columns], which the config lacks")?;
            (columns, table(config)?.served()?)
        }
    };
    let alignment = &alignment;
    let policy = Policy::read(policy_path(config)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let ids = columns.ids();
    let read = |mut spool: Spool<'_>| {
        let fingerprint = columns.visit_ids(|id| anyhow::Ok(spool.push(id)?))?;
        Ok(spool.finish(Some(fingerprint))?)
    };
    let (key_columns, ledger) = (ids.key_columns(), &config.ledger);
    let owner = Owner { key_columns, read: &read, ledger, policy: &policy };
    let mut bar = Bar::new();
    let joined = Cell::new(false);
    let join = || {
        joined.set(true);
        RelayConnection::open(config, alignment, &runtime)
    };
    let outcome = align(alignment, &config.name, &owner, join, &mut |progress| bar.tell(progress));
    if outcome.is_err() && !joined.get() {
        give_up(config, alignment, &runtime);
    }
    let outcome = outcome?;
    info!("{} of {} records are common to all holders", outcome.common, outcome.records);
    say!("{} written", alignment.order().display());
    Ok(())
}

/// Says to the others that this party will not come, so that they do not wait for it; it does not matter if nobody is
/// there.
fn give_up(config: &PartyConfig, alignment: &AlignmentConfig, runtime: &Runtime) {
    let saying = async {
        let (outbound, mut inbound) = dial(config, alignment).await?;
        outbound.send(FromHolder::GaveUp.into()).await?;
        drop(outbound);
        while let Ok(Some(_)) = inbound.message().await {}
        anyhow::Ok(())
    };
    let _ = runtime.block_on(async { tokio::time::timeout(FAREWELL, saying).await });
}

/// A connection to the relay, made anew when it breaks.
struct RelayConnection<'a> {
    config: &'a PartyConfig,
    alignment: &'a AlignmentConfig,
    runtime: &'a Runtime,
    outbound: mpsc::Sender<HolderMessage>,
    inbound: Streaming<RelayMessage>,
    /// Holders that were there when the connection broke, and have to be reported as gone.
    lost: Vec<PartyName>,
}

impl<'a> RelayConnection<'a> {
    fn open(
        config: &'a PartyConfig,
        alignment: &'a AlignmentConfig,
        runtime: &'a Runtime,
    ) -> anyhow::Result<Self> {
        let (outbound, inbound) = runtime.block_on(dial(config, alignment))?;
        Ok(Self { config, alignment, runtime, outbound, inbound, lost: Vec::new() })
    }

    /// Dials again after the relay has gone.
    fn reopen(&mut self, why: &str) -> Result<(), RelayError> {
        warn!("{why}: dialling again");
        let began = Instant::now();
        let limit = Duration::from_secs(self.config.timeouts.connect_s);
        loop {
            match self.runtime.block_on(dial(self.config, self.alignment)) {
                Ok((outbound, inbound)) => {
                    (self.outbound, self.inbound) = (outbound, inbound);
                    let others =
                        self.alignment.settings.holders.iter().filter(|name| **name != self.config.name);
                    self.lost = others.cloned().collect();
                    return Ok(());
                }
                Err(error) if began.elapsed() >= limit => return Err(RelayError(format!("{error:#}"))),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
}

impl Relay for RelayConnection<'_> {
    fn receive(&mut self, wait: Duration) -> Result<Option<Event>, RelayError> {
        if let Some(name) = self.lost.pop() {
            return Ok(Some(Event::Left(name)));
        }
        let inbound = &mut self.inbound;
        let received = self.runtime.block_on(async { tokio::time::timeout(wait, inbound.message()).await });
        let message = match received {
            Err(_) => return Ok(None),
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => {
                self.reopen("the relay closed the stream")?;
                return self.receive(wait);
            }
            Ok(Err(status)) => {
                self.reopen(&describe(&status))?;
                return self.receive(wait);
            }
        };
        match FromRelay::try_from(message).map_err(|error| RelayError(format!("the relay: {error}")))? {
            FromRelay::Envelope(envelope) => Ok(Some(Event::Frame(envelope.holder, envelope.sealed))),
            FromRelay::Presence { holder, here: true } => Ok(Some(Event::Arrived(holder))),
            FromRelay::Presence { holder, here: false } => Ok(Some(Event::Left(holder))),
            FromRelay::Absence { holder, refused: false } => Ok(Some(Event::GaveUp(holder))),
            FromRelay::Absence { holder, refused: true } => {
                warn!("the relay has refused {holder}: its own log says why; waiting for it to come again");
                self.receive(wait)
            }
            FromRelay::Refused { text } => Err(RelayError(format!("the relay refuses: {text}"))),
        }
    }

    fn send(&mut self, to: &PartyName, frame: Vec<u8>) -> Result<(), RelayError> {
        let message = FromHolder::Envelope(Envelope { holder: to.clone(), sealed: frame });
        // Where the connection is gone, `receive` finds out and dials again; the session starts anew then.
        let _ = self.runtime.block_on(self.outbound.send(message.into()));
        Ok(())
    }
}

// What was said last is delivered before the process ends: others wait for it. The relay ends its side once it has heard the
// end of this one.
impl Drop for RelayConnection<'_> {
    fn drop(&mut self) {
        self.outbound = mpsc::channel(1).0;
        let inbound = &mut self.inbound;
        let heard = async { while let Ok(Some(_)) = inbound.message().await {} };
        let _ = self.runtime.block_on(async { tokio::time::timeout(FAREWELL, heard).await });
    }
}

async fn dial(
    config: &PartyConfig,
    alignment: &AlignmentConfig,
) -> anyhow::Result<(mpsc::Sender<HolderMessage>, Streaming<RelayMessage>)> {
    let channel = connect(config).await?;
    let limit = MAX_SEALED_BYTES + 1024;
    let mut client =
        AlignmentClient::new(channel).max_decoding_message_size(limit).max_encoding_message_size(limit);
    let (outbound, messages) = mpsc::channel(OUTBOUND_MESSAGES);
    let settings = alignment.settings.to_settings();
    let enrol = FromHolder::Enrol {
        protocol: PROTOCOL_VERSION,
        holder: config.name.clone(),
        settings_digest: settings.digest(),
        settings,
    };
    outbound.send(enrol.into()).await.context("the stream to the relay")?;
    let opened = client.exchange(ReceiverStream::new(messages)).await;
    Ok((
        outbound,
        opened.map_err(|status| anyhow!("{}: {}", config.coordinator, describe(&status)))?.into_inner(),
    ))
}
