//! The invariants of ARCHITECTURE.md over normal dependencies, read from the manifests.

use std::fs;
use std::path::Path;

/// The manifest in a folder of the repository.
pub fn manifest(of: &str) -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(of).join("Cargo.toml");
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// Names under `[dependencies]` in a manifest, and under those of single targets.
fn named(manifest: &toml::Table) -> Vec<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table);
    let tables = std::iter::once(manifest).chain(targets).filter_map(|table| table.get("dependencies"));
    tables.filter_map(toml::Value::as_table).flat_map(toml::Table::keys).cloned().collect()
}

/// Names of a crate's dependencies.
fn dependencies(of: &str) -> Vec<String> {
    named(&manifest(of))
}

/// The folders of the workspace's packages.
pub fn members() -> Vec<String> {
    let manifest = manifest(".");
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
fn dependencies_of_single_targets_are_seen() {
    let text = "[dependencies]\none = \"1\"\n[target.'cfg(unix)'.dependencies]\ntwo = \"1\"\n[dev-dependencies]\nthree = \"1\"\n";
    assert_eq!(named(&text.parse().unwrap()), ["one", "two"]);
}

#[test]
fn data_builds_without_a_cluster() {
    let manifest = manifest("crates/data");
    for name in ["ballista-core", "datafusion", "object_store", "tonic"] {
        let dependency = &manifest["dependencies"][name];
        let optional = dependency.get("optional").and_then(toml::Value::as_bool);
        assert_eq!(optional, Some(true), "{name} is no part of the feature `cluster` or `sql` alone");
    }
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
