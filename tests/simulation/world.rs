//! The network between the processes of a run, and what happens on it in which order.
//!
//! The coordinator runs on this thread. Wherever it waits for a party it polls that party's stream, and then one thing happens: a
//! message arrives, a connection breaks, somebody dies. So the world is this thread's own, and is borrowed for one thing at a
//! time: whoever dies unwinds through the coordinator, and not through the world.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use anyhow::bail;
use hashvfl_coordinator::simulated::{PresentParty, Returned};
use hashvfl_core::PartyName;
use hashvfl_core::protocol::exchange::Exchange;
use hashvfl_core::protocol::message::{FromCoordinator, FromParty, SessionKey};
use hashvfl_core::random::{below, stream, uniform};
use hashvfl_core::records::RecordsDigest;
use hashvfl_proto::WireMessage;
use hashvfl_transport::listen::TrainingStream;
use prost::Message as _;
use rand::rngs::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use crate::Fault;
use crate::ground::{COORDINATOR, PARTIES, RECORDS, id};
use crate::observer::Observer;
use crate::party_process::{End, PartyProcess, Turn, Word};
use crate::side::{Ending, Killed, Side};

#[path = "finish.rs"]
mod finish;

type UpWire = <FromParty as WireMessage>::Wire;
type DownWire = <FromCoordinator as WireMessage>::Wire;

/// Messages that wait on a connection, more than the protocol ever has there; and returns that wait to be taken.
const QUEUE: usize = 64;
const RETURNS: usize = 16;
/// Deaths of a schedule, at most.
const DEATHS: usize = 4;
/// Things that happen in an attempt, and effects of a process, before which somebody dies; an undisturbed run has about as many.
const EVENTS: usize = 160;
const EFFECTS: usize = 110;
/// Looks of the coordinator in a row at which nothing can happen: nothing ever will.
const IDLE: usize = 10_000;
const SALT: [u8; 32] = [1; 32];

/// What the coordinator unwinds with when a promise is broken.
pub struct Broken;

/// The way between the coordinator and a party, and the party's process.
#[derive(Default)]
struct Connection {
    process: Option<PartyProcess>,
    /// Counts connections: whoever holds an earlier one finds it closed.
    number: u64,
    /// Whether the party has come back, and has not been answered yet.
    returning: bool,
    /// Whether the party's process has said that its model counts.
    has_committed: bool,
    /// What the coordinator's end of the connection is handed.
    handed: Option<mpsc::Receiver<DownWire>>,
    /// Messages on their way to the party, with their bytes.
    down: VecDeque<(FromCoordinator, Vec<u8>)>,
    /// Messages on their way to the coordinator, and those that have arrived there.
    up: VecDeque<UpWire>,
    arrived: VecDeque<UpWire>,
    /// The party's count of both directions.
    exchange: Exchange<UpWire>,
    returns: Option<mpsc::Sender<Returned>>,
}

/// What the coordinator finds on a stream.
enum Found {
    Message(UpWire),
    Closed,
    Nothing,
    Dies,
    Broken,
}

/// What can happen.
#[derive(Clone, Copy)]
enum Event {
    Delivered(usize),
    Arrived(usize),
    Ended(usize),
}

