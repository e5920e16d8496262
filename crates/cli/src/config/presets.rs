//! Presets: recipes that a config file names by one word. A key in the file overrides the preset's.

use std::ops::Range;

use anyhow::{anyhow, bail};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// A recipe for one role's config file.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// What the key `preset` says.
    pub name: &'static str,
    /// Config texts that complete a file: the `[run]` table that all roles share, and the role's own.
    texts: [&'static str; 2],
}

/// Presets of a party's config.
pub const PARTY_PRESETS: [Preset; 5] = [
    Preset {
        name: "tabular",
        texts: [include_str!("presets/tabular-run.toml"), include_str!("presets/tabular-party.toml")],
    },
    Preset {
        name: "tabular-short",
        texts: [
            include_str!("presets/tabular-short-run.toml"),
            include_str!("presets/tabular-short-party.toml"),
        ],
    },
    Preset {
        name: "tabular-multiclass",
        texts: [
            include_str!("presets/tabular-multiclass-run.toml"),
            include_str!("presets/tabular-multiclass-party.toml"),
        ],
    },
    Preset {
        name: "tabular-regression",
        texts: [
            include_str!("presets/tabular-regression-run.toml"),
            include_str!("presets/tabular-regression-party.toml"),
        ],
    },
    Preset {
        name: "image",
        texts: [include_str!("presets/image-run.toml"), include_str!("presets/image-party.toml")],
    },
];

/// Presets of a coordinator's config.
pub const COORDINATOR_PRESETS: [Preset; 5] = [
    Preset {
        name: "tabular",
        texts: [include_str!("presets/tabular-run.toml"), include_str!("presets/tabular-coordinator.toml")],
    },
    Preset {
        name: "tabular-short",
        texts: [
            include_str!("presets/tabular-short-run.toml"),
            include_str!("presets/tabular-short-coordinator.toml"),
        ],
    },
    Preset {
        name: "tabular-multiclass",
        texts: [
            include_str!("presets/tabular-multiclass-run.toml"),
            include_str!("presets/tabular-multiclass-coordinator.toml"),
        ],
    },
    Preset {
        name: "tabular-regression",
        texts: [
            include_str!("presets/tabular-regression-run.toml"),
            include_str!("presets/tabular-regression-coordinator.toml"),
        ],
    },
    Preset {
        name: "image",
        texts: [include_str!("presets/image-run.toml"), include_str!("presets/image-coordinator.toml")],
    },
];

/// The preset that a config's text names, where `error` speaks of a key that the text lacks and that the preset fills in.
pub(super) fn spoken_of(text: &str, error: &str) -> Option<String> {
    let own: Table = text.parse().ok()?;
    let name = own.get("preset")?.as_str()?;
    let presets = PARTY_PRESETS.into_iter().chain(COORDINATOR_PRESETS).filter(|preset| preset.name == name);
    let mut filled = presets.flat_map(|preset| preset.texts).filter_map(|text| text.parse::<Table>().ok());
    filled.any(|filled| speaks_of_absent(error, &own, &filled)).then(|| name.to_string())
}

/// Whether `error` speaks of a key of `filled` that `own` lacks.
fn speaks_of_absent(error: &str, own: &Table, filled: &Table) -> bool {
    filled.iter().any(|(key, value)| match (own.get(key), value) {
        (Some(Value::Table(own)), Value::Table(filled)) => speaks_of_absent(error, own, filled),
        (None, Value::Table(filled)) => speaks_of_absent(error, &Table::new(), filled),
        (Some(_), _) => false,
        (None, _) => error.contains(key.as_str()),
    })
}

/// The file's table completed by the preset that it names; `None` where it names none.
pub(super) fn complete<'a>(
    text: &'a str,
    presets: &[Preset],
) -> anyhow::Result<Option<Spanned<DeTable<'a>>>> {
    // Who has no presets refuses the key as unknown; a text that is no TOML is refused by whoever parses it.
    let (false, Ok(mut root)) = (presets.is_empty(), DeTable::parse(text)) else { return Ok(None) };
    let Some(value) = root.get_mut().remove("preset") else { return Ok(None) };
    let place = value.span();
    let line = text[..place.start].matches('\n').count() + 1;
    let names: Vec<String> = presets.iter().map(|preset| format!("\"{}\"", preset.name)).collect();
    let found = value.get_ref().as_str().and_then(|name| presets.iter().find(|preset| preset.name == name));
    let Some(preset) = found else {
        bail!("line {line}: preset must be one of {}", names.join(", "));
    };
    for text in preset.texts {
        let preset = DeTable::parse(text).map_err(|error| anyhow!("a preset: {}", error.message()))?;
        fill(root.get_mut(), preset.into_inner(), &place);
    }
    Ok(Some(root))
}

