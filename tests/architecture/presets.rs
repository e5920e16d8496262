//! The config reference shows what each preset sets, and nothing else, and what these keys are without one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hashvfl_core::{RunSettings, Task};
use hashvfl_data::Preprocessing;
use hashvfl_learning::{EncoderConfig, TopConfig};
use toml::{Table, Value};

const PRESETS: [&str; 5] = ["tabular", "tabular-short", "tabular-multiclass", "tabular-regression", "image"];

/// Values by key and preset, as TOML writes them; a key's tables are joined by dots.
type Values = BTreeMap<(String, &'static str), String>;

/// How the page calls a config that names no preset.
const NONE: &str = "none";

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

/// What keys are in a config that names no preset and leaves them out.
fn own_defaults() -> Values {
    let of = |value: Result<Value, toml::ser::Error>| value.unwrap();
    let defaults = Table::from_iter([
        ("run".to_string(), of(Value::try_from(RunSettings::new(Vec::new(), Task::Binary, 1, 1)))),
        ("preprocessing".to_string(), of(Value::try_from(Preprocessing::default()))),
        ("encoder".to_string(), of(Value::try_from(EncoderConfig::default()))),
        ("top".to_string(), of(Value::try_from(TopConfig::default()))),
    ]);
    let mut values = Values::new();
    flatten(defaults, "", NONE, &mut values);
    for required in ["run.bits", "run.epochs"] {
        values.insert((required.to_string(), NONE), "required".to_string());
    }
    // Left out where codes are signs, validation follows every epoch and noise stays, as without these keys.
    values.insert(("run.bits_per_latent".to_string(), NONE), "1".to_string());
    values.insert(("top.validate".to_string(), NONE), "\"every-epoch\"".to_string());
    values.insert(("encoder.hash.initial_noise".to_string(), NONE), "absent".to_string());
    values.insert(("encoder.hash.noise_decay_fraction".to_string(), NONE), "0.1".to_string());
    values
}

/// What the page's table says.
fn documented() -> Values {
    let page = fs::read_to_string(root().join("docs/reference/config.md")).unwrap();
    let (_, section) = page.split_once("\n## Presets\n").expect("a section on presets");
    let section = section.split("\n## ").next().unwrap();
    let mut values = Values::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        for (preset, cell) in PRESETS.into_iter().chain([NONE]).zip(&cells[2..]) {
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
    let (without, with): (Values, Values) =
        documented().into_iter().partition(|((_, preset), _)| *preset == NONE);
    assert_eq!(with, set);
    let own = own_defaults();
    for (key, said) in &without {
        assert_eq!(Some(said), own.get(key), "{key:?}");
    }
    let keys = set.keys().map(|(key, _)| (key.clone(), NONE));
    assert!(keys.into_iter().all(|key| without.contains_key(&key)), "each key has a cell: {without:?}");
}
