//! The config reference shows what each preset sets, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

const PRESETS: [&str; 2] = ["tabular", "image"];

/// Values by key and preset, as TOML writes them; a key's tables are joined by dots.
type Values = BTreeMap<(String, &'static str), String>;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// What the presets' files set.
fn set() -> Values {
    let mut values = Values::new();
    for preset in PRESETS {
        for part in ["run", "party", "coordinator"] {
            let file = root().join(format!("crates/cli/src/config/presets/{preset}-{part}.toml"));
            let table: Table = fs::read_to_string(&file).unwrap().parse().unwrap();
            flatten(table, "", preset, &mut values);
        }
    }
    values
}

fn flatten(table: Table, path: &str, preset: &'static str, values: &mut Values) {
    for (key, value) in table {
        let key = format!("{path}{key}");
        match value {
            Value::Table(inner) => flatten(inner, &format!("{key}."), preset, values),
            value => {
                values.insert((key, preset), value.to_string());
            }
        }
    }
}

/// What the page's table says.
fn documented() -> Values {
    let page = fs::read_to_string(root().join("docs/reference/config.md")).unwrap();
    let (_, section) = page.split_once("\n## Presets\n").expect("a section on presets");
    let section = section.split("\n## ").next().unwrap();
    let mut values = Values::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        for (preset, cell) in PRESETS.into_iter().zip(&cells[2..]) {
            if !cell.is_empty() {
                values.insert((cells[1].to_string(), preset), cell.to_string());
            }
        }
    }
    values
}

#[test]
fn the_page_says_what_presets_set() {
    let set = set();
    assert!(set.len() > 15, "{set:?}");
    assert_eq!(documented(), set);
}
