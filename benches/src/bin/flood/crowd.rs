//! Strangers at a port, a thread for each kind: all of them come one after the other, then others in the place of those that
//! were closed.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hashvfl_identity::Connector;

use crate::foreign;
use crate::stranger::{Crowding, Stranger};

/// Pause after a connection that could not be opened.
const PAUSE: Duration = Duration::from_millis(5);
/// Connections are looked at so often.
const LOOK: Duration = Duration::from_secs(1);

/// Strangers at a port, until it is dropped.
pub struct Crowd {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What threads share.
#[derive(Debug, Default)]
pub struct Shared {
    stop: AtomicBool,
    opened: AtomicU64,
    failed: AtomicU64,
    /// Connections that are held, summed over seconds.
    held_seconds: AtomicU64,
    /// Kinds of which not all have come.
    filling: AtomicUsize,
}

impl Shared {
    /// Whether they go on.
    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Counts a connection, which was opened or not.
    pub fn count(&self, opened: bool) {
        let counter = if opened { &self.opened } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Crowd {
    /// Strangers come to `address`, so many `times` those of the table. One of them shows a certificate of another authority
    /// by `foreign`.
    pub fn gather(
        strangers: &[Stranger],
        times: f64,
        address: SocketAddr,
        foreign: Option<&Connector>,
    ) -> Self {
        let shared = Arc::new(Shared { filling: strangers.len().into(), ..Shared::default() });
        let mut threads = Vec::new();
        for stranger in strangers {
            let Crowding { held, per_second, comes_back } = stranger.crowding();
            let held = (held as f64 * times).ceil() as usize;
            let crowding = Crowding { held, per_second: per_second * times, comes_back };
            let (shared, stranger) = (Arc::clone(&shared), *stranger);
            let connector = foreign.filter(|_| stranger == Stranger::ForeignCertificate).cloned();
            threads.push(thread::spawn(move || match connector {
                Some(connector) => {
                    shared.filling.fetch_sub(1, Ordering::Relaxed);
                    foreign::show(&connector, address, crowding.per_second, &shared);
                }
                None => come(stranger, crowding, address, &shared),
            }));
        }
        Self { shared, threads }
    }

    /// Whether all have come for the first time.
    pub fn is_whole(&self) -> bool {
        self.shared.filling.load(Ordering::Relaxed) == 0
    }

    /// Connections that were opened so far.
    pub fn opened(&self) -> u64 {
        self.shared.opened.load(Ordering::Relaxed)
    }

    /// Connections that were held so far, each for its seconds.
    pub fn held_seconds(&self) -> u64 {
        self.shared.held_seconds.load(Ordering::Relaxed)
    }

    /// Connections that could not be opened so far.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// A connection that a stranger holds.
struct Held {
    connection: TcpStream,
    seconds: usize,
}

impl Held {
    fn open(address: SocketAddr, opening: &[u8]) -> std::io::Result<Self> {
        let mut connection = TcpStream::connect(address)?;
        // Whoever is turned away is, which is the point.
        let _ = connection.write_all(opening);
        connection.set_nonblocking(true)?;
        Ok(Self { connection, seconds: 0 })
    }

    fn is_open(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.connection.read(&mut buffer) {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Sends what is due in this second; whether the connection is still there.
    fn look(&mut self, stranger: Stranger) -> bool {
        let due = stranger.dripping(self.seconds);
        self.seconds += 1;
        self.is_open() && (due.is_empty() || self.connection.write_all(&due).is_ok())
    }
}

fn come(stranger: Stranger, crowding: Crowding, address: SocketAddr, shared: &Shared) {
    let opening = stranger.opening();
    let mut held: VecDeque<Held> = VecDeque::new();
    let mut came = 0;
    let pause = Duration::from_secs_f64(1.0 / crowding.per_second);
    let (mut next, mut looked) = (Instant::now(), Instant::now());
    while shared.goes_on() {
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            held.retain_mut(|connection| connection.look(stranger));
            shared.held_seconds.fetch_add(held.len() as u64, Ordering::Relaxed);
        }
        if held.len() < crowding.held || crowding.comes_back {
            enter(address, &opening, &mut held, shared);
            came += 1;
            if came == crowding.held {
                shared.filling.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if held.len() > crowding.held {
            held.pop_front();
        }
        // Whoever is late does not hurry.
        next = (next + pause).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn enter(address: SocketAddr, opening: &[u8], held: &mut VecDeque<Held>, shared: &Shared) {
    let opened = Held::open(address, opening);
    shared.count(opened.is_ok());
    match opened {
        Ok(connection) => held.push_back(connection),
        Err(_) => thread::sleep(PAUSE),
    }
}
