//! Spans of a federation at a real receiver of OTLP, and at none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::fixture::{Fixture, PARTIES, Role};
use crate::ports::free_address;
use crate::predict::{predict_command, serving};
use crate::reference::weights;

/// All that a span may tell beside its name.
const TOLD: [&str; 7] = ["batch", "epoch", "party", "records", "request", "run", "step"];

/// A span as it came.
#[derive(Debug, Clone)]
struct Span {
    service: String,
    name: String,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
    told: BTreeMap<String, String>,
    nanoseconds: (u64, u64),
}

impl Span {
    fn tells(&self, key: &str) -> Option<&str> {
        self.told.get(key).map(String::as_str)
    }
}

/// Attributes as texts, without the prefix of this project's.
fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for KeyValue { key, value, .. } in attributes {
        let text = match value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => panic!("{key}: {other:?}"),
        };
        texts.insert(key.trim_start_matches("hashvfl.").to_string(), text);
    }
    texts
}

#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_process in request.into_inner().resource_spans {
            let service = texts(of_process.resource.unwrap().attributes)["service.name"].clone();
            for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                assert!(span.events.is_empty() && span.links.is_empty(), "{span:?}");
                self.0.lock().unwrap().push(Span {
                    service: service.clone(),
                    name: span.name,
                    trace: span.trace_id,
                    id: span.span_id,
                    parent: span.parent_span_id,
                    told: texts(span.attributes),
                    nanoseconds: (span.start_time_unix_nano, span.end_time_unix_nano),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector.
struct Collector {
    address: SocketAddr,
    received: Received,
    _runtime: Runtime,
}

impl Collector {
    fn start() -> Self {
        Self::serving(Server::builder())
    }

    /// One over TLS, and its certificate.
    fn over_tls() -> (Self, String) {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
        let identity = Identity::from_pem(own.cert.pem(), own.signing_key.serialize_pem());
        let server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
        (Self::serving(server), own.cert.pem())
    }

    fn serving(server: Server) -> Self {
        let runtime = Runtime::new().unwrap();
        let (received, any) = (Received::default(), "127.0.0.1:0".parse().unwrap());
        let incoming = runtime.block_on(async { TcpIncoming::bind(any).unwrap() });
        let address = incoming.local_addr().unwrap();
        let service = TraceServiceServer::new(received.clone());
        runtime.spawn(async move {
            server.serve_with_incoming(service, incoming).await.unwrap();
        });
        Self { address, received, _runtime: runtime }
    }

    /// What has come, and is not asked for again.
    fn take(&self) -> Vec<Span> {
        std::mem::take(&mut self.received.0.lock().unwrap())
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// A fixture whose processes send spans to `address`.
fn traced(address: SocketAddr) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))];
    fixture
}

#[test]
fn both_sides_of_a_step_are_in_one_trace() {
    let collector = Collector::start();
    let fixture = traced(collector.address);
    fixture.run();
    let spans = collector.take();

    for span in &spans {
        let kept = span.told.keys().all(|key| TOLD.contains(&key.as_str()));
        assert!(kept && span.nanoseconds.0 <= span.nanoseconds.1, "{span:?}");
        assert!(["hashvfl-coordinator", "hashvfl-party"].contains(&span.service.as_str()), "{span:?}");
    }
    // One trace of the run holds what each side did in it.
    let runs = named(&spans, "run");
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| run.trace == runs[0].trace && run.tells("run") == Some("test")));
    let parties: BTreeSet<_> = runs.iter().filter_map(|run| run.tells("party")).collect();
    assert_eq!(parties, PARTIES.into());
    for run in &runs {
        let epochs: Vec<_> =
            named(&spans, "epoch").into_iter().filter(|epoch| epoch.parent == run.id).collect();
        assert_eq!(epochs.len() as u32, fixture.settings.epochs, "{run:?}");
        assert!(epochs.iter().all(|epoch| epoch.trace == run.trace));
    }
    // Each step has a trace of its own, in which both parties answer it.
    let steps = named(&spans, "step");
    let last = fixture.summary()["steps"].as_u64().unwrap_or(steps.len() as u64);
    let mut batches = 0;
    for number in 1..=last {
        let number = number.to_string();
        let step: Vec<_> = steps.iter().filter(|step| step.tells("step") == Some(number.as_str())).collect();
        let [step] = step[..] else { panic!("step {number}: {step:?}") };
        assert_ne!(step.trace, runs[0].trace);
        let inside: Vec<Span> = spans.iter().filter(|span| span.trace == step.trace).cloned().collect();
        let request = step.tells("request").unwrap();
        for party in PARTIES {
            let of_party = |span: &&Span| span.tells("party") == Some(party);
            let answers: Vec<_> = named(&inside, request).into_iter().filter(of_party).collect();
            let [answer] = answers[..] else { panic!("step {number}, {party}: {answers:?}") };
            assert_eq!((&answer.parent, answer.tells("run")), (&step.id, Some("test")));
            assert_eq!(named(&inside, "waiting").into_iter().filter(of_party).count(), 1);
        }
        if step.tells("batch").is_some() {
            batches += 1;
            let phases = |below: &[u8]| -> BTreeSet<&str> {
                inside.iter().filter(|span| span.parent == below).map(|span| span.name.as_str()).collect()
            };
            let own = ["waiting", "top model", "gradient", "update", "Encode", "Gradient"];
            assert_eq!(phases(&step.id), own.into(), "step {number}");
            let answer = named(&inside, "Encode")[0];
            assert_eq!(phases(&answer.id), ["ledger", "encode", "backlog"].into());
        }
    }
    assert!(batches >= 4 * fixture.settings.epochs, "{batches} batches");
}

