//! Whoever makes the other side write and reads nothing of it: HTTP/2 reads nothing any more where it cannot write. Silence,
//! revocation and time end such connections as they end others.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hashvfl_core::PartyName;
use hashvfl_identity::{
    Acceptor, Authority, Connector, Identity, IdentityConfig, IdentityFiles, IdentityPaths, Permitted, Role,
    begin_authority, issue,
};
use hashvfl_transport::limits::ListenLimits;
use hashvfl_transport::listen::{self, Arrivals, Listener, TrainingStream};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
/// HTTP/2's preface and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A PING frame, which is answered by one as long.
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingping";

/// A port, with streams that nobody opens.
async fn open(limits: ListenLimits, acceptor: Option<Acceptor>) -> (Arrivals<TrainingStream>, SocketAddr) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
    let address = listener.address().unwrap();
    let listener = match acceptor {
        Some(acceptor) => listener.secured(acceptor),
        None => listener,
    };
    let (arrivals, serving) = listen::training(listener);
    tokio::spawn(serving);
    (arrivals, address)
}

/// A connection that takes few bytes unread.
async fn connect(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream
}

/// Asks for answers and reads none, until the connection ends.
async fn ask(stream: &mut (impl AsyncWrite + Unpin)) {
    let pings = PING.repeat(1000);
    while stream.write_all(&pings).await.is_ok() && stream.flush().await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_no_stream_is_silent_although_it_makes_the_other_side_write() {
    let limits =
        ListenLimits { silence: Duration::from_secs(2), keep_alive: LONG, ..ListenLimits::default() };
    let (_arrivals, address) = open(limits, None).await;
    let mut stream = connect(address).await;
    assert!(timeout(Duration::from_secs(30), ask(&mut stream)).await.is_ok(), "it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_nothing_for_too_long_loses_its_connection() {
    let limits =
        ListenLimits { silence: LONG, keep_alive: Duration::from_secs(1), ..ListenLimits::default() };
    let (_arrivals, address) = open(limits, None).await;
    let mut stream = connect(address).await;
    assert!(timeout(Duration::from_secs(30), ask(&mut stream)).await.is_ok(), "it ends");
}

fn files(config: &IdentityConfig) -> Arc<IdentityFiles> {
    IdentityFiles::load(config).unwrap()
}

/// The authority of the coordinator `shop`, which takes every client, and a client that dials it.
fn identities(folder: &Path, client: &Identity) -> (Authority, Acceptor, Connector) {
    let (shop, app) = (folder.join("shop"), folder.join("app"));
    let name = PartyName::new("shop").unwrap();
    let (mut authority, _) = begin_authority(&shop, &name, 30).unwrap();
    issue(&mut authority, &IdentityPaths::in_folder(&app), client, 30).unwrap();
    let config = IdentityConfig::in_folder(&shop).listening();
    let acceptor = Acceptor::new(files(&config), Permitted::nobody().and_every(Role::Client));
    (authority, acceptor, Connector::new(files(&IdentityConfig::in_folder(&app)), Some(name)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_client_that_does_not_read_loses_its_connection_too() {
    let folder = tempfile::tempdir().unwrap();
    let client: Identity = "client/app".parse().unwrap();
    let (mut authority, acceptor, connector) = identities(folder.path(), &client);
    let limits = ListenLimits { silence: LONG, keep_alive: LONG, ..ListenLimits::default() };
    let (_arrivals, address) = open(limits, Some(acceptor)).await;
    let mut stream = connector.connect("127.0.0.1", address.port(), LONG).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    // Until the other side waits to write, and so reads nothing.
    assert!(timeout(Duration::from_secs(4), ask(&mut stream)).await.is_err(), "it counts");
    authority.revoke(&client, "lost").unwrap();
    assert!(timeout(Duration::from_secs(30), ask(&mut stream)).await.is_ok(), "it is revoked");
}
