//! Cargo tests what has tests, and nothing else: for a program or a library without any, a test program of nothing would be linked
//! and run, and for documentation without examples a library read once more.

use std::fs;

use crate::dependencies::{manifest, members};
use crate::sources::{root, texts};

/// Words of a block in documentation that is compiled and run.
const RUST: [&str; 6] = ["", "rust", "no_run", "ignore", "should_panic", "compile_fail"];

fn has_tests(text: &str) -> bool {
    ["#[test]", "#[tokio::test"].iter().any(|mark| text.contains(mark))
}

/// Whether a source's documentation has an example.
fn has_examples(text: &str) -> bool {
    let mut inside = false;
    for line in text.lines().map(str::trim_start) {
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let Some(kind) = doc.and_then(|doc| doc.trim().strip_prefix("```")) else {
            inside &= doc.is_some();
            continue;
        };
        if !inside && kind.split(',').all(|word| RUST.contains(&word.trim())) {
            return true;
        }
        inside = !inside;
    }
    false
}

/// The library's sources; none where there is no library.
fn library(package: &str) -> Vec<String> {
    let folder = root().join(package).join("src");
    if !folder.join("lib.rs").exists() {
        return Vec::new();
    }
    let mut found = texts(&[&format!("{package}/src")]);
    found.retain(|(path, _)| !path.starts_with(folder.join("bin")) && *path != folder.join("main.rs"));
    found.into_iter().map(|(_, text)| text).collect()
}

/// The package's programs, each by the file or folder of its sources.
fn programs(package: &str) -> Vec<String> {
    let mut found = Vec::new();
    if root().join(package).join("src/main.rs").exists() {
        found.push("src/main.rs".to_string());
    }
    for entry in fs::read_dir(root().join(package).join("src/bin")).into_iter().flatten() {
        found.push(format!("src/bin/{}", entry.unwrap().file_name().display()));
    }
    found
}

/// What the manifest says of the program at `place`, if it says something.
fn program<'a>(manifest: &'a toml::Table, place: &str) -> Option<&'a toml::Value> {
    let file = place.rsplit('/').next().unwrap_or(place);
    let name = file.strip_suffix(".rs").unwrap_or(file);
    let says = |bin: &toml::Value, key: &str, value: &str| bin.get(key)?.as_str().map(|found| found == value);
    let mut bins = manifest.get("bin")?.as_array()?.iter();
    bins.find(|bin| says(bin, "path", place).or_else(|| says(bin, "name", name)) == Some(true))
}

/// Whether a target has `key` on, as all have about which nothing is said.
fn is_on(target: Option<&toml::Value>, key: &str) -> bool {
    target.and_then(|target| target.get(key)?.as_bool()).unwrap_or(true)
}

#[test]
fn examples_are_found() {
    for good in [
        "/// ```\n/// let a = 1;\n/// ```\n",
        "    //! ```rust,no_run\n",
        "/// ```text\n/// a\n/// ```\n/// ```\n",
    ] {
        assert!(has_examples(good), "{good}");
    }
    for none in [
        "/// ```text\n/// a\n/// ```\n",
        "// ```\n",
        "/// ```toml\n/// a = 1\n/// ```\nfn a() {}\n",
        "let a = \"```\";\n",
    ] {
        assert!(!has_examples(none), "{none}");
    }
}

#[test]
fn cargo_tests_what_has_tests_and_nothing_else() {
    let (mut on, mut wrong) = (0, Vec::new());
    for package in members() {
        let (manifest, library) = (manifest(&package), library(&package));
        let mut found = Vec::new();
        if !library.is_empty() {
            let target = manifest.get("lib");
            let tests = library.iter().any(|text| has_tests(text));
            let examples = library.iter().any(|text| has_examples(text));
            found.push(("[lib] test".to_string(), is_on(target, "test"), tests));
            found.push(("[lib] doctest".to_string(), is_on(target, "doctest"), examples));
        }
        for place in programs(&package) {
            let target = program(&manifest, &place);
            let tests = texts(&[&format!("{package}/{place}")]).iter().any(|(_, text)| has_tests(text));
            found.push((format!("[[bin]] test of {place}"), is_on(target, "test"), tests));
        }
        for (key, is_on, is_needed) in found {
            on += usize::from(is_on);
            if is_on != is_needed {
                wrong.push(format!("{package}/Cargo.toml: {key} is {is_on}, and should be {is_needed}"));
            }
        }
    }
    assert!(on > 20, "{on} targets are tested");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
