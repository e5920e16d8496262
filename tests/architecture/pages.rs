//! Links between pages lead somewhere, and pages that sources name exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::sources::{root, texts};

/// Where pages and sources are.
const PLACES: [&str; 14] = [
    "README.md",
    "SECURITY.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    ".ci",
    "attack",
    "benches",
    "coordinator",
    "crates",
    "docs",
    "examples",
    "party",
    "proto",
    "tests",
];

/// A page without its fenced blocks.
fn prose(page: &str) -> String {
    let (mut prose, mut fenced) = (String::new(), false);
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            prose += line;
            prose.push('\n');
        }
    }
    prose
}

/// The fenced blocks of a page in one language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("\n```{language}\n");
    page.split(start.as_str()).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

/// Targets of the links in a page.
fn links(prose: &str) -> Vec<&str> {
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

/// The anchor that GitHub gives to a heading.
fn anchor(heading: &str) -> String {
    let mut anchor = String::new();
    for character in heading.trim_start_matches('#').trim().to_lowercase().chars() {
        match character {
            ' ' => anchor.push('-'),
            '-' | '_' => anchor.push(character),
            _ if character.is_alphanumeric() => anchor.push(character),
            _ => {}
        }
    }
    anchor
}

/// Whether a page has a heading with this anchor. Where a heading comes again, its anchor gets a number: `-1`, `-2`.
fn has_anchor(page: &Path, wanted: &str) -> bool {
    let text = fs::read_to_string(page).unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for heading in prose(&text).lines().filter(|line| line.starts_with('#')) {
        let name = anchor(heading);
        let before = seen.entry(name.clone()).or_default();
        let numbered = if *before == 0 { name } else { format!("{name}-{before}") };
        *before += 1;
        if numbered == wanted {
            return true;
        }
    }
    false
}

#[test]
fn links_of_pages_lead_somewhere() {
    let mut looked_at = 0;
    for (path, text) in texts(&PLACES) {
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let prose = prose(&text);
        for link in links(&prose) {
            if link.contains("://") {
                continue;
            }
            looked_at += 1;
            let (file, wanted) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: the link {link} leads nowhere", path.display());
            let found = wanted.is_empty() || has_anchor(&target, wanted);
            assert!(found, "{}: the link {link} names no heading of that page", path.display());
        }
    }
    assert!(looked_at > 60, "{looked_at} links were looked at");
}

#[test]
fn pages_that_texts_name_exist() {
    let mut looked_at = 0;
    for (path, text) in texts(&PLACES) {
        for after in text.split("docs/").skip(1) {
            let ends = |character: char| !character.is_ascii_alphanumeric() && !"/-._".contains(character);
            let name = &after[..after.find(ends).unwrap_or(after.len())];
            let name = name.trim_end_matches('.');
            if name.ends_with(".md") {
                looked_at += 1;
                let exists = root().join("docs").join(name).exists();
                assert!(exists, "{} names docs/{name}, which is not there", path.display());
            }
        }
    }
    assert!(looked_at > 40, "{looked_at} names were looked at");
}

#[test]
fn pages_quote_examples_to_the_letter() {
    let texts = texts(&PLACES);
    let is_example = |path: &Path| path.parent().is_some_and(|folder| folder.ends_with("examples"));
    let examples: Vec<&String> =
        texts.iter().filter(|(path, _)| is_example(path)).map(|(_, text)| text).collect();
    let mut looked_at = 0;
    for (path, text) in &texts {
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        for block in blocks(text, "rust") {
            looked_at += 1;
            let quoted = examples.iter().any(|example| example.contains(block));
            assert!(quoted, "{}: no example has these lines:\n{block}", path.display());
        }
    }
    assert!(looked_at >= 3, "{looked_at} quotations were looked at");
}
