//! What the audit trail says, without names: kinds of entries and when they were written.

use std::collections::BTreeMap;

use hashvfl_audit::{AuditConfig, LogChain};
use hashvfl_core::text::counted;
use serde_json::{Value, json};

/// Entries that are shown by kind and time.
const LAST: usize = 30;

/// The trail of `config`: for the bundle, and for a person.
pub fn summary(config: &AuditConfig) -> (Value, String) {
    let path = config.log();
    if !config.enabled || !path.exists() {
        let line = if config.enabled { "nothing has been written down yet" } else { "switched off" };
        return (json!({ "enabled": config.enabled, "entries": 0 }), line.to_string());
    }
    let chain = match LogChain::read(&path) {
        Ok(chain) => chain,
        Err(error) => return (json!({ "enabled": true, "whole": false }), error.to_string()),
    };
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let mut last = Vec::new();
    for entry in &chain.entries {
        let kind = entry.event.get("kind").and_then(Value::as_str).unwrap_or("unknown").to_string();
        *kinds.entry(kind.clone()).or_default() += 1;
        last.push(json!({ "time": entry.time, "kind": kind }));
    }
    let skipped = last.len().saturating_sub(LAST);
    let line = format!("{}; the hash chain is intact", counted(chain.entries.len(), "entry"));
    let found = json!({
        "enabled": true,
        "whole": true,
        "entries": chain.entries.len(),
        "incomplete_bytes": chain.incomplete_bytes,
        "kinds": kinds,
        "last": last.split_off(skipped),
    });
    (found, line)
}
