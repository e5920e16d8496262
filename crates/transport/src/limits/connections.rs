//! Connections as they come in, within limits.
//!
//! [`Connections`] gives the server's stream of accepted connections. Where peers greet over TLS, each handshake runs
//! beside others, within the limit of silence, and in the seat of its connection.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hashvfl_identity::{Acceptor, PeerIdentity};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep};
use tonic::transport::server::Connected;
use tracing::info;

use super::Limits;
use super::quiet::QuietLog;
use crate::socket::Socket;

/// File handles that connections leave to state files, ledgers and tables.
const SPARE_HANDLES: usize = 128;
/// Shortest and longest pause after a connection that the operating system did not give.
const PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Who it is by its certificate; `None` without TLS.
    pub identity: Option<PeerIdentity>,
}

impl Peer {
    /// Whether it may be told what a stranger may not: it has a certificate, or is a process of this machine.
    pub fn is_known(&self) -> bool {
        self.identity.is_some() || self.address.ip().to_canonical().is_loopback()
    }
}

/// Seats for connections, in all and by address.
#[derive(Debug)]
struct Seats {
    most: usize,
    most_per_address: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl Seats {
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Counts are whole after each change.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = network(address);
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= self.most {
            return None;
        }
        let of_address = taken.entry(address).or_insert(0);
        if *of_address >= self.most_per_address {
            return None;
        }
        *of_address += 1;
        Some(Seat { seats: Arc::clone(self), address, streams: AtomicUsize::new(0) })
    }
}

/// What counts as one address: with IPv6 a /64 prefix, which one machine can fill.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        v4 => v4,
    }
}

/// The seat of one connection; free again when the connection and all of its streams have gone.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
    streams: AtomicUsize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// A stream that is open on a connection.
#[derive(Debug)]
pub struct OpenStream(Arc<Seat>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What every request on a connection carries: who is there, and the connection's seat.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Who is there.
    pub peer: Peer,
    seat: Arc<Seat>,
}

impl ConnectionInfo {
    /// Counts a stream as open until the returned value is dropped.
    pub fn open_stream(&self) -> OpenStream {
        self.seat.streams.fetch_add(1, Ordering::AcqRel);
        OpenStream(Arc::clone(&self.seat))
    }
}

/// An accepted connection, which ends where no stream is open on it for too long.
pub struct Connection {
    socket: Socket,
    info: ConnectionInfo,
    silence: Duration,
    deadline: Pin<Box<Sleep>>,
    was_busy: bool,
}

impl Connection {
    /// Whether no stream has been open for too long; wakes the task when that is so.
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        if self.info.seat.streams.load(Ordering::Acquire) > 0 {
            self.was_busy = true;
            return false;
        }
        if std::mem::take(&mut self.was_busy) {
            self.deadline.as_mut().reset(Instant::now() + self.silence);
        }
        self.deadline.as_mut().poll(cx).is_ready()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_silent(cx) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no stream was opened in time")));
        }
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

/// Accepts connections within limits.
pub struct Connections {
    tcp: TcpListener,
    acceptor: Option<Acceptor>,
    silence: Duration,
    seats: Arc<Seats>,
    greeting: JoinSet<Option<Connection>>,
    pause: Duration,
    turned_away: QuietLog,
    unproven: Arc<QuietLog>,
    failed: QuietLog,
}

impl Connections {
    /// To `tcp`; with `acceptor`, of those alone whom it lets in over TLS.
    pub fn new(tcp: TcpListener, limits: Limits, acceptor: Option<Acceptor>) -> Self {
        let most = match handles() {
            Some(handles) => limits.connections.min(handles.saturating_sub(SPARE_HANDLES).max(1)),
            None => limits.connections,
        };
        if most < limits.connections {
            tracing::warn!(
                "limits.connections = {} is more than this process may open, so it is {most}: raise `ulimit -n`",
                limits.connections
            );
        }
        let most_per_address = limits.connections_per_address.min(most);
        let seats = Arc::new(Seats { most, most_per_address, taken: Mutex::default() });
        Self {
            tcp,
            acceptor,
            silence: limits.silence,
            seats,
            greeting: JoinSet::new(),
            pause: PAUSE[0],
            turned_away: QuietLog::new(),
            unproven: Arc::new(QuietLog::new()),
            failed: QuietLog::new(),
        }
    }

    /// The next connection that has been greeted.
    pub async fn next(&mut self) -> Connection {
        loop {
            let accepted = tokio::select! {
                Some(greeted) = self.greeting.join_next() => {
                    if let Ok(Some(connection)) = greeted {
                        return connection;
                    }
                    continue;
                }
                accepted = self.tcp.accept() => accepted,
            };
            match accepted {
                Ok((tcp, address)) => {
                    self.pause = PAUSE[0];
                    self.greet(tcp, address);
                }
                Err(error) if is_of_one_connection(&error) => {}
                // No handle or no memory is left: others must give one back first.
                Err(error) => {
                    self.failed.warn(&format!("cannot accept connections for now: {error}"));
                    sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(PAUSE[1]);
                }
            }
        }
    }

    /// Begins a handshake, if a seat is free; the connection is closed otherwise.
    fn greet(&mut self, tcp: TcpStream, address: SocketAddr) {
        let Some(seat) = self.seats.take(address.ip()) else {
            let ip = address.ip();
            self.turned_away.warn(&format!("turned a connection of {ip} away: too many are open ([limits])"));
            return;
        };
        // A connection that cannot be told to send at once is slower, no more.
        let _ = tcp.set_nodelay(true);
        let (acceptor, silence, unproven) = (self.acceptor.clone(), self.silence, Arc::clone(&self.unproven));
        self.greeting.spawn(async move {
            let began = Instant::now();
            let socket = match Socket::greet(tcp, acceptor.as_ref(), silence).await {
                Ok(socket) => socket,
                Err(error) => {
                    unproven.warn(&format!("no connection from {}: {error}", address.ip()));
                    return None;
                }
            };
            let peer = Peer { address, identity: socket.peer().cloned() };
            if let Some(identity) = &peer.identity {
                info!("{} is connected, from {}", identity.identity, address.ip());
            }
            let info = ConnectionInfo { peer, seat: Arc::new(seat) };
            let deadline = Box::pin(tokio::time::sleep_until(began + silence));
            Some(Connection { socket, info, silence, deadline, was_busy: false })
        });
    }
}

/// Whether an error of `accept` is about the connection that it would have given.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// File handles that this process may open, where the system tells.
fn handles() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_in_all_and_by_address() {
        let seats = Arc::new(Seats { most: 3, most_per_address: 2, taken: Mutex::default() });
        let at = |text: &str| seats.take(text.parse().unwrap());
        let first = at("10.0.0.1");
        let second = at("::ffff:10.0.0.1");
        assert!(first.is_some() && second.is_some() && at("10.0.0.1").is_none());
        let other = at("2001:db8::1");
        assert!(other.is_some() && at("10.0.0.2").is_none(), "three in all");
        drop(first);
        let again = at("2001:db8::ffff");
        assert!(again.is_some());
        drop((second, again));
        assert!(at("2001:db8:0:0:1::").is_some());
        drop(other);
        assert!(seats.taken().is_empty());
    }
}
