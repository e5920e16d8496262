//! Where a process says how it is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

/// A Unix socket, which only this machine's user can reach, or an address of TCP.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum MonitorAddress {
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `ADDRESS:PORT`.
    Tcp(SocketAddr),
}

/// A text that is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected \"unix:PATH\" or \"ADDRESS:PORT\" with the address in numbers, not {0:?}")]
pub struct NoMonitorAddress(String);

impl MonitorAddress {
    /// The file of a Unix socket.
    pub fn socket(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Tcp(_) => None,
        }
    }

    /// A relative path starts at `folder`.
    pub fn resolve(&mut self, folder: &Path) {
        if let Self::Unix(path) = self {
            *path = folder.join(&*path);
        }
    }

    /// Where somebody on this machine reaches what listens here.
    pub(super) fn to_dial(&self) -> Self {
        match self {
            Self::Tcp(address) if address.ip().is_unspecified() => {
                let own: IpAddr = match address.ip() {
                    IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                };
                Self::Tcp(SocketAddr::new(own, address.port()))
            }
            other => other.clone(),
        }
    }
}

impl FromStr for MonitorAddress {
    type Err = NoMonitorAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some("") => Err(NoMonitorAddress(text.to_string())),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| NoMonitorAddress(text.to_string())),
        }
    }
}

impl TryFrom<String> for MonitorAddress {
    type Error = NoMonitorAddress;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for MonitorAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Tcp(address) => write!(formatter, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_written() {
        for text in ["unix:/run/hashvfl/monitor.sock", "127.0.0.1:9464", "[::1]:9464"] {
            assert_eq!(text.parse::<MonitorAddress>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "localhost:9464", "127.0.0.1", "http://127.0.0.1:9464"] {
            let refused = text.parse::<MonitorAddress>().unwrap_err().to_string();
            assert!(refused.contains("expected \"unix:PATH\""), "{refused}");
        }
    }

    #[test]
    fn who_listens_everywhere_is_dialled_on_this_machine() {
        let dialled = |text: &str| text.parse::<MonitorAddress>().unwrap().to_dial().to_string();
        assert_eq!(dialled("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(dialled("[::]:9464"), "[::1]:9464");
        assert_eq!(dialled("192.0.2.7:9464"), "192.0.2.7:9464");
    }
}
