//! What a connection is made of: TCP alone, or TLS to a peer whose identity is known.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use hashvfl_identity::{Acceptor, Connection, PeerIdentity};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Service;
use tonic::transport::Uri;
use tonic::transport::server::Connected;
use tracing::{info, warn};

/// Longest wait for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that may wait for the server to take them.
const WAITING: usize = 16;
/// Pause after the operating system gave no connection, as when no file handles are left.
const PAUSE: Duration = Duration::from_millis(200);

/// A connection that was taken.
pub(crate) enum Socket {
    /// To whoever has opened it.
    Plain(TcpStream),
    /// To a peer that is known.
    Secure(Box<Connection>),
}

/// Who has opened a connection; `None` without TLS.
#[derive(Debug, Clone)]
pub(crate) struct Peer(pub Option<PeerIdentity>);

impl Connected for Socket {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        match self {
            Self::Plain(_) => Peer(None),
            Self::Secure(connection) => Peer(Some(connection.peer().clone())),
        }
    }
}

/// Connections as they come; with `acceptor`, those whose peers count. Must be polled within a runtime.
pub(crate) fn incoming(
    listener: TcpListener,
    acceptor: Option<Acceptor>,
) -> impl Stream<Item = io::Result<Socket>> {
    let (ready, sockets) = mpsc::channel(WAITING);
    tokio::spawn(take_all(listener, acceptor, ready));
    ReceiverStream::new(sockets)
}

/// Takes connections until nobody wants any.
async fn take_all(
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    ready: mpsc::Sender<io::Result<Socket>>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Messages are small and awaited. A connection that has gone already says so when it is read.
        let _ = stream.set_nodelay(true);
        match &acceptor {
            None => {
                if ready.send(Ok(Socket::Plain(stream))).await.is_err() {
                    return;
                }
            }
            // A slow handshake holds nobody else up.
            Some(acceptor) => {
                tokio::spawn(shake_hands(stream, acceptor.clone(), ready.clone()));
            }
        }
    }
}

async fn shake_hands(stream: TcpStream, acceptor: Acceptor, ready: mpsc::Sender<io::Result<Socket>>) {
    let from = stream.peer_addr().map_or_else(|_| "somebody".to_string(), |address| address.ip().to_string());
    match acceptor.accept(stream, HANDSHAKE).await {
        Ok(connection) => {
            info!("{} is connected, from {from}", connection.peer().identity);
            // If the server has ended, so has the connection.
            let _ = ready.send(Ok(Socket::Secure(Box::new(connection)))).await;
        }
        Err(error) => warn!("no connection from {from}: {error}"),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secure(connection) => Pin::new(connection).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secure(connection) => Pin::new(connection).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Secure(connection) => Pin::new(connection).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secure(connection) => Pin::new(connection).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Self::Secure(connection) => Pin::new(connection).poll_write_vectored(context, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Secure(connection) => connection.is_write_vectored(),
        }
    }
}

/// Hands a connection that is open already to a client, once: what breaks is dialled anew by whoever waits for it.
pub(crate) struct OpenConnection(Option<Connection>);

impl OpenConnection {
    /// Hands over `connection`.
    pub fn new(connection: Connection) -> Self {
        Self(Some(connection))
    }
}

impl Service<Uri> for OpenConnection {
    type Response = hyper_util::rt::TokioIo<Connection>;
    type Error = io::Error;
    type Future = std::future::Ready<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let open = self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into());
        std::future::ready(open.map(hyper_util::rt::TokioIo::new))
    }
}
