//! Settings as canonical key/value pairs: what a handshake carries and what models and transcripts keep the digest of.

use std::collections::BTreeMap;

use serde_json::Value;

use super::RunSettings;
use crate::codes::form::CodeForm;
use crate::digest::Digest;
use crate::limits::{MAX_KEY_BYTES, MAX_SETTINGS, MAX_VALUE_BYTES};
use crate::name::PartyName;
use crate::text::is_plain;

impl RunSettings {
    /// The settings as canonical pairs: sorted keys, shortest exact numbers. Both sides digest the pairs, so their keys
    /// stay what they were when config files got other words (`CONFIG_WORDS`).
    pub fn to_settings(&self) -> Settings {
        // Unwrap safety: a struct of scalars, names and lists of names has a form in JSON.
        let Ok(Value::Object(fields)) = serde_json::to_value(self) else {
            unreachable!("settings are a table")
        };
        let mut settings: BTreeMap<String, String> = OPTIONAL
            .iter()
            .map(|key| (format!("run.{key}"), "none".to_string()))
            .chain(fields.iter().map(|(key, value)| (wire_key(key), canonical(value))))
            .collect();
        if !self.codes.is_empty() {
            settings.insert(OWN_CODES.to_string(), codes_text(&self.codes));
        }
        if self.randomised_response.is_some() {
            settings.insert(RESPONSE_DRAW.to_string(), "per-request".to_string());
        }
        Settings(settings)
    }

    /// Whether `digest` is that of these settings, in hex, as models, top models and transcripts keep it.
    pub fn check_digest(&self, digest: &str) -> Result<(), OtherSettings> {
        let mut settings = self.to_settings();
        if settings.digest().to_string() == digest {
            return Ok(());
        }
        let had_draw = settings.0.remove(RESPONSE_DRAW).is_some();
        let of_before = had_draw && settings.digest().to_string() == digest;
        Err(if of_before { OtherSettings::DrawnFromContent } else { OtherSettings::Unlike })
    }
}

/// The canonical key that says how flips of randomised response are drawn. It is there only with them, so that a peer of
/// before is refused by it and runs without flips are what they were.
const RESPONSE_DRAW: &str = "run.randomised_response_draw";

/// The canonical key of codes of parties' own. It is there only where there are some.
const OWN_CODES: &str = "run.codes";

/// The canonical text of codes of parties' own, as `telecom=1x4`: latents, and bits of each.
pub(super) fn codes_text(codes: &BTreeMap<PartyName, CodeForm>) -> String {
    codes.iter().map(|(party, form)| format!("{party}={form}")).collect::<Vec<_>>().join(",")
}

/// A party and its code, written as `codes_text` writes one; none where no run can have it.
pub fn parse_own_code(text: &str) -> Option<(PartyName, CodeForm)> {
    let (name, form) = text.split_once('=')?;
    Some((PartyName::new(name).ok()?, form.parse().ok()?))
}

/// The code of `party` in a text of `codes_text`; none where it has no code of its own, or one that no run can have.
pub fn own_code(text: &str, party: &PartyName) -> Option<CodeForm> {
    let mut codes = text.split(',').filter_map(parse_own_code);
    codes.find(|(name, _)| name == party).map(|(_, form)| form)
}

/// Why what a run left behind is not of the settings at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OtherSettings {
    /// They differ.
    #[error("it belongs to a run with other settings than the config's: restore the config of that run")]
    Unlike,
    /// They are the same, and its flips are those of an earlier version.
    #[error(
        "this run drew its flips from the records' content alone, so no epsilon holds for it: train again"
    )]
    DrawnFromContent,
}

/// Canonical key/value pairs, as a handshake carries them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings(BTreeMap<String, String>);

/// Why a peer's pairs are no settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairsError {
    /// Too many pairs, or a key or value that is too long.
    #[error("settings are at most {MAX_SETTINGS} pairs of {MAX_KEY_BYTES} and {MAX_VALUE_BYTES} bytes")]
    Size,
    /// A key or value holds a character that ends a line or changes the direction of text.
    #[error("a setting holds a character that ends a line or changes the direction of text")]
    Text,
    /// A key stands twice.
    #[error("a key occurs twice in the settings")]
    Duplicate,
}

