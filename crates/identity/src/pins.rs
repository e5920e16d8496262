//! Keys of peers that were read out over another channel than the network: whoever signs certificates cannot put another
//! key under a name that is pinned.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use hashvfl_core::{Digest, PartyName};
use hashvfl_files::write_whole;

use crate::fingerprint::Fingerprint;
use crate::pem::{self, FileError, PINS};
use crate::role::{Identity, Role};

/// Fingerprints of keys by the identity that has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// One key of each identity, or, while one is replaced by another, both.
    #[serde(default)]
    pins: BTreeMap<Identity, Keys>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Keys {
    One(Fingerprint),
    Several(Vec<Fingerprint>),
}

/// `ROLE/NAME=FINGERPRINT`, as a command takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Who.
    pub identity: Identity,
    /// Its key.
    pub fingerprint: Fingerprint,
}

/// A text that is no pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected ROLE/NAME=FINGERPRINT, such as coordinator/shop=ABCD-EFGH-IJKL-MNOP-QRST-UV23: the other side reads it out from `identity show --config FILE`"
)]
pub struct PinError;

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let (identity, fingerprint) = text.split_once('=').ok_or(PinError)?;
        let identity = identity.parse().map_err(|_| PinError)?;
        Ok(Self { identity, fingerprint: fingerprint.parse().map_err(|_| PinError)? })
    }
}

impl Pins {
    /// Parses the text of `path`.
    ///
    /// # Errors
    /// If it is no table of pins.
    pub fn parse(text: &[u8], path: &Path) -> Result<Self, FileError> {
        let text = std::str::from_utf8(text).map_err(|_| PINS.wrong(path, "no UTF-8"))?;
        toml::from_str(text).map_err(|error| PINS.wrong(path, error.message().replace('\n', " ")))
    }

    /// Reads a file of pins; one that is not there pins nobody.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        if !path.exists() {
            return Ok(Self::default());
        }
        Self::parse(&pem::bytes(path, PINS)?, path)
    }

    /// Pins in addition, or in place of others.
    pub fn add(&mut self, pin: &Pin) {
        self.pins.insert(pin.identity.clone(), Keys::One(pin.fingerprint));
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let mut text = String::from(
            "# Keys of peers, as they were told by phone or in person (`identity pin`).\n[pins]\n",
        );
        for (identity, keys) in &self.pins {
            let quoted: Vec<String> = keys.all().iter().map(|key| format!("\"{key}\"")).collect();
            let value =
                if quoted.len() == 1 { quoted[0].clone() } else { format!("[{}]", quoted.join(", ")) };
            text += &format!("\"{identity}\" = {value}\n");
        }
        Ok(write_whole(path, text.as_bytes())?)
    }

    /// SHA-256 of all names with their keys, whatever else the file says; `None` where nobody is pinned.
    pub fn sha256(&self) -> Option<Digest> {
        let mut lines = String::new();
        for (identity, keys) in &self.pins {
            for key in keys.all() {
                lines += &format!("{identity}={key}\n");
            }
        }
        (!lines.is_empty()).then(|| Digest::of(lines.as_bytes()))
    }

    /// The keys that `identity` may have; `None` where it is not pinned.
    pub fn keys(&self, identity: &Identity) -> Option<&[Fingerprint]> {
        self.pins.get(identity).map(Keys::all)
    }

    /// The keys that whoever has this role may have, where only `name` counts if it is given; empty where none is pinned.
    pub fn keys_of(&self, role: Role, name: Option<&PartyName>) -> Vec<Fingerprint> {
        let mut keys = Vec::new();
        for (identity, pinned) in &self.pins {
            if identity.role == role && name.is_none_or(|name| *name == identity.name) {
                keys.extend_from_slice(pinned.all());
            }
        }
        keys
    }

    /// The names that are pinned in this role.
    pub fn names(&self, role: Role) -> Vec<PartyName> {
        let of_role = self.pins.keys().filter(|identity| identity.role == role);
        of_role.map(|identity| identity.name.clone()).collect()
    }

    /// Whoever of this role is pinned with this key.
    pub fn owner(&self, role: Role, key: Fingerprint) -> Option<&Identity> {
        for (identity, keys) in &self.pins {
            if identity.role == role && keys.all().contains(&key) {
                return Some(identity);
            }
        }
        None
    }

    /// How many are pinned.
    pub fn len(&self) -> usize {
        self.pins.len()
    }

    /// Whether nobody is pinned.
    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }
}

impl Keys {
    fn all(&self) -> &[Fingerprint] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Several(keys) => keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_written_as_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins.toml");
        let mut pins = Pins::read(&path).unwrap();
        assert!(pins.is_empty());
        let pin: Pin = "coordinator/shop=4oym iquy 7qob jgx3 6tej s35z".parse().unwrap();
        pins.add(&pin);
        pins.write(&path).unwrap();
        assert_eq!(Pins::read(&path).unwrap(), pins);
        assert_eq!(pins.keys(&pin.identity), Some([pin.fingerprint].as_slice()));
        assert_eq!(pins.keys(&"party/shop".parse().unwrap()), None);
        assert_eq!(pins.names(Role::Coordinator), std::slice::from_ref(&pin.identity.name));
        assert_eq!(pins.owner(Role::Coordinator, pin.fingerprint), Some(&pin.identity));
        assert!(pins.names(Role::Party).is_empty() && pins.owner(Role::Party, pin.fingerprint).is_none());
        for bad in ["shop=4OYM-IQUY-7QOB-JGX3-6TEJ-S35Z", "party/shop", "party/shop=ABCD"] {
            assert_eq!(bad.parse::<Pin>(), Err(PinError), "{bad}");
        }
        for bad in
            ["[pins]\n\"shop\" = \"4OYM-IQUY-7QOB-JGX3-6TEJ-S35Z\"", "[pin]", "[pins]\n\"party/a\" = 3"]
        {
            let error = Pins::parse(bad.as_bytes(), &path).unwrap_err().to_string();
            assert!(
                error.contains("pins.toml holds no table of pins") && error.contains("identity pin"),
                "{error}"
            );
        }
    }
}
