//! What all holders of an alignment agree on.

use hashvfl_core::{Digest, PartyName, RunId, Settings};
use serde::{Deserialize, Serialize};

use crate::error::AlignmentError;

/// Fewest and most holders.
pub const HOLDERS: std::ops::RangeInclusive<usize> = 2..=8;
/// Most records of a holder: row numbers are `u32`.
pub const MAX_RECORDS: u64 = u32::MAX as u64;

/// What becomes of letters' case in ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Case {
    /// Ids that differ in case are different.
    #[default]
    Keep,
    /// Letters become lower case (Unicode's full mapping).
    Lower,
}

/// Which Unicode normalization form ids are brought to (Unicode Standard Annex 15).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unicode {
    /// None.
    Keep,
    /// NFC: composed and decomposed letters are equal.
    #[default]
    Nfc,
    /// NFKC: wide, narrow and ligature forms are equal too.
    Nfkc,
}

/// The agreed settings of an alignment: equal at all holders, or they cannot talk to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignmentSettings {
    /// The alignment's id; another id is another alignment, with other scalars.
    pub id: RunId,
    /// The holders, 2 to 8, in the order in which sets pass from one to the next.
    pub holders: Vec<PartyName>,
    /// The holder that compares.
    pub comparer: PartyName,
    /// Letters' case.
    #[serde(default)]
    pub case: Case,
    /// Unicode normalization.
    #[serde(default)]
    pub unicode: Unicode,
    /// Columns that make up an id.
    #[serde(default = "one")]
    pub key_columns: usize,
    /// Most records that any holder may bring.
    pub most_records: u64,
}

fn one() -> usize {
    1
}

impl AlignmentSettings {
    /// Checks every value.
    ///
    /// # Errors
    /// When a value is out of its range; the message names the key.
    pub fn check(&self) -> Result<(), AlignmentError> {
        let bad = |text: String| Err(AlignmentError::Settings(text));
        if !HOLDERS.contains(&self.holders.len()) {
            return bad(format!("holders must be 2 to 8 names, not {}", self.holders.len()));
        }
        for (index, name) in self.holders.iter().enumerate() {
            if self.holders[..index].contains(name) {
                return bad(format!("holders names {name} twice"));
            }
        }
        if !self.holders.contains(&self.comparer) {
            return bad(format!("comparer = \"{}\" is not among holders", self.comparer));
        }
        if !(1..=16).contains(&self.key_columns) {
            return bad(format!("key_columns must be 1 to 16, not {}", self.key_columns));
        }
        if !(1..=MAX_RECORDS).contains(&self.most_records) {
            return bad(format!("most_records must be 1 to {MAX_RECORDS}, not {}", self.most_records));
        }
        Ok(())
    }

    /// The canonical pairs that holders compare.
    pub fn to_settings(&self) -> Settings {
        let names: Vec<&str> = self.holders.iter().map(PartyName::as_str).collect();
        let case = match self.case {
            Case::Keep => "keep",
            Case::Lower => "lower",
        };
        let unicode = match self.unicode {
            Unicode::Keep => "keep",
            Unicode::Nfc => "nfc",
            Unicode::Nfkc => "nfkc",
        };
        let pairs = [
            ("id", self.id.to_string()),
            ("holders", names.join(",")),
            ("comparer", self.comparer.to_string()),
            // White space around an id's parts is always dropped.
            ("trim", true.to_string()),
            ("case", case.to_string()),
            ("unicode", unicode.to_string()),
            ("key_columns", self.key_columns.to_string()),
            ("most_records", self.most_records.to_string()),
        ];
        let pairs = pairs.map(|(key, value)| (format!("alignment.{key}"), value));
        // Unwrap safety: eight different short keys; 8 names of 64 bytes stay below a value's limit.
        Settings::from_pairs(pairs.into_iter()).expect("few short pairs")
    }

    /// The digest of [`Self::to_settings`]: it names the alignment in handshakes, in ids' digests and on disk.
    pub fn digest(&self) -> Digest {
        self.to_settings().digest()
    }

    /// The place of a holder.
    pub(crate) fn place(&self, name: &PartyName) -> Option<usize> {
        self.holders.iter().position(|holder| holder == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(), String> {
        let settings: AlignmentSettings = toml::from_str(text).map_err(|error| error.to_string())?;
        settings.check().map_err(|error| error.to_string())
    }

    #[test]
    fn what_no_settings_may_say() {
        let good = "id = \"a\"\nholders = [\"x\", \"y\"]\ncomparer = \"y\"\nmost_records = 10";
        assert_eq!(parse(good), Ok(()));
        for (from, to, expected) in [
            ("[\"x\", \"y\"]", "[\"y\"]", "2 to 8 names, not 1"),
            ("[\"x\", \"y\"]", "[\"y\", \"y\"]", "names y twice"),
            ("comparer = \"y\"", "comparer = \"z\"", "\"z\" is not among"),
            ("= 10", "= 0", "most_records must be"),
            ("= 10", "= 10\nkey_columns = 0", "key_columns must be"),
            ("= 10", "= 10\ncase = \"upper\"", "upper"),
            ("= 10", "= 10\nsalt = 1", "salt"),
        ] {
            let error = parse(&good.replace(from, to)).unwrap_err();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
