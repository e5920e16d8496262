//! Bytes on a connection without TLS: what reaches a coordinator's port, and what whoever answers there sends to a party or a
//! client. They go through HTTP/2, gRPC's frames, the limits, and the decoders, as in a real process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hashvfl_core::protocol::message::{FromParty, Hello, PROTOCOL_VERSION};
use hashvfl_core::{Address, PartyName, RunId, RunSettings, Task};
use hashvfl_proto::WireMessage;
use hashvfl_proto::v1;
use hashvfl_transport::Duplex;
use hashvfl_transport::dial::Dialer;
use hashvfl_transport::limits::ListenLimits;
use hashvfl_transport::limits::clients::AnswerSize;
use hashvfl_transport::listen::{self, Arrivals, Listener, Predictions, Rejection};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::http2::{PREFACE, answer, messages, refusal, request, settings, until_headers};
use crate::pieces::piece;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(1);
/// How long whoever sends frames waits for those of the other side before it goes on.
const ANSWER: Duration = Duration::from_millis(100);
/// How long whoever sends any bytes to a port does.
const ANY_ANSWER: Duration = Duration::from_millis(2);
/// Turns of other tasks in which what has come is taken.
const TURNS: usize = 64;
/// Bytes of a message of a peer that was accepted.
const ACCEPTED_BYTES: usize = 1 << 20;
/// Of the first byte: the others are all that is sent, and no messages that are put into frames.
const RAW: u8 = 8;

/// The services of a port, by the path of a request.
const PATHS: [&str; 5] = [
    "/hashvfl.v1.Federation/Join",
    "/hashvfl.v1.Alignment/Exchange",
    "/hashvfl.v1.Inference/Serve",
    "/hashvfl.v1.Inference/Predict",
    "/hashvfl.v1.Federation/Join",
];

/// The first byte says to whom, and whether the others are all that is sent. Otherwise the next one says how long frames are,
/// and the rest is messages.
pub fn target(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    // One for each input: nothing of an earlier one goes on.
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (to, is_raw) = (usize::from(kind % RAW), kind & RAW != 0);
    let (cut, content) = bytes.split_first().unwrap_or((&0, &[]));
    match PATHS.get(to) {
        Some(path) => {
            let framed = || [PREFACE, &settings(), &request(path), &messages(*cut, content)].concat();
            let sent = if is_raw { bytes.to_vec() } else { framed() };
            let wait = if is_raw { ANY_ANSWER } else { ANSWER };
            runtime.block_on(to_port(to, &sent, wait));
        }
        None => {
            let framed = || match to {
                7 => refusal(content),
                _ => [answer(), messages(*cut, content)].concat(),
            };
            let sent = if is_raw { bytes.to_vec() } else { framed() };
            runtime.block_on(to_dialler(to, &sent));
        }
    }
}

/// Whether an input that begins with `kind` is what a coordinator answers to whoever has dialled it.
pub fn is_for_a_dialler(kind: u8) -> bool {
    usize::from(kind % RAW) >= PATHS.len()
}

/// Sends bytes to a port with the service of this number.
async fn to_port(service: usize, sent: &[u8], wait: Duration) {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(loopback, ListenLimits::default()).await.expect("a port");
    let address = listener.address().expect("an address");
    match service {
        0 => {
            let (arrivals, serving) = listen::training(listener);
            tokio::spawn(take(arrivals));
            tokio::spawn(serving);
        }
        1 => {
            let (arrivals, serving) = listen::alignment(listener);
            tokio::spawn(take(arrivals));
            tokio::spawn(serving);
        }
        _ => {
            let (joining, serving) = listen::serving(listener, Arc::new(NoModel));
            tokio::spawn(take(joining.serving));
            tokio::spawn(take(joining.training));
            tokio::spawn(serving);
        }
    }
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // Whoever is refused on the way hears of it here.
    let _ = stream.write_all(sent).await;
    let _ = timeout(wait, until_headers(&mut stream, 0)).await;
    let _ = stream.shutdown().await;
    let _ = timeout(LIMIT, stream.read_to_end(&mut Vec::new())).await;
    turns().await;
}

