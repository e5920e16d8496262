//! Where a coordinator listens, as a party's config names it.

use core::net::Ipv6Addr;
use std::fmt;

/// `http://HOST:PORT`, and nothing more: an address with a password in it is none, so that no log can show it.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CoordinatorAddress {
    host: String,
    port: u16,
}

/// Why a text is no address; it never shows the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator's address must be http://HOST:PORT, such as http://10.0.0.7:7433: {0}")]
pub struct AddressError(&'static str);

impl CoordinatorAddress {
    /// Checks and takes an address.
    ///
    /// # Errors
    /// If it is of another form, or its port is none.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        let fault = |reason| Err(AddressError(reason));
        let Some(rest) = text.strip_prefix("http://") else {
            return fault(match text.starts_with("https://") {
                true => "https is not spoken, see docs/wire.md",
                false => "it does not begin with http://",
            });
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return fault("it names a user, and nobody logs in here");
        }
        if rest.contains(['/', '?', '#']) {
            return fault("something follows the port");
        }
        let Some((host, port)) = rest.rsplit_once(':').filter(|(host, _)| !host.is_empty()) else {
            return fault("it names no port");
        };
        let host_fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
            None if host.contains(':') => {
                return fault("an address of IPv6 stands in brackets, as in http://[::1]:7433");
            }
            None => host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
        };
        if !host_fits {
            return fault("its host is no name and no number of a machine");
        }
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self { host: host.to_string(), port }),
            _ => fault("a port is a whole number from 1 to 65535"),
        }
    }

    /// The host, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for CoordinatorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for CoordinatorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl std::str::FromStr for CoordinatorAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::new(text)
    }
}

impl TryFrom<String> for CoordinatorAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::new(&text)
    }
}

impl From<CoordinatorAddress> for String {
    fn from(address: CoordinatorAddress) -> String {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_and_a_port_are_an_address_and_no_password_is_shown() {
        for text in [
            "http://127.0.0.1:7433",
            "http://coordinator.example:1",
            "http://[::1]:65535",
            "http://a_b-c:7433/",
        ] {
            let address = CoordinatorAddress::new(text).unwrap();
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
        assert_eq!(CoordinatorAddress::new("http://[::1]:7").unwrap().host(), "::1");
        for (text, expected) in [
            ("http://coordinator.example", "names no port"),
            ("http://127.0.0.1:99999", "from 1 to 65535"),
            ("http://127.0.0.1:0", "from 1 to 65535"),
            ("http://127.0.0.1:", "from 1 to 65535"),
            ("http://::1:7433", "brackets"),
            ("http://[::1:7433", "brackets"),
            ("http://[bank]:7433", "no name"),
            ("http://user:secret@127.0.0.1:9", "names a user"),
            ("http://bank:7433/secret", "follows the port"),
            ("http://:7433", "names no port"),
            ("https://bank:7433", "https is not spoken"),
            ("bank:7433", "begin with http://"),
            ("http://ba nk:7433", "no name"),
        ] {
            let error = CoordinatorAddress::new(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("http://HOST:PORT"), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
