//! The relay of a private alignment: it passes sealed frames between holders and can open none.
//!
//! It knows who is there and which settings were agreed on. It holds a bounded number of frames for a holder, of each that
//! sends to it; one that sends more than another takes is dropped, since an honest one waits for confirmations.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure};
use hashvfl_alignment::{AlignmentSettings, Relay, RelayError, RelayEvent};
use hashvfl_core::limits::MAX_SEALED_BYTES;
use hashvfl_core::protocol::message::check_version;
use hashvfl_core::{Digest, PartyName, Settings};
use hashvfl_identity::{Identity, Role};
use hashvfl_proto::alignment::{Envelope, FromHolder, FromRelay};
use hashvfl_transport::handshake::STRANGER;
use hashvfl_transport::limits::connections::ConnectedPeer;
use hashvfl_transport::limits::gate::PortAccount;
use hashvfl_transport::limits::quiet::{QuietLog, QuietLogs};
use hashvfl_transport::listen::{AlignmentStream, Arrivals};
use hashvfl_transport::stop::Stop;
use hashvfl_transport::{Incoming, Outgoing, StreamError};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use crate::admission_log::AdmissionLog;
use crate::outbox::{MOST_FRAMES, QueuedBytes};
use crate::permissions::NotLetIn;

/// Messages that may wait for one holder: frames of seven others, and who comes and goes.
const WAITING_MESSAGES: usize = 8 * MOST_FRAMES;
/// Bytes of a message of a holder that has enrolled, at most: a sealed frame in its envelope.
pub const FRAME_BYTES: usize = MAX_SEALED_BYTES + 1024;
/// Bytes of a frame's kind and session, before the sealed message.
const SESSION_BYTES: usize = 9;
/// Kinds of frames: a handshake's two, and a sealed message.
const KINDS: RangeInclusive<u8> = 1..=3;

struct ConnectedHolder {
    visit: u64,
    outbox: mpsc::Sender<FromRelay>,
    waiting: Arc<QueuedBytes>,
}

/// Who is there.
#[derive(Default)]
struct ConnectedHolders {
    /// Visits so far, which number them.
    visits: u64,
    holders: BTreeMap<PartyName, ConnectedHolder>,
    /// Holders that have given up since they were there last.
    gave_up: BTreeSet<PartyName>,
    /// Holders that were refused since they were there last.
    refused: BTreeSet<PartyName>,
    /// Holders that have been there, or have given up.
    heard_of: BTreeSet<PartyName>,
}

impl ConnectedHolders {
    /// Tells all who are there that `holder` will not come as it is.
    fn tell_absence(&self, holder: &PartyName, refused: bool) {
        for place in self.holders.values() {
            let _ = place.outbox.try_send(FromRelay::Absence { holder: holder.clone(), refused });
        }
    }
}

/// The relay's state.
pub struct RelayHub {
    settings: AlignmentSettings,
    places: Mutex<ConnectedHolders>,
    /// Lines about holders that come and go.
    lines: QuietLogs,
}

/// A holder that is not let in.
struct NotAdmitted {
    /// Who it is by its certificate; without one, who it says it is.
    holder: Option<PartyName>,
    /// Why, as a word.
    why: &'static str,
    error: anyhow::Error,
}

impl NotAdmitted {
    fn of(holder: &PartyName, why: &'static str, error: anyhow::Error) -> Self {
        Self { holder: Some(holder.clone()), why, error }
    }
}

/// A holder's stay, from its greeting until it leaves or another comes under its name.
struct HolderSession {
    name: PartyName,
    number: u64,
    messages: mpsc::Receiver<FromRelay>,
    waiting: Arc<QueuedBytes>,
}

impl RelayHub {
    /// A relay for these settings.
    pub fn new(settings: AlignmentSettings) -> Arc<Self> {
        Arc::new(Self { settings, places: Mutex::default(), lines: QuietLogs::default() })
    }

