//! The running process and its certificate.

use std::fmt::Display;
use std::time::{SystemTime, UNIX_EPOCH};

use hashvfl_core::text::counted;
use hashvfl_identity::{IdentityConfig, IdentityFiles};
use serde_json::{Value, json};

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// What the running process says of itself, where the config names `monitor`: its status page without names.
pub fn process<E: Display>(answer: Option<Result<String, E>>) -> (Value, String) {
    match answer {
        None => (
            json!({ "monitored": false }),
            "the config has no `monitor`, so the process cannot be asked".to_string(),
        ),
        Some(Err(error)) => (json!({ "monitored": true, "answers": false }), error.to_string()),
        Some(Ok(page)) => {
            let status: Value = serde_json::from_str(&page).unwrap_or_default();
            let shown = json!({ "monitored": true, "answers": true, "status": figures(&status) });
            (shown, format!("running, phase {}", status["phase"].as_str().unwrap_or("unknown")))
        }
    }
}

/// Numbers and switches of a status; of texts only the phase.
fn figures(status: &Value) -> Value {
    match status {
        Value::Object(entries) => {
            let mut shown = serde_json::Map::new();
            for (key, value) in entries {
                let found = match value {
                    phase @ Value::String(_) if key == "phase" => phase.clone(),
                    Value::String(_) => continue,
                    // Its keys are names.
                    Value::Object(parties) if key == "parties" => parties.values().map(figures).collect(),
                    value => figures(value),
                };
                shown.insert(key.clone(), found);
            }
            Value::Object(shown)
        }
        Value::Array(values) => values.iter().filter(|value| !value.is_string()).map(figures).collect(),
        other => other.clone(),
    }
}

/// How long this side's certificate counts.
pub fn certificate(identity: Option<&IdentityConfig>) -> (Value, String) {
    let Some(identity) = identity else {
        return (
            json!({ "tls": false }),
            "none: connections are in plain text, on this machine only".to_string(),
        );
    };
    if !identity.is_made() {
        return (
            json!({ "tls": true, "made": false }),
            "not made yet (docs/how-to/identities.md)".to_string(),
        );
    }
    match IdentityFiles::load(identity) {
        Err(error) => (json!({ "tls": true, "made": true, "usable": false }), error.to_string()),
        Ok(files) => {
            let trust = files.current();
            let now_s =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
            let days = (trust.own_not_after_s() - now_s).div_euclid(DAY_S);
            let warnings = trust.warnings(now_s);
            let line = if warnings.is_empty() {
                format!("valid for {}", counted(days, "more day"))
            } else {
                warnings.join("; ")
            };
            (
                json!({ "tls": true, "made": true, "usable": true, "days_left": days, "warnings": warnings.len() }),
                line,
            )
        }
    }
}
