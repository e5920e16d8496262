//! A coordinator that trains no model but pulls a party's codes where it wants them: the party stops.

use std::sync::Mutex;

use hashvfl_core::message::{FromCoordinator, FromParty};
use hashvfl_core::records::SALT_BYTES;
use hashvfl_core::{Gradient, GradientEncoding, PackedCodes, Plan, Rows, RunSettings};
use hashvfl_proto::v1::federation_server::{Federation, FederationServer};
use hashvfl_proto::v1::{CoordinatorMessage, PartyMessage};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::fixture::{Fixture, RECORDS};

type Streams = (Streaming<PartyMessage>, mpsc::Sender<Result<CoordinatorMessage, Status>>);

struct Hijacker(Mutex<Option<oneshot::Sender<Streams>>>);

#[tonic::async_trait]
impl Federation for Hijacker {
    type JoinStream = ReceiverStream<Result<CoordinatorMessage, Status>>;

    async fn join(
        &self,
        request: Request<Streaming<PartyMessage>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let (outbound, messages) = mpsc::channel(4);
        let joined = self.0.lock().unwrap().take().unwrap();
        joined.send((request.into_inner(), outbound)).map_err(drop).unwrap();
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

/// Goes through the handshake and asks for batch after batch; each gradient is a function of the codes alone.
/// Returns how many batches were answered.
async fn hijack((mut inbound, outbound): Streams, settings: &RunSettings) -> u32 {
    let send = async |message: FromCoordinator| outbound.send(Ok(message.into())).await;
    let mut plan = Plan::new(settings, RECORDS).unwrap();
    let mut step = 0;
    send(FromCoordinator::Welcome { salt: [0; SALT_BYTES] }).await.unwrap();
    while let Some(Ok(message)) = inbound.next().await {
        match FromParty::try_from(message).unwrap() {
            FromParty::Hello(_) => continue,
            FromParty::Records(_) => send(FromCoordinator::Accepted).await.unwrap(),
            FromParty::Codes { bytes, .. } => {
                let (epoch, batch) = ((step - 1) / plan.batches(), (step - 1) % plan.batches());
                let rows = plan.rows(Rows::Batch { epoch, batch }).unwrap().len();
                let codes = PackedCodes::from_bytes(rows, settings.bits, bytes).unwrap().to_signs();
                let pulled = codes.chunks_exact(settings.bits).flat_map(|code| {
                    let next = code.iter().cycle().skip(1);
                    code.iter().zip(next).map(|(bit, other)| 0.01 * (bit + 0.5 * other)).collect::<Vec<f32>>()
                });
                let gradient = Gradient::encode(pulled.collect(), settings.bits, settings.gradient);
                let _ = send(FromCoordinator::Gradient { step: u64::from(step), gradient }).await;
            }
            _ => break,
        }
        let (epoch, batch) = (step / plan.batches(), step % plan.batches());
        step += 1;
        let rows = Rows::Batch { epoch, batch };
        if send(FromCoordinator::Encode { step: u64::from(step), rows }).await.is_err() {
            break;
        }
    }
    step - 1
}

#[test]
fn a_party_stops_when_it_is_hijacked() {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 60;
    fixture.settings.gradient = GradientEncoding::F32;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (joined, streams) = oneshot::channel();
    let service = FederationServer::new(Hijacker(Mutex::new(Some(joined))));
    let serving = Server::builder().serve_with_incoming(service, TcpIncoming::from(listener));
    runtime.spawn(serving);
    let mut party = fixture.party("bank", &address);
    let settings = fixture.settings.clone();
    let answered = runtime.block_on(async { hijack(streams.await.unwrap(), &settings).await });
    let line = party.fails();
    assert!(
        line.contains("gradients follow from this party's own codes") && line.contains("bits had left"),
        "{line}"
    );
    assert!(answered <= 100, "{answered} batches had been answered");
}
