//! The invariants of ARCHITECTURE.md over normal dependencies, read from the manifests.

use std::fs;
use std::path::Path;

/// Names under `[dependencies]` of a crate.
fn dependencies(of: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(of).join("Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
    let table = manifest.get("dependencies").and_then(toml::Value::as_table);
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

fn members() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_string()).collect()
}

fn who_names(prefixes: &[&str]) -> Vec<String> {
    let names = |member: &String| {
        dependencies(member).iter().any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    };
    members().into_iter().filter(names).collect()
}

#[test]
fn roles_do_not_know_each_other() {
    assert!(!dependencies("party").contains(&"hashvfl-coordinator".to_string()));
    assert!(!dependencies("coordinator").contains(&"hashvfl-party".to_string()));
}

#[test]
fn heavy_libraries_stay_in_their_places() {
    assert_eq!(who_names(&["burn"]), ["crates/learning", "crates/leakage", "attack"]);
    assert_eq!(who_names(&["tonic"]), ["proto", "crates/transport", "crates/data"]);
}

#[test]
fn core_does_no_input_and_output() {
    let pure = ["pulp", "rand", "serde", "serde_json", "sha2", "thiserror", "unicode-normalization"];
    assert_eq!(dependencies("crates/core"), pure);
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/core/src")];
    let mut files = 0;
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        files += 1;
        let text = fs::read_to_string(&path).unwrap();
        for word in ["std::fs", "std::net", "std::env", "std::process", "println!", "SystemTime", "Instant"] {
            assert!(!text.contains(word), "{} names {word}", path.display());
        }
    }
    assert!(files > 20, "{files} files were looked at");
}
