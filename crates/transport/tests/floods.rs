//! Whoever reaches the port, over real sockets: silent connections, half of a greeting, lengths that are announced and not
//! sent, messages one byte short, lists that would take hundreds of megabytes. None of it stays, and a party gets in.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hashvfl_core::protocol::message::{FromParty, Hello, PROTOCOL_VERSION};
use hashvfl_core::{Address, PartyName, RunId, RunSettings, Task};
use hashvfl_proto::v1;
use hashvfl_transport::StreamError;
use hashvfl_transport::dial::Dialer;
use hashvfl_transport::limits::Limits;
use hashvfl_transport::listen::{self, Arrivals, Listener, Predictions, Rejection, TrainingStream};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const LONG: Duration = Duration::from_secs(60);
/// HTTP/2's preface and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn limits() -> Limits {
    Limits {
        connections: 40,
        connections_per_address: 40,
        silence: Duration::from_secs(1),
        message: Duration::from_secs(1),
        ..Limits::default()
    }
}

fn hello() -> FromParty {
    let party = PartyName::new("bank").unwrap();
    let settings = RunSettings::new(vec![party.clone()], Task::Binary, 16, 3).to_settings();
    let settings_digest = settings.digest();
    let run = RunId::new("r").unwrap();
    FromParty::Hello(Hello { protocol: PROTOCOL_VERSION, run, party, settings, settings_digest })
}

async fn coordinator(limits: Limits) -> (Arrivals<TrainingStream>, SocketAddr) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
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

#[tokio::test]
async fn one_address_takes_no_more_than_its_seats() {
    let limits = Limits { connections_per_address: 3, silence: LONG, ..limits() };
    let (_arrivals, address) = coordinator(limits).await;
    let connections: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut left = 0;
    for connection in connections {
        let mut socket = tokio::net::TcpStream::from_std({
            connection.set_nonblocking(true).unwrap();
            connection
        })
        .unwrap();
        let mut byte = [0];
        let read = tokio::io::AsyncReadExt::read(&mut socket, &mut byte);
        // The server greets a connection that has a seat, and closes any other.
        let read = tokio::time::timeout(LONG, read).await.unwrap();
        left += usize::from(matches!(read, Ok(bytes) if bytes > 0));
        std::mem::forget(socket);
    }
    assert_eq!(left, 3);
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
    assert!(reason.contains("70000 bytes, where at most 65536 may come"), "{reason}");
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
    assert!(reason.contains("no whole message came within 1 s"), "{reason}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

struct Nothing;

impl Predictions for Nothing {
    fn model(&self, _: Option<&PartyName>) -> v1::Model {
        v1::Model::default()
    }

    async fn predict(
        self: std::sync::Arc<Self>,
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
    let (_arrivals, serving) = listen::serving(listener, std::sync::Arc::new(Nothing));
    tokio::spawn(serving);
    for (ids, expected) in [
        (20_000_000, "bytes, where at most 16777216 may come"),
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