/// Keys that a config file may lack and that have no default: "none" among the canonical pairs.
const OPTIONAL: [&str; 2] = ["gradient_noise", "randomised_response"];

/// What a key stands for that is absent. It is there only where it is something else, so that runs which do not use it are
/// what they were before.
const ABSENT: [(&str, &str); 2] = [("run.bits_per_latent", "1"), (OWN_CODES, "none")];

/// The canonical key of a field.
fn wire_key(field: &str) -> String {
    let key = format!("run.{field}");
    let other = CONFIG_WORDS.iter().find(|(_, word)| *word == key);
    other.map_or(key, |(wire, _)| wire.to_string())
}

/// The canonical text of a value: numbers as Rust writes them, lists with commas.
fn canonical(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        },
        Value::Array(items) => items.iter().map(canonical).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Keys of the canonical pairs that config files write otherwise.
const CONFIG_WORDS: [(&str, &str); 4] = [
    ("run.test_share", "run.test_fraction"),
    ("run.validation_share", "run.validation_fraction"),
    ("run.cohort_share", "run.cohort_fraction"),
    ("run.calibration_share", "run.calibration_fraction"),
];

/// A key of the canonical pairs as config files write it.
fn config_key(key: &str) -> &str {
    CONFIG_WORDS.iter().find(|(wire, _)| *wire == key).map_or(key, |(_, word)| word)
}

/// The first key on which two sides' settings differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key, as config files write it.
    pub key: String,
    /// This side's value, "(absent)" where it has none.
    pub ours: String,
    /// The other side's value, "(absent)" where it has none.
    pub theirs: String,
}

