//! From what a certificate says to who it is. With an authority of our own the certificate says it itself; with an
//! organisation's own PKI a table of the config does.

use std::collections::BTreeMap;

use crate::certificate::Facts;
use crate::role::Identity;

/// How names of certificates become identities. Empty: a certificate's URI `hashvfl://ROLE/NAME` says it. Otherwise only
/// this table says it, and such URIs count for nothing.
///
/// Keys are `dns:`, `uri:` or `cn:` and the name as the certificate has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Naming(BTreeMap<String, Identity>);

/// Why a certificate names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Nameless {
    /// It has no name that counts.
    #[error("it has no name hashvfl://ROLE/NAME")]
    NoUri,
    /// Its name of our scheme is none.
    #[error("its name hashvfl://... is not followed by ROLE/NAME")]
    BadUri,
    /// None of its names is in the table.
    #[error("none of its {0} names is a key of identity.names (see `identity show CERTIFICATE`)")]
    NotInTable(usize),
    /// It has names of two.
    #[error("it has names of two: {0} and {1}")]
    Ambiguous(Identity, Identity),
}

impl Naming {
    /// Checks how the keys are spelt.
    ///
    /// # Errors
    /// One line about the first that is not.
    pub fn check(&self) -> Result<(), String> {
        for key in self.0.keys() {
            let known =
                ["dns:", "uri:", "cn:"].iter().any(|kind| key.len() > kind.len() && key.starts_with(kind));
            if !known {
                return Err(format!(
                    "identity.names: the key {key:?} must be dns:, uri: or cn: followed by a name as it appears in \
                     certificates"
                ));
            }
        }
        Ok(())
    }

    /// Who a certificate names.
    ///
    /// # Errors
    /// If it names nobody, or two.
    pub fn identity(&self, facts: &Facts) -> Result<Identity, Nameless> {
        let mut found: Option<Identity> = None;
        let candidates = if self.0.is_empty() { of_uris(facts)? } else { self.of_table(facts) };
        for candidate in candidates {
            match &found {
                Some(other) if *other != candidate => {
                    return Err(Nameless::Ambiguous(other.clone(), candidate));
                }
                _ => found = Some(candidate),
            }
        }
        let names = facts.dns.len() + facts.uris.len() + facts.common_names.len();
        found.ok_or(if self.0.is_empty() { Nameless::NoUri } else { Nameless::NotInTable(names) })
    }

    fn of_table(&self, facts: &Facts) -> Vec<Identity> {
        let mut keys: Vec<String> = Vec::new();
        keys.extend(facts.dns.iter().map(|dns| format!("dns:{dns}")));
        keys.extend(facts.uris.iter().map(|uri| format!("uri:{uri}")));
        keys.extend(facts.common_names.iter().map(|name| format!("cn:{name}")));
        keys.iter().filter_map(|key| self.0.get(key).cloned()).collect()
    }
}

fn of_uris(facts: &Facts) -> Result<Vec<Identity>, Nameless> {
    let mut found = Vec::new();
    for uri in &facts.uris {
        if let Some(identity) = Identity::from_uri(uri) {
            found.push(identity.map_err(|_| Nameless::BadUri)?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Fingerprint;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn facts(uris: &[&str], dns: &[&str], common_names: &[&str]) -> Facts {
        Facts {
            fingerprint: Fingerprint::of_public_key(b""),
            serial: "1".to_string(),
            not_before_s: 0,
            not_after_s: 1,
            is_authority: false,
            uris: owned(uris),
            dns: owned(dns),
            common_names: owned(common_names),
        }
    }

    #[test]
    fn a_certificate_names_one() {
        let own = Naming::default();
        let bank: Identity = "party/bank".parse().unwrap();
        assert_eq!(
            own.identity(&facts(&["https://x", "hashvfl://party/bank"], &[], &["shop"])),
            Ok(bank.clone())
        );
        assert_eq!(own.identity(&facts(&[], &["bank"], &["bank"])), Err(Nameless::NoUri));
        assert_eq!(own.identity(&facts(&["hashvfl://party/"], &[], &[])), Err(Nameless::BadUri));
        let two = own.identity(&facts(&["hashvfl://party/bank", "hashvfl://party/shop"], &[], &[]));
        assert!(matches!(two, Err(Nameless::Ambiguous(..))), "{two:?}");
    }

    #[test]
    fn a_table_alone_says_who_is_who() {
        let text = "\"dns:hfl.bank.example\" = \"party/bank\"\n\"cn:Shop AG\" = \"coordinator/shop\"";
        let table: Naming = toml::from_str(text).unwrap();
        table.check().unwrap();
        let bank = table.identity(&facts(&["hashvfl://coordinator/shop"], &["hfl.bank.example"], &[]));
        assert_eq!(bank.unwrap().to_string(), "party/bank");
        assert_eq!(table.identity(&facts(&[], &[], &["Shop AG"])).unwrap().to_string(), "coordinator/shop");
        assert_eq!(table.identity(&facts(&["hashvfl://party/bank"], &[], &[])), Err(Nameless::NotInTable(1)));
        let bad: Naming = toml::from_str("\"bank.example\" = \"party/bank\"").unwrap();
        assert!(bad.check().unwrap_err().contains("must be dns:"));
    }
}
