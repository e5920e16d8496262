//! A client that asks a coordinator for predictions of records by their ids, with the generated gRPC client alone.
//!
//!     cargo run --release -p hashvfl-examples --example prediction_client -- http://127.0.0.1:7433 ID...

use anyhow::{Context, bail};
use hashvfl_proto::v1::inference_client::InferenceClient;
use hashvfl_proto::v1::predict_response::Message;
use hashvfl_proto::v1::{Outcome, PredictRequest, PredictResponse};
use tonic::Streaming;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().context("say the coordinator's address and some ids")?;
    let ids: Vec<String> = arguments.collect();
    for line in predict(&server, ids).await? {
        println!("{line}");
    }
    Ok(())
}

/// One line per id: its most probable class and that class's probability, or why there is no prediction.
pub async fn predict(server: &str, ids: Vec<String>) -> anyhow::Result<Vec<String>> {
    let mut client =
        InferenceClient::connect(server.to_string()).await.context("cannot reach the coordinator")?;
    let requests = tokio_stream::once(PredictRequest { ids: ids.clone() });
    let mut answers = client.predict(requests).await?.into_inner();
    // The first answer describes the model, each further one belongs to one request.
    let Message::Model(model) = next(&mut answers).await? else { bail!("the model is described first") };
    let Message::Predictions(found) = next(&mut answers).await? else { bail!("predictions follow") };
    // Row-major, one row per predicted record.
    let mut rows = found.probabilities.chunks(model.classes.len().max(1));
    let mut lines = Vec::new();
    for (id, outcome) in ids.iter().zip(&found.outcomes) {
        let outcome = Outcome::try_from(*outcome).unwrap_or_default();
        if outcome != Outcome::Predicted {
            lines.push(format!("{id}: {}", outcome.as_str_name()));
            continue;
        }
        let row = rows.next().context("a row for each predicted record")?;
        let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).context("at least one class")?;
        lines.push(format!("{id}: {} ({:.3})", model.classes[best], row[best]));
    }
    Ok(lines)
}

async fn next(answers: &mut Streaming<PredictResponse>) -> anyhow::Result<Message> {
    answers.message().await?.and_then(|answer| answer.message).context("the coordinator ended the stream")
}
