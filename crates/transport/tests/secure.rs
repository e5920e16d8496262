//! Streams between peers whose certificates are known.

mod ports;

use std::fs;
use std::path::Path;
use std::time::Duration;

use hashvfl_core::protocol::message::{FromCoordinator, FromParty, Hello, PROTOCOL_VERSION};
use hashvfl_core::protocol::serving_party::FromServingParty;
use hashvfl_core::{Address, PartyName, RunId, RunSettings, Task};
use hashvfl_identity::{
    Acceptor, Authority, Connector, Identity, IdentityConfig, IdentityFiles, IdentityPaths, Permitted, Role,
    SigningOptions, accept, request,
};
use hashvfl_transport::dial::{DialError, Dialer};
use hashvfl_transport::handshake::{Handshake, HandshakeError};
use hashvfl_transport::limits::ListenLimits;
use hashvfl_transport::listen::{self, Arrivals, Listener, TrainingStream};
use hashvfl_transport::{Received, StreamError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// Far longer than anything here takes.
const ACCEPTED: FromCoordinator = FromCoordinator::Accepted { session: None };
const LONG: Duration = Duration::from_secs(60);

fn name(text: &str) -> PartyName {
    PartyName::new(text).unwrap()
}

fn greeting(party: &str) -> Hello {
    let settings = RunSettings::new(vec![name("bank")], Task::Binary, 16, 3).to_settings();
    Hello {
        protocol: PROTOCOL_VERSION,
        run: RunId::new("r").unwrap(),
        party: name(party),
        settings_digest: settings.digest(),
        settings,
    }
}

/// A folder with an authority, the coordinator `shop` and whoever is enrolled.
fn federation() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    drop(Authority::create(&folder.path().join("authority"), &name("shop")).unwrap());
    enrol(folder.path(), "coordinator/shop");
    folder
}

fn enrol(folder: &Path, who: &str) {
    let identity: Identity = who.parse().unwrap();
    let places = IdentityPaths::in_folder(&folder.join(identity.name.as_str()));
    let requested = request(&places, &identity, false).unwrap();
    let mut authority = Authority::open(&folder.join("authority")).unwrap();
    let options = SigningOptions { days: 30, fingerprint: None, role: Some(identity.role) };
    let (_, text) = authority.sign(&requested.request, &options).unwrap();
    fs::write(folder.join("answer"), text).unwrap();
    accept(&places, &folder.join("answer"), Some(authority.fingerprint()), None).unwrap();
}

fn acceptor(folder: &Path) -> Acceptor {
    let mut config = IdentityConfig::in_folder(&folder.join("shop"));
    config.revoked = Some(folder.join("authority/revoked.pem"));
    let parties = Permitted::nobody().and_named(Role::Party, ["bank", "post"].map(name));
    Acceptor::new(IdentityFiles::load(&config).unwrap(), parties.and_every(Role::Client))
}

fn secured(folder: &Path, who: &str, dialer: Dialer) -> Dialer {
    let files = IdentityFiles::load(&IdentityConfig::in_folder(&folder.join(who))).unwrap();
    dialer.secured(Connector::new(files, Some(name("shop"))))
}

async fn coordinator(folder: &Path) -> (Arrivals<TrainingStream>, Dialer) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), ListenLimits::default()).await.unwrap();
    let listener = listener.secured(acceptor(folder));
    let address: Address = format!("http://{}", listener.address().unwrap()).parse().unwrap();
    let (arrivals, serving) = listen::training(listener);
    tokio::spawn(serving);
    (arrivals, Dialer::new(address, 20))
}