    fn places(&self) -> MutexGuard<'_, ConnectedHolders> {
        // A panic while the lock was held cannot leave a place half taken.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a holder in, in the place of an earlier visit under its name: that one's process has died, or its key
    /// will not fit.
    fn enter(&self, name: &PartyName) -> HolderSession {
        let (outbox, messages) = mpsc::channel(WAITING_MESSAGES);
        let mut places = self.places();
        places.visits += 1;
        let number = places.visits;
        places.holders.remove(name);
        places.gave_up.remove(name);
        places.refused.remove(name);
        places.heard_of.insert(name.clone());
        for (other, place) in &places.holders {
            let _ = place.outbox.try_send(FromRelay::Presence { holder: name.clone(), here: true });
            let _ = outbox.try_send(FromRelay::Presence { holder: other.clone(), here: true });
        }
        // Whoever hears that another has given up listens no more.
        for (absent, refused) in [(&places.refused, true), (&places.gave_up, false)] {
            for holder in absent {
                let _ = outbox.try_send(FromRelay::Absence { holder: holder.clone(), refused });
            }
        }
        let waiting = Arc::<QueuedBytes>::default();
        places
            .holders
            .insert(name.clone(), ConnectedHolder { visit: number, outbox, waiting: Arc::clone(&waiting) });
        if let Some(more) = self.may_write(name) {
            info!(holder = %name, "has connected{more}");
        }
        HolderSession { name: name.clone(), number, messages, waiting }
    }

    /// Whether a line about `name` may be written now: what to put behind it.
    fn may_write(&self, name: &PartyName) -> Option<String> {
        self.lines.may_write(name.as_str(), Instant::now())
    }

    /// `name` will not take part: all who are there hear it, and all who come until it comes again.
    pub fn give_up(&self, name: &PartyName) {
        if let Some(more) = self.may_write(name) {
            warn!(holder = %name, "has given up; its own log says why{more}");
        }
        let mut places = self.places();
        places.holders.remove(name);
        places.gave_up.insert(name.clone());
        places.heard_of.insert(name.clone());
        places.tell_absence(name, false);
    }

    /// `name` was refused: all who are there hear it once, and all who come until it is let in. If a holder of that name is
    /// there, it stays.
    fn refuse(&self, name: &PartyName) {
        let mut places = self.places();
        let is_absent = self.settings.holders.contains(name) && !places.holders.contains_key(name);
        if is_absent && places.refused.insert(name.clone()) {
            places.tell_absence(name, true);
        }
    }

    fn leave(&self, name: &PartyName, visit: u64) {
        let mut places = self.places();
        if places.holders.get(name).is_none_or(|place| place.visit != visit) {
            return;
        }
        places.holders.remove(name);
        if let Some(more) = self.may_write(name) {
            info!(holder = %name, "has left{more}");
        }
        for place in places.holders.values() {
            let _ = place.outbox.try_send(FromRelay::Presence { holder: name.clone(), here: false });
        }
    }

    /// Passes a frame on to another holder that is there, unless it is of no kind or opens no session: nobody could do anything
    /// with it.
    fn pass(&self, from: &PartyName, visit: u64, envelope: Envelope) -> anyhow::Result<()> {
        let places = self.places();
        let is_latest = places.holders.get(from).is_some_and(|place| place.visit == visit);
        ensure!(is_latest, "{from} has connected again, on another stream");
        let is_one = envelope.sealed.first().is_some_and(|kind| KINDS.contains(kind));
        if !is_one || envelope.sealed.len() <= SESSION_BYTES || envelope.holder == *from {
            return Ok(());
        }
        let Some(place) = places.holders.get(&envelope.holder) else { return Ok(()) };
        let has_room = place.waiting.take(from, &envelope.sealed);
        ensure!(has_room, "{from} sends faster than {} reads, against the protocol", envelope.holder);
        let frame = FromRelay::Envelope(Envelope { holder: from.clone(), sealed: envelope.sealed });
        match place.outbox.try_send(frame) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                bail!("{from} sends faster than {} reads, against the protocol", envelope.holder)
            }
        }
    }

    /// Whether every holder has been there or has given up: nobody has yet to hear who did.
    pub fn has_heard_of_all(&self) -> bool {
        let places = self.places();
        self.settings.holders.iter().all(|name| places.heard_of.contains(name))
    }

    /// Whether nothing waits to be sent to any of those who are there.
    pub fn has_told_all(&self) -> bool {
        let places = self.places();
        places.holders.values().all(|place| place.outbox.capacity() == place.outbox.max_capacity())
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.places().holders.is_empty()
    }

    /// Lets the holder of a stream in whose first message this is, if its certificate has the name that it says. The others hear
    /// of one that is refused.
    fn admit(&self, stream: &AlignmentStream, message: FromHolder) -> Result<PartyName, NotAdmitted> {
        let FromHolder::Enrol { protocol, holder, settings, settings_digest } = message else {
            let error = anyhow!("the first message of a holder must be Enrol");
            return Err(NotAdmitted { holder: None, why: "no-enrol", error });
        };
        stream.check_name(&holder).map_err(|error| {
            let named = error.certificate.name.clone();
            self.refuse(&named);
            NotAdmitted::of(&named, "other-name", error.into())
        })?;
        let fits = check_version(protocol, "the holder", "the relay")
            .map_err(|text| NotAdmitted::of(&holder, "protocol-version", anyhow::Error::msg(text)))
            .and_then(|()| self.check_settings(&holder, &settings, settings_digest));
        fits.inspect_err(|_| self.refuse(&holder))?;
        Ok(holder)
    }

    fn check_settings(
        &self,
        holder: &PartyName,
        settings: &Settings,
        digest: Digest,
    ) -> Result<(), NotAdmitted> {
        if settings.digest() != digest {
            let error = anyhow!("the digest of the settings does not match the settings");
            return Err(NotAdmitted::of(holder, "settings-digest", error));
        }
        if let Some(difference) = self.settings.to_settings().difference(settings) {
            let (key, ours, theirs) = (difference.key, difference.ours, difference.theirs);
            let error = anyhow!(
                "{key} is {ours} at the relay and {theirs} at {holder}: make them equal in all configs"
            );
            return Err(NotAdmitted::of(holder, "other-settings", error));
        }
        if !self.settings.holders.contains(holder) {
            let error = anyhow!("{holder} is not among alignment.settings.holders");
            return Err(NotAdmitted::of(holder, "no-holder", error));
        }
        Ok(())
    }
}

