//! Whoever reaches the port, over real sockets: silent connections, ports that others fill, half of a greeting, lengths that
//! are announced and not sent, messages one byte short, lists that would take hundreds of megabytes, answers that nobody
//! waits for. None of it stays, and a party gets in.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hashvfl_core::protocol::message::{FromParty, Hello, PROTOCOL_VERSION};
use hashvfl_core::{Address, PartyName, RunId, RunSettings, Task};
use hashvfl_identity::{
    Acceptor, Connector, Identity, IdentityConfig, IdentityFiles, IdentityPaths, Permitted, Role,
    begin_authority, issue,
};
use hashvfl_proto::v1;
use hashvfl_transport::StreamError;
use hashvfl_transport::dial::Dialer;
use hashvfl_transport::limits::ListenLimits;
use hashvfl_transport::limits::clients::AnswerSize;
use hashvfl_transport::listen::{self, Arrivals, Listener, Predictions, Rejection, TrainingStream};
use prost::Message as _;
use tokio::net::TcpSocket;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

const LONG: Duration = Duration::from_secs(60);
/// HTTP/2's preface and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn limits() -> ListenLimits {
    ListenLimits {
        connections: 40,
        connections_per_address: 40,
        silence: Duration::from_secs(1),
        message: Duration::from_secs(1),
        ..ListenLimits::default()
    }
}

fn hello() -> FromParty {
    let party = PartyName::new("bank").unwrap();
    let settings = RunSettings::new(vec![party.clone()], Task::Binary, 16, 3).to_settings();
    let settings_digest = settings.digest();
    let run = RunId::new("r").unwrap();
    FromParty::Hello(Hello { protocol: PROTOCOL_VERSION, run, party, settings, settings_digest })
}

async fn coordinator(limits: ListenLimits) -> (Arrivals<TrainingStream>, SocketAddr) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
    training(listener)
}

fn training(listener: Listener) -> (Arrivals<TrainingStream>, SocketAddr) {
    let address = listener.address().unwrap();
    let (arrivals, serving) = listen::training(listener);
    tokio::spawn(serving);
    (arrivals, address)
}

fn dialer(address: SocketAddr) -> Dialer {
    let address: Address = format!("http://{address}").parse().unwrap();
    Dialer::new(address, 30)
}