#[tokio::test]
async fn a_stream_has_the_name_of_its_certificate() {
    let folder = federation();
    enrol(folder.path(), "party/bank");
    let (mut arrivals, dialer) = coordinator(folder.path()).await;
    let dialer = secured(folder.path(), "bank", dialer);
    let answers = dialer.who_answers().await.unwrap().unwrap();
    assert_eq!(answers.identity.to_string(), "coordinator/shop");
    let mut party = dialer.training(FromParty::Hello(greeting("bank"))).await.unwrap();
    let mut coordinator = arrivals.next().await.unwrap();
    let peer = coordinator.peer().unwrap().identity.clone().unwrap();
    assert_eq!(peer.identity.to_string(), "party/bank");
    assert_eq!(Handshake::new(&mut coordinator, 20).hello().await.unwrap(), greeting("bank"));
    let sent = coordinator.send(ACCEPTED, LONG).await.unwrap();
    let Received { message, bytes } = party.next_within(LONG).await.unwrap();
    assert_eq!((message, bytes), (ACCEPTED, sent));
    // The right certificate, and another's name.
    let _second = dialer.training(FromParty::Hello(greeting("post"))).await.unwrap();
    let mut coordinator = arrivals.next().await.unwrap();
    let error = Handshake::new(&mut coordinator, 20).hello().await.unwrap_err();
    assert!(matches!(error, HandshakeError::OtherName(_)), "{error}");
    assert!(error.to_string().contains("names party/bank, but the config says name = \"post\""), "{error}");
}

#[tokio::test]
async fn who_is_refused_hears_it_at_once_and_does_not_try_again() {
    let folder = federation();
    for who in ["party/bank", "party/mill", "client/app"] {
        enrol(folder.path(), who);
    }
    let (_arrivals, plain) = coordinator(folder.path()).await;
    let mill = secured(folder.path(), "mill", plain.clone());
    let error = mill.training(FromParty::Hello(greeting("mill"))).await.err().unwrap();
    assert!(matches!(&error, DialError::Identity { .. }), "{error}");
    assert!(error.to_string().contains("does not let party/mill in here"), "{error}");
    let mut authority = Authority::open(&folder.path().join("authority")).unwrap();
    authority.revoke(&"party/bank".parse().unwrap(), "lost").unwrap();
    let bank = secured(folder.path(), "bank", plain.clone());
    let error = bank.training(FromParty::Hello(greeting("bank"))).await.err().unwrap().to_string();
    assert!(error.contains("the certificate of party/bank is revoked"), "{error}");
    // A client's certificate opens no stream of a party.
    let client = secured(folder.path(), "app", plain.clone());
    let error = client.training(FromParty::Hello(greeting("app"))).await.err().unwrap().to_string();
    assert!(error.contains("this service is for the role party"), "{error}");
    // A party without an identity, and a coordinator without one.
    let error = Dialer::new(plain.address().clone(), 1).training(FromParty::Hello(greeting("bank"))).await;
    assert!(error.is_err());
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), ListenLimits::default()).await.unwrap();
    let address: Address = format!("http://{}", listener.address().unwrap()).parse().unwrap();
    let (_arrivals, serving) = listen::training(listener);
    tokio::spawn(serving);
    let dialer = secured(folder.path(), "app", Dialer::new(address, 1));
    let error = dialer.serving(FromServingParty::Hello(greeting("bank"))).await.err().unwrap();
    assert!(error.is_for_now() && error.to_string().contains("does not use TLS"), "{error}");
}

