//! The side that listens: who has connected.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, InvalidMessage};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::connection::{Connection, Handshake};
use crate::files::IdentityFiles;
use crate::permitted::Permitted;
use crate::refusal::PeerRefusal;
use crate::trust::Usage;
use crate::verifier::{Verifier, server_config};

/// Why a connection was not taken. No text in it comes from the peer.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Its certificate does not count.
    #[error("refused: {0}")]
    Refused(#[from] PeerRefusal),
    /// It took too long.
    #[error("the handshake took more than {0:?}")]
    TimedOut(Duration),
    /// It speaks something else.
    #[error(
        "it did not use TLS: it is a peer with insecure_plaintext = true or an earlier version, or a stranger"
    )]
    NoTls,
    /// It speaks TLS, and not this.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// It left us: our certificate does not count there.
    #[error("it does not accept this side's certificate ({0:?}): its own log says why")]
    RefusedByPeer(AlertDescription),
    /// The connection broke.
    #[error("the connection broke in the handshake: {0}")]
    Broken(io::ErrorKind),
}

impl AcceptError {
    /// One word for counts and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.kind(),
            Self::TimedOut(_) => "timed-out",
            Self::NoTls => "no-tls",
            Self::Handshake(_) => "handshake",
            Self::RefusedByPeer(_) => "refused-by-peer",
            Self::Broken(_) => "broken",
        }
    }
}

/// Takes connections of peers that are permitted.
#[derive(Debug, Clone)]
pub struct Acceptor {
    files: Arc<IdentityFiles>,
    permitted: Permitted,
}

impl Acceptor {
    /// Takes those whom `permitted` names, as `files` say at each handshake. The number of their revocation list is kept beside
    /// it, so that no older one is taken after a restart.
    pub fn new(files: Arc<IdentityFiles>, permitted: Permitted) -> Self {
        files.keep_list_numbers();
        Self { files, permitted }
    }

    /// Who may come.
    pub fn permitted(&self) -> &Permitted {
        &self.permitted
    }

    /// The handshake with whoever has opened `stream`, within `limit`.
    ///
    /// # Errors
    /// If it does not count here, does not finish in time, or speaks something else.
    pub async fn accept(&self, stream: TcpStream, limit: Duration) -> Result<Connection, AcceptError> {
        let handshake = Handshake::new(&self.files, Usage::Listening.of_peer(), &self.permitted);
        let config =
            server_config(&handshake.verifier).map_err(|error| AcceptError::Handshake(error.to_string()))?;
        let accepting = TlsAcceptor::from(Arc::new(config)).accept(stream);
        let accepted = timeout(limit, accepting).await.map_err(|_| AcceptError::TimedOut(limit))?;
        let stream = accepted.map_err(|error| self.failure(&error, &handshake.verifier))?;
        Ok(handshake.finish(stream.into())?)
    }

    fn failure(&self, error: &io::Error, verifier: &Verifier) -> AcceptError {
        if let Some(Err(refusal)) = verifier.verdict() {
            return AcceptError::Refused(refusal);
        }
        match tls_error(error) {
            Some(rustls::Error::NoCertificatesPresented) => {
                AcceptError::Refused(PeerRefusal::NoCertificate { expected: self.permitted.to_string() })
            }
            Some(rustls::Error::AlertReceived(alert)) => AcceptError::RefusedByPeer(*alert),
            Some(error) if is_no_tls(error) => AcceptError::NoTls,
            Some(error) => AcceptError::Handshake(error.to_string()),
            None => AcceptError::Broken(error.kind()),
        }
    }
}

/// What rustls has to say within an error of a stream.
pub(crate) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>()
}

/// Whether what came was no record of TLS.
pub(crate) fn is_no_tls(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidMessage(message) = error else { return false };
    matches!(
        message,
        InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload
    )
}