/// Takes what comes on the streams that are opened. A peer whose first message is one is accepted.
async fn take<Out: WireMessage, In: WireMessage>(mut arrivals: Arrivals<Duplex<Out, In>>) {
    while let Some(mut stream) = arrivals.next().await {
        while stream.next().await.is_ok() {
            if let Some(allowance) = stream.allowance() {
                allowance.accept(ACCEPTED_BYTES);
            }
        }
    }
}

async fn turns() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// Who answers clients: with nothing.
struct NoModel;

impl Predictions for NoModel {
    fn model(&self, _: Option<&PartyName>) -> v1::Model {
        v1::Model::default()
    }

    fn answer_size(&self) -> AnswerSize {
        AnswerSize { records: 1000, record_bytes: 16 }
    }

    async fn predict(
        self: Arc<Self>,
        _: Option<PartyName>,
        _: usize,
        ids: Vec<String>,
    ) -> Result<v1::Predictions, Rejection> {
        Err(Rejection::Invalid(format!("{} ids, and no model", ids.len())))
    }
}

/// Answers a party, a client, or one that asks for the time, with bytes.
async fn to_dialler(who: usize, sent: &[u8]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let address: Address = format!("http://{address}").parse().expect("an address");
    let dialler = Dialer::new(address, LIMIT.as_secs());
    let dialling = async {
        match who {
            5 => {
                if let Ok(mut stream) = dialler.training_once(hello(), LIMIT).await {
                    while stream.next_within(LIMIT).await.is_ok() {}
                }
            }
            6 => {
                if let Ok(mut stream) = dialler.predictions().await {
                    while stream.next_within(LIMIT).await.is_ok() {}
                }
            }
            _ => drop(dialler.clock().await),
        }
    };
    let answering = async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        // Whoever dials again finds nobody.
        drop(listener);
        let _ = stream.write_all(&settings()).await;
        let _ = timeout(ANSWER, until_headers(&mut stream, PREFACE.len())).await;
        let _ = stream.write_all(sent).await;
        let _ = stream.shutdown().await;
        let _ = timeout(LIMIT, stream.read_to_end(&mut Vec::new())).await;
    };
    // Whoever dials may be through before it is answered to the end.
    tokio::select! {
        () = dialling => {}
        () = async { answering.await; std::future::pending::<()>().await } => {}
    }
}

fn hello() -> FromParty {
    let party = PartyName::new("bank").expect("a name");
    let settings = RunSettings::new(vec![party.clone()], Task::Binary, 16, 3).to_settings();
    FromParty::Hello(Hello {
        protocol: PROTOCOL_VERSION,
        run: RunId::new("spring").expect("an id"),
        party,
        settings_digest: settings.digest(),
        settings,
    })
}

