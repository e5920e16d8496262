//! Where a query runs, and how a cluster is known.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where a Ballista scheduler is, as `ballista://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterAddress {
    authority: String,
}

/// The port of a scheduler where an address has none.
const PORT: u16 = 50050;
const SCHEME: &str = "ballista://";
const EXPECTED: &str = "engine must be \"ballista://HOST:PORT\"";

impl ClusterAddress {
    /// `HOST:PORT`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host alone, which the scheduler's certificate has to name.
    pub fn host(&self) -> &str {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl TryFrom<String> for ClusterAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // The text is not shown: it may hold a password.
        let wrong = || format!("{EXPECTED}, without a user or password");
        let authority = text.strip_prefix(SCHEME).ok_or_else(wrong)?.trim_end_matches('/');
        let (host, port) = match authority.rsplit_once(':') {
            // A colon within brackets is one of an IPv6 address.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().map_err(|_| wrong())?),
            _ => (authority, PORT),
        };
        let is_name = |host: &str| {
            !host.is_empty()
                && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        let is_ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_ipv6 = is_ipv6.is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        if port == 0 || !(is_name(host) || is_ipv6) {
            return Err(wrong());
        }
        Ok(Self { authority: format!("{host}:{port}") })
    }
}

impl From<ClusterAddress> for String {
    fn from(address: ClusterAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ClusterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.authority)
    }
}

/// Whom a party believes to be its cluster, and how it shows who it is. PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterTls {
    /// The certificate authority that signs scheduler's and executors' certificates; no other is believed.
    pub ca: PathBuf,
    /// The party's own certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl ClusterTls {
    pub(crate) fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.ca, &mut self.certificate, &mut self.key] {
            *path = folder.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for (text, authority, host) in [
            ("ballista://db.bank.example:50051", "db.bank.example:50051", "db.bank.example"),
            ("ballista://localhost", "localhost:50050", "localhost"),
            ("ballista://[::1]:7/", "[::1]:7", "::1"),
            ("ballista://[::1]", "[::1]:50050", "::1"),
        ] {
            let address = ClusterAddress::try_from(text.to_owned()).unwrap();
            assert_eq!((address.authority(), address.host()), (authority, host), "{text}");
        }
        for text in [
            "",
            "localhost:50050",
            "http://localhost:50050",
            "ballista://",
            "ballista://:1",
            "ballista://h:0",
            "ballista://h:70000",
            "ballista://user@h:1",
            "ballista://h:1/path",
            "ballista://[x]:1",
        ] {
            let message = ClusterAddress::try_from(text.to_owned()).unwrap_err();
            assert!(message.contains("ballista://HOST:PORT"), "{message}");
        }
    }
}