impl Settings {
    /// Takes a peer's pairs.
    pub fn from_pairs(pairs: impl ExactSizeIterator<Item = (String, String)>) -> Result<Self, PairsError> {
        if pairs.len() > MAX_SETTINGS {
            return Err(PairsError::Size);
        }
        let mut map = BTreeMap::new();
        for (key, value) in pairs {
            if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
                return Err(PairsError::Size);
            }
            if !key.chars().chain(value.chars()).all(is_plain) {
                return Err(PairsError::Text);
            }
            if map.insert(key, value).is_some() {
                return Err(PairsError::Duplicate);
            }
        }
        Ok(Self(map))
    }

    /// The pairs, sorted by key.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The same for a person: keys as config files write them.
    pub fn config_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs().map(|(key, value)| (config_key(key), value))
    }

    /// SHA-256 over the length-prefixed keys and values in key order.
    pub fn digest(&self) -> Digest {
        Digest::of_parts(self.0.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]))
    }

    /// The first key, in order, whose value is not `theirs`.
    pub fn difference(&self, theirs: &Self) -> Option<Difference> {
        let absent = |key: &str| {
            let known = ABSENT.iter().find(|(known, _)| *known == key);
            known.map_or("(absent)", |(_, value)| *value).to_string()
        };
        let keys: std::collections::BTreeSet<&String> = self.0.keys().chain(theirs.0.keys()).collect();
        keys.into_iter().find(|key| self.0.get(*key) != theirs.0.get(*key)).map(|key| Difference {
            key: config_key(key).to_string(),
            ours: self.0.get(key).cloned().unwrap_or_else(|| absent(key)),
            theirs: theirs.0.get(key).cloned().unwrap_or_else(|| absent(key)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{own, settings};

    #[test]
    fn a_difference_names_key_and_values() {
        let ours = settings().to_settings();
        assert_eq!(ours.difference(&ours), None);
        let theirs = RunSettings { bits: 8, ..settings() }.to_settings();
        assert_ne!(ours.digest(), theirs.digest());
        let difference = ours.difference(&theirs).unwrap();
        assert_eq!((difference.key.as_str(), difference.ours.as_str()), ("run.bits", "16"));
        let theirs = RunSettings { cohort_fraction: 0.5, ..settings() }.to_settings();
        assert_eq!(ours.difference(&theirs).unwrap().key, "run.cohort_fraction");
        assert!(theirs.config_pairs().any(|pair| pair == ("run.cohort_fraction", "0.5")));
        let theirs = RunSettings { bits_per_latent: 4, ..settings() }.to_settings();
        assert_ne!(ours.digest(), theirs.digest());
        let difference = ours.difference(&theirs).unwrap();
        assert_eq!((difference.key.as_str(), difference.ours.as_str()), ("run.bits_per_latent", "1"));
        let theirs = RunSettings { codes: own("telecom", 1, 4), ..settings() }.to_settings();
        assert_ne!(ours.digest(), theirs.digest());
        let difference = ours.difference(&theirs).unwrap();
        let told = (difference.key.as_str(), difference.ours.as_str(), difference.theirs.as_str());
        assert_eq!(told, ("run.codes", "none", "telecom=1x4"));
        let absent = ours.difference(&Settings::default()).unwrap();
        assert_eq!(absent.theirs, "(absent)");
    }

    #[test]
    fn codes_of_parties_own_are_read_as_they_were_written() {
        let codes = RunSettings { codes: own("telecom", 3, 4), ..settings() }.codes;
        let text = codes_text(&codes);
        let named = |name: &str| own_code(&text, &PartyName::new(name).unwrap());
        assert_eq!(named("telecom"), Some(CodeForm::new(3, 4)));
        assert_eq!(named("bank"), None);
        for damaged in ["telecom=3x9", "telecom=0x4", "telecom=3", "telecom", "telecom=99999999999x8"] {
            assert_eq!(own_code(damaged, &PartyName::new("telecom").unwrap()), None, "{damaged}");
        }
    }

    #[test]
    fn a_run_whose_flips_were_drawn_from_content_is_told_from_another_run() {
        let plain = settings();
        let noisy = RunSettings { randomised_response: Some(2.0), ..settings() };
        let digest = |settings: &RunSettings| settings.to_settings().digest().to_string();
        assert!(plain.to_settings().pairs().all(|(key, _)| key != RESPONSE_DRAW));
        let mut before = noisy.to_settings();
        before.0.remove(RESPONSE_DRAW);
        assert_eq!(noisy.check_digest(&digest(&noisy)), Ok(()));
        let old = noisy.check_digest(&before.digest().to_string());
        assert_eq!(old, Err(OtherSettings::DrawnFromContent));
        assert_eq!(noisy.check_digest(&digest(&plain)), Err(OtherSettings::Unlike));
        assert_eq!(plain.check_digest(&digest(&noisy)), Err(OtherSettings::Unlike));
        let difference = noisy.to_settings().difference(&before).unwrap();
        let told = (difference.key.as_str(), difference.ours.as_str(), difference.theirs.as_str());
        assert_eq!(told, (RESPONSE_DRAW, "per-request", "(absent)"));
    }

    #[test]
    fn the_pairs_that_peers_digest_are_what_they_were() {
        let settings =
            RunSettings { gradient_noise: Some(1e-7), learning_rate: 0.00002, seed: u64::MAX, ..settings() };
        let pairs: Vec<String> =
            settings.to_settings().pairs().map(|(key, value)| format!("{key} = {value}")).collect();
        let expected = [
            "batch_rows = 256",
            "bits = 16",
            "calibration_share = 0",
            "cohort_share = 1",
            "cycles = 1",
            "epochs = 30",
            "gradient = int8",
            "gradient_noise = 0.0000001",
            "learning_rate = 0.00002",
            "on_refusal = end",
            "parties = bank,telecom",
            "party_dropout = 0",
            "randomised_response = none",
            "refit = false",
            "row_order = shuffled",
            "schedule = one-cycle",
            "seed = 18446744073709551615",
            "task = binary",
            "test_share = 0.2",
            "validation_share = 0.1",
        ];
        assert_eq!(pairs, expected.map(|pair| format!("run.{pair}")));
    }

    #[test]
    fn pairs_from_a_peer_have_limits() {
        let many = (0..MAX_SETTINGS + 1).map(|i| (i.to_string(), String::new())).collect::<Vec<_>>();
        assert_eq!(Settings::from_pairs(many.into_iter()), Err(PairsError::Size));
        let twice = vec![("a".to_string(), "1".to_string()), ("a".to_string(), "2".to_string())];
        assert_eq!(Settings::from_pairs(twice.into_iter()), Err(PairsError::Duplicate));
        for forged in ["1\n2026-01-01 WARN all is well", "1\u{202e}"] {
            let forged = vec![("a".to_string(), forged.to_string())];
            assert_eq!(Settings::from_pairs(forged.into_iter()), Err(PairsError::Text));
        }
    }
}
