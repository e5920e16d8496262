//! How rustls asks whether a peer's certificate counts, and the settings of TLS: 1.3 alone, both sides with certificates,
//! nothing resumed, no early data.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, ServerConfig,
    SignatureScheme,
};

use crate::permitted::Permitted;
use crate::refusal::PeerRefusal;
use crate::role::PeerIdentity;
use crate::trust::{Trust, Usage};

/// What the connections speak inside.
const PROTOCOL: &[u8] = b"h2";

/// Judges one handshake by the files of that moment.
pub(crate) struct Verifier {
    trust: Arc<Trust>,
    provider: Arc<CryptoProvider>,
    usage: Usage,
    permitted: Permitted,
    /// The verdict, which rustls has no place to store.
    verdict: Mutex<Option<Result<Admitted, PeerRefusal>>>,
}

/// A peer whose certificate counts.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub peer: PeerIdentity,
    pub chain: Vec<CertificateDer<'static>>,
    pub at: UnixTime,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier of {} for {}", self.trust.own_identity(), self.permitted)
    }
}

impl Verifier {
    pub fn new(
        trust: Arc<Trust>,
        provider: Arc<CryptoProvider>,
        usage: Usage,
        permitted: Permitted,
    ) -> Arc<Self> {
        Arc::new(Self { trust, provider, usage, permitted, verdict: Mutex::new(None) })
    }

    /// What it judges by.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What came of the handshake; `None` if it ended before any certificate was shown.
    pub fn verdict(&self) -> Option<Result<Admitted, PeerRefusal>> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn judge(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        at: UnixTime,
    ) -> Result<(), Error> {
        let chain: Vec<CertificateDer<'static>> =
            std::iter::once(end).chain(between).map(|certificate| certificate.clone().into_owned()).collect();
        let judged = self.trust.verify(&chain, self.usage, &self.permitted, at);
        let alert = judged.as_ref().err().map(PeerRefusal::alert);
        let verdict = judged.map(|peer| Admitted { peer, chain, at });
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        alert.map_or(Ok(()), |alert| Err(Error::InvalidCertificate(alert)))
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// No version before 1.3 is compiled, so nothing asks for its signatures.
fn older_version() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite))
}

impl ClientCertVerifier for Verifier {
    /// None: who is trusted here is nobody else's business.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        older_version()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ServerCertVerifier for Verifier {
    /// The name of the machine that was dialled does not matter: the certificate's name is the coordinator's own.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        older_version()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

/// The settings of one handshake of whoever listens.
pub(crate) fn server_config(verifier: &Arc<Verifier>) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::clone(verifier) as Arc<dyn ClientCertVerifier>)
        .with_cert_resolver(Arc::new(single(&verifier.trust)));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

/// The settings of one handshake of whoever dials.
pub(crate) fn client_config(verifier: &Arc<Verifier>) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(verifier) as Arc<dyn ServerCertVerifier>)
        .with_client_cert_resolver(Arc::new(single(&verifier.trust)));
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

fn single(trust: &Trust) -> SingleCertAndKey {
    SingleCertAndKey::from(Arc::clone(&trust.own))
}
