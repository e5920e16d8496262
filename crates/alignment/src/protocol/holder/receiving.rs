//! What comes from other holders.

use hashvfl_core::PartyName;
use rand::TryRng;
use tracing::{info, warn};

use super::Holder;
use crate::curve::POINT_BYTES;
use crate::error::{AlignmentError, PeerFault};
use crate::order::{PLACE_BYTES, verdict_bytes};
use crate::protocol::message::Message;
use crate::protocol::peer::ReceivedFrame;
use crate::protocol::relay::{Relay, RelayEvent};
use crate::protocol::transfer::OutgoingLoad;
use crate::route::{Load, Route};
use crate::storage::files::{Items, Journal};

impl<R: Relay> Holder<'_, R> {
    pub(super) fn take(&mut self, event: RelayEvent) -> Result<(), AlignmentError> {
        let (name, frame) = match event {
            RelayEvent::Arrived(name) => (name, None),
            RelayEvent::Left(name) => {
                if let Some(place) = self.other(&name) {
                    self.miss(place);
                    self.lose(place, false);
                }
                return Ok(());
            }
            RelayEvent::RelayLost => {
                self.places().into_iter().for_each(|place| self.lose(place, false));
                return Ok(());
            }
            RelayEvent::AskedToEnd => return Err(AlignmentError::AskedToEnd),
            // A holder that is through has its result, whatever becomes of others.
            RelayEvent::GaveUp(name) => {
                return match self.secret.is_some() && self.other(&name).is_some() {
                    true => Err(self.stopped(name)),
                    false => Ok(()),
                };
            }
            RelayEvent::Frame(name, frame) => (name, Some(frame)),
        };
        let Some(place) = self.other(&name) else { return Ok(()) };
        let result = match frame {
            None => self.arrived(place),
            Some(frame) => self.frame(place, &frame),
        };
        result.map_err(|error| match error {
            Broken::Peer(PeerFault::Stopped) => self.stopped(name),
            Broken::Peer(fault) => AlignmentError::Peer { peer: name, fault },
            Broken::Here(error) => error,
        })
    }

    pub(super) fn other(&self, name: &PartyName) -> Option<usize> {
        self.settings.place(name).filter(|place| *place != self.me)
    }

    /// Says that a holder has disconnected, if this one still needs it.
    fn miss(&mut self, place: usize) {
        let is_needed = self.secret.is_some();
        let Some(peer) = self.peers.get_mut(&place) else { return };
        // Said once until it is back, whatever a relay says of it meanwhile.
        if is_needed && peer.here && !peer.done && !std::mem::replace(&mut peer.missing, true) {
            let limit_s = self.limits.wait.as_secs();
            warn!("{} has disconnected; waiting up to {limit_s} s for it to reconnect", peer.name);
        }
    }

    fn lose(&mut self, place: usize, here: bool) {
        if let Some(peer) = self.peers.get_mut(&place) {
            peer.close();
            peer.here = here;
        }
        self.outgoing.values_mut().filter(|load| load.to == place).for_each(OutgoingLoad::reset);
    }

    /// The one that the settings name first begins a session.
    fn arrived(&mut self, place: usize) -> Result<(), Broken> {
        self.lose(place, true);
        if self.me < place {
            let mut id = [0; 8];
            let drawn = rand::rngs::SysRng.try_fill_bytes(&mut id);
            drawn.map_err(|error| {
                AlignmentError::io("draw", self.folder.path())(std::io::Error::other(error))
            })?;
            let Some(peer) = self.peers.get_mut(&place) else { return Ok(()) };
            let frame = peer.greet(self.key, id)?;
            self.relay.send(&self.settings.holders[place], frame).map_err(AlignmentError::from)?;
        }
        Ok(())
    }

    fn frame(&mut self, place: usize, frame: &[u8]) -> Result<(), Broken> {
        let Some(peer) = self.peers.get_mut(&place) else { return Ok(()) };
        match peer.receive(frame, self.key)? {
            ReceivedFrame::Stale => Ok(()),
            ReceivedFrame::Message(message) => self.message(place, message),
            ReceivedFrame::Opened(reply) => {
                peer.here = true;
                if std::mem::take(&mut peer.missing) {
                    info!("{} has reconnected", peer.name);
                }
                if let Some(reply) = reply {
                    self.relay.send(&self.settings.holders[place], reply).map_err(AlignmentError::from)?;
                }
                self.outgoing.values_mut().filter(|load| load.to == place).for_each(OutgoingLoad::reset);
                let loads = self.incoming.values().filter(|load| load.from == place);
                let held: Vec<(Route, u32)> = loads.map(|load| (load.route, load.held())).collect();
                for (route, chunks) in held {
                    self.say(place, &Message::Have { route, chunks })?;
                }
                if self.secret.is_none() {
                    self.say(place, &Message::Done)?;
                }
                Ok(())
            }
        }
    }

    fn message(&mut self, place: usize, message: Message) -> Result<(), Broken> {
        match message {
            Message::Chunk { route, index, total, bytes } => self.chunk(place, route, index, total, bytes),
            // A holder that is through keeps no loads.
            Message::Have { .. } if self.secret.is_none() => Ok(()),
            Message::Have { route, chunks } => match self.outgoing.get_mut(&route) {
                Some(load) if load.to == place => {
                    // Resumed here as there: the file may be whole already.
                    let source = self.folder.source(route, &self.map);
                    if load.items.is_none() && source.exists() {
                        load.items = Some(Items::open(&source, route.load.item_bytes())?);
                    }
                    Ok(load.have(chunks)?)
                }
                _ => Err(PeerFault::Unexpected.into()),
            },
            Message::Done => {
                self.outgoing
                    .values_mut()
                    .filter(|load| load.to == place)
                    .for_each(|load| load.finished = true);
                if let Some(peer) = self.peers.get_mut(&place) {
                    peer.done = true;
                }
                Ok(())
            }
            // A holder that is through has its result, whatever becomes of others.
            Message::Failed if self.secret.is_none() => Ok(()),
            Message::Failed => Err(PeerFault::Stopped.into()),
        }
    }

    fn chunk(
        &mut self,
        place: usize,
        route: Route,
        index: u32,
        total: u64,
        bytes: Vec<u8>,
    ) -> Result<(), Broken> {
        let Some(secret) = &self.secret else { return Ok(()) };
        let (item_bytes, target) = (route.load.item_bytes(), self.folder.target(route));
        let load =
            self.incoming.get_mut(&route).filter(|load| load.from == place).ok_or(PeerFault::Unexpected)?;
        if load.journal.is_none() && load.complete.is_none() {
            let most = self.settings.most_records;
            if route.load == Load::Verdict {
                let places = self.folder.of("places", usize::from(route.set));
                let points = if places.exists() { Items::open(&places, PLACE_BYTES)?.total } else { 0 };
                if points == 0 || verdict_bytes(points) != total {
                    return Err(PeerFault::Resized.into());
                }
            } else if !(1..=most).contains(&total) {
                return Err(PeerFault::Size { found: total, most }.into());
            }
            // Nothing is made on disk for a chunk that is not the first.
            load.check(index, total, &bytes)?;
            load.journal = Some(Journal::create(&target, item_bytes, total)?);
        }
        load.check(index, total, &bytes)?;
        let bytes = match route.load {
            Load::Points => {
                let points = bytes.as_chunks::<POINT_BYTES>().0;
                secret.blind_again(points).map_err(PeerFault::from)?.into_flattened()
            }
            Load::Tags | Load::Verdict => bytes,
        };
        if let Some(journal) = &mut load.journal {
            journal.append(&bytes)?;
            load.complete = journal.complete().then_some(journal.held);
        }
        let chunks = load.held();
        Ok(self.say(place, &Message::Have { route, chunks })?)
    }
}

/// A peer's fault, or one of our own.
enum Broken {
    Peer(PeerFault),
    Here(AlignmentError),
}

impl From<PeerFault> for Broken {
    fn from(fault: PeerFault) -> Self {
        Self::Peer(fault)
    }
}

impl From<AlignmentError> for Broken {
    fn from(error: AlignmentError) -> Self {
        Self::Here(error)
    }
}
