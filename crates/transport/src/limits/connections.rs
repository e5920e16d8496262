//! Connections as they come in, within limits.
//!
//! [`Connections`] gives the server's stream of accepted connections. Where peers greet over TLS, each handshake runs
//! beside others, within the limit of silence, and in the seat of its connection. A connection has proven itself, and keeps
//! its seat, once it has greeted over TLS; without TLS, once it has opened a stream.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Stream, stream};
use hashvfl_identity::{AcceptError, Acceptor, PeerIdentity};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep, timeout};
use tonic::transport::server::Connected;

use super::ListenLimits;
use super::gate::Gate;
use super::quiet::QuietLog;
use super::seats::{LEAVING, NewSeat, Seat, Seats};
use crate::socket::Socket;

/// File handles that connections leave to state files, ledgers and tables, and to those who read `monitor`.
const SPARE_HANDLES: usize = 128 + MONITOR.connections + LEAVING;
/// What whoever reads `monitor` may make this process hold. Nobody proves itself there but those who may read its pages.
const MONITOR: ListenLimits = ListenLimits {
    connections: 32,
    connections_per_address: 16,
    silence: Duration::from_secs(10),
    ..ListenLimits::DEFAULT
};
/// Shortest and longest pause after a connection that the operating system did not give.
const PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];
/// How often whoever keeps account of the port is asked to look.
const LOOK: Duration = Duration::from_secs(1);

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedPeer {
    /// Its address.
    pub address: SocketAddr,
    /// Who it is by its certificate; `None` without TLS.
    pub identity: Option<PeerIdentity>,
}

impl ConnectedPeer {
    /// Whether it may be told what a stranger may not: it has a certificate, or is a process of this machine.
    pub fn is_known(&self) -> bool {
        self.identity.is_some() || self.address.ip().to_canonical().is_loopback()
    }
}

/// What a connection and its streams share: its seat, which is free again when all of them have gone.
#[derive(Debug)]
struct HeldConnection {
    seat: Seat,
    /// Streams that are open.
    streams: AtomicUsize,
    /// Streams that have been opened so far.
    opened: AtomicUsize,
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
    pub peer: ConnectedPeer,
    /// The address at which it is answered, where the system tells.
    pub own: Option<SocketAddr>,
    open: Arc<HeldConnection>,
}

impl ConnectionInfo {
    /// Counts a stream as open until the returned value is dropped.
    pub fn open_stream(&self) -> OpenStream {
        self.open.streams.fetch_add(1, Ordering::AcqRel);
        self.open.opened.fetch_add(1, Ordering::AcqRel);
        // One that was told to give way ends, with its streams.
        let _ = self.open.seat.keep();
        OpenStream(Arc::clone(&self.open))
    }
}

/// An accepted connection, which ends where no stream is open on it for too long, where it must give way, or where the other
/// side takes nothing of what is written. HTTP/2 reads nothing while it waits to write, so whoever writes looks as well.
pub struct LimitedConnection {
    socket: Socket,
    info: ConnectionInfo,
    /// Hears that it must give way; none once it need not, or has.
    gives_way: Option<oneshot::Receiver<()>>,
    gave_way: bool,
    silence: Duration,
    deadline: Pin<Box<Sleep>>,
    was_busy: bool,
    /// Streams that had been opened when it was looked at last.
    opened: usize,
    /// Longest time for which nothing that is written goes anywhere.
    patience: Duration,
    /// Until when some of what waits must have gone; none while nothing waits.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl LimitedConnection {
    /// Whether no stream has been open for too long; wakes the task when that is so.
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        if self.info.open.streams.load(Ordering::Acquire) > 0 {
            self.was_busy = true;
            return false;
        }
        let opened = self.info.open.opened.load(Ordering::Acquire);
        if std::mem::take(&mut self.was_busy) || opened != self.opened {
            self.opened = opened;
            self.deadline.as_mut().reset(Instant::now() + self.silence);
        }
        self.deadline.as_mut().poll(cx).is_ready()
    }

    /// Whether it must give way; wakes the task when that is so.
    fn must_give_way(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(gives_way) = &mut self.gives_way else { return self.gave_way };
        if let Poll::Ready(told) = Pin::new(gives_way).poll(cx) {
            (self.gives_way, self.gave_way) = (None, told.is_ok());
        }
        self.gave_way
    }

    /// Looks whether it goes on; wakes the task when it no longer does.
    ///
    /// # Errors
    /// If it ends.
    fn goes_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.is_silent(cx) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no stream was opened in time"));
        }
        if self.must_give_way(cx) {
            return Err(io::Error::other("another connection took its seat"));
        }
        Ok(())
    }

    /// What has become of something to write, which is an error where nothing of it has gone for too long.
    fn written<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stuck.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side accepts no data")))
    }
}

