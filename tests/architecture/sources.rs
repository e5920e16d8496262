//! The files of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders with Rust sources.
const CODE: [&str; 9] =
    ["proto", "party", "coordinator", "attack", "examples", "crates", "tests", "benches", "fuzz"];

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text below these places, files or folders of the repository; files that are no text are passed over.
pub fn texts(places: &[&str]) -> Vec<(PathBuf, String)> {
    let mut waiting: Vec<PathBuf> = places.iter().map(|place| root().join(place)).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name == "target") {
                continue;
            }
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push((path, text));
        }
    }
    found
}

/// Every Rust file of the workspace with its text.
pub fn sources() -> Vec<(PathBuf, String)> {
    of_kind("rs", &CODE)
}

/// Every definition of the wire with its text.
pub fn wire() -> Vec<(PathBuf, String)> {
    of_kind("proto", &["proto"])
}

/// Every TOML file that is shipped or made by `init` with its text: configs, policies, presets.
pub fn configs() -> Vec<(PathBuf, String)> {
    let mut configs = of_kind("toml", &["party", "coordinator", "crates", "deploy"]);
    configs.retain(|(path, _)| !path.ends_with("Cargo.toml"));
    configs
}

/// The texts below `places` whose names end in `.extension`.
fn of_kind(extension: &str, places: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = texts(places);
    found.retain(|(path, _)| path.extension().is_some_and(|found| found == extension));
    found
}
