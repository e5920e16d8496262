//! A proxy on the way to the coordinator that loses connections, as networks do.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Bytes that it passes on at once: few, so that connections break within messages.
const PIECE: usize = 700;

/// A proxy, until it is dropped.
pub struct Proxy {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// Where the coordinator is.
    coordinator: Mutex<String>,
    /// Where the next connections lead; those behind them, to the coordinator.
    next: Mutex<VecDeque<String>>,
    connections: Mutex<Vec<Arc<Pair>>>,
    /// New connections are closed at once.
    blocked: AtomicBool,
    /// Nothing is passed on, and nothing is lost.
    silent: AtomicBool,
    /// Connections so far.
    opened: AtomicUsize,
    ended: AtomicBool,
}

/// Both ends of one connection.
struct Pair {
    party: TcpStream,
    coordinator: TcpStream,
    /// The party's end is gone, and the coordinator's does not hear of it.
    unseen: AtomicBool,
    /// What comes from either end is swallowed.
    dead: AtomicBool,
}

impl Proxy {
    /// On the way to `coordinator`.
    pub fn to(coordinator: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            coordinator: Mutex::new(coordinator.to_string()),
            next: Mutex::default(),
            connections: Mutex::default(),
            blocked: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            opened: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// Leads new connections to another coordinator.
    pub fn lead_to(&self, coordinator: &str) {
        *self.shared.coordinator.lock().unwrap() = coordinator.to_string();
    }

    /// Leads the next connections to `places`, one to each.
    pub fn lead_next(&self, places: &[&str]) {
        self.shared.next.lock().unwrap().extend(places.iter().map(ToString::to_string));
    }

    /// Lets no new connections through, or does again.
    pub fn block(&self, blocked: bool) {
        self.shared.blocked.store(blocked, Ordering::SeqCst);
    }

    /// Passes nothing on for `time`; then all that came meanwhile.
    pub fn be_silent(&self, time: Duration) {
        self.shared.silent.store(true, Ordering::SeqCst);
        thread::sleep(time);
        self.shared.silent.store(false, Ordering::SeqCst);
    }

    /// Lets nothing through any more on the connections that there are, and tells neither side.
    pub fn fall_silent(&self) {
        for pair in std::mem::take(&mut *self.shared.connections.lock().unwrap()) {
            pair.dead.store(true, Ordering::SeqCst);
        }
    }

    /// How many connections there were so far.
    pub fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// Breaks all connections; how many there were.
    pub fn cut(&self) -> usize {
        let connections = std::mem::take(&mut *self.shared.connections.lock().unwrap());
        for pair in &connections {
            pair.end();
        }
        connections.len()
    }

    /// Breaks all connections so that the parties alone see it; how many there were.
    pub fn cut_unseen(&self) -> usize {
        let connections = std::mem::take(&mut *self.shared.connections.lock().unwrap());
        for pair in &connections {
            pair.unseen.store(true, Ordering::SeqCst);
            let _ = pair.party.shutdown(Shutdown::Both);
        }
        connections.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut();
        // Whoever waits for a connection looks again.
        let _ = TcpStream::connect(&self.address);
    }
}

impl Pair {
    fn end(&self) {
        // An end that is gone already is no loss.
        let _ = self.party.shutdown(Shutdown::Both);
        let _ = self.coordinator.shutdown(Shutdown::Both);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((party, _)) = listener.accept() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        if shared.blocked.load(Ordering::SeqCst) {
            continue;
        }
        let next = shared.next.lock().unwrap().pop_front();
        let coordinator = next.unwrap_or_else(|| shared.coordinator.lock().unwrap().clone());
        let Ok(coordinator) = TcpStream::connect(coordinator) else { continue };
        party.set_nodelay(true).unwrap();
        coordinator.set_nodelay(true).unwrap();
        let (unseen, dead) = (AtomicBool::new(false), AtomicBool::new(false));
        let pair = Arc::new(Pair { party, coordinator, unseen, dead });
        shared.opened.fetch_add(1, Ordering::SeqCst);
        shared.connections.lock().unwrap().push(Arc::clone(&pair));
        for to_coordinator in [true, false] {
            let (pair, shared) = (Arc::clone(&pair), Arc::clone(shared));
            thread::spawn(move || pass_on(&pair, &shared, to_coordinator));
        }
    }
}

/// Passes on what comes from one end, until one of both is gone.
fn pass_on(pair: &Pair, shared: &Shared, to_coordinator: bool) {
    let (mut from, mut to) = match to_coordinator {
        true => (&pair.party, &pair.coordinator),
        false => (&pair.coordinator, &pair.party),
    };
    let mut piece = [0; PIECE];
    while let Ok(bytes @ 1..) = from.read(&mut piece) {
        while shared.silent.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        if pair.dead.load(Ordering::SeqCst) {
            continue;
        }
        let sent = to.write_all(&piece[..bytes]);
        if sent.is_err() && !pair.unseen.load(Ordering::SeqCst) {
            break;
        }
    }
    if !pair.unseen.load(Ordering::SeqCst) {
        pair.end();
    }
}
