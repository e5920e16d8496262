//! One holder of an alignment: it does whatever can be done next, and waits where nothing can.
//!
//! ```text
//!  own ids -> blind -> sort ----------------------> to the next holder      (Points)
//!  another's points come -> blind again -> sort --> to the next holder, or  (Points)
//!                                              `--> final tags to the comparer (Tags)
//!  comparer: all tags -> compare -----------------> to each set's last holder (Verdict)
//!  a verdict comes -> put back the order ---------> to the holder before, or own records -> order.csv
//! ```
//!
//! Files say how far it is; the loop below asks them. A peer that comes back is told what is here already.

mod receiving;
mod rot;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hashvfl_core::PartyName;

use crate::curve::{POINT_BYTES, Secret};
use crate::error::{AlignmentError, PeerFault};
use crate::identity::{PublicKey, SecretKey};
use crate::order::{self, PLACE_BYTES};
use crate::protocol::compare::{TAG_BYTES, compare};
use crate::protocol::message::Message;
use crate::protocol::peer::Peer;
use crate::protocol::relay::Relay;
use crate::protocol::transfer::{IncomingLoad, OutgoingLoad};
use crate::route::{Load, Map, Route};
use crate::settings::AlignmentSettings;
use crate::storage::files::{Items, Journal, WholeItems, chunks, items_of, items_per_chunk};
use crate::storage::folder::{AlignmentFolder, AlignmentResult};
use crate::storage::sort::Sorter;
use crate::storage::spool::RECORD_BYTES;

/// How long a finished holder that was started again waits for others to say that they are through.
const LINGER: Duration = Duration::from_secs(5);

/// How far a holder is, in points to blind: its own, and those of other holders that pass here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlignmentProgress {
    /// Points blinded.
    pub done: u64,
    /// Points in all; a set that has not come yet counts as large as the own one.
    pub total: u64,
}

/// What a holder may use.
#[derive(Debug, Clone, Copy)]
pub struct HolderLimits {
    /// How long it waits for any other holder.
    pub wait: Duration,
    /// Memory for sorting, in bytes; the rest is on disk.
    pub memory_bytes: usize,
}

/// A holder at work.
pub struct Holder<'a, R> {
    settings: &'a AlignmentSettings,
    map: Map,
    me: usize,
    folder: &'a AlignmentFolder,
    key: &'a SecretKey,
    secret: Option<Secret>,
    peers: BTreeMap<usize, Peer>,
    relay: R,
    limits: HolderLimits,
    own: Option<Journal>,
    incoming: BTreeMap<Route, IncomingLoad>,
    outgoing: BTreeMap<Route, OutgoingLoad>,
}

impl<'a, R: Relay> Holder<'a, R> {
    /// The holder `name`, whose folder has its records and its scalar, with its own `key`. `pinned` knows the others' keys.
    ///
    /// # Errors
    /// When a key is missing, or a file of the folder is damaged.
    pub fn new(
        settings: &'a AlignmentSettings,
        name: &PartyName,
        folder: &'a AlignmentFolder,
        key: &'a SecretKey,
        pinned: &dyn Fn(&PartyName) -> Option<PublicKey>,
        relay: R,
        limits: HolderLimits,
    ) -> Result<Self, AlignmentError> {
        settings.check()?;
        let map = Map::new(settings);
        let stranger = || AlignmentError::Settings(format!("\"{name}\" is not among holders"));
        let me = settings.place(name).ok_or_else(stranger)?;
        let digest = settings.digest();
        let mut peers = BTreeMap::new();
        for (place, other) in settings.holders.iter().enumerate().filter(|(place, _)| *place != me) {
            let public = pinned(other).ok_or_else(|| AlignmentError::NotPinned(other.clone()))?;
            let names = if me < place { [name, other] } else { [other, name] };
            peers.insert(place, Peer::new(other.clone(), public, &digest, names));
        }
        let over = folder.outcome()?.is_some();
        let secret = if over { None } else { Some(folder.secret()?) };
        let mut holder = Self {
            settings,
            map,
            me,
            folder,
            key,
            secret,
            peers,
            relay,
            limits,
            own: None,
            incoming: BTreeMap::new(),
            outgoing: BTreeMap::new(),
        };
        if !over {
            holder.resume()?;
        }
        Ok(holder)
    }

