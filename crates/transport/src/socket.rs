//! What a connection is made of: TCP alone, or TLS to a peer whose identity is known.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hashvfl_identity::{AcceptError, Acceptor, Connection, PeerIdentity};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::codegen::Service;
use tonic::transport::Uri;

/// A connection that was taken.
pub(crate) enum Socket {
    /// To whoever has opened it.
    Plain(TcpStream),
    /// To a peer that is known.
    Secure(Box<Connection>),
}

impl Socket {
    /// A connection to whoever has opened `stream`; with `acceptor`, over TLS, after a handshake within `limit`.
    ///
    /// # Errors
    /// If the peer does not count, is too slow, or speaks something else.
    pub async fn greet(
        stream: TcpStream,
        acceptor: Option<&Acceptor>,
        limit: Duration,
    ) -> Result<Self, AcceptError> {
        match acceptor {
            None => Ok(Self::Plain(stream)),
            Some(acceptor) => Ok(Self::Secure(Box::new(acceptor.accept(stream, limit).await?))),
        }
    }

    /// Who is on the other side, by its certificate; `None` without TLS.
    pub fn peer(&self) -> Option<&PeerIdentity> {
        match self {
            Self::Plain(_) => None,
            Self::Secure(connection) => Some(connection.peer()),
        }
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
