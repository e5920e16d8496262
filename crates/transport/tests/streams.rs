//! Both ends of a stream over loopback: what is sent arrives, whoever is wrong is told, and no wait is without end.

mod ports;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hashvfl_core::protocol::admission::AdmissionRefusal;
use hashvfl_core::protocol::message::{FromCoordinator, FromParty, Hello, PROTOCOL_VERSION};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::{Address, ExcludedRecords, PartyName, RunId, RunSettings, Task};
use hashvfl_proto::WireMessage;
use hashvfl_proto::v1::federation_client::FederationClient;
use hashvfl_transport::dial::{self, DialError, Dialer};
use hashvfl_transport::handshake::{Handshake, HandshakeError, Turns, refuse};
use hashvfl_transport::limits::ListenLimits;
use hashvfl_transport::listen::{self, Arrivals, Listener, TrainingStream};
use hashvfl_transport::{Received, ResumableStream, StreamError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Far longer than anything here takes.
const ACCEPTED: FromCoordinator = FromCoordinator::Accepted { session: None };
const LONG: Duration = Duration::from_secs(60);

fn bank() -> PartyName {
    PartyName::new("bank").unwrap()
}

fn hello() -> FromParty {
    let settings = RunSettings::new(vec![bank()], Task::Binary, 16, 3).to_settings();
    FromParty::Hello(Hello {
        protocol: PROTOCOL_VERSION,
        run: RunId::new("r").unwrap(),
        party: bank(),
        settings_digest: settings.digest(),
        settings,
    })
}

async fn listener() -> (Listener, Dialer) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), ListenLimits::default()).await.unwrap();
    let address: Address = format!("http://{}", listener.address().unwrap()).parse().unwrap();
    (listener, Dialer::new(address, 60))
}

async fn coordinator() -> (Arrivals<TrainingStream>, Dialer) {
    let (listener, dialer) = listener().await;
    let (arrivals, serving) = listen::training(listener);
    tokio::spawn(serving);
    (arrivals, dialer)
}

/// Both ends of a stream, the party's greeting on its way.
async fn ends() -> (dial::TrainingStream, TrainingStream) {
    let (mut arrivals, dialer) = coordinator().await;
    let party = dialer.training(hello()).await.unwrap();
    (party, arrivals.next().await.unwrap())
}

#[tokio::test]
async fn what_is_sent_arrives_to_the_last_message() {
    let (mut party, mut coordinator) = ends().await;
    let Received { message, bytes } = coordinator.next_within(LONG).await.unwrap();
    assert_eq!(message, hello());
    assert!(bytes > 100, "{bytes}");

    let sent = coordinator.send(ACCEPTED, LONG).await.unwrap();
    let received = party.next_within(LONG).await.unwrap();
    assert_eq!((received.message, received.bytes), (ACCEPTED, sent));

    let failed = FromParty::Failed { text: "no disk left".into() };
    party.send(failed.clone(), LONG).await.unwrap();
    let heard = tokio::spawn(async move {
        let last = coordinator.next_within(LONG).await.map(|received| received.message);
        (last, coordinator.next_within(LONG).await.map(|received| received.message))
    });
    party.close(LONG).await;
    assert_eq!(heard.await.unwrap(), (Ok(failed), Err(StreamError::Closed)));
    assert_eq!(party.send(hello(), LONG).await, Err(StreamError::Closed));
}

#[tokio::test]
async fn silence_and_a_lost_peer_are_told_apart() {
    let (mut party, coordinator) = ends().await;
    let short = Duration::from_millis(50);
    assert_eq!(party.next_within(short).await.unwrap_err(), StreamError::TimedOut(short));
    coordinator.send(ACCEPTED, LONG).await.unwrap();
    assert_eq!(party.next_within(LONG).await.unwrap().message, ACCEPTED);
    drop(coordinator);
    let lost = party.next_within(LONG).await.unwrap_err();
    assert!(matches!(lost, StreamError::Closed | StreamError::Broken(_)), "{lost}");
}

