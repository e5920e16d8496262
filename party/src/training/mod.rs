//! The network side: dial out, keep one stream, pass messages to the worker. Every wait has a limit.

pub(crate) mod backlog;
pub(crate) mod gradient_monitor;
pub(crate) mod recorder;
pub(crate) mod worker;

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use hashvfl_core::limits::MAX_MESSAGE_BYTES;
use hashvfl_core::protocol::message::{FromCoordinator, FromParty, Hello, PROTOCOL_VERSION};
use hashvfl_core::protocol::party::PartyError;
use hashvfl_proto::driver::Driver;
use hashvfl_proto::status::describe;
use hashvfl_proto::v1::federation_client::FederationClient;
use hashvfl_proto::v1::{CoordinatorMessage, PartyMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use tracing::{info, info_span, warn};

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::releases::Releases;
use crate::state::StateFolder;
use crate::training::recorder::Recorder;
use crate::training::worker::Worker;

/// Joins the run and works until the coordinator ends it.
pub fn join(
    config: &PartyConfig,
    prepared: Prepared,
    state: &StateFolder,
    releases: Releases,
) -> anyhow::Result<()> {
    let span = info_span!("party", run = %config.run_id, party = %config.name);
    let _entered = span.enter();
    info!("{}", prepared.describe());
    info!("read: {}", prepared.reading(&config.trained_on())?);
    let driver = Driver::start()?;
    let channel = driver.wait(connect(config))?;
    let (to_coordinator, outbound) = mpsc::channel::<PartyMessage>(4);
    let mut connection = TrainingConnection { to_coordinator, config };
    connection.send(&driver, FromParty::Hello(hello(config)))?;
    let mut client = FederationClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let opening = client.join(ReceiverStream::new(outbound));
    let opened = driver.wait(limited(config.timeouts.connect_s, "the coordinator to answer", opening))?;
    let mut inbound =
        opened.map_err(|status| anyhow!("{}: {}", config.coordinator, describe(&status)))?.into_inner();
    let recorder = Recorder::open(config, &prepared, state)?;
    let mut worker = Worker::new(config, prepared, state, releases, recorder);
    let result = work(&driver, config, &mut worker, &mut inbound, &mut connection);
    let result = result.and(worker.settle());
    let refused = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(PartyError::Refused(_)));
    if let Err(error) = result.as_ref()
        && !refused(error)
    {
        // The coordinator is told, so that nobody waits for this party; it may be gone, though.
        let text = format!("{error:#}");
        let _ = connection.send(&driver, FromParty::Failed { text });
    }
    drop(connection);
    // Lets the last message leave before the process does.
    let ending = async { while let Ok(Some(_)) = inbound.message().await {} };
    let _ = driver.wait(limited(5, "the coordinator to close the stream", ending));
    result
}

fn work(
    driver: &Driver,
    config: &PartyConfig,
    worker: &mut Worker,
    inbound: &mut Streaming<CoordinatorMessage>,
    connection: &mut TrainingConnection,
) -> anyhow::Result<()> {
    loop {
        let (limit_s, what) = if worker.step() == 0 {
            (config.timeouts.start_s, "the run to start: are all parties up?".to_string())
        } else {
            (config.timeouts.step_s, format!("the request after step {}", worker.step()))
        };
        let received = driver.wait(limited(limit_s, &what, inbound.message()))?;
        let message = received.map_err(|status| {
            anyhow!("step {}: {}: is the coordinator still up?", worker.step(), describe(&status))
        })?;
        let Some(message) = message else {
            bail!(
                "step {}: the coordinator closed the stream before the run's end: its log says why; then start all sides again",
                worker.step()
            );
        };
        let message = FromCoordinator::try_from(message)
            .with_context(|| format!("step {}: the coordinator sent an unusable message", worker.step()))?;
        let done = worker.receive(message)?;
        if let Some(answer) = done.answer {
            connection.send(driver, answer).with_context(|| format!("step {}", worker.step()))?;
            driver.flush();
            worker.work_off()?;
        }
        if done.finished {
            return Ok(());
        }
    }
}

struct TrainingConnection<'a> {
    to_coordinator: mpsc::Sender<PartyMessage>,
    config: &'a PartyConfig,
}

impl TrainingConnection<'_> {
    fn send(&mut self, driver: &Driver, message: FromParty) -> anyhow::Result<()> {
        let sending = self.to_coordinator.send(message.into());
        let sent =
            driver.wait(limited(self.config.timeouts.step_s, "the network to take a message", sending))?;
        sent.map_err(|_| anyhow!("the connection was lost: is the coordinator still up?"))
    }
}

/// What a party says first.
pub fn hello(config: &PartyConfig) -> Hello {
    let settings = config.run.to_settings();
    Hello {
        protocol: PROTOCOL_VERSION,
        run: config.run_id.clone(),
        party: config.name.clone(),
        settings_digest: settings.digest(),
        settings,
    }
}

/// The result of `future`, unless it takes too long.
pub async fn limited<F: Future>(limit_s: u64, what: &str, future: F) -> anyhow::Result<F::Output> {
    let limited = tokio::time::timeout(Duration::from_secs(limit_s), future).await;
    limited
        .map_err(|_| anyhow!("waited {limit_s} s for {what} (limits are in the config's [timeouts] table)"))
}

/// Dials until the coordinator is there or the limit is reached.
pub async fn connect(config: &PartyConfig) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(config.coordinator.to_string())
        .with_context(|| format!("coordinator = \"{}\" is no address", config.coordinator))?
        .connect_timeout(Duration::from_secs(10))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    let start = Instant::now();
    let mut told = false;
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(_) if start.elapsed() < Duration::from_secs(config.timeouts.connect_s) => {
                if !std::mem::replace(&mut told, true) {
                    warn!(
                        "no coordinator at {} yet; trying for {} s",
                        config.coordinator, config.timeouts.connect_s
                    );
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => {
                let cause =
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                let (address, limit_s) = (&config.coordinator, config.timeouts.connect_s);
                bail!(
                    "no coordinator at {address} within {limit_s} s ({cause}): is it up, and the address right?"
                );
            }
        }
    }
}
