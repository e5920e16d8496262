//! Who gets a connection and who does not, over real sockets.

mod fixture;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixture::{
    Federation, LIMIT, accept_one, certificate, date_time, foreign_authority, identity, key, meet, meet_as,
    now_s, permitted,
};
use hashvfl_identity::{
    AcceptError, Acceptor, ConnectError, Connector, IdentityFiles, IdentityPaths, Naming, PeerRefusal,
    Permitted, Pin, Pins, Role,
};
use rcgen::{ExtendedKeyUsagePurpose, Issuer, SanType};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, HandshakeKind, ProtocolVersion, SignatureScheme,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

#[tokio::test]
async fn both_sides_know_who_is_there_before_the_first_byte() {
    let federation = Federation::new();
    for who in ["party/bank", "client/app"] {
        federation.enrol(who);
        let (accepted, dialled) = meet(&federation.files("coordinator/shop"), &federation.files(who)).await;
        let (mut accepted, mut dialled) = (accepted.unwrap(), dialled.unwrap());
        assert_eq!(accepted.peer().identity, identity(who));
        assert_eq!(dialled.peer().identity, identity("coordinator/shop"));
        assert_eq!(accepted.peer().fingerprint, federation.files(who).current().own_fingerprint());
        dialled.write_all(b"codes").await.unwrap();
        dialled.flush().await.unwrap();
        let mut bytes = [0; 5];
        accepted.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"codes");
    }
}

/// A party that is refused: why the coordinator says, and what the party hears.
async fn refused(federation: &Federation, who: &str) -> (PeerRefusal, String) {
    let (accepted, dialled) = meet(&federation.files("coordinator/shop"), &federation.files(who)).await;
    let Err(AcceptError::Refused(refusal)) = accepted else { panic!("{who}: {accepted:?}") };
    (refusal, dialled.expect_err("the party is let in").to_string())
}

#[tokio::test]
async fn a_stranger_is_refused() {
    let (federation, other) = (Federation::new(), Federation::new());
    // Of an authority of the same name, with the same names in its certificates.
    other.enrol("party/bank");
    let config = hashvfl_identity::IdentityConfig {
        authority: federation.places("coordinator/shop").authority,
        ..other.config("party/bank")
    };
    let files = IdentityFiles::load(&config).unwrap();
    let (accepted, dialled) = meet(&federation.files("coordinator/shop"), &files).await;
    let Err(AcceptError::Refused(refusal)) = accepted else { panic!("{accepted:?}") };
    assert_eq!(refusal.kind(), "stranger");
    // Nothing that a stranger says of itself is repeated.
    assert!(!refusal.to_string().contains("bank"), "{refusal}");
    assert!(refusal.to_string().contains("coordinator identity sign"), "{refusal}");
    let heard = dialled.unwrap_err().to_string();
    assert!(
        heard.contains("does not know the authority that signed the certificate of party/bank"),
        "{heard}"
    );
}

#[tokio::test]
async fn revoked_expired_and_early_certificates_are_refused() {
    let federation = Federation::new();
    for who in ["party/bank", "party/post"] {
        federation.enrol(who);
    }
    federation.authority().revoke(&identity("party/bank"), "key lost").unwrap();
    let (refusal, heard) = refused(&federation, "party/bank").await;
    assert_eq!(refusal.kind(), "revoked");
    let list = federation.authority_folder().join("revoked.pem").display().to_string();
    let expected = format!("of party/bank is revoked by the list {list}");
    assert!(refusal.to_string().contains(&expected), "{refusal}");
    assert!(heard.contains("says that the certificate of party/bank is revoked"), "{heard}");
    // The party itself would not start with an expired certificate: it is replaced under it.
    let files = federation.files("party/post");
    federation.forge("party/post", |params| params.not_after = date_time(now_s() - 60));
    let (accepted, dialled) = meet(&federation.files("coordinator/shop"), &files).await;
    let Err(AcceptError::Refused(refusal)) = accepted else { panic!("{accepted:?}") };
    assert_eq!(refusal.kind(), "expired");
    assert!(
        refusal.to_string().contains("`coordinator identity renew party/post --config FILE`"),
        "{refusal}"
    );
    assert!(dialled.unwrap_err().to_string().contains("is not valid today"));
    federation.forge("party/post", |params| params.not_before = date_time(now_s() + 3600));
    let (refusal, _) = refused(&federation, "party/post").await;
    assert_eq!(refusal.kind(), "not-yet-valid");
    assert!(refusal.to_string().contains("is a clock wrong"), "{refusal}");
}