#[test]
fn spans_go_over_tls_to_whom_the_certificate_names() {
    let (collector, certificate) = Collector::over_tls();
    let (_, another) = Collector::over_tls();
    for (trusted, is_right) in [(certificate, true), (another, false)] {
        let mut fixture = Fixture::new();
        fixture.write("collector.pem", &trusted);
        let path = fixture.path("collector.pem").display().to_string();
        fixture.variables = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("https://{}", collector.address)),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", path),
        ];
        fixture.run();
        assert_eq!(named(&collector.take(), "run").len(), if is_right { 3 } else { 0 });
    }
}

#[test]
fn a_prediction_is_in_phases_and_names_the_parties_requests() {
    let plain = Fixture::new();
    plain.run();
    let collector = Collector::start();
    let mut fixture = plain;
    fixture.variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.address)),
        ("OTEL_SERVICE_NAME", "credit".to_string()),
    ];
    let (mut coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    fixture.write("ask.csv", "id\nr1\nr2\nr3\n");
    let (good, _, errors) = predict_command(&fixture, &address, "ask.csv", "answer.csv");
    assert!(good, "{errors}");
    for role in parties.iter_mut().chain([&mut coordinator]) {
        role.terminate();
        role.succeeds();
    }
    let spans = collector.take();
    assert!(spans.iter().all(|span| span.service == "credit"));
    let predictions = named(&spans, "predict");
    let [prediction] = predictions[..] else { panic!("{predictions:?}") };
    assert_eq!((prediction.tells("run"), prediction.tells("records")), (Some("test"), Some("3")));
    let (waits, requests): (Vec<&Span>, Vec<&Span>) =
        named(&spans, "codes").into_iter().partition(|codes| codes.trace == prediction.trace);
    for party in PARTIES {
        let of_party = |spans: &[&Span]| -> Vec<(Option<String>, Option<String>)> {
            let own = spans.iter().filter(|span| span.tells("party") == Some(party));
            own.map(|span| (span.told.get("request").cloned(), span.told.get("records").cloned())).collect()
        };
        let expected = [(Some("1".to_string()), Some("3".to_string()))];
        assert_eq!((of_party(&waits), of_party(&requests)), (expected.to_vec(), expected.to_vec()));
    }
}

/// Lines of a log that tell of spans.
fn about_spans(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("spans")).collect()
}