/// A schedule while it is played.
pub struct World {
    root: PathBuf,
    connections: Vec<Connection>,
    parties: Vec<Side>,
    coordinator: Side,
    rng: ChaCha8Rng,
    fault: Option<Fault>,
    /// Deaths that are left.
    deaths: usize,
    /// Share of events that are cuts.
    cuts: f32,
    /// The event of this attempt at which somebody dies.
    dies_at: Option<usize>,
    events: usize,
    idle: usize,
    /// Whether somebody has died in this attempt.
    is_struck: bool,
    pub observer: Observer,
    /// Deaths and cuts so far.
    pub schedule: Vec<String>,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// `world` is this thread's from now on.
pub fn begin(world: World) {
    WORLD.with(|current| *current.borrow_mut() = Some(world));
}

/// Takes the world back.
pub fn end() -> World {
    WORLD.with(|current| current.borrow_mut().take()).expect("a world")
}

/// Does `work` on the world. It must not run the coordinator.
pub fn with<T>(work: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with(|current| work(current.borrow_mut().as_mut().expect("a world")))
}

/// The coordinator looks for a message on that connection of a party.
fn poll(party: usize, number: u64, context: &mut Context<'_>) -> Poll<Option<UpWire>> {
    match with(|world| world.look(party, number)) {
        Found::Message(message) => Poll::Ready(Some(message)),
        Found::Closed => Poll::Ready(None),
        Found::Dies => resume_unwind(Box::new(Killed)),
        Found::Broken => resume_unwind(Box::new(Broken)),
        Found::Nothing => {
            // It looks again when it has looked at the others.
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
}

impl World {
    pub fn new(root: &Path, seed: Option<u64>, fault: Option<Fault>) -> Self {
        let mut rng = stream(seed.unwrap_or(0), "simulation", &[]);
        Self {
            connections: PARTIES.map(|_| Connection::default()).into(),
            parties: PARTIES.map(|name| Side::new(root, name, fault)).into(),
            coordinator: Side::new(root, COORDINATOR, fault),
            root: root.to_path_buf(),
            deaths: seed.map_or(0, |_| 1 + below(&mut rng, DEATHS)),
            cuts: seed.map_or(0.0, |_| if below(&mut rng, 2) == 0 { 0.0 } else { 0.04 }),
            rng,
            fault,
            dies_at: None,
            events: 0,
            idle: 0,
            is_struck: false,
            observer: Observer::default(),
            schedule: Vec::new(),
        }
    }

    pub fn breaks(&mut self, what: String) {
        self.observer.breaks(what);
    }

    /// How often a process of each party ended before its time.
    pub fn deaths_of_parties(&self) -> BTreeMap<&'static str, u64> {
        PARTIES.into_iter().zip(self.parties.iter().map(Side::deaths)).collect()
    }

    /// The coordinator ended with an error: that must be since somebody has died.
    pub fn explain(&mut self, error: &str) {
        self.note_struck();
        if !self.is_struck {
            self.breaks(error.to_string());
        }
    }

    fn note_struck(&mut self) {
        for side in self.parties.iter().chain([&self.coordinator]) {
            let struck = side.take_struck();
            self.is_struck |= !struck.is_empty();
            self.schedule.extend(struck);
        }
    }

    /// Draws who dies in the next attempt, and where; the coordinator's side.
    pub fn begin_attempt(&mut self) -> Side {
        (self.dies_at, self.events, self.idle, self.is_struck) = (None, 0, 0, false);
        self.connections = PARTIES.map(|_| Connection::default()).into();
        if self.deaths > 0 {
            self.deaths -= 1;
            match below(&mut self.rng, 3) {
                0 => self.dies_at = Some(1 + below(&mut self.rng, EVENTS)),
                _ => {
                    let victim = below(&mut self.rng, PARTIES.len() + 1);
                    let effects = below(&mut self.rng, EFFECTS) as u32;
                    let ending = match below(&mut self.rng, 6) {
                        0 => Ending::DiskFull,
                        1 => Ending::PowerLost,
                        _ => Ending::Killed,
                    };
                    let side = self.parties.get(victim).unwrap_or(&self.coordinator);
                    side.ends_after(effects, ending);
                }
            }
        }
        self.coordinator.clone()
    }

    /// Starts the party's process, which waits then, or has ended.
    fn start(&mut self, party: usize) {
        let mut process = PartyProcess::start(&self.parties[party], PARTIES[party]);
        let turn = process.turn();
        let connection = &mut self.connections[party];
        (connection.process, connection.has_committed) = (Some(process), false);
        self.take(party, turn);
    }

    /// Says `word` to the party's process, which waits; what it says then. Nothing where it has ended.
    fn tell(&mut self, party: usize, word: Word) -> Vec<FromParty> {
        let Some(process) = &mut self.connections[party].process else { return Vec::new() };
        let turn = process.hear(word);
        self.take(party, turn)
    }

    fn take(&mut self, party: usize, Turn { said, end }: Turn) -> Vec<FromParty> {
        said.iter().for_each(|message| self.observer.note_answer(party, message));
        let connection = &mut self.connections[party];
        connection.has_committed |= said.contains(&FromParty::Committed);
        let Some(end) = end else { return said };
        (connection.process, connection.returns) = (None, None);
        let may_fail = self.parties[party].is_full() && !connection.has_committed;
        self.note_struck();
        // Others that die are no reason for it to fail, and neither is a full disk once its model counts.
        if let (End::Failed(text), false) = (end, may_fail) {
            self.breaks(format!("{}: {text}", PARTIES[party]));
        }
        self.parties[party].bury();
        said
    }

    /// Lets all parties in.
    ///
    /// # Errors
    /// If one of them is not there.
    pub fn greet(&mut self) -> anyhow::Result<Vec<PresentParty>> {
        let mut comers = Vec::new();
        for (party, name) in PARTIES.into_iter().enumerate() {
            self.start(party);
            let welcome = FromCoordinator::Welcome { salt: SALT };
            let said = self.tell(party, Word::Message(welcome)).pop();
            let Some(FromParty::Records { digest, excluded, head, checkpoints }) = said else {
                bail!("{name} is not there");
            };
            let ids: Vec<String> = (0..RECORDS).map(id).collect();
            if digest != RecordsDigest::of(&SALT, ids.iter().map(String::as_str)) {
                bail!("{name} has other records");
            }
            let accepted = FromCoordinator::Accepted { session: Some(SessionKey(SALT)) };
            self.tell(party, Word::Message(accepted));
            let (sender, returns) = mpsc::channel(RETURNS);
            let stream = self.connect(party);
            // A party that has died meanwhile does not come back.
            let connection = &mut self.connections[party];
            connection.returns = connection.process.is_some().then_some(sender);
            let party = PartyName::new(PARTIES[party])?;
            comers.push(PresentParty { party, excluded, head, checkpoints, stream, returns });
        }
        Ok(comers)
    }

    /// The coordinator's end of another connection of the party; nothing of an earlier one arrives any more.
    fn connect(&mut self, party: usize) -> TrainingStream {
        let connection = &mut self.connections[party];
        connection.number += 1;
        let number = connection.number;
        connection.down.clear();
        connection.up.clear();
        connection.arrived.clear();
        let (queue, handed) = mpsc::channel(QUEUE);
        connection.handed = Some(handed);
        TrainingStream::simulated(
            queue,
            Box::new(move |context: &mut Context<'_>| poll(party, number, context)),
        )
    }

    fn look(&mut self, party: usize, number: u64) -> Found {
        self.take_handed();
        if self.connections[party].number != number {
            return Found::Closed;
        }
        if let Some(message) = self.connections[party].arrived.pop_front() {
            self.idle = 0;
            return Found::Message(message);
        }
        let connection = &self.connections[party];
        if connection.process.is_none() && connection.up.is_empty() {
            return Found::Closed;
        }
        let coordinator_dies = self.happen();
        if coordinator_dies {
            Found::Dies
        } else if self.observer.broken.is_some() {
            Found::Broken
        } else {
            Found::Nothing
        }
    }

    /// Takes what the coordinator has said.
    fn take_handed(&mut self) {
        for party in 0..PARTIES.len() {
            while let Some(handed) = &mut self.connections[party].handed {
                match handed.try_recv() {
                    Ok(wire) => {
                        let bytes = wire.encode_to_vec();
                        match FromCoordinator::from_wire(wire) {
                            Ok(message) => {
                                self.observer.note_gradient(party, &message);
                                self.connections[party].down.push_back((message, bytes));
                            }
                            Err(error) => self.breaks(format!("an unusable message: {error}")),
                        }
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => self.connections[party].handed = None,
                }
            }
        }
    }

    /// One thing happens; whether it is the coordinator's death.
    fn happen(&mut self) -> bool {
        let mut possible = Vec::new();
        for (party, connection) in self.connections.iter().enumerate() {
            let is_there = connection.process.is_some();
            if is_there && !connection.down.is_empty() {
                possible.push(Event::Delivered(party));
            } else if is_there && connection.handed.is_none() {
                possible.push(Event::Ended(party));
            }
            if !connection.up.is_empty() {
                possible.push(Event::Arrived(party));
            }
        }
        if possible.is_empty() {
            self.idle += 1;
            if self.idle > IDLE {
                self.breaks("nothing moves any more".into());
            }
            return false;
        }
        self.idle = 0;
        self.events += 1;
        if self.dies_at == Some(self.events) {
            return self.somebody_dies();
        }
        if uniform(&mut self.rng) < self.cuts {
            let party = below(&mut self.rng, PARTIES.len());
            self.cut(party);
            return false;
        }
        match possible[below(&mut self.rng, possible.len())] {
            Event::Delivered(party) => self.deliver(party),
            Event::Ended(party) => drop(self.tell(party, Word::Gone)),
            Event::Arrived(party) => {
                let connection = &mut self.connections[party];
                connection.arrived.extend(connection.up.pop_front());
            }
        }
        false
    }

    /// A party dies, the coordinator, or all at once; whether the coordinator does.
    fn somebody_dies(&mut self) -> bool {
        let victim = below(&mut self.rng, PARTIES.len() + 2);
        let ending = if below(&mut self.rng, 3) == 0 { Ending::PowerLost } else { Ending::Killed };
        let place = format!("at event {}", self.events);
        for party in 0..PARTIES.len() {
            if (victim == party || victim > PARTIES.len()) && self.connections[party].process.is_some() {
                self.parties[party].die(place.clone(), ending);
                self.tell(party, Word::Die);
            }
        }
        let coordinator_dies = victim >= PARTIES.len();
        if coordinator_dies {
            self.coordinator.die(place, ending);
        }
        coordinator_dies
    }

    /// The party's connection breaks, and it comes back on another.
    fn cut(&mut self, party: usize) {
        let connection = &self.connections[party];
        let Some(returns) = connection.returns.clone().filter(|_| connection.process.is_some()) else {
            return;
        };
        self.schedule.push(format!("{}: cut at event {}", PARTIES[party], self.events));
        let mark = self.connections[party].exchange.mark();
        let stream = self.connect(party);
        self.connections[party].returning = true;
        if returns.try_send(Returned { stream, mark }).is_err() {
            // Nobody waits for it any more.
            self.tell(party, Word::Gone);
        }
    }

    /// The next message arrives at the party.
    fn deliver(&mut self, party: usize) {
        let connection = &mut self.connections[party];
        let Some((message, bytes)) = connection.down.pop_front() else { return };
        if !connection.returning {
            if message.is_counted() {
                connection.exchange.received(&bytes);
            }
            let said = self.tell(party, Word::Message(message));
            self.say(party, said);
            return;
        }
        let FromCoordinator::Returned(mark) = message else {
            // It is refused: the coordinator gives up.
            drop(self.tell(party, Word::Gone));
            return;
        };
        connection.returning = false;
        match connection.exchange.resume(&mark) {
            Ok(_) if self.fault == Some(Fault::LosesWhatWasOnItsWay) => {}
            Ok(missing) => connection.up.extend(missing),
            Err(error) => self.breaks(format!("{} cannot go on: {error}", PARTIES[party])),
        }
        if self.fault == Some(Fault::RepeatsWhatHasCome)
            && let Some(last) = self.connections[party].up.back().cloned()
        {
            self.connections[party].up.push_back(last);
        }
    }

    /// The party says something to the coordinator.
    fn say(&mut self, party: usize, said: Vec<FromParty>) {
        let connection = &mut self.connections[party];
        for message in said {
            let wire = message.into_wire();
            let bytes = wire.encode_to_vec();
            connection.exchange.sent(wire.clone(), &bytes);
            connection.up.push_back(wire);
        }
    }

    /// The coordinator's process has ended: what it has said last may arrive, and parties hear that it is gone.
    pub fn end_attempt(&mut self) {
        self.note_struck();
        self.take_handed();
        for party in 0..PARTIES.len() {
            if below(&mut self.rng, 2) == 0 && self.is_struck {
                self.connections[party].down.clear();
            }
            while self.connections[party].process.is_some() {
                match self.connections[party].down.is_empty() || self.connections[party].returning {
                    true => drop(self.tell(party, Word::Gone)),
                    false => self.deliver(party),
                }
            }
        }
        self.note_struck();
        self.coordinator.bury();
    }
}
