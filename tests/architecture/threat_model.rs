//! Each line of what holds in docs/explanation/threat-model.md names tests that exist.

use std::collections::BTreeSet;
use std::fs;

use crate::sources::{root, sources};

/// Words in a test's name, at least: settings and fields have fewer.
const WORDS: usize = 5;

/// The lines of a list, each with those that go on with it.
fn items(list: &str) -> Vec<&str> {
    list.split("\n- ").skip(1).collect()
}

/// Names of tests in an item.
fn tests(item: &str) -> Vec<&str> {
    let quoted = item.split('`').skip(1).step_by(2);
    quoted.filter(|word| word.split('_').count() >= WORDS && !word.contains(['/', '.', ' '])).collect()
}

/// Names of all functions, tests among them.
fn known() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for (_, text) in sources() {
        for line in text.lines() {
            if let Some((_, name)) = line.split_once("fn ") {
                known.insert(name.split(['(', '<']).next().unwrap_or_default().to_string());
            }
        }
    }
    known
}

#[test]
fn each_line_of_what_holds_names_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/explanation/threat-model.md")).unwrap();
    let (_, rest) = page.split_once("\n## What holds today\n").expect("a section of what holds");
    let (list, _) = rest.split_once("\n## ").expect("a section behind it");
    let (items, known) = (items(list), known());
    assert!(items.len() > 15, "{} lines", items.len());
    for item in items {
        let named = tests(item);
        assert!(!named.is_empty(), "no test keeps this line: {item}");
        let missing: Vec<&&str> = named.iter().filter(|name| !known.contains(**name)).collect();
        assert!(missing.is_empty(), "there is no test {missing:?}, which keeps this line: {item}");
    }
}
