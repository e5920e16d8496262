//! The relay of a private alignment: it passes sealed frames between holders and can open none.
//!
//! It knows who is there and which settings were agreed on. It holds a bounded number of frames for a holder; one
//! that sends more than another takes is dropped, since an honest one waits for confirmations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{bail, ensure};
use hashvfl_alignment::{AlignmentSettings, Event, Relay, RelayError};
use hashvfl_core::PartyName;
use hashvfl_core::limits::MAX_SEALED_BYTES;
use hashvfl_core::protocol::message::PROTOCOL_VERSION;
use hashvfl_proto::alignment::{Envelope, FromHolder, FromRelay};
use hashvfl_proto::status::describe;
use hashvfl_proto::v1::alignment_server::{Alignment, AlignmentServer};
use hashvfl_proto::v1::{HolderMessage, RelayMessage};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

/// Frames that may wait for one holder: eight chunks on each of the routes of seven others, and confirmations.
const WAITING_FRAMES: usize = 1024;
/// Longest wait for a holder's first message.
const GREETING: Duration = Duration::from_secs(60);

struct Place {
    visit: u64,
    outbox: mpsc::Sender<FromRelay>,
}

/// Who is there.
#[derive(Default)]
struct Places {
    visits: u64,
    holders: BTreeMap<PartyName, Place>,
    /// Holders that have given up since they were there last.
    gave_up: BTreeSet<PartyName>,
}

impl Places {
    /// Says to all who are there that `holder` will not come as it is.
    fn tell_absence(&self, holder: &PartyName, refused: bool) {
        for place in self.holders.values() {
            let _ = place.outbox.try_send(FromRelay::Absence { holder: holder.clone(), refused });
        }
    }
}

/// The relay's state: who is there.
pub struct RelayHub {
    settings: AlignmentSettings,
    places: Mutex<Places>,
}

impl RelayHub {
    /// A relay for these settings.
    pub fn new(settings: AlignmentSettings) -> Arc<Self> {
        Arc::new(Self { settings, places: Mutex::default() })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // A panic while the lock was held cannot leave a place half taken.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a holder in, in the place of an earlier visit under its name: that one's process has died, or its key
    /// will not fit.
    fn enter(&self, name: &PartyName) -> (u64, mpsc::Receiver<FromRelay>) {
        let (outbox, messages) = mpsc::channel(WAITING_FRAMES);
        let mut places = self.places();
        places.visits += 1;
        let visit = places.visits;
        places.holders.remove(name);
        places.gave_up.remove(name);
        for (other, place) in &places.holders {
            let presence = |holder: &PartyName| FromRelay::Presence { holder: holder.clone(), here: true };
            let _ = place.outbox.try_send(presence(name));
            let _ = outbox.try_send(presence(other));
        }
        for holder in &places.gave_up {
            let _ = outbox.try_send(FromRelay::Absence { holder: holder.clone(), refused: false });
        }
        places.holders.insert(name.clone(), Place { visit, outbox });
        info!(holder = %name, "is there");
        (visit, messages)
    }

    /// `name` will not take part: all who are there hear it, and all who come until it comes again.
    pub fn give_up(&self, name: &PartyName) {
        warn!(holder = %name, "has given up: its own log says why");
        let mut places = self.places();
        places.holders.remove(name);
        places.gave_up.insert(name.clone());
        places.tell_absence(name, false);
    }

    /// One that wanted to come in as `name` was refused; a holder of that name that is there stays.
    fn refuse(&self, name: &PartyName) {
        let places = self.places();
        if self.settings.holders.contains(name) && !places.holders.contains_key(name) {
            places.tell_absence(name, true);
        }
    }

    fn leave(&self, name: &PartyName, visit: u64) {
        let mut places = self.places();
        if places.holders.get(name).is_none_or(|place| place.visit != visit) {
            return;
        }
        places.holders.remove(name);
        info!(holder = %name, "has left");
        for place in places.holders.values() {
            let _ = place.outbox.try_send(FromRelay::Presence { holder: name.clone(), here: false });
        }
    }

    fn pass(&self, from: &PartyName, visit: u64, envelope: Envelope) -> anyhow::Result<()> {
        let places = self.places();
        ensure!(places.holders.get(from).is_some_and(|place| place.visit == visit), "{from} has come anew");
        let Some(place) = places.holders.get(&envelope.holder) else { return Ok(()) };
        let frame = FromRelay::Envelope(Envelope { holder: from.clone(), sealed: envelope.sealed });
        match place.outbox.try_send(frame) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                bail!("{from} sends more than {} takes: an honest holder waits", envelope.holder)
            }
        }
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.places().holders.is_empty()
    }

    fn greet(&self, message: FromHolder) -> anyhow::Result<PartyName> {
        let FromHolder::Enrol { protocol, holder, settings, settings_digest } = message else {
            bail!("the first message of a holder must be Enrol");
        };
        ensure!(
            protocol == PROTOCOL_VERSION,
            "protocol version {protocol} is not the relay's {PROTOCOL_VERSION}: install the same release"
        );
        ensure!(settings.digest() == settings_digest, "the digest of the settings does not fit their pairs");
        if let Some(difference) = self.settings.to_settings().difference(&settings) {
            let (key, ours, theirs) = (difference.key, difference.ours, difference.theirs);
            bail!("{key} is {ours} at the relay and {theirs} at {holder}: make them equal in all configs");
        }
        ensure!(self.settings.holders.contains(&holder), "{holder} is not among alignment.holders");
        Ok(holder)
    }
}