/// Those whom the port turns away by their certificates: written down, and if one is a holder, the others hear of it.
pub struct HolderAccount {
    /// Tells the others.
    pub hub: Arc<RelayHub>,
    /// Where it is written down.
    pub admissions: Arc<AdmissionLog>,
}

impl PortAccount for HolderAccount {
    fn turned_away(&self, who: Option<&Identity>, why: &'static str) {
        if let Some(Identity { role: Role::Party, name }) = who {
            self.hub.refuse(name);
        }
        self.admissions.turned_away(who, why);
    }

    fn look(&self) {
        self.admissions.look();
    }
}

/// Attends to holders as they come, until the server ends; must be spawned on its runtime. Each has so long for its `greeting`.
/// Those who are refused are written down in `admissions`.
pub async fn attend(
    hub: Arc<RelayHub>,
    mut arrivals: Arrivals<AlignmentStream>,
    admissions: Arc<AdmissionLog>,
    greeting: Duration,
) {
    let dropped = Arc::new(QuietLog::new());
    while let Some(stream) = arrivals.next().await {
        let (hub, admissions, dropped) = (Arc::clone(&hub), Arc::clone(&admissions), Arc::clone(&dropped));
        tokio::spawn(receive(hub, stream, admissions, dropped, greeting));
    }
}

/// One holder, from its first message until it leaves.
async fn receive(
    hub: Arc<RelayHub>,
    mut stream: AlignmentStream,
    admissions: Arc<AdmissionLog>,
    dropped: Arc<QuietLog>,
    greeting: Duration,
) {
    let greeted = match stream.next_within(greeting).await {
        Ok(received) => hub.admit(&stream, received.message),
        Err(StreamError::Unusable(error)) => {
            let error = anyhow!("its first message: {error}");
            Err(NotAdmitted { holder: None, why: "unusable-message", error })
        }
        Err(error) => {
            debug!("a stream without a first message: {error}");
            let text = "no first message arrived in time".to_string();
            // Whoever has gone needs no reason.
            let _ = stream.send(FromRelay::Refused { text }, greeting).await;
            return;
        }
    };
    let greeted = match greeted {
        Ok(name) => write_down(&hub, &admissions, name).await,
        refused => refused,
    };
    let name = match greeted {
        Ok(name) => name,
        Err(NotAdmitted { holder, why, error }) => {
            admissions.refused(holder.as_ref(), why, &format!("{error:#}"));
            let is_known = stream.peer().is_none_or(ConnectedPeer::is_known);
            let text = if is_known { format!("{error:#}") } else { STRANGER.to_string() };
            // Whoever has gone needs no reason.
            let _ = stream.send(FromRelay::Refused { text }, greeting).await;
            return;
        }
    };
    if let Some(allowance) = stream.allowance() {
        allowance.accept(FRAME_BYTES);
    }
    let HolderSession { name, number, messages, waiting } = hub.enter(&name);
    let (outgoing, mut incoming) = stream.split();
    tokio::spawn(forward(messages, waiting, outgoing));
    if let Err(error) = pass_frames(&hub, &name, number, &mut incoming).await {
        dropped.warn(&format!("dropped a holder: {error:#}"));
    }
    hub.leave(&name, number);
}