#[tokio::test]
async fn wrong_names_roles_and_uses_are_refused() {
    let federation = Federation::new();
    for who in ["party/mill", "coordinator/other", "client/app", "party/bank"] {
        federation.enrol(who);
    }
    for who in ["party/mill", "coordinator/other"] {
        let (refusal, heard) = refused(&federation, who).await;
        assert_eq!(refusal.kind(), "not-expected");
        let expected = format!("it is {who}, but party/bank, party/post or any client was expected: ");
        assert!(refusal.to_string().starts_with(&expected), "{refusal}");
        let known = heard.contains(&format!("does not let {who} in here")) || heard.contains("log says why");
        assert!(known, "{heard}");
    }
    // The right authority and the wrong role for this service.
    let names = [identity("party/bank").name];
    let acceptor = Acceptor::new(
        federation.files("coordinator/shop"),
        Permitted::nobody().and_named(Role::Party, names),
    );
    let (accepted, _) = meet_as(&acceptor, &Connector::new(federation.files("client/app"), None)).await;
    assert_eq!(accepted.unwrap_err().kind(), "not-expected");
    // A certificate for servers, in the name of a party.
    federation.forge("party/bank", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let (refusal, _) = refused(&federation, "party/bank").await;
    assert!(refusal.to_string().contains("lacks the extended key usage clientAuth"), "{refusal}");
    // Names of two, and of nobody.
    federation.forge("party/bank", |params| {
        params.subject_alt_names.push(SanType::URI("hashvfl://party/bank2".try_into().unwrap()));
    });
    let config = federation.config("party/bank");
    let error = IdentityFiles::load(&config).unwrap_err().to_string();
    assert!(error.contains("names nobody: it has names of two"), "{error}");
}

/// A client of TLS that takes any certificate, and would resume.
#[derive(Debug)]
struct Careless(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The settings of such a client, but for its certificate.
fn nameless() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Careless(provider)))
}

/// The settings of such a client that shows `chain`, whose key is that of `places`.
fn showing(chain: Vec<CertificateDer<'static>>, places: &IdentityPaths) -> Arc<ClientConfig> {
    let key = PrivateKeyDer::from_pem_file(&places.key).unwrap();
    Arc::new(nameless().with_client_auth_cert(chain, key).unwrap())
}

/// The settings of such a client, with the certificate of `who` or none.
fn careless(federation: &Federation, who: Option<&str>) -> Arc<ClientConfig> {
    let Some(who) = who else { return Arc::new(nameless().with_no_client_auth()) };
    let places = federation.places(who);
    showing(vec![CertificateDer::from_pem_file(&places.certificate).unwrap()], &places)
}

#[tokio::test]
async fn whoever_shows_no_certificate_is_refused() {
    let federation = Federation::new();
    let acceptor = Acceptor::new(federation.files("coordinator/shop"), permitted());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dialling = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = ServerName::try_from("shop").unwrap();
        let mut stream = TlsConnector::from(careless(&federation, None)).connect(name, stream).await.unwrap();
        stream.read_u8().await.unwrap_err()
    };
    let (accepted, heard) = tokio::join!(accept_one(&listener, &acceptor), dialling);
    let error = accepted.unwrap_err();
    assert_eq!(error.kind(), "no-certificate");
    assert!(error.to_string().contains("party/bank, party/post or any client"), "{error}");
    assert!(heard.to_string().contains("CertificateRequired"), "{heard}");
}

/// A certificate of the key of `places` that an authority has signed, and so many authorities, all of one name: each could have
/// signed each other.
fn crowd(places: &IdentityPaths, authorities: usize) -> Vec<rcgen::Certificate> {
    let (params, issuer) = foreign_authority("of the crowd");
    let issuer = Issuer::new(params, issuer);
    let own = certificate(&identity("party/bank"), |_| {});
    let mut crowd = vec![own.signed_by(&key(&places.key), &issuer).unwrap()];
    for _ in 0..authorities {
        let (params, key) = foreign_authority("of the crowd");
        crowd.push(params.signed_by(&key, &issuer).unwrap());
    }
    crowd
}