struct Service(Arc<RelayHub>);

#[tonic::async_trait]
impl Alignment for Service {
    type ExchangeStream =
        std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<RelayMessage, Status>> + Send>>;

    async fn exchange(
        &self,
        request: Request<Streaming<HolderMessage>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let mut inbound = request.into_inner();
        let greeted = match tokio::time::timeout(GREETING, next(&mut inbound)).await {
            Ok(Ok(Some(message))) => {
                let name = match &message {
                    FromHolder::Enrol { holder, .. } => Some(holder.clone()),
                    FromHolder::Envelope(_) | FromHolder::GaveUp => None,
                };
                let greeted = self.0.greet(message);
                if let (Err(_), Some(name)) = (&greeted, name) {
                    self.0.refuse(&name);
                }
                greeted
            }
            Ok(Ok(None)) | Err(_) => return Err(Status::deadline_exceeded("no first message")),
            Ok(Err(error)) => Err(error),
        };
        let name = match greeted {
            Ok(name) => name,
            Err(error) => {
                warn!("refused a holder: {error:#}");
                let refused = FromRelay::Refused { text: format!("{error:#}") };
                return Ok(Response::new(Box::pin(tokio_stream::once(Ok(refused.into())))));
            }
        };
        let (visit, messages) = self.0.enter(&name);
        let hub = Arc::clone(&self.0);
        tokio::spawn(async move {
            loop {
                let passed = match next(&mut inbound).await {
                    Ok(Some(FromHolder::Envelope(envelope))) => hub.pass(&name, visit, envelope),
                    Ok(Some(FromHolder::GaveUp)) => {
                        hub.give_up(&name);
                        break;
                    }
                    Ok(Some(FromHolder::Enrol { .. })) => Err(anyhow::anyhow!("{name} enrols twice")),
                    Ok(None) => break,
                    Err(error) => Err(error),
                };
                if let Err(error) = passed {
                    warn!("dropped a holder: {error:#}");
                    break;
                }
            }
            hub.leave(&name, visit);
        });
        let messages = ReceiverStream::new(messages).map(|message| Ok(message.into()));
        Ok(Response::new(Box::pin(messages)))
    }
}

async fn next(inbound: &mut Streaming<HolderMessage>) -> anyhow::Result<Option<FromHolder>> {
    match inbound.message().await {
        Ok(Some(message)) => Ok(Some(FromHolder::try_from(message)?)),
        Ok(None) => Ok(None),
        Err(status) => bail!("{}", describe(&status)),
    }
}

/// Serves holders on `listener` until the future is dropped.
pub fn serve(
    hub: Arc<RelayHub>,
    listener: TcpListener,
) -> impl Future<Output = Result<(), tonic::transport::Error>> {
    let limit = MAX_SEALED_BYTES + 1024;
    let service =
        AlignmentServer::new(Service(hub)).max_decoding_message_size(limit).max_encoding_message_size(limit);
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .serve_with_incoming(service, TcpIncoming::from(listener).with_nodelay(Some(true)))
}

/// The end of a holder in the relay's own process: the label holder takes part as one.
pub struct Inside<'a> {
    hub: Arc<RelayHub>,
    runtime: &'a Runtime,
    name: PartyName,
    visit: u64,
    messages: mpsc::Receiver<FromRelay>,
}

impl<'a> Inside<'a> {
    /// Takes the place of `name`.
    pub fn enter(hub: &Arc<RelayHub>, name: &PartyName, runtime: &'a Runtime) -> Self {
        let (visit, messages) = hub.enter(name);
        Self { hub: Arc::clone(hub), runtime, name: name.clone(), visit, messages }
    }
}

impl Relay for Inside<'_> {
    fn receive(&mut self, wait: Duration) -> Result<Option<Event>, RelayError> {
        let received =
            self.runtime.block_on(async { tokio::time::timeout(wait, self.messages.recv()).await });
        match received {
            Err(_) => Ok(None),
            Ok(Some(FromRelay::Envelope(envelope))) => {
                Ok(Some(Event::Frame(envelope.holder, envelope.sealed)))
            }
            Ok(Some(FromRelay::Presence { holder, here: true })) => Ok(Some(Event::Arrived(holder))),
            Ok(Some(FromRelay::Presence { holder, here: false })) => Ok(Some(Event::Left(holder))),
            Ok(Some(FromRelay::Absence { holder, refused: false })) => Ok(Some(Event::GaveUp(holder))),
            // The relay has said why, in this very log.
            Ok(Some(FromRelay::Absence { refused: true, .. })) => self.receive(wait),
            Ok(Some(FromRelay::Refused { text })) => Err(RelayError(text)),
            Ok(None) => Err(RelayError(format!("another holder has come under the name {}", self.name))),
        }
    }

    fn send(&mut self, to: &PartyName, frame: Vec<u8>) -> Result<(), RelayError> {
        let envelope = Envelope { holder: to.clone(), sealed: frame };
        self.hub.pass(&self.name, self.visit, envelope).map_err(|error| RelayError(format!("{error:#}")))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.hub.leave(&self.name, self.visit);
    }
}