/// Counts and writes down that the holder `name`, which fits, is let in, before it is, unless it may not be or has been too often.
async fn write_down(
    hub: &RelayHub,
    admissions: &Arc<AdmissionLog>,
    name: PartyName,
) -> Result<PartyName, NotAdmitted> {
    let (ours, holder) = (Arc::clone(admissions), name.clone());
    // Off the network's thread: it writes files.
    let written = tokio::task::spawn_blocking(move || {
        ours.count_entry(&holder)?;
        anyhow::Ok(ours.joins(&holder)?)
    });
    // What its thread died of is said where it did.
    let died = |_| Err(anyhow!("the relay cannot write down who joins: see its log"));
    match written.await.unwrap_or_else(died) {
        Ok(()) => Ok(name),
        Err(error) => {
            hub.refuse(&name);
            let why = error.downcast_ref().map_or("this-side-failed", NotLetIn::reason);
            Err(NotAdmitted::of(&name, why, error))
        }
    }
}

/// Passes a holder's frames on, until it ends its stream or gives up.
async fn pass_frames(
    hub: &RelayHub,
    name: &PartyName,
    visit: u64,
    incoming: &mut Incoming<FromHolder>,
) -> anyhow::Result<()> {
    loop {
        match incoming.next().await {
            Ok(received) => match received.message {
                FromHolder::Envelope(envelope) => hub.pass(name, visit, envelope)?,
                FromHolder::GaveUp => {
                    hub.give_up(name);
                    return Ok(());
                }
                FromHolder::Enrol { .. } => bail!("{name} enrols twice"),
            },
            Err(StreamError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends a holder what waits for it, until its visit is over.
async fn forward(
    mut messages: mpsc::Receiver<FromRelay>,
    waiting: Arc<QueuedBytes>,
    outgoing: Outgoing<FromRelay>,
) {
    while let Some(message) = messages.recv().await {
        if let FromRelay::Envelope(envelope) = &message {
            waiting.give_back(&envelope.holder, &envelope.sealed);
        }
        // The other direction ends with the connection, and the visit with it.
        if outgoing.send_patiently(message).await.is_err() {
            return;
        }
    }
}

/// The end of a holder in the relay's own process: the label holder takes part as one.
pub struct LocalHolder<'a> {
    hub: Arc<RelayHub>,
    runtime: &'a Runtime,
    visit: HolderSession,
    stop: Stop,
}

impl<'a> LocalHolder<'a> {
    /// Takes the place of `name`.
    pub fn enter(hub: &Arc<RelayHub>, name: &PartyName, runtime: &'a Runtime) -> Self {
        Self { hub: Arc::clone(hub), runtime, visit: hub.enter(name), stop: Stop::listen() }
    }
}

impl Relay for LocalHolder<'_> {
    fn receive(&mut self, wait: Duration) -> Result<Option<RelayEvent>, RelayError> {
        loop {
            let (messages, stop) = (&mut self.visit.messages, &mut self.stop);
            let received = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stop.stopped() => None,
                    received = tokio::time::timeout(wait, messages.recv()) => Some(received),
                }
            });
            let Some(received) = received else { return Ok(Some(RelayEvent::AskedToEnd)) };
            let Ok(received) = received else { return Ok(None) };
            return match received {
                Some(FromRelay::Envelope(envelope)) => {
                    self.visit.waiting.give_back(&envelope.holder, &envelope.sealed);
                    Ok(Some(RelayEvent::Frame(envelope.holder, envelope.sealed)))
                }
                Some(FromRelay::Presence { holder, here: true }) => Ok(Some(RelayEvent::Arrived(holder))),
                Some(FromRelay::Presence { holder, here: false }) => Ok(Some(RelayEvent::Left(holder))),
                Some(FromRelay::Absence { holder, refused: false }) => Ok(Some(RelayEvent::GaveUp(holder))),
                // The relay has said why, in this very log.
                Some(FromRelay::Absence { refused: true, .. }) => continue,
                Some(FromRelay::Refused { text }) => Err(RelayError(text)),
                None => {
                    let name = &self.visit.name;
                    Err(RelayError(format!("another holder has connected under the name {name}")))
                }
            };
        }
    }

    fn send(&mut self, to: &PartyName, frame: Vec<u8>) -> Result<(), RelayError> {
        let envelope = Envelope { holder: to.clone(), sealed: frame };
        let passed = self.hub.pass(&self.visit.name, self.visit.number, envelope);
        passed.map_err(|error| RelayError(format!("{error:#}")))
    }
}

impl Drop for LocalHolder<'_> {
    fn drop(&mut self) {
        self.hub.leave(&self.visit.name, self.visit.number);
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "relay_admission_tests.rs"]
mod admission_tests;