/// How the coordinator's handshake ends with a party that answers `Welcome` with what `answer` makes of the salt.
async fn handshake(
    answer: impl FnOnce(&[u8; 32]) -> FromParty,
) -> (Result<(), HandshakeError>, FromCoordinator) {
    let (mut party, mut coordinator) = ends().await;
    let greeting = tokio::spawn(async move {
        let mut handshake = Handshake::new(&mut coordinator, 1);
        let party = handshake.hello().await?.party;
        let digest = |salt: &[u8; 32]| RecordsDigest::of(salt, ["1", "2"]);
        let compared = handshake.compare_records(&party, &Turns::default(), digest).await;
        match &compared {
            Ok(_) => handshake.accept(&party, ACCEPTED).await?,
            Err(error) => refuse(&coordinator, error.to_string()).await,
        }
        compared.map(drop)
    });
    let welcome = party.next_within(LONG).await.unwrap().message;
    let FromCoordinator::Welcome { salt } = welcome else { panic!("{welcome:?}") };
    party.send(answer(&salt), LONG).await.unwrap();
    let verdict = party.next_within(LONG).await.unwrap().message;
    (greeting.await.unwrap(), verdict)
}

fn records(salt: &[u8; 32], ids: [&str; 2]) -> FromParty {
    FromParty::Records {
        digest: RecordsDigest::of(salt, ids),
        excluded: ExcludedRecords::default(),
        head: None,
        checkpoints: Vec::new(),
    }
}

#[tokio::test]
async fn a_handshake_lets_the_right_records_in() {
    let (ended, verdict) = handshake(|salt| records(salt, ["1", "2"])).await;
    assert!(ended.is_ok() && verdict == ACCEPTED, "{ended:?} {verdict:?}");

    let (ended, verdict) = handshake(|salt| records(salt, ["2", "1"])).await;
    assert!(matches!(ended, Err(HandshakeError::Refused(AdmissionRefusal::RecordOrder { .. }))), "{ended:?}");
    let FromCoordinator::Refused { text, .. } = verdict else { panic!("{verdict:?}") };
    assert!(text.contains("other records than the label holder"), "{text}");

    let (ended, _) = handshake(|_| hello()).await;
    assert_eq!(ended.unwrap_err().to_string(), "bank must send Records after Welcome");
}

/// How many digests were computed so far, and how many are being computed.
#[derive(Default)]
struct Digests {
    all: AtomicUsize,
    open: AtomicUsize,
}

