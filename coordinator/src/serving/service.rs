//! The gRPC service `Inference`: streams of clients to the engine, streams of parties to their doors.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use hashvfl_core::limits::{MAX_MESSAGE_BYTES, MAX_PREDICT_IDS};
use hashvfl_learning::top::predictor::OutputKind;
use hashvfl_proto::v1;
use hashvfl_proto::v1::inference_server::{Inference, InferenceServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::engine::{Answer, Engine, Outcome};
use super::party_connection;
use crate::detectors::{AnomalyScorer, Flags};

/// Requests of one client that are worked on at the same time; answers keep their order.
const OPEN_REQUESTS: usize = 2;
/// Messages to a party that may wait.
const OUTBOUND_MESSAGES: usize = 4;
/// HTTP/2 windows that hold an answer of usual size.
const WINDOW_BYTES: u32 = 4 << 20;
/// Bytes that an answer takes a record beside its outputs, at most.
const RECORD_BYTES: usize = 32;

struct Service {
    engine: Arc<Engine>,
}

type Responses = Pin<Box<dyn Stream<Item = Result<v1::PredictResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Inference for Service {
    type PredictStream = Responses;
    type ServeStream = ReceiverStream<Result<v1::ServerRequest, Status>>;

    async fn predict(
        &self,
        request: Request<Streaming<v1::PredictRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let engine = Arc::clone(&self.engine);
        let first = respond(v1::predict_response::Message::Model(model(&engine)));
        let answers = request.into_inner().enumerate().map(move |(number, request)| {
            let engine = Arc::clone(&engine);
            async move {
                let ids = check(number + 1, request?.ids, max_ids(engine.meaning()))?;
                let meaning = engine.meaning();
                let answer = engine.predict(ids).await;
                let answer = answer.map_err(|error| {
                    tracing::error!("{error}");
                    Status::internal("the coordinator cannot answer: see its log")
                })?;
                Ok(respond(v1::predict_response::Message::Predictions(predictions(answer, meaning))))
            }
        });
        let responses = stream::once(async { Ok(first) }).chain(answers.buffered(OPEN_REQUESTS));
        Ok(Response::new(Box::pin(responses)))
    }

    async fn serve(
        &self,
        request: Request<Streaming<v1::ServerMessage>>,
    ) -> Result<Response<Self::ServeStream>, Status> {
        let (outbound, messages) = mpsc::channel(OUTBOUND_MESSAGES);
        tokio::spawn(party_connection::receive(Arc::clone(&self.engine), request.into_inner(), outbound));
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

fn respond(message: v1::predict_response::Message) -> v1::PredictResponse {
    v1::PredictResponse { message: Some(message) }
}

/// Ids of one request at most: its answer must fit into a message.
fn max_ids(meaning: OutputKind) -> usize {
    (MAX_MESSAGE_BYTES / 2 / (4 * meaning.outputs() + RECORD_BYTES)).clamp(1, MAX_PREDICT_IDS)
}

fn check(number: usize, ids: Vec<String>, most: usize) -> Result<Vec<String>, Status> {
    let count = ids.len();
    match count {
        0 => Err(Status::invalid_argument(format!(
            "request {number} holds no record ids: ask for at least one"
        ))),
        _ if count > most => Err(Status::invalid_argument(format!(
            "request {number} holds {count} record ids, at most {most} may be asked for at once: send several requests"
        ))),
        _ => Ok(ids),
    }
}

fn model(engine: &Engine) -> v1::Model {
    v1::Model {
        run_id: engine.config.run_id.to_string(),
        parties: engine.config.run.parties.iter().map(ToString::to_string).collect(),
        classes: engine.top.classes.clone(),
        max_ids: max_ids(engine.meaning()) as u32,
        flag_level: engine.scorer.as_ref().map_or(0.0, AnomalyScorer::level),
    }
}

fn predictions(answer: Answer, meaning: OutputKind) -> v1::Predictions {
    let outcome = |outcome: &Outcome| match outcome {
        Outcome::Predicted => v1::Outcome::Predicted.into(),
        Outcome::UnknownId => v1::Outcome::UnknownId.into(),
        Outcome::RepeatedId => v1::Outcome::RepeatedId.into(),
        Outcome::Refused => v1::Outcome::Refused.into(),
        Outcome::PartyAway => v1::Outcome::PartyAway.into(),
    };
    let outcomes = answer.outcomes.iter().map(outcome).collect();
    let (classes, probabilities, values) = match meaning {
        OutputKind::Classes(_) => (meaning.classes(&answer.outputs), answer.outputs, Vec::new()),
        OutputKind::Value { .. } => (Vec::new(), Vec::new(), answer.outputs),
    };
    let [lookup_us, parties_us, model_us, flags_us] = answer.times.map(|time| time.as_micros() as u32);
    let times = Some(v1::Times { lookup_us, parties_us, model_us, flags_us });
    let (took_part, text) = (answer.took_part, answer.text);
    let Flags { p_values, flagged, drifted } = answer.flags.unwrap_or_default();
    v1::Predictions {
        outcomes,
        classes,
        probabilities,
        values,
        took_part,
        text,
        times,
        p_values,
        flagged,
        drifted,
    }
}

/// Serves clients and parties on `listener` until the future is dropped.
pub async fn serve(engine: Arc<Engine>, listener: TcpListener) -> Result<(), tonic::transport::Error> {
    let service = InferenceServer::new(Service { engine })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .serve_with_incoming(service, TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
}