/// Adds what `table` lacks; an error in it is placed where the file names the preset. A table of another `kind` is left
/// alone: the preset's keys are none of its.
fn fill<'a>(table: &mut DeTable<'a>, preset: DeTable<'a>, place: &Range<usize>) {
    if let (Some(own), Some(other)) = (kind(table), kind(&preset))
        && own != other
    {
        return;
    }
    for (key, value) in preset {
        let value = value.into_inner();
        match (table.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut), value) {
            (Some(DeValue::Table(inner)), DeValue::Table(value)) => fill(inner, value, place),
            (Some(_), _) => {}
            (None, DeValue::Table(value)) => {
                let mut inner = DeTable::new();
                fill(&mut inner, value, place);
                table.insert(placed(key.into_inner(), place), placed(DeValue::Table(inner), place));
            }
            (None, value) => {
                table.insert(placed(key.into_inner(), place), placed(value, place));
            }
        }
    }
}

fn kind<'t>(table: &'t DeTable<'_>) -> Option<&'t str> {
    table.get("kind").and_then(|kind| kind.get_ref().as_str())
}

fn placed<T>(value: T, place: &Range<usize>) -> Spanned<T> {
    Spanned::new(place.clone(), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn completed(text: &str) -> Table {
        parse(text, &PARTY_PRESETS).unwrap()
    }

    #[test]
    fn a_preset_completes_a_file_and_the_files_own_keys_stay() {
        let table = completed("preset = \"tabular\"\n[run]\nepochs = 6\n[encoder]\ndropout = 0.5\n");
        assert_eq!(table["run"]["epochs"].as_integer(), Some(6));
        assert_eq!(table["run"]["batch_rows"].as_integer(), Some(128));
        assert_eq!(table["encoder"]["dropout"].as_float(), Some(0.5));
        assert_eq!(table["encoder"]["model"]["kind"].as_str(), Some("mlp"));
        assert!(!table.contains_key("preset"));
        assert_eq!(completed("name = \"bank\"").len(), 1, "no preset, no keys");
    }

    #[test]
    fn a_preset_is_spoken_of_where_the_key_of_an_error_is_its_own() {
        let (text, cycles) = ("preset = \"tabular\"\nrun = { epochs = 7 }", "run.cycles must be a divisor");
        assert_eq!(spoken_of(text, cycles), Some("tabular".to_string()));
        assert_eq!(spoken_of(text, "insecure_plaintext = true and [identity] exclude each other"), None);
        assert_eq!(spoken_of("preset = \"tabular\"\nrun = { cycles = 7 }", cycles), None);
        assert_eq!(spoken_of("run = { epochs = 7 }", cycles), None);
    }

    /// What a preset sets decides what is learned: whoever changes a value changes this line, and says in
    /// docs/research/accuracy.md why.
    #[test]
    fn every_value_of_a_preset_is_pinned() {
        let said = |presets: &[Preset], name: &str| {
            parse::<Table>(&format!("preset = {name:?}"), presets).unwrap().to_string()
        };
        for (presets, name, expected) in [
            (&PARTY_PRESETS, "tabular", PINNED[0]),
            (&PARTY_PRESETS, "tabular-multiclass", PINNED[1]),
            (&PARTY_PRESETS, "tabular-regression", PINNED[2]),
            (&PARTY_PRESETS, "image", PINNED[3]),
            (&COORDINATOR_PRESETS, "tabular", PINNED[4]),
            (&COORDINATOR_PRESETS, "tabular-multiclass", PINNED[5]),
            (&COORDINATOR_PRESETS, "tabular-regression", PINNED[6]),
            (&COORDINATOR_PRESETS, "image", PINNED[7]),
            (&PARTY_PRESETS, "tabular-short", PINNED[8]),
            (&COORDINATOR_PRESETS, "tabular-short", PINNED[9]),
        ] {
            let expected: Table = expected.parse().unwrap();
            assert_eq!(said(presets, name), expected.to_string(), "{name}");
        }
    }

    const PINNED: [&str; 10] = [
        "preprocessing = \"auto\"
         run = { bits = 16, epochs = 30, batch_rows = 128, learning_rate = 0.003, cycles = 3 }
         [encoder]
         dropout = 0.1
         model = { kind = \"mlp\", hidden = [128] }
         hash = { noise = 0.4, clip = 0.4, surrogate = \"bell\" }",
        "preprocessing = \"auto\"
         run = { bits = 64, bits_per_latent = 2, epochs = 30, batch_rows = \"auto\", learning_rate = 0.003 }
         [encoder]
         model = { kind = \"mlp\", hidden = [128] }
         hash = { noise = 0.4, clip = 0.4, surrogate = \"bell\" }",
        "preprocessing = \"auto\"
         run = { bits = 64, epochs = 30, batch_rows = \"auto\", learning_rate = 0.003, cycles = 3 }
         [encoder]
         dropout = 0.2
         model = { kind = \"mlp\", hidden = [128] }
         hash = { noise = 0.25, clip = 0.4, surrogate = \"bell\" }",
        "preprocessing = \"none\"
         run = { bits = 32, epochs = 10, batch_rows = 256, learning_rate = 0.003 }
         encoder = { model = { kind = \"cnn\" } }",
        "run = { bits = 16, epochs = 30, batch_rows = 128, learning_rate = 0.003, cycles = 3 }
         top = { hidden = [64], dropout = 0.3, loss = { distillation = 0.6 } }",
        "run = { bits = 64, bits_per_latent = 2, epochs = 30, batch_rows = \"auto\", learning_rate = 0.003 }
         top = { hidden = [64] }",
        "run = { bits = 64, epochs = 30, batch_rows = \"auto\", learning_rate = 0.003, cycles = 3 }
         top = { hidden = [64], dropout = 0.3, loss = { distillation = 0.6 } }",
        "run = { bits = 32, epochs = 10, batch_rows = 256, learning_rate = 0.003 }
         top = { hidden = [64] }",
        "preprocessing = \"auto\"
         run = { bits = 5, bits_per_latent = 5, epochs = 30, batch_rows = 128, learning_rate = 0.003, cycles = 3 }
         [encoder]
         dropout = 0.1
         model = { kind = \"mlp\", hidden = [128] }
         hash = { noise = 0.1, initial_noise = 3.0, noise_decay_fraction = 0.15, clip = 0.4, surrogate = \"bell\" }",
        "run = { bits = 5, bits_per_latent = 5, epochs = 30, batch_rows = 128, learning_rate = 0.003, cycles = 3 }
         top = { hidden = [64], dropout = 0.3, validate = \"last-cycle\", loss = { distillation = 0.6 } }",
    ];

    #[test]
    fn a_model_of_another_kind_takes_nothing_from_the_preset() {
        let table = completed("encoder.model.kind = \"cnn\"\npreset = \"tabular\" # as the recipe says\n");
        assert_eq!(table["encoder"]["model"].as_table().map(Table::len), Some(1));
    }

    #[test]
    fn numbers_of_64_bits_stay_what_they_are() {
        #[derive(serde::Deserialize)]
        struct Seeded {
            seed: u64,
        }
        let text = format!("preset = \"tabular\"\nseed = {}\n", u64::MAX);
        assert_eq!(parse::<Seeded>(&text, &PARTY_PRESETS).unwrap().seed, u64::MAX);
    }

    #[test]
    fn errors_name_the_place() {
        let refused = |text: &str| parse::<Table>(text, &PARTY_PRESETS).unwrap_err().to_string();
        assert_eq!(
            refused("a = 1\npreset = \"sound\""),
            "line 2: preset must be one of \"tabular\", \"tabular-short\", \"tabular-multiclass\", \"tabular-regression\", \
             \"image\""
        );
        assert!(refused("preset = 3").starts_with("line 1: preset must be one of \"tabular\", "));
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Other {
            #[expect(dead_code, reason = "only its errors are looked at")]
            run: Table,
        }
        let presets = [Preset { name: "run", texts: ["[run]\nepochs = 1", ""] }];
        let error = parse::<Other>("preset = \"run\"\nother = 1\n", &presets).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("unknown field `other`"), "{error}");
        // The file's own run lacks a key that the preset has, and the mistake stands behind it.
        let later = parse::<Other>("preset = \"run\"\n[run]\n[encoder]\n", &presets).unwrap_err().to_string();
        assert!(later.contains("line 3") && later.contains("unknown field `encoder`"), "{later}");
        let unknown = parse::<Other>("preset = \"run\"\nrun = { }", &[]).unwrap_err().to_string();
        assert!(unknown.contains("unknown field `preset`"), "{unknown}");
    }
}
