//! A connection whose peer is known, and that ends when the peer no longer counts.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_rustls::TlsStream;
use tracing::warn;

use crate::files::IdentityFiles;
use crate::permitted::Permitted;
use crate::refusal::PeerRefusal;
use crate::role::PeerIdentity;
use crate::trust::{Trust, Usage};
use crate::verifier::{Admitted, Verifier};

/// An open connection looks so often whether its peer still counts.
const LOOK: Duration = Duration::from_secs(1);

/// A handshake: what judges the peer, and what is needed to judge it again later.
pub(crate) struct Handshake {
    files: Arc<IdentityFiles>,
    /// Changes of the files since before the handshake.
    changes: watch::Receiver<Arc<Trust>>,
    usage: Usage,
    permitted: Permitted,
    pub verifier: Arc<Verifier>,
}

impl Handshake {
    /// With a peer that `permitted` names and whose certificate is for `usage`, as `files` say now.
    pub fn new(files: &Arc<IdentityFiles>, usage: Usage, permitted: &Permitted) -> Self {
        let changes = files.subscribe();
        let provider = Arc::clone(files.provider());
        let verifier = Verifier::new(files.current(), provider, usage, permitted.clone());
        Self { files: Arc::clone(files), changes, usage, permitted: permitted.clone(), verifier }
    }

    /// The connection that came of it.
    ///
    /// # Errors
    /// If the peer does not count, or showed no certificate.
    pub fn finish(self, stream: TlsStream<TcpStream>) -> Result<Connection, PeerRefusal> {
        let Self { files, changes, usage, permitted, verifier } = self;
        let Some(verdict) = verifier.verdict() else {
            return Err(PeerRefusal::NoCertificate { expected: permitted.to_string() });
        };
        let Admitted { peer, chain, at } = verdict?;
        files.take_confirmed(&verifier.trust().confirmed_lists(&chain, usage, at));
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let grounds = Grounds { files, changes, usage, permitted, chain, at };
        Ok(Connection { stream, peer, grounds, tick, refused: None, is_told: false })
    }
}

/// Why a peer counted.
struct Grounds {
    files: Arc<IdentityFiles>,
    changes: watch::Receiver<Arc<Trust>>,
    usage: Usage,
    permitted: Permitted,
    chain: Vec<CertificateDer<'static>>,
    at: UnixTime,
}

/// A TLS connection to a known peer.
///
/// About once a second, while somebody reads from it or writes to it, it looks whether the peer would still be let in: whoever
/// uses the connection of one that has been revoked, unpinned, or whose authority is gone gets an error of kind
/// `PermissionDenied`. Whoever reads gets it first: HTTP/2 tells its streams why a read failed, and not why a write did.
/// Until then, writes are discarded. A certificate or revocation list that expires during a connection does not end it: the
/// peer was valid when it connected.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: PeerIdentity,
    grounds: Grounds,
    tick: Interval,
    refused: Option<PeerRefusal>,
    /// Whether whoever reads has heard of it.
    is_told: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection to {}", self.peer.identity)
    }
}

impl Connection {
    /// Who is on the other side.
    pub fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    /// The connection below.
    pub fn tcp(&self) -> &TcpStream {
        self.stream.get_ref().0
    }

    /// Why the peer no longer counts, once it does not.
    pub fn refused(&self) -> Option<&PeerRefusal> {
        self.refused.as_ref()
    }

    /// Looks whether the peer still counts; whoever reads or waits to write is woken to look again.
    fn judge(&mut self, context: &mut Context<'_>) {
        // Each tick is taken, so that the next one wakes whoever waits.
        while self.tick.poll_tick(context).is_ready() {
            self.grounds.files.look_sometimes();
        }
        if self.refused.is_none() && self.grounds.changes.has_changed().unwrap_or(false) {
            let trust = Arc::clone(&self.grounds.changes.borrow_and_update());
            let Grounds { usage, permitted, chain, at, .. } = &self.grounds;
            self.refused = trust.verify(chain, *usage, permitted, *at).err();
            if let Some(refusal) = &self.refused {
                warn!("the connection to {} ends: {refusal}", self.peer.identity);
                // Whoever has found it while writing comes back to read.
                context.waker().wake_by_ref();
            }
        }
    }

    /// Whether something may be read.
    ///
    /// # Errors
    /// If the peer no longer counts.
    fn may_read(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.judge(context);
        let Some(refusal) = &self.refused else { return Ok(()) };
        self.is_told = true;
        Err(denied(refusal))
    }

    /// Whether what is written goes to the peer. One that takes nothing keeps whoever writes from reading, so it is looked at
    /// here, too.
    ///
    /// # Errors
    /// If the peer no longer counts, and whoever reads has heard so.
    fn may_write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        self.judge(context);
        match &self.refused {
            None => Ok(true),
            Some(refusal) if self.is_told => Err(denied(refusal)),
            Some(_) => Ok(false),
        }
    }
}

/// An error whose text may come to other sides: the log has said more.
fn denied(refusal: &PeerRefusal) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, refusal.for_others())
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.may_read(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncBufRead for Connection {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        this.may_read(context)?;
        Pin::new(&mut this.stream).poll_fill_buf(context)
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        Pin::new(&mut self.stream).consume(bytes);
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.may_write(context)? {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.may_write(context)? {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.may_write(context)? {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.may_write(context)? {
            return Poll::Ready(Ok(buffers.iter().map(|buffer| buffer.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
