//! What a certificate names: a role and a name.

use std::fmt;
use std::str::FromStr;

use hashvfl_core::PartyName;

use crate::fingerprint::Fingerprint;

/// How an identity begins where it stands in a certificate.
const SCHEME: &str = "hashvfl://";

/// What a peer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It holds columns: trains, aligns, serves.
    Party,
    /// It listens, and holds labels.
    Coordinator,
    /// It asks for predictions.
    Client,
}

impl Role {
    /// As it is spelt in files and certificates.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Party => "party",
            Self::Coordinator => "coordinator",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        match text {
            "party" => Ok(Self::Party),
            "coordinator" => Ok(Self::Coordinator),
            "client" => Ok(Self::Client),
            _ => Err(IdentityError),
        }
    }
}

/// A role and a name, spelt `ROLE/NAME`, and `hashvfl://ROLE/NAME` in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity {
    /// What it may be.
    pub role: Role,
    /// Its name: of a party, a coordinator or a client.
    pub name: PartyName,
}

/// Who is on the other side of a connection, by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Its role and name.
    pub identity: Identity,
    /// Its key.
    pub fingerprint: Fingerprint,
    /// The serial number of its certificate, in hex.
    pub serial: String,
    /// Until when its certificate counts, in seconds since 1970.
    pub not_after_s: i64,
}

/// A text that is no identity. The text is not shown: it may be a stranger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected ROLE/NAME, such as party/bank: the role party, coordinator or client, the name 1 to 64 of a-z, A-Z, 0-9, -, _ and ."
)]
pub struct IdentityError;

impl Identity {
    /// An identity of these two.
    pub fn new(role: Role, name: PartyName) -> Self {
        Self { role, name }
    }

    /// As a certificate holds it.
    pub fn uri(&self) -> String {
        format!("{SCHEME}{self}")
    }

    /// The identity that a URI of a certificate says; `None` for a URI of another scheme.
    ///
    /// # Errors
    /// If it has our scheme and is no identity.
    pub fn from_uri(uri: &str) -> Option<Result<Self, IdentityError>> {
        uri.strip_prefix(SCHEME).map(str::parse)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role, self.name)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let (role, name) = text.split_once('/').ok_or(IdentityError)?;
        let name = PartyName::new(name).map_err(|_| IdentityError)?;
        Ok(Self { role: role.parse()?, name })
    }
}

impl TryFrom<String> for Identity {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, IdentityError> {
        text.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_spelt_one_way() {
        let bank: Identity = "party/bank".parse().unwrap();
        assert_eq!(bank.uri(), "hashvfl://party/bank");
        assert_eq!(Identity::from_uri(&bank.uri()), Some(Ok(bank)));
        assert_eq!(Identity::from_uri("https://bank.example/"), None);
        for bad in
            ["bank", "party/", "Party/bank", "party/a/b", "party/bank ", "guest/bank", "/bank", "party/../x"]
        {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
            assert_eq!(Identity::from_uri(&format!("hashvfl://{bad}")), Some(Err(IdentityError)), "{bad}");
        }
    }
}
