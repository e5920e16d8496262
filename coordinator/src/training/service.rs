//! The gRPC service: it takes a party's stream and hands it to admission. Nothing is decided here.

use hashvfl_core::limits::{MAX_MESSAGE_BYTES, MAX_PARTIES};
use hashvfl_proto::v1::federation_server::{Federation, FederationServer};
use hashvfl_proto::v1::{CoordinatorMessage, PartyMessage};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Where messages to one party go.
pub type Outbound = mpsc::Sender<Result<CoordinatorMessage, Status>>;

/// Messages to a party that may wait; the protocol never has more than two open.
const OUTBOUND_MESSAGES: usize = 4;
/// HTTP/2 windows that hold a whole gradient of usual size, so that no step waits for a window update.
const WINDOW_BYTES: u32 = 4 << 20;

/// A stream that a party has opened.
pub struct Arrival {
    /// From the party.
    pub inbound: Streaming<PartyMessage>,
    /// To the party.
    pub outbound: Outbound,
}

struct Service {
    arrivals: mpsc::Sender<Arrival>,
}

#[tonic::async_trait]
impl Federation for Service {
    type JoinStream = ReceiverStream<Result<CoordinatorMessage, Status>>;

    async fn join(
        &self,
        request: Request<Streaming<PartyMessage>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let (outbound, messages) = mpsc::channel(OUTBOUND_MESSAGES);
        let arrival = Arrival { inbound: request.into_inner(), outbound };
        self.arrivals
            .try_send(arrival)
            .map_err(|_| Status::resource_exhausted("too many parties are joining at once: try again"))?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

/// Serves parties on `listener` until the future is dropped; streams come out of the receiver.
pub fn serve(
    listener: TcpListener,
) -> (impl Future<Output = Result<(), tonic::transport::Error>>, mpsc::Receiver<Arrival>) {
    let (arrivals, arrived) = mpsc::channel(MAX_PARTIES);
    let service = FederationServer::new(Service { arrivals })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let serving = Server::builder()
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(20)))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .serve_with_incoming(service, TcpIncoming::from(listener).with_nodelay(Some(true)));
    (serving, arrived)
}
