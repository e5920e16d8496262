//! Whether somebody asks for spans, by the environment variables that OpenTelemetry's specification names.

use std::env;

/// Names the collector, for spans alone or for all that a process tells.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The variable that names the collector, unless others switch spans off.
pub fn endpoint() -> Option<&'static str> {
    endpoint_among(|name| env::var(name).ok())
}

/// The same among `variables`.
fn endpoint_among(variables: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let is = |name: &str, word: &str| variables(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    ENDPOINTS.into_iter().find(|name| variables(name).is_some_and(|value| !value.is_empty()))
}

/// A variable of the sender of spans by the end of its name, and its value: the one for spans alone counts.
#[cfg(feature = "otlp")]
pub fn variable(name: &str) -> Option<(String, String)> {
    let names = ["TRACES_", ""].map(|of| format!("OTEL_EXPORTER_OTLP_{of}{name}"));
    let set = names.into_iter().filter_map(|name| env::var(&name).ok().map(|value| (name, value)));
    set.into_iter().find(|(_, value)| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &[(&str, &str)]) -> Option<&'static str> {
        endpoint_among(|name| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_string()))
    }

    #[test]
    fn spans_are_asked_for_by_an_address_and_can_be_switched_off() {
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
        let spans = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318");
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), None);
        assert_eq!(of(&[all]), Some(all.0));
        assert_eq!(of(&[all, spans]), Some(spans.0), "the narrower one counts");
        assert_eq!(of(&[all, ("OTEL_SDK_DISABLED", "True")]), None);
        assert_eq!(of(&[all, ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert_eq!(of(&[all, ("OTEL_TRACES_EXPORTER", "otlp")]), Some(all.0));
    }
}
