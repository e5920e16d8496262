//! A client that asks a coordinator for predictions of records by their ids, over TLS as `coordinator predict` does.
//!
//!     coordinator identity issue client/app --config coordinator.toml --into app
//!     cargo run --release -p hashvfl-examples --example prediction_client -- http://127.0.0.1:7433 app ID...
//!
//! `-` in place of the folder `app` asks in plain text, which a coordinator with `insecure_plaintext = true` takes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use hashvfl_identity::{Connector, IdentityConfig, IdentityFiles};
use hashvfl_proto::v1::predict_response::Message;
use hashvfl_proto::v1::{Outcome, PredictRequest};
use hashvfl_transport::dial::{Dialer, PredictionStream};

/// Seconds for the connection, and for each answer.
const LIMIT_S: u64 = 60;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: prediction_client http://HOST:PORT FOLDER-OF-IDENTITY ID...";
    let (server, folder) = (arguments.next().context(usage)?, arguments.next().context(usage)?);
    let identity = (folder != "-").then_some(Path::new(&folder));
    for line in predict(&server, identity, arguments.collect()).await? {
        println!("{line}");
    }
    Ok(())
}

/// One line per id: its most probable class and that class's probability, or why there is no prediction.
pub async fn predict(server: &str, identity: Option<&Path>, ids: Vec<String>) -> anyhow::Result<Vec<String>> {
    let mut dialer = Dialer::new(server.parse()?, LIMIT_S);
    if let Some(folder) = identity {
        let files = IdentityFiles::load(&IdentityConfig::in_folder(folder))?;
        dialer = dialer.secured(Connector::new(files, None));
    }
    let mut stream = dialer.predictions().await?;
    stream.send(PredictRequest { ids: ids.clone() }, Duration::from_secs(LIMIT_S)).await?;
    // The first answer describes the model, each further one belongs to one request.
    let Message::Model(model) = next(&mut stream).await? else { bail!("the model is described first") };
    let Message::Predictions(found) = next(&mut stream).await? else { bail!("predictions follow") };
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

async fn next(stream: &mut PredictionStream) -> anyhow::Result<Message> {
    let answer = stream.next_within(Duration::from_secs(LIMIT_S)).await?;
    answer.message.message.context("an empty answer")
}
