//! The clock of whoever answers: HTTP says in each answer what time it is there.

use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// A method that no service has: it is refused with a date, whatever the coordinator is doing.
const NO_METHOD: &str = "/hashvfl.v1.None/Clock";

/// What time it is at the other end of `channel`, in whole seconds; `None` if it does not say so within `limit`.
pub async fn clock_of(channel: Channel, limit: Duration) -> Option<SystemTime> {
    let date = timeout(limit, ask(channel)).await.ok()??;
    httpdate::parse_http_date(&date).ok()
}

async fn ask(channel: Channel) -> Option<String> {
    let mut client = Grpc::new(channel);
    client.ready().await.ok()?;
    let path = PathAndQuery::from_static(NO_METHOD);
    let answer: Result<tonic::Response<()>, Status> =
        client.unary(Request::new(()), path, ProstCodec::<(), ()>::default()).await;
    let metadata = match &answer {
        Ok(response) => response.metadata(),
        Err(status) => status.metadata(),
    };
    Some(metadata.get("date")?.to_str().ok()?.to_string())
}
