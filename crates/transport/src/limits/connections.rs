//! Connections as they come in, within limits.
//!
//! [`Connections`] gives the server's stream of accepted connections. Where peers greet over TLS, each handshake runs
//! beside others, within the limit of silence, and in the seat of its connection. A connection has proven itself, and keeps
//! its seat, once it has greeted over TLS; without TLS, once it has opened a stream.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hashvfl_identity::{AcceptError, Acceptor, PeerIdentity};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep, timeout};
use tonic::transport::server::Connected;
use tracing::info;

use super::Limits;
use super::gate::Gate;
use super::quiet::QuietLog;
use super::seats::{LEAVING, NewSeat, Seat, Seats};
use crate::socket::Socket;

/// File handles that connections leave to state files, ledgers and tables.
const SPARE_HANDLES: usize = 128;
/// Shortest and longest pause after a connection that the operating system did not give.
const PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];
/// How often whoever keeps account of the port is asked to look.
const LOOK: Duration = Duration::from_secs(1);

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

/// What a connection and its streams share: its seat, which is free again when all of them have gone.
#[derive(Debug)]
struct HeldConnection {
    seat: Seat,
    streams: AtomicUsize,
}

/// A stream that is open on a connection.
#[derive(Debug)]
pub struct OpenStream(Arc<HeldConnection>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What every request on a connection carries: who is there, and what its streams share.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Who is there.
    pub peer: Peer,
    open: Arc<HeldConnection>,
}

impl ConnectionInfo {
    /// Counts a stream as open until the returned value is dropped.
    pub fn open_stream(&self) -> OpenStream {
        self.open.streams.fetch_add(1, Ordering::AcqRel);
        // One that was told to give way ends, with its streams.
        let _ = self.open.seat.keep();
        OpenStream(Arc::clone(&self.open))
    }
}

/// An accepted connection, which ends where no stream is open on it for too long, or where it must give way.
pub struct Connection {
    socket: Socket,
    info: ConnectionInfo,
    /// Hears that it must give way; none once it need not.
    gives_way: Option<oneshot::Receiver<()>>,
    silence: Duration,
    deadline: Pin<Box<Sleep>>,
    was_busy: bool,
}

impl Connection {
    /// Whether no stream has been open for too long; wakes the task when that is so.
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        if self.info.open.streams.load(Ordering::Acquire) > 0 {
            self.was_busy = true;
            return false;
        }
        if std::mem::take(&mut self.was_busy) {
            self.deadline.as_mut().reset(Instant::now() + self.silence);
        }
        self.deadline.as_mut().poll(cx).is_ready()
    }

    /// Whether it must give way; wakes the task when that is so.
    fn must_give_way(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(gives_way) = &mut self.gives_way else { return false };
        match Pin::new(gives_way).poll(cx) {
            Poll::Pending => false,
            Poll::Ready(told) => {
                self.gives_way = None;
                told.is_ok()
            }
        }
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
        if self.must_give_way(cx) {
            return Poll::Ready(Err(io::Error::other("another connection took its seat")));
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
    gave_way: QuietLog,
    failed: QuietLog,
    gate: Arc<Gate>,
    look: Interval,
}

impl Connections {
    /// To `tcp`; with `acceptor`, of those alone whom it lets in over TLS, others at the `gate`. Must be called within a runtime.
    pub(crate) fn new(tcp: TcpListener, limits: Limits, acceptor: Option<Acceptor>, gate: Arc<Gate>) -> Self {
        let most = match handles() {
            Some(handles) => limits.connections.min(handles.saturating_sub(SPARE_HANDLES + LEAVING).max(1)),
            None => limits.connections,
        };
        if most < limits.connections {
            tracing::warn!(
                "limits.connections = {} is more than this process may open, so it is {most}: raise `ulimit -n`",
                limits.connections
            );
        }
        let seats = Seats::new(most, limits.connections_per_address.min(most));
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            tcp,
            acceptor,
            silence: limits.silence,
            seats,
            greeting: JoinSet::new(),
            pause: PAUSE[0],
            turned_away: QuietLog::new(),
            gave_way: QuietLog::new(),
            failed: QuietLog::new(),
            gate,
            look,
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
                _ = self.look.tick() => {
                    self.gate.look();
                    continue;
                }
            };
            match accepted {
                Ok((tcp, address)) => {
                    self.pause = PAUSE[0];
                    if self.greet(tcp, address) {
                        // So that whoever gives way has ended before the next one comes.
                        yield_now().await;
                    }
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

    /// Begins a handshake in a seat, if there is one; the connection is closed otherwise. Whether another gave way to it.
    fn greet(&mut self, tcp: TcpStream, address: SocketAddr) -> bool {
        let ip = address.ip();
        let Some(taken) = self.seats.take(ip) else {
            self.turned_away.warn(&format!("turned a connection of {ip} away: too many are open ([limits])"));
            return false;
        };
        let made_room = taken.made_room;
        if made_room {
            self.gave_way.warn(&format!(
                "closed a silent connection, in whose place one of {ip} came: too many are open ([limits])"
            ));
        }
        // A connection that cannot be told to send at once is slower, no more.
        let _ = tcp.set_nodelay(true);
        let greeting = Greeting {
            peer: Peer { address, identity: None },
            acceptor: self.acceptor.clone(),
            silence: self.silence,
            gate: Arc::clone(&self.gate),
        };
        self.greeting.spawn(greeting.run(tcp, taken));
        made_room
    }
}

/// A connection that greets.
struct Greeting {
    peer: Peer,
    acceptor: Option<Acceptor>,
    silence: Duration,
    gate: Arc<Gate>,
}

impl Greeting {
    /// The connection, once it has greeted; none if it does not, or must give way.
    async fn run(self, tcp: TcpStream, taken: NewSeat) -> Option<Connection> {
        let Self { mut peer, acceptor, silence, gate } = self;
        let NewSeat { seat, mut gives_way, .. } = taken;
        let (began, ip) = (Instant::now(), peer.address.ip());
        let greeted = tokio::select! {
            _ = &mut gives_way => return None,
            greeted = greet(tcp, acceptor.as_ref(), silence) => greeted,
        };
        let socket = match greeted {
            Ok(socket) => socket,
            Err(error) => {
                gate.not_greeted(ip, &error);
                return None;
            }
        };
        peer.identity = socket.peer().cloned();
        let mut gives_way = Some(gives_way);
        if let Some(identity) = &peer.identity {
            if !seat.keep() {
                return None;
            }
            gives_way = None;
            info!("{} is connected, from {ip}", identity.identity);
        }
        let open = Arc::new(HeldConnection { seat, streams: AtomicUsize::new(0) });
        let deadline = Box::pin(tokio::time::sleep_until(began + silence));
        let info = ConnectionInfo { peer, open };
        Some(Connection { socket, info, gives_way, silence, deadline, was_busy: false })
    }
}

/// The handshake with whoever has opened `tcp`, within `limit`. Nothing is made for it before its first byte has come.
async fn greet(tcp: TcpStream, acceptor: Option<&Acceptor>, limit: Duration) -> Result<Socket, AcceptError> {
    let greeting = async {
        if acceptor.is_some() {
            tcp.readable().await.map_err(|error| AcceptError::Broken(error.kind()))?;
        }
        Socket::greet(tcp, acceptor, limit).await
    };
    timeout(limit, greeting).await.map_err(|_| AcceptError::TimedOut(limit))?
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