/// Whether the other side closes the connection within a while; what it sends is passed over.
fn is_closed(mut connection: &TcpStream) -> bool {
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut buffer = [0; 1024];
    loop {
        match connection.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_closed_and_a_party_gets_in() {
    let (mut arrivals, address) = coordinator(limits()).await;
    let open = move |first: &'static [u8]| {
        let connect = move || {
            let mut connection = TcpStream::connect(address).unwrap();
            let _ = connection.write_all(first);
            connection
        };
        (0..60).map(move |_| connect())
    };
    let silent: Vec<TcpStream> = tokio::task::spawn_blocking(move || {
        open(b"").chain(open(&PREFACE[..10])).chain(open(PREFACE)).collect()
    })
    .await
    .unwrap();
    assert_eq!(silent.len(), 180);
    // It is tried again until a seat is free.
    let party = dialer(address).training(hello()).await.unwrap();
    let mut stream = tokio::time::timeout(LONG, arrivals.next()).await.unwrap().unwrap();
    assert_eq!(stream.next_within(LONG).await.unwrap().message, hello());
    assert!(stream.peer().unwrap().is_known(), "it is on this machine");
    let closed = tokio::task::spawn_blocking(move || silent.iter().all(is_closed));
    assert!(closed.await.unwrap());
    drop(party);
}

/// Whether the other side leaves the connection open for a while.
fn stays_open(mut connection: &TcpStream) -> bool {
    connection.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut buffer = [0; 1024];
    loop {
        match connection.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

#[tokio::test]
async fn one_address_takes_no_more_than_its_seats() {
    let limits = ListenLimits { connections_per_address: 3, silence: LONG, ..limits() };
    let (_arrivals, address) = coordinator(limits).await;
    let connections: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
    let looked_at = tokio::task::spawn_blocking(move || {
        let (oldest, others) = connections.split_at(2);
        assert!(oldest.iter().all(is_closed), "they give way, for they have opened no stream");
        assert!(others.iter().all(stays_open));
    });
    looked_at.await.unwrap();
}

/// A connection that says nothing.
struct Silent {
    from: IpAddr,
    connection: tokio::net::TcpStream,
}

impl Silent {
    async fn open(from: IpAddr, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        Self { from, connection: socket.connect(to).await.unwrap() }
    }

    fn is_open(&self) -> bool {
        let mut buffer = [0; 1024];
        match self.connection.try_read(&mut buffer) {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// Holds two silent connections from each of `addresses`, and opens another for each that is closed.
async fn fill(to: SocketAddr, addresses: [IpAddr; 4], held: Arc<AtomicUsize>) {
    let mut silent: Vec<Silent> = Vec::new();
    loop {
        silent.retain(Silent::is_open);
        for from in addresses {
            while silent.iter().filter(|one| one.from == from).count() < 2 {
                silent.push(Silent::open(from, to).await);
            }
        }
        held.store(silent.len(), Ordering::Release);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until `count` is so large.
async fn reaches(count: &AtomicUsize, least: usize) {
    let began = Instant::now();
    while count.load(Ordering::Acquire) < least {
        assert!(began.elapsed() < LONG, "{count:?} of {least}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Strangers at four addresses fill all seats for longer than the party tries; it gets in.
async fn gets_in_where_all_seats_are_filled(acceptor: Option<Acceptor>, connector: Option<Connector>) {
    let limits = ListenLimits { connections: 8, connections_per_address: 2, silence: LONG, ..limits() };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
    let (mut arrivals, address) = training(match acceptor {
        Some(acceptor) => listener.secured(acceptor),
        None => listener,
    });
    let addresses = [2, 3, 4, 5].map(|last| IpAddr::from([127, 0, 0, last]));
    let held = Arc::new(AtomicUsize::new(0));
    let filling = tokio::spawn(fill(address, addresses, Arc::clone(&held)));
    reaches(&held, 8).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let dialer = match connector {
        Some(connector) => dialer(address).secured(connector),
        None => dialer(address),
    };
    let began = Instant::now();
    let party = dialer.training(hello()).await.unwrap();
    let mut stream = tokio::time::timeout(LONG, arrivals.next()).await.unwrap().unwrap();
    assert_eq!(stream.next_within(LONG).await.unwrap().message, hello());
    assert!(began.elapsed() < LONG / 2, "it waited until silence was closed");
    // It keeps its seat while strangers go on.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!filling.is_finished());
    party.send(hello(), LONG).await.unwrap();
    assert_eq!(stream.next_within(LONG).await.unwrap().message, hello());
    filling.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_gets_in_where_strangers_fill_all_seats() {
    gets_in_where_all_seats_are_filled(None, None).await;
}

fn files(config: &IdentityConfig) -> Arc<IdentityFiles> {
    IdentityFiles::load(config).unwrap()
}

/// Identities of the coordinator `shop` and of the party `bank`, in folders of these names.
fn identities(folder: &Path) -> (Acceptor, Connector) {
    let name = |name: &str| PartyName::new(name).unwrap();
    let (shop, bank) = (folder.join("shop"), folder.join("bank"));
    let (mut authority, _) = begin_authority(&shop, &name("shop"), 30).unwrap();
    let party = Identity::new(Role::Party, name("bank"));
    issue(&mut authority, &IdentityPaths::in_folder(&bank), &party, 30).unwrap();
    let permitted = Permitted::nobody().and_named(Role::Party, [name("bank")]);
    let acceptor = Acceptor::new(files(&IdentityConfig::in_folder(&shop).listening()), permitted);
    (acceptor, Connector::new(files(&IdentityConfig::in_folder(&bank)), Some(name("shop"))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_gets_in_over_tls_where_strangers_fill_all_seats() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, connector) = identities(folder.path());
    gets_in_where_all_seats_are_filled(Some(acceptor), Some(connector)).await;
}

/// How a stream ends that sends these bytes as a message.
async fn raw(address: SocketAddr, sent: Vec<u8>) -> tonic::Status {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/hashvfl.v1.Federation/Join");
    let (queue, messages) = mpsc::channel(2);
    queue.send(sent).await.unwrap();
    let request = tonic::Request::new(ReceiverStream::new(messages));
    let response = client.streaming(request, path, RawCodec).await;
    match response {
        Ok(response) => {
            let mut stream: tonic::Streaming<()> = response.into_inner();
            tokio::time::timeout(LONG, stream.message()).await.unwrap().unwrap_err()
        }
        Err(status) => status,
    }
}

/// Sends bytes as they are.
#[derive(Clone, Copy)]
struct RawCodec;

impl tonic::codec::Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl tonic::codec::Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(
        &mut self,
        item: Vec<u8>,
        buffer: &mut tonic::codec::EncodeBuf<'_>,
    ) -> Result<(), tonic::Status> {
        prost::bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl tonic::codec::Decoder for RawCodec {
    type Item = ();
    type Error = tonic::Status;

    fn decode(&mut self, _: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<()>, tonic::Status> {
        Ok(Some(()))
    }
}

#[tokio::test]
async fn a_stranger_sends_small_messages_alone() {
    let (mut arrivals, address) = coordinator(limits()).await;
    let large = tokio::spawn(raw(address, vec![0; 70_000]));
    let mut stream = arrivals.next().await.unwrap();
    let Err(StreamError::Refused(reason)) = stream.next_within(LONG).await else { panic!("a message") };
    assert!(reason.contains("a message of 70000 bytes, but at most 65536 are allowed"), "{reason}");
    drop(stream);
    large.abort();

    // Empty settings in the place of real ones: 20,000 of them in 40 kB.
    let settings = vec![v1::Setting::default(); 20_000];
    let hello = v1::Hello { settings, ..v1::Hello::default() };
    let hello = v1::PartyMessage { message: Some(v1::party_message::Message::Hello(hello)) };
    let many = tokio::spawn(raw(address, hello.encode_to_vec()));
    let mut stream = arrivals.next().await.unwrap();
    let Err(StreamError::Refused(reason)) = stream.next_within(LONG).await else { panic!("a message") };
    assert!(reason.contains("a message holds too many settings: at most 128"), "{reason}");
    many.abort();
}

#[tokio::test]
async fn a_stream_without_a_whole_message_ends() {
    let (mut arrivals, address) = coordinator(limits()).await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut client = v1::federation_client::FederationClient::new(channel);
    let (_queue, messages) = mpsc::channel::<v1::PartyMessage>(1);
    let _response = client.join(ReceiverStream::new(messages)).await.unwrap();
    let mut stream = arrivals.next().await.unwrap();
    let began = Instant::now();
    let Err(StreamError::Broken(reason)) = stream.next_within(LONG).await else { panic!("a message") };
    assert!(reason.contains("no complete message arrived within 1 s"), "{reason}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

struct Nothing;

impl Predictions for Nothing {
    fn model(&self, _: Option<&PartyName>) -> v1::Model {
        v1::Model::default()
    }

    fn answer_size(&self) -> AnswerSize {
        AnswerSize { records: 1000, record_bytes: 40 }
    }

    async fn predict(
        self: Arc<Self>,
        _: Option<PartyName>,
        _: usize,
        ids: Vec<String>,
    ) -> Result<v1::Predictions, Rejection> {
        Err(Rejection::Invalid(format!("{} ids came through", ids.len())))
    }
}

#[tokio::test]
async fn millions_of_empty_ids_are_refused_before_they_are_decoded() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits()).await.unwrap();
    let address = listener.address().unwrap();
    let (_arrivals, serving) = listen::serving(listener, Arc::new(Nothing));
    tokio::spawn(serving);
    for (ids, expected) in [
        (20_000_000, "bytes, but at most 16777216 are allowed"),
        (4_000_000, "a message holds too many record ids: at most 262144"),
        (100, "100 ids came through"),
    ] {
        let mut stream = dialer(address).predictions().await.unwrap();
        assert!(stream.next_within(LONG).await.is_ok(), "the model");
        let request = v1::PredictRequest { ids: vec![String::new(); ids] };
        stream.send(request, LONG).await.unwrap();
        let error = stream.next_within(LONG).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Answers when it is let to, and counts on how many requests it works at the same time.
struct Patient {
    open: AtomicUsize,
    most: AtomicUsize,
    answers: Semaphore,
}

impl Predictions for Patient {
    fn model(&self, _: Option<&PartyName>) -> v1::Model {
        v1::Model::default()
    }

    fn answer_size(&self) -> AnswerSize {
        AnswerSize { records: 1000, record_bytes: 100 }
    }

    async fn predict(
        self: Arc<Self>,
        _: Option<PartyName>,
        _: usize,
        _: Vec<String>,
    ) -> Result<v1::Predictions, Rejection> {
        let open = 1 + self.open.fetch_add(1, Ordering::AcqRel);
        self.most.fetch_max(open, Ordering::AcqRel);
        self.answers.acquire().await.unwrap().forget();
        self.open.fetch_sub(1, Ordering::AcqRel);
        Ok(v1::Predictions::default())
    }
}

#[tokio::test]
async fn requests_of_one_client_share_one_budget_over_all_connections() {
    // A request of 100,000 bytes, with an answer of as many: two of them fit.
    let limits = ListenLimits { client_bytes: 500_000, ..limits() };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
    let address = listener.address().unwrap();
    let patient = Arc::new(Patient { open: 0.into(), most: 0.into(), answers: Semaphore::new(0) });
    let (_arrivals, serving) = listen::serving(listener, Arc::clone(&patient));
    tokio::spawn(serving);
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = dialer(address).predictions().await.unwrap();
        assert!(stream.next_within(LONG).await.is_ok(), "the model");
        for _ in 0..2 {
            let ids = vec!["x".repeat(98); 1000];
            stream.send(v1::PredictRequest { ids }, LONG).await.unwrap();
        }
        streams.push(stream);
    }
    reaches(&patient.open, 2).await;
    // For longer than a message may take: whoever waits for its own answers is not late.
    tokio::time::sleep(limits.message * 3 / 2).await;
    assert_eq!(patient.most.load(Ordering::Acquire), 2);
    patient.answers.add_permits(8);
    for stream in &mut streams {
        for _ in 0..2 {
            assert!(stream.next_within(LONG).await.is_ok(), "an answer");
        }
    }
    assert_eq!(patient.most.load(Ordering::Acquire), 2);
}