impl AsyncRead for LimitedConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.goes_on(cx)?;
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for LimitedConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.goes_on(cx)?;
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.goes_on(cx)?;
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.goes_on(cx)?;
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.written(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.written(cx, ended)
    }
}

impl Connected for LimitedConnection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

/// Accepts connections within limits.
pub struct Connections {
    tcp: TcpListener,
    acceptor: Option<Acceptor>,
    limits: ListenLimits,
    /// What lines of the log name as the place of the limits.
    place: &'static str,
    seats: Arc<Seats>,
    greeting: JoinSet<Option<LimitedConnection>>,
    pause: Duration,
    turned_away: QuietLog,
    gave_way: QuietLog,
    failed: QuietLog,
    gate: Arc<Gate>,
    look: Interval,
}

impl Connections {
    /// To `tcp`; with `acceptor`, only of those whom it lets in over TLS, others at the `gate`. Must be called within a runtime.
    pub(crate) fn new(
        tcp: TcpListener,
        limits: ListenLimits,
        acceptor: Option<Acceptor>,
        gate: Arc<Gate>,
    ) -> Self {
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
        let limits = ListenLimits { connections: most, ..limits };
        Self::within(limits, "[limits]", tcp, acceptor, gate)
    }

    /// To `tcp`, where whoever reads `monitor` comes. Must be called within a runtime.
    pub(crate) fn of_monitor(tcp: TcpListener) -> Self {
        let most = handles().map_or(MONITOR.connections, |handles| (handles / 8).max(1));
        let limits = ListenLimits { connections: MONITOR.connections.min(most), ..MONITOR };
        Self::within(limits, "at the address of `monitor`", tcp, None, Arc::default())
    }

    fn within(
        limits: ListenLimits,
        place: &'static str,
        tcp: TcpListener,
        acceptor: Option<Acceptor>,
        gate: Arc<Gate>,
    ) -> Self {
        let seats = Seats::new(limits.connections, limits.connections_per_address.min(limits.connections));
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            tcp,
            acceptor,
            limits,
            place,
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

    /// Connections that have been greeted, one after the other.
    pub(crate) fn incoming(self) -> impl Stream<Item = Result<LimitedConnection, Infallible>> {
        stream::unfold(self, |mut connections| async move {
            let connection = connections.next().await;
            Some((Ok(connection), connections))
        })
    }

    /// The next connection that has been greeted.
    pub async fn next(&mut self) -> LimitedConnection {
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
        let place = self.place;
        let Some(taken) = self.seats.take(ip) else {
            self.turned_away
                .warn(&format!("turned away a connection from {ip}: too many are open ({place})"));
            return false;
        };
        let made_room = taken.made_room;
        if made_room {
            self.gave_way.warn(&format!(
                "closed a silent connection to make room for one from {ip}: too many are open ({place})"
            ));
        }
        // A connection that cannot be told to send at once is slower, no more.
        let _ = tcp.set_nodelay(true);
        let greeting = Greeting {
            peer: ConnectedPeer { address, identity: None },
            own: tcp.local_addr().ok(),
            acceptor: self.acceptor.clone(),
            limits: self.limits,
            gate: Arc::clone(&self.gate),
        };
        self.greeting.spawn(greeting.run(tcp, taken));
        made_room
    }
}

/// A connection that greets.
struct Greeting {
    peer: ConnectedPeer,
    own: Option<SocketAddr>,
    acceptor: Option<Acceptor>,
    limits: ListenLimits,
    gate: Arc<Gate>,
}

impl Greeting {
    /// The connection, once it has greeted; none if it does not, or must give way.
    async fn run(self, tcp: TcpStream, taken: NewSeat) -> Option<LimitedConnection> {
        let Self { mut peer, own, acceptor, limits, gate } = self;
        let ListenLimits { silence, keep_alive, .. } = limits;
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
            gate.greeted(&identity.identity, ip);
        }
        let open = HeldConnection { seat, streams: AtomicUsize::new(0), opened: AtomicUsize::new(0) };
        Some(LimitedConnection {
            socket,
            info: ConnectionInfo { peer, own, open: Arc::new(open) },
            gives_way,
            gave_way: false,
            silence,
            deadline: Box::pin(tokio::time::sleep_until(began + silence)),
            was_busy: false,
            opened: 0,
            patience: keep_alive.saturating_mul(2),
            stuck: None,
        })
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