#[tokio::test]
async fn a_party_that_only_greets_has_no_digest_computed_and_one_that_goes_on_one_at_a_time() {
    let (mut arrivals, dialer) = coordinator().await;
    let (turns, digests) = (Arc::new(Turns::default()), Arc::new(Digests::default()));
    let greet = |mut stream: TrainingStream| {
        let (turns, digests) = (Arc::clone(&turns), Arc::clone(&digests));
        tokio::spawn(async move {
            let mut handshake = Handshake::new(&mut stream, 2);
            let party = handshake.hello().await?.party;
            let digest = move |salt: &[u8; 32]| {
                digests.all.fetch_add(1, Ordering::SeqCst);
                assert_eq!(digests.open.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                std::thread::sleep(Duration::from_millis(20));
                digests.open.fetch_sub(1, Ordering::SeqCst);
                RecordsDigest::of(salt, ["1", "2"])
            };
            handshake.compare_records(&party, &turns, digest).await.map(drop)
        })
    };
    let (mut silent, mut greeted) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        silent.push(dialer.training(hello()).await.unwrap());
        greeted.push(greet(arrivals.next().await.unwrap()));
    }
    for one in greeted {
        assert!(matches!(one.await.unwrap(), Err(HandshakeError::Silent { .. })));
    }
    assert_eq!(digests.all.load(Ordering::SeqCst), 0);
    drop(silent);
    let (mut parties, mut greeted) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut party = dialer.training(hello()).await.unwrap();
        greeted.push(greet(arrivals.next().await.unwrap()));
        let welcome = party.next_within(LONG).await.unwrap().message;
        let FromCoordinator::Welcome { salt } = welcome else { panic!("{welcome:?}") };
        parties.push((party, records(&salt, ["1", "2"])));
    }
    for (party, records) in &parties {
        party.send(records.clone(), LONG).await.unwrap();
    }
    for one in greeted {
        one.await.unwrap().unwrap();
    }
    assert_eq!(digests.all.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_silent_party_is_not_waited_for() {
    let (_party, mut coordinator) = ends().await;
    let mut handshake = Handshake::new(&mut coordinator, 1);
    handshake.hello().await.unwrap();
    let silent = handshake.hello().await.unwrap_err().to_string();
    assert_eq!(silent, "no message within 1 s (timeouts.handshake_s)");
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![high, middle, low, kind, flags, 0, 0, 0, stream];
    frame.extend(payload);
    frame
}

/// Answers the first `pages` connections as a proxy does that reaches nobody, with a page, and passes later ones on to
/// `coordinator`.
async fn proxy(listener: TcpListener, coordinator: String, pages: usize) {
    for connection in 0.. {
        let (mut stream, _) = listener.accept().await.unwrap();
        if connection >= pages {
            let mut behind = TcpStream::connect(&coordinator).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut behind).await });
            continue;
        }
        tokio::spawn(async move {
            // Status 502 and the type text/html, in the literals of HPACK.
            let head = [b"\x08\x03502\x0f\x10\x09".as_slice(), b"text/html"].concat();
            let answer =
                [frame(4, 0, 0, &[]), frame(1, 4, 1, &head), frame(0, 1, 1, b"<html>Bad Gateway</html>")]
                    .concat();
            let mut begun = [0; 1];
            stream.read_exact(&mut begun).await.unwrap();
            stream.write_all(&answer[..9]).await.unwrap();
            // The request is there once its own frames have come.
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.write_all(&answer[9..]).await.unwrap();
            while stream.read(&mut [0; 4096]).await.is_ok_and(|bytes| bytes > 0) {}
        });
    }
}

#[tokio::test]
async fn a_proxy_that_reaches_nobody_is_waited_for_and_then_named() {
    let (listener, _) = listener().await;
    let coordinator = listener.address().unwrap().to_string();
    let (mut arrivals, serving) = listen::training(listener);
    tokio::spawn(serving);
    let mut addresses: Vec<Address> = Vec::new();
    for pages in [usize::MAX, 2] {
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(format!("http://{}", front.local_addr().unwrap()).parse().unwrap());
        tokio::spawn(proxy(front, coordinator.clone(), pages));
    }
    let named = Dialer::new(addresses[0].clone(), 1).training(hello()).await.err().unwrap();
    assert!(matches!(named, DialError::Between { .. }), "{named}");
    assert!(
        named.to_string().contains("a proxy or web server") && !named.to_string().contains('<'),
        "{named}"
    );
    let _party = Dialer::new(addresses[1].clone(), 60).training(hello()).await.unwrap();
    assert_eq!(arrivals.next().await.unwrap().next_within(LONG).await.unwrap().message, hello());
}

#[tokio::test]
async fn whoever_is_not_there_or_is_another_is_named() {
    let address: Address = format!("http://{}", ports::free_address()).parse().unwrap();
    let absent = Dialer::new(address, 0).training(hello()).await.err().unwrap();
    assert!(matches!(absent, DialError::Absent { .. }), "{absent}");
    assert!(absent.to_string().contains("is it running, and is the address correct?"), "{absent}");

    let (listener, dialer) = listener().await;
    let (_arrivals, serving) = listen::alignment(listener);
    tokio::spawn(serving);
    let other = dialer.waiting(1).training(hello()).await.err().unwrap();
    assert!(matches!(other, DialError::NoSuchService { .. }) && other.is_for_now(), "{other}");
    assert!(
        other.to_string().contains("is not a HashVFL coordinator, or is one of another version"),
        "{other}"
    );
    assert!(other.to_string().contains("or the coordinator is doing something else"), "{other}");
}

