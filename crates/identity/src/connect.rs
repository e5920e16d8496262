//! The side that dials: whom it has reached.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hashvfl_core::PartyName;
use rustls::AlertDescription;
use rustls::pki_types::ServerName;
use tokio::io::AsyncBufRead;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::accept::{is_no_tls, tls_error};
use crate::connection::{Connection, Handshake};
use crate::files::IdentityFiles;
use crate::permitted::Permitted;
use crate::refusal::PeerRefusal;
use crate::role::{Identity, Role};
use crate::trust::Usage;
use crate::verifier::client_config;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody is there.
    #[error("cannot connect: {0}")]
    Absent(io::Error),
    /// Nobody answered in time.
    #[error("nothing answered within {:.0} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// Whoever is there is not the one that was expected.
    #[error("who answers there is refused: {0}")]
    Refused(#[from] PeerRefusal),
    /// The coordinator, which has shown its certificate, does not let this side in.
    #[error("{}", told(*.alert, .own))]
    RefusedByPeer {
        /// What it said.
        alert: AlertDescription,
        /// Who this side is.
        own: Identity,
    },
    /// Whoever is there ended the handshake before it had shown a certificate: it may be anybody on the way.
    #[error("{}", told_by_anybody(*.0))]
    EndedUnproven(AlertDescription),
    /// It speaks something else.
    #[error(
        "what answers there does not use TLS: it is a coordinator with insecure_plaintext = true or an earlier \
         version, or not a coordinator"
    )]
    NoTls,
    /// It speaks TLS, and not this.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// The connection broke.
    #[error("the connection broke in the handshake: {0}")]
    Broken(io::ErrorKind),
}

/// What a coordinator's alert means for whoever hears it.
fn told(alert: AlertDescription, own: &Identity) -> String {
    match alert {
        AlertDescription::CertificateRevoked => format!(
            "the coordinator says that the certificate of {own} is revoked: `coordinator identity list --config FILE` there says when and why"
        ),
        AlertDescription::CertificateExpired => format!(
            "the coordinator says that the certificate of {own} is not valid today: ask for a new one (`coordinator \
             identity renew {own} --config FILE` there), or check both clocks"
        ),
        AlertDescription::UnknownCA => format!(
            "the coordinator does not know the authority that signed the certificate of {own}, or has no valid revocation list of it: its log says \
             which; `coordinator identity sign REQUEST --config FILE` there signs a request"
        ),
        AlertDescription::AccessDenied => format!(
            "the coordinator does not let {own} in here: is that name among its run.parties, the role right, and the key the one that it has pinned?"
        ),
        AlertDescription::CertificateRequired => {
            format!("the coordinator saw no certificate of {own}: is identity.certificate the right file?")
        }
        other => format!("the coordinator ended the handshake with {own} ({other:?}): its log says why"),
    }
}

/// What an alert means that nobody has vouched for.
fn told_by_anybody(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::ProtocolVersion => {
            "what answers there does not use TLS 1.3, so it is not a coordinator: does a proxy in between terminate \
             TLS? It must pass TCP through unchanged (docs/how-to/run-between-organisations.md)"
                .to_string()
        }
        other => format!(
            "what answers there ended the handshake before it had shown a certificate ({other:?}): if the coordinator's \
             log says nothing of it, something else on the way has answered"
        ),
    }
}

/// Dials a coordinator.
#[derive(Debug, Clone)]
pub struct Connector {
    files: Arc<IdentityFiles>,
    permitted: Permitted,
}

impl Connector {
    /// Takes the coordinator of this name for the right one, or any if there is none.
    pub fn new(files: Arc<IdentityFiles>, coordinator: Option<PartyName>) -> Self {
        let permitted = match coordinator {
            Some(name) => Permitted::nobody().and_named(Role::Coordinator, [name]),
            None => Permitted::nobody().and_every(Role::Coordinator),
        };
        Self { files, permitted }
    }

    /// Who this side is.
    pub fn own_identity(&self) -> Identity {
        self.files.current().own_identity().clone()
    }

    /// Connects to `port` of `host`, a name or an address, and knows who answers there; all within `limit`.
    ///
    /// In TLS 1.3 whoever dials is done before the other side has looked at its certificate: [`Self::heard`] waits for that.
    ///
    /// # Errors
    /// If nobody answers in time, or somebody else.
    pub async fn connect(&self, host: &str, port: u16, limit: Duration) -> Result<Connection, ConnectError> {
        let until = Instant::now() + limit;
        let connecting = TcpStream::connect((host, port));
        let stream = timeout_at(until, connecting)
            .await
            .map_err(|_| ConnectError::TimedOut(limit))?
            .map_err(ConnectError::Absent)?;
        // Messages are small and awaited.
        stream.set_nodelay(true).map_err(ConnectError::Absent)?;
        self.greet(stream, until, limit).await
    }

    async fn greet(
        &self,
        stream: TcpStream,
        until: Instant,
        limit: Duration,
    ) -> Result<Connection, ConnectError> {
        let handshake = Handshake::new(&self.files, Usage::Dialling.of_peer(), &self.permitted);
        let config =
            client_config(&handshake.verifier).map_err(|error| ConnectError::Handshake(error.to_string()))?;
        // rustls wants a name of a machine, sends none, and the verifier looks at none.
        let unused = ServerName::try_from("coordinator.invalid")
            .map_err(|error| ConnectError::Handshake(error.to_string()))?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(unused, stream);
        let connected = timeout_at(until, connecting).await.map_err(|_| ConnectError::TimedOut(limit))?;
        let stream = connected.map_err(|error| match handshake.verifier.verdict() {
            Some(Err(refusal)) => ConnectError::Refused(refusal),
            _ => match tls_error(&error) {
                Some(rustls::Error::AlertReceived(alert)) => ConnectError::EndedUnproven(*alert),
                _ => self.explain(&error),
            },
        })?;
        Ok(handshake.finish(stream.into())?)
    }

    /// Waits until the other side has spoken, within `limit`: it has let this side in then. Takes nothing of what it said.
    /// HTTP/2 servers speak first.
    ///
    /// # Errors
    /// If it does not let this side in, or says nothing in time.
    pub async fn heard(&self, connection: &mut Connection, limit: Duration) -> Result<(), ConnectError> {
        let waiting = poll_fn(|context| {
            Pin::new(&mut *connection).poll_fill_buf(context).map_ok(|bytes| !bytes.is_empty())
        });
        let heard = tokio::time::timeout(limit, waiting).await.map_err(|_| ConnectError::TimedOut(limit))?;
        match heard {
            Ok(true) => Ok(()),
            Ok(false) => Err(ConnectError::Broken(io::ErrorKind::UnexpectedEof)),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// What an error of a stream means, at the first read after the handshake or, but for alerts, in it.
    fn explain(&self, error: &io::Error) -> ConnectError {
        match tls_error(error) {
            Some(rustls::Error::AlertReceived(alert)) => {
                ConnectError::RefusedByPeer { alert: *alert, own: self.own_identity() }
            }
            Some(error) if is_no_tls(error) => ConnectError::NoTls,
            Some(error) => ConnectError::Handshake(error.to_string()),
            None => ConnectError::Broken(error.kind()),
        }
    }
}
