//! What a span says of itself.

use std::fmt;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use tracing::field::{Field, Visit};

/// A span's fields.
#[derive(Default)]
pub struct Fields {
    /// What it is called, where not by its own name.
    pub name: Option<String>,
    /// Whether it answers somebody else.
    pub kind: Option<SpanKind>,
    /// The run that it names.
    pub run: Option<String>,
    /// The step that it names.
    pub step: Option<u64>,
    /// All that is told of it.
    pub attributes: Vec<KeyValue>,
}

/// What a field is called outside.
fn attribute(field: &Field) -> Option<&'static str> {
    Some(match field.name() {
        "run" => "hashvfl.run",
        "party" => "hashvfl.party",
        "step" => "hashvfl.step",
        "request" => "hashvfl.request",
        "epoch" => "hashvfl.epoch",
        "batch" => "hashvfl.batch",
        "records" => "hashvfl.records",
        _ => return None,
    })
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "otel.kind" if value == "server" => self.kind = Some(SpanKind::Server),
            "otel.kind" if value == "client" => self.kind = Some(SpanKind::Client),
            "otel.name" => self.name = Some(value.to_string()),
            "run" => self.run = Some(value.to_string()),
            _ => {}
        }
        if let Some(name) = attribute(field) {
            self.attributes.push(KeyValue::new(name, value.to_string()));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "step" {
            self.step = Some(value);
        }
        if let Some(name) = attribute(field) {
            self.attributes.push(KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }
}