#[tokio::test]
async fn a_coordinator_that_does_something_else_is_waited_for() {
    let address = ports::free_address();
    let listener = Listener::bind(address, ListenLimits::default()).await.unwrap();
    let dialer = Dialer::new(format!("http://{address}").parse().unwrap(), 60);
    let (_arrivals, serving) = listen::alignment(listener);
    let aligning = tokio::spawn(serving);
    let began = Instant::now();
    let coordinator = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        aligning.abort();
        let _ = aligning.await;
        let listener = loop {
            match Listener::bind(address, ListenLimits::default()).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let (mut arrivals, serving) = listen::training(listener);
        tokio::spawn(serving);
        arrivals.next().await.unwrap()
    };
    let (party, mut coordinator) = tokio::join!(dialer.training(hello()), coordinator);
    let _party = party.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(700), "nobody trained before");
    assert_eq!(coordinator.next_within(LONG).await.unwrap().message, hello());
}

#[tokio::test]
async fn a_notice_goes_to_those_who_take_it_and_counts_in_no_exchange() {
    let (party, mut coordinator) = ends().await;
    coordinator.next_within(LONG).await.unwrap();
    assert!(coordinator.takes_notices());
    let (mut party, mut coordinator) = (ResumableStream::new(party), ResumableStream::new(coordinator));
    let notice = FromCoordinator::Notice { text: "the run waits for telecom".into() };
    coordinator.send_uncounted(notice.clone(), LONG).await.unwrap();
    coordinator.send(ACCEPTED, LONG).await.unwrap();
    assert_eq!(party.next_within(LONG).await.unwrap().message, notice);
    assert_eq!(party.mark().received, 0);
    assert_eq!(party.next_within(LONG).await.unwrap().message, ACCEPTED);
    assert_eq!(party.mark().received, 1);
    assert!(coordinator.missing(&party.mark()).unwrap().is_empty(), "both sides count alike");

    // While somebody else has the stream, and for no longer than that has it.
    let aside = coordinator.present().aside().expect("it takes them at any time");
    assert!(aside.say(notice.clone()));
    coordinator.send(ACCEPTED, LONG).await.unwrap();
    assert_eq!(party.next_within(LONG).await.unwrap().message, notice);
    assert_eq!(party.next_within(LONG).await.unwrap().message, ACCEPTED);
    assert_eq!(party.mark().received, 2);
    let (ended, _) = tokio::join!(coordinator.end(LONG), async {
        assert!(party.next_within(LONG).await.is_err(), "it keeps no stream open");
        party.end(LONG).await
    });
    ended.unwrap();
    assert!(!aside.say(notice));
}

#[tokio::test]
async fn parties_of_earlier_versions_get_notices_before_a_run_or_none() {
    let (listener, _) = listener().await;
    let address = format!("http://{}", listener.address().unwrap());
    let (mut arrivals, serving) = listen::training(listener);
    tokio::spawn(serving);
    let mut earlier = FederationClient::connect(address.clone()).await.unwrap();
    let _stream = earlier.join(tokio_stream::once(hello().into_wire())).await.unwrap();
    let stream = arrivals.next().await.unwrap();
    assert!(!stream.takes_notices() && stream.aside().is_none());
    let mut request = tonic::Request::new(tokio_stream::once(hello().into_wire()));
    request.metadata_mut().insert("hashvfl-takes-notices", "1".parse().unwrap());
    let mut later = FederationClient::connect(address).await.unwrap();
    let _other = later.join(request).await.unwrap();
    let stream = arrivals.next().await.unwrap();
    assert!(stream.takes_notices() && stream.aside().is_none());
}
