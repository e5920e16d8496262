//! What a stranger sends to a port: bytes before and in the place of a handshake, and handshakes that are changed on their way.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use hashvfl_core::PartyName;
use hashvfl_identity::{
    AcceptError, Acceptor, Authority, Connector, Identity, IdentityConfig, IdentityFiles, PeerIdentity,
    Permitted, Places, Role, SigningOptions, accept, request,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// No handshake of this process with itself takes longer.
const LIMIT: Duration = Duration::from_secs(20);
/// The limit where lengths may be changed, so that one side waits for what never comes.
const CHANGED_LIMIT: Duration = Duration::from_millis(100);
/// Bytes of one change: where, and how.
const CHANGE_BYTES: usize = 3;

/// The first byte says what the others are: bytes that a stranger sends, who waits for an answer or hangs up, or changes to what
/// the party bank sends. Whoever has got in is the bank, and has changed nothing.
pub fn target(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    thread_local!(static HOME: Home = Home::new());
    HOME.with(|home| match kind % 2 {
        0 => {
            let hangs_up = kind & 2 != 0;
            let accepted = home.runtime.block_on(stranger(home, bytes, hangs_up));
            assert!(accepted.is_err(), "bytes without a key let nobody in");
        }
        _ => {
            let is_unchanged = bytes.chunks_exact(CHANGE_BYTES).all(|change| change[2] == 0);
            let limit = if is_unchanged { LIMIT } else { CHANGED_LIMIT };
            match home.runtime.block_on(changed(home, bytes, limit)) {
                Ok(peer) => assert_eq!(peer.identity, home.bank),
                Err(refused) => assert!(!is_unchanged, "the bank was not let in: {refused}"),
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
            let places = Places::in_folder(&home);
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
        let (_, shop) = files(Role::Coordinator, "shop");
        let (bank, own) = files(Role::Party, "bank");
        let permitted = Permitted::nobody().and_named(Role::Party, [bank.name.clone()]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self {
            runtime: runtime.expect("a runtime"),
            acceptor: Acceptor::new(Arc::clone(&shop), permitted),
            connector: Connector::new(own, None),
            bank,
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

/// Sends bytes, and says that these are all, or hangs up as a process does that is killed.
async fn stranger(home: &Home, bytes: &[u8], hangs_up: bool) -> Result<PeerIdentity, AcceptError> {
    let (listener, port) = port().await;
    let send = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        // Whoever is refused on the way hears of it here.
        let _ = stream.write_all(bytes).await;
        if hangs_up {
            let _ = stream.set_zero_linger();
            return;
        }
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let (accepted, ()) = tokio::join!(take(home, &listener, LIMIT), send);
    accepted
}

/// The bank dials, over somebody who changes what it sends.
async fn changed(home: &Home, changes: &[u8], limit: Duration) -> Result<PeerIdentity, AcceptError> {
    let (coordinator, port_there) = port().await;
    let (between, port_here) = port().await;
    let dial = async {
        if let Ok(mut connection) = home.connector.connect("127.0.0.1", port_here, limit).await {
            // As long as the other end is open, so is this one.
            let _ = connection.read_to_end(&mut Vec::new()).await;
        }
    };
    let pass = async {
        let (bank, _) = between.accept().await.expect("a connection");
        let there = TcpStream::connect(("127.0.0.1", port_there)).await.expect("a connection");
        let (mut from_bank, mut to_bank) = bank.into_split();
        let (mut from_there, mut to_there) = there.into_split();
        let forth = async {
            let (mut piece, mut at) = (vec![0; 1 << 14], 0_usize);
            while let Ok(count @ 1..) = from_bank.read(&mut piece).await {
                change(&mut piece[..count], at, changes);
                at += count;
                if to_there.write_all(&piece[..count]).await.is_err() {
                    break;
                }
            }
            let _ = to_there.shutdown().await;
        };
        let back = async {
            let _ = tokio::io::copy(&mut from_there, &mut to_bank).await;
            let _ = to_bank.shutdown().await;
        };
        tokio::join!(forth, back);
    };
    let (accepted, (), ()) = tokio::join!(take(home, &coordinator, limit), pass, dial);
    accepted
}

/// Applies those of `changes` that are about the bytes from `start`.
fn change(piece: &mut [u8], start: usize, changes: &[u8]) {
    for change in changes.chunks_exact(CHANGE_BYTES) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(byte) = at.checked_sub(start).and_then(|at| piece.get_mut(at)) {
            *byte ^= change[2];
        }
    }
}