    /// Finds out from the folder how far it is.
    fn resume(&mut self) -> Result<(), AlignmentError> {
        self.find_rot()?;
        let own = self.folder.of("points", self.me);
        let sorted = self.folder.of("sorted", self.me);
        if !sorted.exists() {
            let total = Items::open(&self.folder.file("records"), RECORD_BYTES)?.total;
            let resumed = Journal::resume(&own, POINT_BYTES)?.filter(|journal| journal.total == total);
            self.own = Some(resumed.map_or_else(|| Journal::create(&own, POINT_BYTES, total), Ok)?);
        }
        for route in self.map.routes() {
            let (from, to) = self.map.ends(route);
            if from == self.me {
                self.outgoing.insert(route, OutgoingLoad::new(route, to));
            }
            if to == self.me {
                let item_bytes = route.load.item_bytes();
                let sorted = self.folder.of("sorted", usize::from(route.set));
                let (journal, complete) = if route.load == Load::Points && sorted.exists() {
                    (None, Some(chunks(Items::open(&sorted, item_bytes)?.total, item_bytes)))
                } else {
                    let journal = Journal::resume(&self.folder.target(route), item_bytes)?;
                    let complete =
                        journal.as_ref().filter(|journal| journal.complete()).map(|journal| journal.held);
                    (journal, complete)
                };
                self.incoming.insert(route, IncomingLoad { route, from, journal, complete });
            }
        }
        Ok(())
    }

    /// Works until this holder has its order and nobody needs anything of it any more.
    ///
    /// # Errors
    /// When a peer or the relay breaks the protocol, nothing comes for too long, or a file fails. What is in the
    /// folder stays there: the same call goes on with it.
    pub fn run(mut self, tell: &mut dyn FnMut(AlignmentProgress)) -> Result<AlignmentResult, AlignmentError> {
        let result = self.work(tell);
        if result.as_ref().is_err_and(|error| !matches!(error, AlignmentError::AskedToEnd)) {
            // The others are told, so that nobody waits for this holder; it does not matter if they are gone. One that was asked
            // to end comes again.
            for place in self.places() {
                let _ = self.say(place, &Message::Failed);
            }
        }
        result
    }

    fn work(&mut self, tell: &mut dyn FnMut(AlignmentProgress)) -> Result<AlignmentResult, AlignmentError> {
        let again = self.folder.outcome()?;
        let mut heard = Instant::now();
        while self.secret.is_some() {
            let busy = self.step()?;
            self.send_due()?;
            if self.is_over() {
                let records = Items::open(&self.folder.file("records"), RECORD_BYTES)?.total;
                let common = order::count(self.folder, self.me)?;
                self.folder.finish(AlignmentResult { records, common })?;
                self.secret = None;
                break;
            }
            tell(self.progress());
            let wait = if busy { Duration::ZERO } else { self.limits.wait };
            match self.relay.receive(wait)? {
                Some(event) => self.take(event)?,
                None if busy => {}
                None => return Err(self.silent()),
            }
            heard = Instant::now();
        }
        self.folder.destroy()?;
        tell(self.progress());
        self.leave(heard, again.is_some())?;
        // Unwrap safety: the loop above ends when the folder holds an outcome.
        Ok(self.folder.outcome()?.expect("an outcome"))
    }

