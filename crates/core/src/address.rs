//! Where a coordinator listens, as parties and clients are told.

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

const SCHEME: &str = "http://";

/// `http://HOST:PORT`, and nothing else: no user or password, which logs and errors would show.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Address {
    text: String,
    port: u16,
}

/// Why a text is no address. The text is not shown: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not begin with `http://`.
    #[error("expected http://HOST:PORT, with an identity too: the connection is over TLS then")]
    Scheme,
    /// It holds a user or a password.
    #[error(
        "expected http://HOST:PORT without a user or password: the coordinator asks for none; remove them"
    )]
    Credentials,
    /// It holds more than a host and a port.
    #[error("expected http://HOST:PORT and nothing behind the port; remove the rest")]
    Rest,
    /// It has no port, or one that cannot be.
    #[error("expected http://HOST:PORT with a port from 1 to 65535, such as http://127.0.0.1:7433")]
    Port,
    /// Its host is none.
    #[error(
        "expected http://HOST:PORT with a name or address as host; an IPv6 address stands in brackets: http://[::1]:7433"
    )]
    Host,
}

impl Address {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        let authority = self.text.trim_start_matches(SCHEME);
        authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']'])
    }

    /// Whether it is this machine's own, by its name or number.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let authority = text.trim().strip_prefix(SCHEME).ok_or(AddressError::Scheme)?;
        if authority.contains('@') {
            return Err(AddressError::Credentials);
        }
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#']) {
            return Err(AddressError::Rest);
        }
        let (host, port) = authority.rsplit_once(':').ok_or(AddressError::Port)?;
        let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match in_brackets {
            Some(host) => host.parse::<Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host
                        .chars()
                        .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_'))
            }
        };
        if !is_host {
            return Err(AddressError::Host);
        }
        match port.parse::<u16>() {
            Ok(number @ 1..) if port.bytes().all(|digit| digit.is_ascii_digit()) => {
                Ok(Self { text: format!("{SCHEME}{host}:{number}"), port: number })
            }
            _ => Err(AddressError::Port),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_alone() {
        for (text, expected) in [
            ("http://127.0.0.1:7433", "http://127.0.0.1:7433"),
            ("http://coordinator.example:80/", "http://coordinator.example:80"),
            (" http://[::1]:7433", "http://[::1]:7433"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().as_str(), expected);
        }
        for (text, host, port) in [
            ("http://[::1]:65535", "::1", 65535),
            ("http://a_b-c:1", "a_b-c", 1),
            ("http://127.0.0.1:7433/", "127.0.0.1", 7433),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port));
        }
        for (text, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("http://0.0.0.0:1", false),
            ("http://localhost.example:1", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_loopback(), expected, "{text}");
        }
        for (text, expected) in [
            ("127.0.0.1:7433", AddressError::Scheme),
            ("https://h:7433", AddressError::Scheme),
            ("http://user:secret@h:7433", AddressError::Credentials),
            ("http://secret@h:7433", AddressError::Credentials),
            ("http://h:7433/path", AddressError::Rest),
            ("http://h:7433?token=secret", AddressError::Rest),
            ("http://coordinator.example", AddressError::Port),
            ("http://h:0", AddressError::Port),
            ("http://h:99999", AddressError::Port),
            ("http://h:+80", AddressError::Port),
            ("http://h:", AddressError::Port),
            ("http://::1:7433", AddressError::Host),
            ("http://[::1:7433", AddressError::Host),
            ("http://[bank]:7433", AddressError::Host),
            ("http://:7433", AddressError::Host),
            ("http://a b:7433", AddressError::Host),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
