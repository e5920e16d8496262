//! The fields of a summary are those that its page describes.

/// Fails when a field of `value` is not in docs/reference/summary.md; a party's name there is PARTY.
pub fn check_documented(value: &serde_json::Value, parties: &[&str]) {
    let docs = include_str!("../../docs/reference/summary.md");
    let mut missing = Vec::new();
    collect(value, String::new(), parties, &mut |path| {
        if !docs.contains(&format!("`{path}`")) {
            missing.push(path.to_string());
        }
    });
    assert!(missing.is_empty(), "docs/reference/summary.md lacks {missing:?}");
}

/// Paths of all leaves of `value`, as docs/reference/summary.md writes them.
fn collect(value: &serde_json::Value, path: String, parties: &[&str], found: &mut dyn FnMut(&str)) {
    // One row of the docs stands for what these hold.
    let whole = ["settings", "encoders_sha256", "epochs[].validation", "federation"];
    let baseline = path.strip_prefix("baselines.").is_some_and(|rest| !rest.is_empty());
    match value {
        serde_json::Value::Object(fields) if !whole.contains(&path.as_str()) && !baseline => {
            for (key, field) in fields {
                let key = if parties.contains(&key.as_str()) { "PARTY" } else { key };
                let dot = if path.is_empty() { "" } else { "." };
                collect(field, format!("{path}{dot}{key}"), parties, found);
            }
        }
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| collect(item, format!("{path}[]"), parties, found));
        }
        _ => found(&path),
    }
}