#[test]
fn a_collector_that_is_away_or_silent_holds_nothing_up() {
    let plain = Fixture::new();
    plain.run();
    let gone = free_address();
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [gone, silent.local_addr().unwrap()] {
        let mut fixture = traced(address);
        // Spans find no place soon.
        fixture.variables.push(("OTEL_BSP_MAX_QUEUE_SIZE", "64".to_string()));
        fixture.variables.push(("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8".to_string()));
        let began = Instant::now();
        let (mut coordinator, listening) = fixture.coordinator();
        let mut parties = PARTIES.map(|name| fixture.party(name, &listening));
        for role in parties.iter_mut().chain([&mut coordinator]) {
            let (good, log) = role.ends();
            assert!(good, "{log}");
            let said = about_spans(&log);
            assert!(said.iter().any(|line| line.contains("did not reach the collector")), "{log}");
            let refusals = said.iter().filter(|line| line.contains("does not accept spans")).count();
            assert!(refusals <= 1 && said.len() == refusals + 1, "each is said once: {log}");
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        for file in ["coordinator-state/top.safetensors", "bank-state/bottom.safetensors"] {
            assert_eq!(weights(&fixture, file), weights(&plain, file), "{file}");
        }
    }
}

#[test]
fn spans_that_cannot_leave_are_told_of_and_end_nothing() {
    let address = "127.0.0.1:4317".parse().unwrap();
    for (variable, value, why) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "is http/protobuf, but spans are sent only by gRPC"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "https://127.0.0.1:4317",
            "OTEL_EXPORTER_OTLP_CERTIFICATE: /nowhere.pem",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://exa mple", "invalid endpoint"),
    ] {
        let mut fixture = traced(address);
        fixture.variables.push(("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem".to_string()));
        fixture.variables.push((variable, value.to_string()));
        let (mut coordinator, listening) = fixture.coordinator();
        let mut parties = PARTIES.map(|name| fixture.party(name, &listening));
        for role in parties.iter_mut().chain([&mut coordinator]) {
            let (good, log) = role.ends();
            let said = about_spans(&log);
            assert!(good && said.len() == 1 && said[0].contains(why), "{log}");
        }
    }
}

#[test]
fn what_sends_no_spans_says_nothing_of_them() {
    let mut fixture = traced("127.0.0.1:4317".parse().unwrap());
    fixture.variables.push(("OTEL_SDK_DISABLED", "true".to_string()));
    let (mut coordinator, listening) = fixture.coordinator();
    let mut parties: Vec<Role> = PARTIES.iter().map(|name| fixture.party(name, &listening)).collect();
    for role in parties.iter_mut().chain([&mut coordinator]) {
        let (good, log) = role.ends();
        assert!(good && about_spans(&log).is_empty(), "{log}");
    }
}

/// How a training is traced.
#[derive(Clone, Copy)]
enum Tracing {
    Off,
    /// Every so many traces, as the sampler's argument says.
    Share(&'static str),
}

/// Seconds that a training of `epochs` of batches of `batch_rows` took in all epochs.
fn seconds(collector: &Collector, tracing: Tracing, (batch_rows, epochs): (usize, u32)) -> f64 {
    let mut fixture = Fixture::new();
    if let Tracing::Share(share) = tracing {
        fixture = traced(collector.address);
        fixture.variables.push(("OTEL_TRACES_SAMPLER", "traceidratio".to_string()));
        fixture.variables.push(("OTEL_TRACES_SAMPLER_ARG", share.to_string()));
    }
    fixture.settings.epochs = epochs;
    fixture.settings.batch_rows = batch_rows.into();
    fixture.run();
    fixture.summary()["seconds"]["training"].as_f64().unwrap()
}

#[test]
#[ignore = "it measures what spans cost, for ten minutes on a quiet machine"]
fn what_spans_cost() {
    let collector = Collector::start();
    for size in [(32, 300), (256, 2_000)] {
        for share in ["1", "0.01"] {
            let mut ratios = Vec::new();
            for pair in 0..10 {
                // Each is first in half of the pairs.
                let mut order = [Tracing::Off, Tracing::Share(share)];
                order.rotate_left(pair % 2);
                let mut took = order.map(|tracing| seconds(&collector, tracing, size));
                took.rotate_right(pair % 2);
                ratios.push(took[0] / took[1]);
            }
            let received = collector.take().len();
            let mean = ratios.iter().sum::<f64>() / 10.0;
            let variance = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / 9.0;
            // Student's t with 9 degrees of freedom.
            let half = 2.262 * (variance / 10.0).sqrt();
            let (low, high) = (mean - half, mean + half);
            println!(
                "batches of {}, {share} of all traces: speed by that without, {mean:.3} ({low:.3} to {high:.3}); {received} spans",
                size.0
            );
        }
    }
}
