//! The files of the workspace, and what they are made of.

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

/// Whether a file's code is generated.
pub fn is_generated(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "generated")
}

/// Whether a Rust file is part of a program, and of no test.
pub fn is_production(path: &Path) -> bool {
    // The path begins with the folder of these tests.
    let path = path.strip_prefix(root()).unwrap();
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let others = ["tests", "fuzz"];
    let is_other = path.components().any(|part| others.iter().any(|other| part.as_os_str() == *other));
    !name.ends_with("tests") && !is_other && !is_generated(path)
}

/// A file without the tests at its end.
pub fn production(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(before, _)| before)
}

/// A line without the word that says who sees what it defines.
pub fn without_visibility(line: &str) -> &str {
    let visible = ["pub(crate) ", "pub(super) ", "pub "];
    visible.iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line)
}

/// A part of a source.
pub enum SourcePart<'a> {
    /// What is none of the others.
    Code(&'a str),
    /// What stands in the quotes of a string.
    Quoted(&'a str),
    /// The same of a raw string.
    Raw(&'a str),
    /// A comment or a character.
    Other,
}

/// The parts of a source, in order.
pub fn parts(source: &str) -> Vec<SourcePart<'_>> {
    let (mut parts, mut rest, mut code) = (Vec::new(), source, 0);
    while let Some(next) = rest[code..].chars().next() {
        match other_than_code(&rest[code..]) {
            Some((part, length)) => {
                parts.extend([SourcePart::Code(&rest[..code]), part]);
                rest = &rest[code + length..];
                code = 0;
            }
            None => code += next.len_utf8(),
        }
    }
    parts.push(SourcePart::Code(rest));
    parts
}

/// What begins here and is no code, with its length in bytes.
fn other_than_code(text: &str) -> Option<(SourcePart<'_>, usize)> {
    if text.starts_with("//") {
        return Some((SourcePart::Other, text.find('\n').unwrap_or(text.len())));
    }
    if let Some(hashes) = raw_string(text) {
        let (open, close) = (text.find('"').unwrap() + 1, format!("\"{}", "#".repeat(hashes)));
        let length = text[open..].find(&close).unwrap_or(text.len() - open);
        let end = (open + length + close.len()).min(text.len());
        return Some((SourcePart::Raw(&text[open..open + length]), end));
    }
    if text.starts_with('"') {
        let end = quoted(text, '"');
        return Some((SourcePart::Quoted(&text[1..(end - 1).max(1)]), end));
    }
    is_character(text).then(|| (SourcePart::Other, quoted(text, '\'')))
}

/// The number of hashes of a raw string that begins here.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// Whether a character literal begins here.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars();
    match (characters.next(), characters.next(), characters.next()) {
        (Some('\''), Some('\\'), _) => true,
        (Some('\''), Some(_), Some(last)) => last == '\'',
        _ => false,
    }
}

/// Bytes of a quoted text, with both quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}