#[tokio::test]
async fn a_chain_of_many_certificates_is_refused_before_anybody_follows_it() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    let places = federation.places("party/bank");
    let acceptor = Acceptor::new(federation.files("coordinator/shop"), permitted());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for (authorities, expected) in [
        (2, "two certificates after it have the same subject"),
        (4, "4 certificates follow it, but at most 3 may"),
        (100, "100 certificates follow it, but at most 3 may"),
    ] {
        let crowd = crowd(&places, authorities);
        let config = showing(crowd.iter().map(|one| one.der().clone()).collect(), &places);
        let dialling = async {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let name = ServerName::try_from("shop").unwrap();
            // It may be refused while it still speaks.
            TlsConnector::from(config).connect(name, stream).await
        };
        let (accepted, _dialled) = tokio::join!(accept_one(&listener, &acceptor), dialling);
        let Err(AcceptError::Refused(refusal)) = accepted else { panic!("{accepted:?}") };
        assert_eq!(refusal.kind(), "unusable");
        assert!(refusal.to_string().contains(expected), "{refusal}");
        // Whoever has such a file hears of it before anybody else does.
        let text: String = crowd.iter().map(rcgen::Certificate::pem).collect();
        fs::write(&places.certificate, text).unwrap();
        let error = IdentityFiles::load(&federation.config("party/bank")).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("certificate.pem"), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_resumed_and_no_data_comes_early() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    let acceptor = Acceptor::new(federation.files("coordinator/shop"), permitted());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = careless(&federation, Some("party/bank"));
    for _ in 0..2 {
        let dialling = async {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let name = ServerName::try_from("shop").unwrap();
            let mut stream = TlsConnector::from(Arc::clone(&config)).connect(name, stream).await.unwrap();
            // A ticket would have come before this.
            assert_eq!(stream.read_u8().await.unwrap(), b'!');
            let session = stream.get_ref().1;
            (session.handshake_kind(), session.tls13_tickets_received(), session.protocol_version())
        };
        let (accepted, (kind, tickets, version)) = tokio::join!(accept_one(&listener, &acceptor), dialling);
        assert_eq!(accepted.unwrap().peer().identity, identity("party/bank"));
        assert_eq!((kind, tickets), (Some(HandshakeKind::Full), 0));
        assert_eq!(version, Some(ProtocolVersion::TLSv1_3));
    }
}

#[tokio::test]
async fn a_party_refuses_whoever_is_not_its_coordinator() {
    let (federation, other) = (Federation::new(), Federation::new());
    federation.enrol("party/bank");
    federation.enrol("party/post");
    let party = federation.files("party/bank");
    // Another coordinator, of another authority.
    let (_, dialled) = meet(&other.files("coordinator/shop"), &party).await;
    let Err(ConnectError::Refused(refusal)) = dialled else { panic!("{dialled:?}") };
    assert_eq!(refusal.kind(), "stranger");
    // A party of the same federation that listens.
    let (accepted, dialled) = meet(&federation.files("party/post"), &party).await;
    let Err(ConnectError::Refused(refusal)) = dialled else { panic!("{dialled:?}") };
    let expected = "it is party/post, but any coordinator was expected: ";
    assert!(refusal.to_string().starts_with(expected), "{refusal}");
    assert_eq!(accepted.unwrap_err().kind(), "refused-by-peer");
    // A coordinator of another name than the config says.
    let connector = Connector::new(Arc::clone(&party), Some(identity("coordinator/mill").name));
    let acceptor = Acceptor::new(federation.files("coordinator/shop"), permitted());
    let (_, dialled) = meet_as(&acceptor, &connector).await;
    let error = dialled.unwrap_err().to_string();
    assert!(error.contains("it is coordinator/shop, but coordinator/mill was expected"), "{error}");
}

#[tokio::test]
async fn a_pinned_name_has_its_key_whoever_signs_another() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    federation.enrol("party/post");
    let post = federation.files("party/post").current().own_fingerprint();
    let pins = federation.places("coordinator/shop").pins;
    let coordinator = federation.files("coordinator/shop");
    let mut known = Pins::default();
    known.add(&Pin { identity: identity("party/bank"), fingerprint: post });
    known.write(&pins).unwrap();
    let (accepted, _) = meet(&coordinator, &federation.files("party/bank")).await;
    let error = accepted.unwrap_err();
    assert_eq!(error.kind(), "other-key");
    let expected = format!("but {post} is pinned in {}", pins.display());
    assert!(error.to_string().contains(&expected), "{error}");
    // The right pin, and a party that is not pinned.
    let bank = federation.files("party/bank").current().own_fingerprint();
    known.add(&Pin { identity: identity("party/bank"), fingerprint: bank });
    known.write(&pins).unwrap();
    for who in ["party/bank", "party/post"] {
        let (accepted, _) = meet(&coordinator, &federation.files(who)).await;
        assert_eq!(accepted.unwrap().peer().identity, identity(who));
    }
}