    /// Says that it is through, and stays until the others are: a peer that crashed may yet have to hear it.
    fn leave(&mut self, heard: Instant, again: bool) -> Result<(), AlignmentError> {
        for place in self.places() {
            self.say(place, &Message::Done)?;
        }
        let start = Instant::now();
        loop {
            let waiting = self.peers.values().any(|peer| !peer.done && (peer.here || !again));
            let linger = again && start.elapsed() < LINGER && self.peers.values().any(|peer| !peer.done);
            if !waiting && !linger || heard.elapsed() > self.limits.wait {
                return Ok(());
            }
            let wait = if waiting { self.limits.wait } else { LINGER };
            match self.relay.receive(wait) {
                Ok(Some(event)) => match self.take(event) {
                    // Nor is anybody left alone because another breaks the protocol.
                    Ok(()) | Err(AlignmentError::Peer { .. }) => {}
                    Err(_) => return Ok(()),
                },
                // Nobody is waited for in vain: this holder has its result.
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    fn places(&self) -> Vec<usize> {
        self.peers.keys().copied().collect()
    }

    /// That `peer` has stopped; others that are not there either may be why.
    pub(super) fn stopped(&self, peer: PartyName) -> AlignmentError {
        let absent =
            self.peers.values().filter(|other| other.name != peer && !other.is_open() && !other.here);
        let absent: Vec<&str> = absent.map(|other| other.name.as_str()).collect();
        let absent = if absent.is_empty() {
            String::new()
        } else {
            format!("; {} had not connected", absent.join(", "))
        };
        AlignmentError::Stopped { peer, absent }
    }

    fn silent(&self) -> AlignmentError {
        // One that speaks under another key is not waited for in vain without a word of it.
        if let Some(peer) = self.peers.values().find(|peer| peer.doubtful && !peer.is_open()) {
            return AlignmentError::Peer { peer: peer.name.clone(), fault: PeerFault::Handshake };
        }
        let absent = self.peers.values().filter(|peer| !peer.is_open());
        let mut missing: Vec<&str> = absent.map(|peer| peer.name.as_str()).collect();
        if missing.is_empty() {
            missing = self.peers.values().map(|peer| peer.name.as_str()).collect();
        }
        AlignmentError::Silent { seconds: self.limits.wait.as_secs(), missing: missing.join(", ") }
    }

    fn is_over(&self) -> bool {
        self.folder.has(&format!("placed-{}", self.me))
            && self.folder.has("ordered")
            && self.outgoing.values().all(|load| load.finished)
    }

    /// How far it is.
    pub fn progress(&self) -> AlignmentProgress {
        let mut progress = AlignmentProgress { done: 0, total: 0 };
        let own = self.own.as_ref().map(|own| own.total);
        let own = own.or_else(|| {
            Items::open(&self.folder.of("sorted", self.me), POINT_BYTES).ok().map(|own| own.total)
        });
        let own = own.unwrap_or(0);
        let done = self.own.as_ref().map_or(own, done_items);
        (progress.done, progress.total) = (done, own);
        for load in self.incoming.values().filter(|load| load.route.load == Load::Points) {
            let sorted = self.folder.of("sorted", usize::from(load.route.set));
            let (done, total) = match &load.journal {
                Some(journal) => (done_items(journal), journal.total),
                None if load.complete.is_some() => {
                    let total = Items::open(&sorted, POINT_BYTES).map_or(0, |items| items.total);
                    (total, total)
                }
                None => (0, own),
            };
            progress.done += done;
            progress.total += total;
        }
        progress
    }

    // ---- work ----

    /// Does one thing that can be done here; false where there is none.
    fn step(&mut self) -> Result<bool, AlignmentError> {
        if self.own.is_some() {
            self.blind_own()?;
            return Ok(true);
        }
        let map = self.map.clone();
        for set in 0..map.holders {
            let came = self.is_here(Load::Points, set) && !self.folder.of("sorted", set).exists();
            if came {
                self.sort(set)?;
                return Ok(true);
            }
        }
        let compared =
            |folder: &AlignmentFolder| (0..map.holders).all(|set| folder.of("verdict", set).exists());
        if self.me == map.comparer
            && (0..map.holders).all(|set| self.is_here(Load::Tags, set))
            && !compared(self.folder)
        {
            compare(self.folder, self.settings)?;
            return Ok(true);
        }
        for set in 0..map.holders {
            let local = map.last(set) == self.me && map.comparer == self.me;
            let from = if local { "verdict" } else { "mask" };
            let here = if local {
                compared(self.folder) && self.me == map.comparer
            } else {
                self.is_here(Load::Verdict, set)
            };
            if here && !self.folder.of("placed", set).exists() {
                order::place(self.folder, set, from)?;
                return Ok(true);
            }
        }
        if self.folder.of("placed", self.me).exists() && !self.folder.has("ordered") {
            if order::count(self.folder, self.me)? > 0 {
                order::write(self.folder, self.settings, self.me)?;
            }
            hashvfl_files::write_whole(&self.folder.file("ordered"), b"")?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether all of a load that this holder needs of a set has come, or was made here.
    fn is_here(&self, load: Load, set: usize) -> bool {
        let mut loads =
            self.incoming.values().filter(|i| i.route.load == load && usize::from(i.route.set) == set);
        match load {
            Load::Points if set == self.me => self.own.is_none() && self.folder.of("points", set).exists(),
            // The tags of a set that ends here never travel: `sorted` is written behind them.
            Load::Tags if self.map.last(set) == self.me => self.folder.of("sorted", set).exists(),
            _ => loads.any(|incoming| incoming.complete.is_some()),
        }
    }

    fn blind_own(&mut self) -> Result<(), AlignmentError> {
        let (Some(journal), Some(secret)) = (&mut self.own, &self.secret) else { return Ok(()) };
        if !journal.complete() {
            let mut records = Items::open(&self.folder.file("records"), RECORD_BYTES)?;
            let count = items_of(journal.held, journal.total, POINT_BYTES);
            records.skip(u64::from(journal.held) * items_per_chunk(POINT_BYTES))?;
            let mut messages = Vec::with_capacity(count as usize);
            let mut record = [0; RECORD_BYTES];
            for _ in 0..count {
                records.next(&mut record)?;
                let mut message = [0; 32];
                message.copy_from_slice(&record[..32]);
                messages.push(message);
            }
            journal.append(secret.blind(&messages).as_flattened())?;
        }
        if journal.complete() {
            self.own = None;
        }
        Ok(())
    }

    /// Sorts a set that is blinded here, and keeps from where each point came.
    fn sort(&mut self, set: usize) -> Result<(), AlignmentError> {
        let path = self.folder.of("points", set);
        let mut points = Items::open(&path, POINT_BYTES)?;
        let total = points.total;
        let mut sorter = Sorter::<36>::new(self.folder.path(), self.limits.memory_bytes);
        let mut record = [0; 36];
        for place in 0..total {
            points.next(&mut record[..32])?;
            record[32..].copy_from_slice(&(place as u32).to_be_bytes());
            sorter.push(record)?;
        }
        let file = |what, item_bytes| WholeItems::create(&self.folder.of(what, set), item_bytes, total);
        let (mut sorted, mut places) = (file("sorted", POINT_BYTES)?, file("places", PLACE_BYTES)?);
        let ends_here = self.map.last(set) == self.me;
        let mut tags = ends_here.then(|| file("tags", TAG_BYTES)).transpose()?;
        let (mut last, mut twice) = ([0; 32], false);
        sorter.finish::<AlignmentError>(|record| {
            twice |= record[..32] == last;
            last.copy_from_slice(&record[..32]);
            let mut place = [0; 4];
            place.copy_from_slice(&record[32..]);
            places.put(&u32::from_be_bytes(place).to_le_bytes())?;
            if let Some(tags) = &mut tags {
                tags.put(&record[..TAG_BYTES])?;
            }
            sorted.put(&record[..32])
        })?;
        if twice {
            return Err(AlignmentError::Peer {
                peer: self.settings.holders[set].clone(),
                fault: PeerFault::Twice,
            });
        }
        places.finish()?;
        tags.map_or(Ok(()), WholeItems::finish)?;
        sorted.finish()?;
        for incoming in self.incoming.values_mut() {
            if incoming.route.load == Load::Points && usize::from(incoming.route.set) == set {
                incoming.journal = None;
            }
        }
        std::fs::remove_file(&path).map_err(AlignmentError::io("remove", &path))
    }

    // ---- what leaves ----

    fn say(&mut self, place: usize, message: &Message) -> Result<(), AlignmentError> {
        let Some(peer) = self.peers.get_mut(&place) else { return Ok(()) };
        let name = peer.name.clone();
        let sealed =
            peer.seal(message).map_err(|fault| AlignmentError::Peer { peer: name.clone(), fault })?;
        sealed.map_or(Ok(()), |frame| Ok(self.relay.send(&name, frame)?))
    }

    fn send_due(&mut self) -> Result<(), AlignmentError> {
        for route in self.outgoing.keys().copied().collect::<Vec<_>>() {
            let source = self.folder.source(route, &self.map);
            while let Some(load) = self.outgoing.get_mut(&route) {
                if load.items.is_none() && source.exists() {
                    load.items = Some(Items::open(&source, route.load.item_bytes())?);
                }
                let Some((index, total)) = load.due() else { break };
                let (to, bytes) = (load.to, load.take(index)?);
                self.say(to, &Message::Chunk { route, index, total, bytes })?;
            }
        }
        Ok(())
    }
}

fn done_items(journal: &Journal) -> u64 {
    (u64::from(journal.held) * items_per_chunk(POINT_BYTES)).min(journal.total)
}
