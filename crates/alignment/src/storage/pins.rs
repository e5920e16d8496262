//! Other holders' public keys in a policy file.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use hashvfl_core::PartyName;
use hashvfl_files::write_whole;
use hashvfl_ledger::Policy;

use crate::error::AlignmentError;
use crate::identity::PublicKey;
use crate::settings::AlignmentSettings;

/// The table that holds them.
const TABLE: &str = "[alignment.keys]";

/// A holder and its public key, as `NAME=KEY` on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedKey {
    /// The holder.
    pub holder: PartyName,
    /// Its key.
    pub key: PublicKey,
}

impl FromStr for PinnedKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (holder, key) = text.split_once('=').ok_or("expected NAME=KEY")?;
        let key = PublicKey::from_hex(key)
            .ok_or("a public key is 64 hex digits, as `keygen` and `key` print it")?;
        Ok(Self { holder: PartyName::new(holder).map_err(|error| error.to_string())?, key })
    }
}

/// Writes keys of other holders into the policy file at `path` of the holder with this `name` and `key`, behind what it
/// says already.
///
/// # Errors
/// If one is of no other holder, or of this one, or another key is pinned already; if the file cannot be read or
/// written. It is as it was then.
pub fn pin(
    path: &Path,
    settings: &AlignmentSettings,
    name: &PartyName,
    key: PublicKey,
    pins: &[PinnedKey],
) -> Result<(), AlignmentError> {
    let bad = |text: String| Err(AlignmentError::Settings(text));
    let mut wanted = Policy::read(path)?.alignment.keys;
    let mut lines = String::new();
    for PinnedKey { holder, key: pinned } in pins {
        if holder == name || !settings.holders.contains(holder) {
            return bad(format!("{holder} is not among the other holders"));
        }
        if *pinned == key {
            return bad(format!(
                "the key given for {holder} is this holder's own: ask {holder} for its public key"
            ));
        }
        let pinned = pinned.to_string();
        match wanted.insert(holder.to_string(), pinned.clone()) {
            None => lines += &format!("{holder:?} = \"{pinned}\"\n"),
            Some(before) if before == pinned => {}
            Some(_) => {
                return bad(format!(
                    "{} already pins another key of {holder}: if {holder} has a new key, remove the old one from that \
                     file",
                    path.display()
                ));
            }
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let text = std::fs::read_to_string(path).map_err(AlignmentError::io("read", path))?;
    let text = insert(&text, &lines);
    if keys(&text) != Some(wanted) {
        return bad(format!(
            "{} has no table {TABLE} that keys can be added to: add them by hand",
            path.display()
        ));
    }
    Ok(write_whole(path, text.as_bytes())?)
}

fn keys(text: &str) -> Option<BTreeMap<String, String>> {
    Policy::parse(text).ok().map(|policy| policy.alignment.keys)
}

/// The text with `lines` in the table of keys, which is put at its end where it is not there.
fn insert(text: &str, lines: &str) -> String {
    let mut out = String::with_capacity(text.len() + lines.len() + TABLE.len() + 3);
    let mut inserted = false;
    for line in text.lines() {
        out.push_str(line);
        out.push('\n');
        if !inserted && line.trim() == TABLE {
            out.push_str(lines);
            inserted = true;
        }
    }
    if !inserted {
        out.push_str(&format!("\n{TABLE}\n{lines}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SecretKey;

    #[test]
    fn keys_are_added_once_and_what_is_pinned_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        let key = |name: &str| SecretKey::create(&folder.path().join(name)).unwrap().public();
        let (own, bank, labels) = (key("own"), key("bank"), key("labels"));
        let name = |text: &str| PartyName::new(text).unwrap();
        let settings: AlignmentSettings = toml::from_str(
            "id = \"a\"\nholders = [\"bank\", \"b.c\", \"labels\"]\ncomparer = \"bank\"\nmost_records = 10",
        )
        .unwrap();
        let me = name("b.c");
        let pin = |pins: &[(&str, PublicKey)]| {
            let pins: Vec<PinnedKey> =
                pins.iter().map(|(holder, key)| PinnedKey { holder: name(holder), key: *key }).collect();
            super::pin(&path, &settings, &me, own, &pins).map_err(|error| error.to_string())
        };
        for before in
            ["# mine\nmin_batch = 3\n[alignment.keys]\n# none yet\n", "min_batch = 3", "[alignment.keys]"]
        {
            std::fs::write(&path, before).unwrap();
            pin(&[("bank", bank)]).unwrap();
            pin(&[("bank", bank), ("labels", labels)]).unwrap();
            let keys = Policy::read(&path).unwrap().alignment.keys;
            assert_eq!(
                (keys.len(), &keys["bank"], &keys["labels"]),
                (2, &bank.to_string(), &labels.to_string())
            );
            let after = std::fs::read_to_string(&path).unwrap();
            assert!(before.lines().all(|line| after.contains(line)), "{after}");
            for (pins, expected) in [
                (("bank", labels), "pins another key of bank"),
                (("b.c", bank), "not among the other holders"),
                (("telecom", bank), "not among the other holders"),
                (("labels", own), "this holder's own"),
            ] {
                let error = pin(&[pins]).unwrap_err();
                assert!(error.contains(expected), "{error}");
                assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
            }
        }
        std::fs::write(&path, "alignment = { most = 3 }\n").unwrap();
        assert!(pin(&[("bank", bank)]).unwrap_err().contains("by hand"));
        let parsed: PinnedKey = format!("bank={bank}").parse().unwrap();
        assert_eq!(parsed, PinnedKey { holder: name("bank"), key: bank });
        for text in ["bank", "bank=12", &format!("b nk={bank}")] {
            assert!(text.parse::<PinnedKey>().is_err());
        }
    }
}
