//! MLflow's REST API (mlflow.org/docs/latest/api_reference/rest-api.html), version 2.0.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use ureq::Agent;

use super::{Export, Figure};

/// Longest wait for the server at each request.
const LIMIT: Duration = Duration::from_secs(30);
/// Figures, and settings, of one request at most.
const FIGURES: usize = 900;
const SETTINGS: usize = 100;
/// Characters of a setting that MLflow keeps.
const SETTING: usize = 500;
/// Bytes of an answer at most.
const ANSWER: u64 = 1 << 20;

/// Sends the figures of a run to the server at `server`, as a new run of `experiment`; MLflow's own id of the run.
///
/// # Errors
/// If the server is not there, or refuses something.
pub fn send(export: &Export, server: &str, experiment: &str) -> anyhow::Result<String> {
    ensure!(
        server.starts_with("http://"),
        "--server {server}: expected http://HOST:PORT; to reach a server that speaks only https, run the export on \
         the server's machine"
    );
    let config = Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).build();
    let server = Server { agent: config.into(), address: server.trim_end_matches('/') };
    let experiment = server.experiment(experiment)?;
    let made = server.post(
        "runs/create",
        &json!({
            "experiment_id": experiment,
            "run_name": export.run_id,
            "start_time": export.began.as_millis() as u64,
            "tags": [{ "key": "hashvfl.run_id", "value": export.run_id }],
        }),
    )?;
    let run = text(&made, "/run/info/run_id")?;
    for settings in export.settings.chunks(SETTINGS) {
        let parameters: Vec<Value> = settings.iter().map(|(key, value)| parameter(key, value)).collect();
        server.post("runs/log-batch", &json!({ "run_id": run, "params": parameters }))?;
    }
    for figures in export.figures.chunks(FIGURES) {
        let metrics: Vec<Value> = figures.iter().map(metric).collect();
        server.post("runs/log-batch", &json!({ "run_id": run, "metrics": metrics }))?;
    }
    let end_time = export.ended.as_millis() as u64;
    server.post("runs/update", &json!({ "run_id": run, "status": "FINISHED", "end_time": end_time }))?;
    Ok(run)
}

fn parameter(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": value.chars().take(SETTING).collect::<String>() })
}

fn metric(Figure { name, step, at, value }: &Figure) -> Value {
    json!({ "key": name, "value": value, "timestamp": at.as_millis() as u64, "step": step })
}

struct Server<'a> {
    agent: Agent,
    address: &'a str,
}

/// An answer of the server.
struct HttpResponse {
    status: u16,
    body: Value,
}

impl Server<'_> {
    /// The id of an experiment, which is made if it is not there.
    fn experiment(&self, name: &str) -> anyhow::Result<String> {
        let url = format!("{}/api/2.0/mlflow/experiments/get-by-name", self.address);
        let asked = self.agent.get(&url).query("experiment_name", name).call();
        let found = self.answer(asked, &url)?;
        if found.status == 404 && found.body["error_code"] == "RESOURCE_DOES_NOT_EXIST" {
            let made = self.post("experiments/create", &json!({ "name": name }))?;
            return text(&made, "/experiment_id");
        }
        text(&good(found, &url)?, "/experiment/experiment_id")
    }

    fn post(&self, method: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}/api/2.0/mlflow/{method}", self.address);
        let sent = self.agent.post(&url).content_type("application/json").send(body.to_string());
        good(self.answer(sent, &url)?, &url)
    }

    fn answer(
        &self,
        answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        url: &str,
    ) -> anyhow::Result<HttpResponse> {
        let mut answered =
            answered.with_context(|| format!("no answer from {url}: is `mlflow server` running there?"))?;
        let status = answered.status().as_u16();
        let text = answered.body_mut().with_config().limit(ANSWER).read_to_string();
        let text = text.with_context(|| format!("the answer of {url} broke off"))?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(HttpResponse { status, body })
    }
}

/// The body of an answer that says that all went well.
fn good(HttpResponse { status, body }: HttpResponse, url: &str) -> anyhow::Result<Value> {
    if status == 200 && body.is_object() {
        return Ok(body);
    }
    let message = body["message"].as_str().unwrap_or("its answer is not MLflow's");
    let line: String = message.lines().next().unwrap_or_default().chars().take(300).collect();
    bail!("{url} answers {status}: {line}")
}

fn text(body: &Value, path: &str) -> anyhow::Result<String> {
    let found = body.pointer(path).and_then(Value::as_str).map(str::to_string);
    found.with_context(|| format!("the server's answer lacks {path}: is it MLflow?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_server_is_one_clear_line() {
        let export = Export {
            run_id: "spring".into(),
            began: Duration::ZERO,
            ended: Duration::ZERO,
            settings: Vec::new(),
            figures: Vec::new(),
        };
        let refused = |server: &str| format!("{:#}", send(&export, server, "hashvfl").unwrap_err());
        assert!(refused("https://127.0.0.1:1").contains("expected http://HOST:PORT"));
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let absent = refused(&format!("http://{free}"));
        assert!(absent.contains("is `mlflow server` running there?") && !absent.contains('\n'), "{absent}");
    }
}
