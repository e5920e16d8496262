//! From spans of this process to OpenTelemetry's.

use std::time::{Instant, SystemTime};

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SamplingDecision, ShouldSample, SpanData, SpanEvents, SpanLinks,
};
use tracing::Subscriber;
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::{Outbox, ids};

/// Hands spans over when they end.
pub struct OtlpLayer {
    outbox: &'static Outbox,
    sampler: Box<dyn ShouldSample>,
    random: RandomIdGenerator,
    scope: InstrumentationScope,
}

/// Where a span stands.
#[derive(Clone)]
struct SpanPosition {
    trace: TraceId,
    id: SpanId,
    parent: SpanId,
    /// Whether another process has the parent.
    is_remote: bool,
    /// Whether it is to be sent, which all of its trace in this process share.
    is_sampled: bool,
}

/// A span that has not ended.
struct Open {
    place: SpanPosition,
    fields: Fields,
    at: SystemTime,
    began: Instant,
}

impl OtlpLayer {
    /// Into `outbox`, of traces that `sampler` chooses.
    pub fn new(outbox: &'static Outbox, sampler: Box<dyn ShouldSample>) -> Self {
        let scope = InstrumentationScope::builder("hashvfl").with_version(env!("CARGO_PKG_VERSION")).build();
        Self { outbox, sampler, random: RandomIdGenerator::default(), scope }
    }

    /// The place of a span below `above`.
    fn below(&self, above: &SpanPosition) -> SpanPosition {
        SpanPosition { id: self.random.new_span_id(), parent: above.id, is_remote: false, ..above.clone() }
    }

    /// The place of a span below no other of this process.
    fn root(&self, name: &str, fields: &Fields) -> SpanPosition {
        let Fields { kind, run, step, .. } = fields;
        let answers = *kind == Some(SpanKind::Server);
        let (mut id, mut parent) = (self.random.new_span_id(), SpanId::INVALID);
        let trace = match (run, step) {
            (Some(run), Some(_)) => {
                let shared = ids::shared(run, *step);
                match answers {
                    true => parent = shared.root,
                    false => id = shared.root,
                }
                shared.id
            }
            (Some(run), None) if !answers => ids::shared(run, None).id,
            _ => self.random.new_trace_id(),
        };
        let kind = kind.clone().unwrap_or(SpanKind::Internal);
        let sampling = self.sampler.should_sample(None, trace, name, &kind, &fields.attributes, &[]);
        let is_sampled = sampling.decision == SamplingDecision::RecordAndSample;
        SpanPosition { trace, id, parent, is_remote: parent != SpanId::INVALID, is_sampled }
    }
}

impl<S> Layer<S> for OtlpLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let above =
            span.parent().and_then(|above| above.extensions().get::<Open>().map(|open| open.place.clone()));
        let mut fields = Fields::default();
        // Of what is not sent nothing is kept.
        if above.as_ref().is_none_or(|above| above.is_sampled) {
            attributes.record(&mut fields);
        }
        let place = match above {
            Some(above) => self.below(&above),
            None => self.root(span.name(), &fields),
        };
        let open = Open { place, fields, at: SystemTime::now(), began: Instant::now() };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Open { place, fields, at, began }) = span.extensions_mut().remove::<Open>() else { return };
        if !place.is_sampled {
            return;
        }
        self.outbox.put(SpanData {
            span_context: SpanContext::new(
                place.trace,
                place.id,
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: place.parent,
            parent_span_is_remote: place.is_remote,
            span_kind: fields.kind.unwrap_or(SpanKind::Internal),
            name: fields.name.map_or(span.name().into(), Into::into),
            start_time: at,
            end_time: at + began.elapsed(),
            attributes: fields.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        });
    }
}
