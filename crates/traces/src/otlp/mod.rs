//! Spans of this process, sent to a collector by OTLP over gRPC.

mod fields;
mod ids;
mod layer;
mod sender;

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfig, BatchSpanProcessor, Config, SpanData, SpanProcessor};
use tokio::runtime::{Builder, Runtime};
use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use layer::OtlpLayer;
use sender::{Counts, Sender};

/// Longest wait for what has not left when a process ends.
const FLUSH: Duration = Duration::from_secs(2);

/// Names the service; OpenTelemetry's own.
const SERVICE_NAME: &str = "service.name";

/// What collects spans and sends them, on a thread of its own. It never waits for the collector: what finds no place is dropped.
struct Outbox {
    processor: BatchSpanProcessor,
    counts: Counts,
    /// Drives the network. It ends with the process, whoever a name server keeps waiting.
    _network: Runtime,
}

impl Outbox {
    fn put(&self, span: SpanData) {
        self.counts.end();
        self.processor.on_end(span);
    }
}

static OUTBOX: OnceLock<Outbox> = OnceLock::new();

/// What hands the spans of `program` to the collector that `variable` names.
///
/// # Errors
/// If the variables do not say how, or the operating system gives no thread.
pub fn layer<S>(program: &'static str, variable: &'static str) -> Result<impl Layer<S> + Send + Sync, String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let network = Builder::new_multi_thread().worker_threads(1).thread_name("spans").enable_all().build();
    let network = network.map_err(|error| error.to_string())?;
    let sender = Sender::open(variable, &resource(program), network.handle().clone())?;
    let counts = sender.counts();
    let processor = BatchSpanProcessor::new(sender, BatchConfig::default());
    let outbox = OUTBOX.get_or_init(|| Outbox { processor, counts, _network: network });
    // Only spans of this crate, and none of its lines.
    let own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), LevelFilter::TRACE);
    Ok(OtlpLayer::new(outbox, Config::default().sampler).with_filter(own))
}

/// Who sends: what the variables say, or `program`.
fn resource(program: &str) -> Resource {
    let given = Resource::builder().build();
    let name = given.get(&SERVICE_NAME.into()).map(|name| name.to_string());
    let builder =
        Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    match name {
        Some(name) if !name.starts_with("unknown_service") => builder.build(),
        _ => builder.with_service_name(format!("hashvfl-{program}")).build(),
    }
}

/// Sends what has not left yet, and says how much did not.
pub fn flush() {
    let Some(Outbox { processor, counts, .. }) = OUTBOX.get() else { return };
    let _ = processor.shutdown_with_timeout(FLUSH);
    if let Some(lost) = counts.lost() {
        warn!("{lost} of {} spans did not reach the collector", counts.ended());
    }
}