#[tokio::test]
async fn a_web_server_in_the_coordinators_place_is_waited_for() {
    let folder = federation();
    enrol(folder.path(), "party/bank");
    let address = ports::free_address();
    let web = TcpListener::bind(address).await.unwrap();
    let dialer = Dialer::new(format!("http://{address}").parse().unwrap(), 60);
    let dialer = secured(folder.path(), "bank", dialer);
    let answering = async {
        for _ in 0..3 {
            let (mut stream, _) = web.accept().await.unwrap();
            // It does not read what it does not understand.
            let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    };
    let party = async {
        let greeting = FromParty::Hello(greeting("bank"));
        dialer.training(greeting).await
    };
    tokio::pin!(party);
    tokio::select! {
        () = answering => {}
        _ = &mut party => panic!("it dials until the limit"),
    }
    drop(web);
    let listener = loop {
        match Listener::bind(address, ListenLimits::default()).await {
            Ok(listener) => break listener.secured(acceptor(folder.path())),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let (mut arrivals, serving) = listen::training(listener);
    tokio::spawn(serving);
    let _party = party.await.unwrap();
    arrivals.next().await.unwrap();
}

/// The certificate of whoever dials is revoked, as anybody can write it.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 44];

#[tokio::test]
async fn only_what_the_coordinator_itself_says_is_final_for_who_was_in() {
    let (folder, other) = (federation(), federation());
    enrol(folder.path(), "party/bank");
    let anybody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", anybody.local_addr().unwrap()).parse().unwrap();
    let dialer = secured(folder.path(), "bank", Dialer::new(address, 20));
    let answering = async {
        let (mut stream, _) = anybody.accept().await.unwrap();
        stream.write_all(&ALERT).await.unwrap();
        stream
    };
    let (answered, _stream) = tokio::join!(dialer.who_answers(), answering);
    let error = answered.unwrap_err();
    assert!(error.to_string().contains("before it had shown a certificate (CertificateRevoked)"), "{error}");
    assert!(error.may_pass() && !error.is_for_now(), "{error}");
    // A coordinator of that name and of another authority.
    let (_arrivals, elsewhere) = coordinator(other.path()).await;
    let error = secured(folder.path(), "bank", elsewhere).who_answers().await.unwrap_err();
    assert!(error.to_string().contains("who answers there is refused"), "{error}");
    assert!(error.may_pass() && !error.is_for_now(), "{error}");
    // The coordinator itself.
    let (_arrivals, there) = coordinator(folder.path()).await;
    let mut authority = Authority::open(&folder.path().join("authority")).unwrap();
    authority.revoke(&"party/bank".parse().unwrap(), "lost").unwrap();
    let error = secured(folder.path(), "bank", there).who_answers().await.unwrap_err();
    assert!(error.to_string().contains("the certificate of party/bank is revoked"), "{error}");
    assert!(!error.may_pass(), "{error}");
}

#[tokio::test]
async fn who_was_in_dials_until_the_coordinator_itself_answers() {
    let folder = federation();
    enrol(folder.path(), "party/bank");
    let address = ports::free_address();
    let anybody = TcpListener::bind(address).await.unwrap();
    let dialer = Dialer::new(format!("http://{address}").parse().unwrap(), 60);
    let dialer = secured(folder.path(), "bank", dialer).returning(true);
    let mut open = Vec::new();
    let answering = async {
        for _ in 0..3 {
            let (mut stream, _) = anybody.accept().await.unwrap();
            stream.write_all(&ALERT).await.unwrap();
            open.push(stream);
        }
    };
    let party = dialer.training(FromParty::Hello(greeting("bank")));
    tokio::pin!(party);
    tokio::select! {
        () = answering => {}
        _ = &mut party => panic!("it dials until the limit"),
    }
    drop((anybody, open));
    let listener = loop {
        match Listener::bind(address, ListenLimits::default()).await {
            Ok(listener) => break listener.secured(acceptor(folder.path())),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let (mut arrivals, serving) = listen::training(listener);
    tokio::spawn(serving);
    let _party = party.await.unwrap();
    arrivals.next().await.unwrap();
}

#[tokio::test]
async fn a_revoked_party_loses_its_stream_and_the_coordinator_hears_why() {
    let folder = federation();
    enrol(folder.path(), "party/bank");
    let (mut arrivals, dialer) = coordinator(folder.path()).await;
    let dialer = secured(folder.path(), "bank", dialer);
    let mut party = dialer.training(FromParty::Hello(greeting("bank"))).await.unwrap();
    let mut coordinator = arrivals.next().await.unwrap();
    coordinator.next_within(LONG).await.unwrap();
    let mut authority = Authority::open(&folder.path().join("authority")).unwrap();
    authority.revoke(&"party/bank".parse().unwrap(), "lost").unwrap();
    let error = coordinator.next_within(LONG).await.unwrap_err();
    let StreamError::Refused(reason) = error else { panic!("{error}") };
    assert!(reason.contains("of party/bank is revoked"), "{reason}");
    assert!(matches!(party.next_within(LONG).await, Err(StreamError::Broken(_))));
}