#[tokio::test]
async fn plain_text_and_silence_end_in_time() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    let acceptor = Acceptor::new(federation.files("coordinator/shop"), permitted());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream
    };
    let (accepted, _stream) = tokio::join!(accept_one(&listener, &acceptor), plain);
    assert_eq!(accepted.unwrap_err().kind(), "no-tls");
    // A coordinator without TLS, that speaks first.
    let connector = Connector::new(federation.files("party/bank"), None);
    let settings = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        stream
    };
    let (_stream, dialled) = tokio::join!(settings, connector.connect("127.0.0.1", port, LIMIT));
    assert!(matches!(dialled, Err(ConnectError::NoTls)), "{dialled:?}");
    // Neither says anything.
    let limit = Duration::from_millis(200);
    let (_silent, began) = (TcpStream::connect(("127.0.0.1", port)).await.unwrap(), Instant::now());
    let (stream, _) = listener.accept().await.unwrap();
    assert_eq!(acceptor.accept(stream, limit).await.unwrap_err().kind(), "timed-out");
    let dialled = connector.connect("127.0.0.1", port, limit).await;
    assert!(matches!(dialled, Err(ConnectError::TimedOut(_))), "{dialled:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_organisation_may_have_its_own_pki_and_a_table_of_names() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    // A root, an authority below it, and a certificate that names a machine.
    let (root_params, root_key) = foreign_authority("Root");
    let root = root_params.self_signed(&root_key).unwrap();
    let root = Issuer::from_ca_cert_der(root.der(), root_key).map(|issuer| (root, issuer)).unwrap();
    let (below_params, below_key) = foreign_authority("Below");
    let below = below_params.signed_by(&below_key, &root.1).unwrap();
    let issuer = Issuer::new(below_params, below_key);
    let own = key(&federation.places("party/bank").key);
    let leaf = certificate(&identity("coordinator/shop"), |params| {
        params.subject_alt_names.push(SanType::DnsName("HFL.bank.example".try_into().unwrap()));
    });
    let leaf = leaf.signed_by(&own, &issuer).unwrap();
    fs::write(federation.places("party/bank").certificate, format!("{}{}", leaf.pem(), below.pem())).unwrap();
    let mut coordinator = federation.config("coordinator/shop");
    let mut party = federation.config("party/bank");
    let ours = fs::read_to_string(&coordinator.authority).unwrap();
    fs::write(&coordinator.authority, format!("{ours}{}", root.0.pem())).unwrap();
    let table = "\"dns:hfl.bank.example\" = \"party/bank\"\n\"uri:hashvfl://coordinator/shop\" = \"coordinator/shop\"";
    // The certificate's URI is in this table too: two names.
    coordinator.names = toml_table(table);
    coordinator.revoked = None;
    party.names = toml_table("\"dns:hfl.bank.example\" = \"party/bank\"\n\"cn:shop\" = \"coordinator/shop\"");
    let files = IdentityFiles::load(&party).unwrap();
    let (accepted, _) = meet(&IdentityFiles::load(&coordinator).unwrap(), &files).await;
    assert_eq!(accepted.unwrap_err().kind(), "nameless");
    coordinator.names =
        toml_table("\"dns:hfl.bank.example\" = \"party/bank\"\n\"cn:shop\" = \"coordinator/shop\"");
    let (accepted, dialled) = meet(&IdentityFiles::load(&coordinator).unwrap(), &files).await;
    assert_eq!(accepted.unwrap().peer().identity, identity("party/bank"));
    assert_eq!(dialled.unwrap().peer().identity, identity("coordinator/shop"));
    // A revocation list of the private authority says nothing of the other one.
    coordinator.revoked = federation.config("coordinator/shop").revoked;
    let (accepted, _) = meet(&IdentityFiles::load(&coordinator).unwrap(), &files).await;
    assert_eq!(accepted.unwrap_err().kind(), "list-of-other");
}

fn toml_table(text: &str) -> Naming {
    toml::from_str(text).unwrap()
}
