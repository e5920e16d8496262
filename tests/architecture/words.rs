//! One name for one thing: discarded names stay out of the code. docs/reference/glossary.md has the names in use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::sources::{SourcePart, configs, is_generated, parts, root, sources, wire};

/// Identifiers that must not come back, each with the name in use.
const BANNED: [(&str, &str); 44] = [
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
    ("ServerMessage", "ServingPartyMessage"),
    ("ServerRequest", "ServingCoordinatorMessage"),
    ("server_message", "serving_party_message"),
    ("server_request", "serving_coordinator_message"),
    ("Draw", "EncodeSynthetic, Replicate"),
    ("flagged_share", "flagged_fraction"),
    ("weight_share", "mean_weight"),
    ("further", "what they are: other_splits, optional_tables"),
    ("telling", "what is told: farewell, partings"),
];

/// Names that no function has: they do not say of what.
const FUNCTIONS: [(&str, &str); 4] = [
    ("again", "start_again, replicates"),
    ("further", "what it is about"),
    ("telling", "what is told"),
    ("watch", "monitor_gradients, monitor_drift"),
];

/// Types whose names two crates had for different things: each is defined once at most.
const ONCE: [&str; 11] = [
    "Grid",
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
const NEVER: [&str; 18] = [
    "Absent", "Beside", "Ends", "Inside", "Kind", "Lacking", "Parting", "Place", "Places", "Refusal",
    "Released", "Releases", "Rows", "Said", "Spot", "Terms", "Trained", "Wishes",
];

/// Sources as code alone.
fn code() -> Vec<(PathBuf, String)> {
    sources().into_iter().map(|(path, text)| (path, code_of(&text))).collect()
}

/// A source without comments, strings and characters.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            SourcePart::Code(piece) => code.push_str(piece),
            SourcePart::Quoted(_) | SourcePart::Raw(_) | SourcePart::Other => code.push(' '),
        }
    }
    code
}

/// The identifiers of a code.
fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
}

/// The names that serde gives to fields and variants in files: `rename = "NAME"`. An alias is the name of an earlier version.
fn renames(text: &str) -> impl Iterator<Item = &str> {
    text.split("rename = \"").skip(1).filter_map(|rest| rest.split('"').next())
}

/// The keys and tables of a TOML file.
fn keys(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| {
        let is_table = line.starts_with('[');
        let name = if is_table { Some(line) } else { line.split_once('=').map(|(key, _)| key) };
        identifiers(name.unwrap_or_default())
    })
}

/// Fails where one of `words`, which stand in the file at `path`, is banned.
fn check_words<'a>(path: &Path, words: impl Iterator<Item = &'a str>) {
    for word in words {
        let banned = BANNED.iter().find(|(old, _)| *old == word);
        assert!(banned.is_none(), "{} names {banned:?}: see docs/reference/glossary.md", path.display());
    }
}

#[test]
fn words_of_before_stay_out_of_the_code() {
    let sources = sources();
    assert!(sources.len() > 300, "{} files were looked at", sources.len());
    for (path, text) in &sources {
        check_words(path, identifiers(&code_of(text)));
        check_words(path, renames(text));
    }
}

#[test]
fn words_of_before_stay_out_of_the_wire_and_of_configs() {
    let (wire, configs) = (wire(), configs());
    assert!(wire.len() >= 3 && configs.len() > 10, "{} and {} files", wire.len(), configs.len());
    for (path, text) in &wire {
        check_words(path, identifiers(&code_of(text)));
    }
    for (path, text) in &configs {
        check_words(path, keys(text));
    }
}

/// The names of a code's functions.
fn functions(code: &str) -> Vec<&str> {
    let words: Vec<&str> = identifiers(code).collect();
    words.windows(2).filter(|pair| pair[0] == "fn").map(|pair| pair[1]).collect()
}

#[test]
fn functions_say_what_they_are_about() {
    for (path, code) in code() {
        for name in functions(&code) {
            let banned = FUNCTIONS.iter().find(|(old, _)| *old == name);
            assert!(banned.is_none(), "{} has a function {banned:?}", path.display());
        }
    }
}

/// Files that define a type of this name; generated code, whose types have the names of core's, aside.
fn definitions<'a>(sources: &'a [(PathBuf, String)], name: &str) -> Vec<&'a Path> {
    let mut found = Vec::new();
    for (path, code) in sources {
        let words: Vec<&str> = identifiers(code).collect();
        let defines =
            |pair: &[&str]| matches!(pair[0], "struct" | "enum" | "trait" | "type") && pair[1] == name;
        if !is_generated(path) && words.windows(2).any(defines) {
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

/// The names of a code's public types. Macros name types by a parameter, in small letters: these are passed over.
fn public_types(code: &str) -> Vec<&str> {
    let words: Vec<&str> = identifiers(code).collect();
    let mut names = Vec::new();
    for words in words.windows(3) {
        let is_type = words[0] == "pub" && matches!(words[1], "struct" | "enum" | "trait" | "type");
        if is_type && words[2].starts_with(char::is_uppercase) {
            names.push(words[2]);
        }
    }
    names
}

#[test]
fn no_two_libraries_have_a_type_of_one_name() {
    let libraries = root().join("crates");
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for (path, code) in code() {
        let Ok(path) = path.strip_prefix(&libraries) else { continue };
        if !path.iter().any(|part| part == "src") {
            continue;
        }
        let library = path.iter().next().unwrap_or_default().to_string_lossy();
        for name in public_types(&code) {
            let owner = owners.entry(name.to_string()).or_insert_with(|| library.to_string());
            assert_eq!(*owner, library, "two libraries have a public type {name}");
        }
    }
    assert!(owners.len() > 500, "{} types were looked at", owners.len());
}

#[test]
fn names_are_found_in_every_kind_of_file() {
    let code = "#[serde(rename = \"left_out\", alias = \"nulls\")] pub excluded: u32 } fn watch(a: u8) {}";
    assert_eq!(renames(code).collect::<Vec<_>>(), ["left_out"]);
    assert_eq!(functions(&code_of(code)), ["watch"]);
    let types = "pub struct A<T>(T); pub(crate) enum B {} type C = u8; pub trait D {} pub struct $name;";
    assert_eq!(public_types(types), ["A", "D"]);
    let config = "# nulls = 1\n[run.noise]\ntest_share = 0.2 # course\n\"a b\" = \"Door\"\n";
    assert_eq!(keys(config).collect::<Vec<_>>(), ["run", "noise", "test_share", "a", "b"]);
    let wire = code_of("message Draw { // Lobby\n  uint64 left_out = 1;\n}");
    assert_eq!(identifiers(&wire).collect::<Vec<_>>(), ["message", "Draw", "uint64", "left_out", "1"]);
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
