//! What a stranger sends to a port, and to whoever dials one: bytes before and in the place of a handshake, and handshakes that
//! are changed on their way.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use hashvfl_core::PartyName;
use hashvfl_identity::{
    AcceptError, Acceptor, Authority, ConnectError, Connector, Identity, IdentityConfig, IdentityFiles,
    IdentityPaths, PeerIdentity, Permitted, Role, SigningOptions, accept, request,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::pieces::{change, is_unchanged};

/// No handshake of this process with itself takes longer.
const LIMIT: Duration = Duration::from_secs(20);
/// The limit where lengths may be changed, so that one side waits for what never comes.
const CHANGED_LIMIT: Duration = Duration::from_millis(30);
/// Of the first byte: a stranger hangs up, as a process does that is killed.
const HANGS_UP: u8 = 2;
/// Of the first byte: it is the party bank, which dials, that hears a stranger or changed bytes.
const TO_BANK: u8 = 4;

/// The first byte says what the others are: bytes that a stranger sends, or changes to what one side sends the other. Whoever
/// has got in is the bank, and whoever the bank has reached is the shop.
pub fn target(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    thread_local!(static HOME: Home = Home::new());
    HOME.with(|home| match kind % 2 {
        0 if kind & TO_BANK != 0 => {
            let reached = home.runtime.block_on(stranger_answers(home, bytes, kind & HANGS_UP != 0));
            assert!(reached.is_err(), "bytes without a key are no coordinator");
        }
        0 => {
            let accepted = home.runtime.block_on(stranger(home, bytes, kind & HANGS_UP != 0));
            assert!(accepted.is_err(), "bytes without a key let nobody in");
        }
        _ => {
            let limit = if is_unchanged(bytes) { LIMIT } else { CHANGED_LIMIT };
            match home.runtime.block_on(changed(home, bytes, limit, kind & TO_BANK != 0)) {
                Ok(peer) => assert_eq!(peer.identity, home.bank),
                Err(refused) => assert!(!is_unchanged(bytes), "the bank was not let in: {refused}"),
            }
        }
    });
}

/// A coordinator and the bank, with their keys: made once a thread.
struct Home {
    runtime: Runtime,
    acceptor: Acceptor,
    connector: Connector,
    bank: Identity,
    shop: Identity,
    _folder: TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = |name| PartyName::new(name).expect("a name");
        let keep = folder.path().join("authority");
        let mut authority = Authority::create(&keep, &name("shop")).expect("an authority");
        let mut files = |role, who| {
            let (identity, home) = (Identity::new(role, name(who)), folder.path().join(who));
            let places = IdentityPaths::in_folder(&home);
            let requested = request(&places, &identity, false).expect("a request");
            let options = SigningOptions { days: 30, fingerprint: None, role: Some(role) };
            let (_, signed) = authority.sign(&requested.request, &options).expect("a certificate");
            let answer = home.join("answer.pem");
            fs::write(&answer, signed).expect("a file");
            accept(&places, &answer, Some(authority.fingerprint()), None).expect("accepted");
            let mut config = IdentityConfig::in_folder(&home);
            if role == Role::Coordinator {
                config.revoked = Some(keep.join("revoked.pem"));
            }
            (identity, IdentityFiles::load(&config).expect("files"))
        };
        let (shop_identity, shop) = files(Role::Coordinator, "shop");
        let (bank, own) = files(Role::Party, "bank");
        let permitted = Permitted::nobody().and_named(Role::Party, [bank.name.clone()]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self {
            runtime: runtime.expect("a runtime"),
            acceptor: Acceptor::new(Arc::clone(&shop), permitted),
            connector: Connector::new(own, None),
            bank,
            shop: shop_identity,
            _folder: folder,
        }
    }
}

/// A port of this machine.
async fn port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// Who has got in; the connection ends.
async fn take(home: &Home, listener: &TcpListener, limit: Duration) -> Result<PeerIdentity, AcceptError> {
    let (stream, _) = listener.accept().await.expect("a connection");
    home.acceptor.accept(stream, limit).await.map(|connection| connection.peer().clone())
}

/// Sends bytes, and says that these are all, or hangs up.
async fn send(mut stream: TcpStream, bytes: &[u8], hangs_up: bool) {
    // Whoever is refused on the way hears of it here.
    let _ = stream.write_all(bytes).await;
    if hangs_up {
        let _ = stream.set_zero_linger();
        return;
    }
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// A stranger dials the shop.
async fn stranger(home: &Home, bytes: &[u8], hangs_up: bool) -> Result<PeerIdentity, AcceptError> {
    let (listener, port) = port().await;
    let dial = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        send(stream, bytes, hangs_up).await;
    };
    let (accepted, ()) = tokio::join!(take(home, &listener, LIMIT), dial);
    accepted
}

/// The bank dials, and a stranger answers.
async fn stranger_answers(home: &Home, bytes: &[u8], hangs_up: bool) -> Result<(), ConnectError> {
    let (listener, port) = port().await;
    let answer = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        send(stream, bytes, hangs_up).await;
    };
    let dial = async {
        let mut connection = home.connector.connect("127.0.0.1", port, LIMIT).await?;
        home.connector.heard(&mut connection, LIMIT).await
    };
    let (reached, ()) = tokio::join!(dial, answer);
    reached
}

/// The bank dials, over somebody who changes what it sends, or what it hears.
async fn changed(
    home: &Home,
    changes: &[u8],
    limit: Duration,
    is_to_bank: bool,
) -> Result<PeerIdentity, AcceptError> {
    let (coordinator, port_there) = port().await;
    let (between, port_here) = port().await;
    let dial = async {
        if let Ok(mut connection) = home.connector.connect("127.0.0.1", port_here, limit).await {
            assert_eq!(connection.peer().identity, home.shop);
            // As long as the other end is open, so is this one.
            let _ = connection.read_to_end(&mut Vec::new()).await;
        }
    };
    let carry = async {
        let (bank, _) = between.accept().await.expect("a connection");
        let there = TcpStream::connect(("127.0.0.1", port_there)).await.expect("a connection");
        let (mut from_bank, mut to_bank) = bank.into_split();
        let (mut from_there, mut to_there) = there.into_split();
        let (forth, back): (&[u8], &[u8]) = if is_to_bank { (&[], changes) } else { (changes, &[]) };
        tokio::join!(pass(&mut from_bank, &mut to_there, forth), pass(&mut from_there, &mut to_bank, back));
    };
    let (accepted, (), ()) = tokio::join!(take(home, &coordinator, limit), carry, dial);
    accepted
}

/// Passes bytes on with these changes, until there are no more.
async fn pass(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, changes: &[u8]) {
    let (mut part, mut at) = (vec![0; 1 << 14], 0_usize);
    while let Ok(count @ 1..) = from.read(&mut part).await {
        change(&mut part[..count], at, changes);
        at += count;
        if to.write_all(&part[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Inputs with which a fuzzer begins: an unchanged handshake, changes of either side's first bytes, and bytes of others.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![1], vec![1 | TO_BANK]];
    for at in [0, 3, 5, 9, 43, 80, 120, 160] {
        seeds.push(vec![1, at, 0, 1]);
        seeds.push(vec![1 | TO_BANK, at, 0, 1]);
    }
    for text in
        [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", &[22, 3, 1, 0, 2, 1, 0]]
    {
        for kind in [0, HANGS_UP, TO_BANK, TO_BANK | HANGS_UP] {
            seeds.push([&[kind][..], text].concat());
        }
    }
    seeds
}