/// Inputs with which a fuzzer begins: valid ones, and some that nearly are.
pub fn seeds() -> Vec<Vec<u8>> {
    let message = |bytes: &[u8]| piece(&[&[1][..], bytes].concat());
    let hello = hello().into_wire().encode_to_vec();
    let asked = v1::PredictRequest { ids: vec!["one".to_string(), "two".to_string()] }.encode_to_vec();
    let many = v1::PredictRequest { ids: vec![String::new(); 3_000] }.encode_to_vec();
    let text = "not today".to_string();
    let refused = v1::Refused { text, ..v1::Refused::default() };
    let refused =
        v1::CoordinatorMessage { message: Some(v1::coordinator_message::Message::Refused(refused)) };
    let model = v1::predict_response::Message::Model(v1::Model::default());
    let model = v1::PredictResponse { message: Some(model) }.encode_to_vec();
    let refused = refused.encode_to_vec();
    // A length of 40 MiB, one of which a byte is missing, and one of which the header is cut off.
    let (announced, short) = (piece(&[0, 0, 2, 0x80, 0, 0]), piece(&[0, 0, 0, 0, 0, 3, 1, 2]));
    let begun = piece(&[0, 0, 0, 0]);
    let mut seeds = Vec::new();
    for (kind, first) in [(0, &hello), (4, &hello), (3, &asked), (3, &many), (5, &refused), (6, &model)] {
        for cut in [0, 1, 7] {
            seeds.push([&[kind, cut][..], &message(first)].concat());
            seeds.push([&[kind, cut][..], &message(first), &message(first)].concat());
        }
    }
    for kind in 0..7 {
        for content in [&message(&[]), &announced, &short, &begun, &message(&[0xff; 40])] {
            seeds.push([&[kind, 0][..], content].concat());
        }
        seeds.push([&[kind, 0][..], &message(&[0; 20_000])].concat());
    }
    for date in
        [&b"Sun, 06 Nov 1994 08:49:37 GMT"[..], b"Sunday, 06-Nov-94 08:49:37 GMT", b"", b"Sun, 99 Nov"]
    {
        seeds.push([&[7, 0][..], date].concat());
    }
    for (to, path) in (0..).zip(PATHS) {
        let whole = [PREFACE, &settings(), &request(path), &messages(0, &message(&hello))].concat();
        seeds.push([&[to | RAW][..], &whole].concat());
        seeds.push([&[to | RAW][..], &whole[..PREFACE.len() + 20]].concat());
    }
    for to in 5..8 {
        seeds.push([&[to | RAW][..], &answer(), &messages(0, &message(&refused))].concat());
        seeds.push([&[to | RAW][..], b"HTTP/1.1 502 Bad Gateway\r\n\r\n"].concat());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use hashvfl_core::protocol::message::FromCoordinator;

    /// What a party hears of bytes that whoever answers sends.
    async fn heard(sent: &[u8]) -> Option<FromCoordinator> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: Address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&settings()).await.unwrap();
            until_headers(&mut stream, PREFACE.len()).await;
            stream.write_all(sent).await.unwrap();
            stream
        };
        let dialling = async {
            let mut stream =
                Dialer::new(address, 20).training_once(hello(), Duration::from_secs(10)).await.ok()?;
            stream.next_within(Duration::from_secs(10)).await.ok().map(|received| received.message)
        };
        let (_stream, heard) = tokio::join!(answering, dialling);
        heard
    }

    #[tokio::test]
    async fn what_is_put_into_frames_is_heard_by_a_party() {
        let refused = v1::Refused { text: "not today".to_string(), ..v1::Refused::default() };
        let refused =
            v1::CoordinatorMessage { message: Some(v1::coordinator_message::Message::Refused(refused)) };
        let content = piece(&[&[1][..], &refused.encode_to_vec()].concat());
        for cut in [0, 1, 7] {
            let heard = heard(&[answer(), messages(cut, &content)].concat()).await.unwrap();
            assert!(
                matches!(&heard, FromCoordinator::Refused { text, .. } if text == "not today"),
                "{heard:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_put_into_frames_reaches_a_coordinator() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(loopback, ListenLimits::default()).await.unwrap();
        let address = listener.address().unwrap();
        let (mut arrivals, serving) = listen::training(listener);
        tokio::spawn(serving);
        let content = piece(&[&[1][..], &hello().into_wire().encode_to_vec()].concat());
        let mut client = TcpStream::connect(address).await.unwrap();
        client
            .write_all(&[PREFACE, &settings(), &request(PATHS[0]), &messages(7, &content)].concat())
            .await
            .unwrap();
        let mut stream = arrivals.next().await.unwrap();
        assert_eq!(stream.next_within(Duration::from_secs(20)).await.unwrap().message, hello());
        // Its answer begins, and is found.
        timeout(Duration::from_secs(20), until_headers(&mut client, 0)).await.unwrap();
    }
}
