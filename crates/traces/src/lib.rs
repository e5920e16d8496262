//! What a coordinator or a party does and how long it takes, as spans: of a run, its epochs and steps, of predictions and of
//! alignments. With the feature `otlp` they reach an OpenTelemetry collector, where the standard environment variables name one.
//!
//! A span holds names of runs, parties and requests, and numbers of epochs, batches, steps and records: [`spans`] has no place
//! for a value, a code or an id. Both sides of a step share a trace, though no message carries its id: it follows from the
//! run's id and the step's number.

mod asked;
#[cfg(feature = "otlp")]
mod otlp;
mod phases;
pub mod spans;

use std::sync::{Once, OnceLock};

use tracing::{Subscriber, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

pub use phases::{EpochSpan, Phases};

/// What takes spans.
pub type SpanLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// Why no spans leave, though somebody asks for them.
static TROUBLE: OnceLock<String> = OnceLock::new();

/// What sends the spans of `program`; `None` if no collector is configured, or spans cannot be sent, which is logged once there
/// are some.
pub fn layer<S>(program: &'static str) -> Option<SpanLayer<S>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let variable = asked::endpoint()?;
    let layer = begin(program, variable);
    layer
        .map_err(|why| TROUBLE.get_or_init(|| format!("{variable} is set, but no spans are sent: {why}")))
        .ok()
}

#[cfg(feature = "otlp")]
fn begin<S>(program: &'static str, variable: &'static str) -> Result<SpanLayer<S>, String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Ok(Box::new(otlp::layer(program, variable)?))
}

#[cfg(not(feature = "otlp"))]
fn begin<S>(program: &'static str, _: &'static str) -> Result<SpanLayer<S>, String> {
    Err(format!("this {program} is built without the feature `otlp`"))
}

/// Says once why no spans leave, where that is so.
fn say_trouble() {
    static SAID: Once = Once::new();
    if let Some(trouble) = TROUBLE.get() {
        SAID.call_once(|| warn!("{trouble}"));
    }
}

/// Sends what has not left yet, as the last thing that a process does. It waits two seconds at most.
pub fn flush() {
    #[cfg(feature = "otlp")]
    otlp::flush();
}

#[cfg(all(test, not(feature = "otlp")))]
mod tests {
    use tracing_subscriber::Registry;

    #[test]
    fn a_program_that_cannot_send_spans_says_so() {
        let why = super::begin::<Registry>("party", "OTEL_EXPORTER_OTLP_ENDPOINT").err().unwrap();
        assert_eq!(why, "this party is built without the feature `otlp`");
    }
}
