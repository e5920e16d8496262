//! One name for one thing: discarded names stay out of the code. docs/reference/glossary.md has the names in use.

use std::path::{Path, PathBuf};

use crate::sources::sources;

/// Identifiers that must not come back, each with the name in use.
const BANNED: [(&str, &str); 35] = [
    ("Lobby", "AdmissionService"),
    ("Door", "PartyConnection, HandshakeContext"),
    ("Link", "what the connection is for: TrainingConnection, ServingConnection, RelayConnection"),
    ("LinkSession", "ServingCoordinatorSession"),
    ("FromServer", "FromServingParty"),
    ("ToServer", "ToServingParty"),
    ("ServerSession", "ServingPartySession"),
    ("Recall", "SelfDistillation"),
    ("recall", "self_distillation"),
    ("CourseError", "TrainingError"),
    ("course", "training"),
    ("LeftOut", "ExcludedRecords"),
    ("left_out", "excluded"),
    ("Judge", "AnomalyScorer"),
    ("Watch", "GradientMonitor"),
    ("Watchman", "GradientGuard"),
    ("Scene", "AttackContext"),
    ("scene", "attack_context"),
    ("Bench", "VictimContext, DetectorBenchmark"),
    ("bench", "victim_context"),
    ("open_door", "positive_control"),
    ("Mismatch", "DensityRatio"),
    ("Gaussians", "Mahalanobis"),
    ("Components", "Pca"),
    ("Neighbours", "Knn"),
    ("Rarity", "ChowLiu"),
    ("drawn_chunks", "synthetic_chunks"),
    ("Teller", "ProgressReporter"),
    ("teller", "reporter"),
    ("Waits", "Timeouts"),
    ("test_share", "test_fraction"),
    ("validation_share", "validation_fraction"),
    ("cohort_share", "cohort_fraction"),
    ("calibration_share", "calibration_fraction"),
    ("nulls", "null_values"),
];

/// Types whose names two crates had for different things: each is defined once at most.
const ONCE: [&str; 10] = [
    "Labels",
    "RowSelection",
    "RowGroup",
    "ColumnType",
    "FlowKind",
    "RecordedKind",
    "CutLayer",
    "SentValues",
    "GradientMonitor",
    "DriftMonitor",
];

/// Names that tell nothing: no type has them.
const NEVER: [&str; 2] = ["Rows", "Kind"];

/// Where the wire's and the generated code's own names stand.
const WIRE: [&str; 2] = ["proto/src/generated", "proto/src/convert"];

/// Sources as code alone.
fn code() -> Vec<(PathBuf, String)> {
    sources().into_iter().map(|(path, text)| (path, code_of(&text))).collect()
}

/// A source without comments, strings and characters.
fn code_of(text: &str) -> String {
    let (mut code, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(hashes) = raw_string(rest) {
            let open = rest.find('"').unwrap() + 1;
            let close = format!("\"{}", "#".repeat(hashes));
            open + rest[open..].find(&close).map_or(rest[open..].len(), |end| end + close.len())
        } else if next == '"' {
            quoted(rest, '"')
        } else if is_character(rest) {
            quoted(rest, '\'')
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

/// The number of hashes of a raw string that begins here.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

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

/// The identifiers of a code.
fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
}

#[test]
fn words_of_before_stay_out_of_the_code() {
    let sources = code();
    assert!(sources.len() > 300, "{} files were looked at", sources.len());
    for (path, code) in &sources {
        if WIRE.iter().any(|wire| path.to_string_lossy().contains(wire)) {
            continue;
        }
        for word in identifiers(code) {
            let banned = BANNED.iter().find(|(old, _)| *old == word);
            assert!(banned.is_none(), "{} names {banned:?}: see docs/reference/glossary.md", path.display());
        }
    }
}

/// Files that define a type of this name, generated code aside.
fn definitions<'a>(sources: &'a [(PathBuf, String)], name: &str) -> Vec<&'a Path> {
    let mut found = Vec::new();
    for (path, code) in sources {
        let words: Vec<&str> = identifiers(code).collect();
        let defines =
            |pair: &[&str]| matches!(pair[0], "struct" | "enum" | "trait" | "type") && pair[1] == name;
        if !path.to_string_lossy().contains(WIRE[0]) && words.windows(2).any(defines) {
            found.push(path.as_path());
        }
    }
    found
}

#[test]
fn a_name_is_defined_once() {
    let sources = code();
    for (name, count) in ONCE.map(|name| (name, 1)).into_iter().chain(NEVER.map(|name| (name, 0))) {
        let found: Vec<&Path> = definitions(&sources, name);
        assert_eq!(found.len(), count, "{name} is defined in {found:?}");
    }
}

#[test]
fn comments_and_texts_are_no_code() {
    let code = code_of(
        "let a = \"Lobby \\\" Door\"; // Link\nlet b = r#\"Scene \" x\"#; let c = '\"'; fn f<'a>(x: &'a str) {}",
    );
    assert_eq!(
        identifiers(&code).collect::<Vec<_>>(),
        ["let", "a", "let", "b", "let", "c", "fn", "f", "a", "x", "a", "str"]
    );
}
