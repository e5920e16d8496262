//! The messages that docs/how-to/troubleshoot.md explains are those of the programs: whoever rewords one mends its row.

use std::fs;

use crate::sources::{SourcePart, is_production, parts, production, root, sources};

/// Where messages are.
const PLACES: [&str; 5] = ["attack", "coordinator", "crates", "party", "proto"];

/// Spans with the words of others: of shells, systems, engines of containers and libraries; one with an example in the place
/// of a name, and a command.
const OTHERS: [&str; 15] = [
    "party: command not found",
    "unknown field `KEY` ",
    "port is already allocated",
    "address already in use",
    "Pool overlaps with other one on this address space",
    "Permission denied",
    "Read-only file system",
    "range of CPUs is from",
    "pull access denied for hashvfl",
    "lookup registry-1.docker.io",
    "failed to resolve",
    "Could not resolve host",
    "No space left on device",
    "has no column \"id\"",
    "coordinator predict",
];

/// The texts in a source's string literals, without its unit tests: continued lines are joined, and what `{}` stands for is as
/// it is written.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in parts(production(source)) {
        match part {
            SourcePart::Raw(text) => found.push(text.to_string()),
            SourcePart::Quoted(text) => found.push(unescaped(text)),
            SourcePart::Code(_) | SourcePart::Other => {}
        }
    }
    found
}

/// What a literal says: its lines joined, its quotes as they are shown.
fn unescaped(literal: &str) -> String {
    let mut text = String::with_capacity(literal.len());
    let mut characters = literal.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('\n') => while characters.next_if(|next| next.is_whitespace()).is_some() {},
            Some('n') => text.push('\n'),
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

/// The code spans of a cell, as they are shown.
fn spans(cell: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), cell);
    while let Some(open) = rest.find('`') {
        let ticks = rest[open..].len() - rest[open..].trim_start_matches('`').len();
        let fence = &rest[open..open + ticks];
        let after = &rest[open + ticks..];
        let Some(end) = after.find(fence) else { break };
        found.push(&after[..end]);
        rest = &after[end + ticks..];
    }
    found
}

/// The parts of a span that each message has: those between `...` and words in capital letters, of two words or more.
fn fragments(span: &str) -> Vec<String> {
    let is_placeholder = |word: &str| {
        let letters = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.contains("...") || letters.len() > 1 && letters.chars().all(|c| c.is_ascii_uppercase())
    };
    let mut parts = vec![Vec::new()];
    for word in span.split_whitespace() {
        match is_placeholder(word) {
            true => parts.push(Vec::new()),
            false => parts.last_mut().unwrap().push(word),
        }
    }
    parts.into_iter().filter(|words| words.len() > 1).map(|words| words.join(" ")).collect()
}

/// Whether a text has these parts, one after another.
fn has_all(text: &str, parts: &[String]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| match rest.find(part.as_str()) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// The first cells of the rows of a page's tables of messages.
fn messages(page: &str) -> Vec<&str> {
    let (mut cells, mut inside) = (Vec::new(), false);
    for line in page.lines() {
        inside = line.starts_with("| message |") || inside && line.starts_with('|');
        if inside && !line.starts_with("| message |") && !line.starts_with("|---") {
            cells.extend(line[1..].split(" | ").next());
        }
    }
    cells
}

#[test]
fn literals_spans_and_fragments_are_found() {
    let source = "// \"no\"\nbail!(\"{} is \\\"a\\\" \\\n         file\", r#\"b \"c\"\"#, '\"');\n\n#[cfg(test)]\nmod tests {\n\"d\" }\n";
    assert_eq!(literals(source), ["{} is \"a\" file", "b \"c\""]);
    assert_eq!(spans(" `a b`, ``c `d` ``; exit code 75"), ["a b", "c `d` "]);
    assert_eq!(fragments("no coordinator at ADDRESS within ... s: is it"), ["no coordinator at", "s: is it"]);
    assert_eq!(fragments("it is ..., but ... was expected"), ["it is", "was expected"]);
    let parts = fragments("a b ... c d");
    assert!(has_all("a b {} c d", &parts) && !has_all("c d, a b", &parts));
    let page = "| a | b |\n|---|---|\n| `x` | y |\n\n| message | cause |\n|---|---|\n| `z`, `w` | v |\n\n| `u` | t |\n";
    assert_eq!(messages(page), [" `z`, `w`"]);
}

#[test]
fn messages_that_are_explained_are_in_the_sources() {
    let mut texts = Vec::new();
    for (path, source) in sources().into_iter().filter(|(path, _)| is_production(path)) {
        let path = path.strip_prefix(root()).unwrap();
        if PLACES.iter().any(|place| path.starts_with(place)) {
            texts.extend(literals(&source));
        }
    }
    let page = fs::read_to_string(root().join("docs/how-to/troubleshoot.md")).unwrap();
    let (mut looked_at, mut absent) = (0, Vec::new());
    let cells = messages(&page);
    for span in cells.iter().flat_map(|cell| spans(cell)) {
        let parts = fragments(span);
        if parts.is_empty() || OTHERS.contains(&span) {
            continue;
        }
        looked_at += 1;
        if !texts.iter().any(|text| has_all(text, &parts)) {
            absent.push(span);
        }
    }
    assert!(absent.is_empty(), "docs/how-to/troubleshoot.md has messages that no program has: {absent:#?}");
    assert!(looked_at > 50, "{looked_at} messages were looked at");
    let told = |other: &&str| cells.iter().any(|cell| spans(cell).contains(other));
    let gone: Vec<&str> = OTHERS.into_iter().filter(|other| !told(other)).collect();
    assert!(gone.is_empty(), "these are not in docs/how-to/troubleshoot.md: {gone:?}");
}
