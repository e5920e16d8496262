//! Who may read the pages at an address of TCP: processes of this machine, and whom a config names.

use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;

/// An address, or all addresses that begin like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressRange {
    address: IpAddr,
    /// Leading bits that count.
    bits: u32,
}

/// A text that is no such network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an address in numbers, such as \"192.0.2.7\", or a network, such as \"192.0.2.0/24\", not {0:?}"
)]
pub struct NoNetwork(String);

impl AddressRange {
    /// Whether `address` is in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                leading(own.to_bits().into(), 32, self.bits) == leading(other.to_bits().into(), 32, self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                leading(own.to_bits(), 128, self.bits) == leading(other.to_bits(), 128, self.bits)
            }
            _ => false,
        }
    }
}

/// The first `bits` bits of a number of `length` bits.
fn leading(number: u128, length: u32, bits: u32) -> u128 {
    number.checked_shr(length - bits).unwrap_or(0)
}

impl FromStr for AddressRange {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NoNetwork(text.to_string());
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > most { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

impl TryFrom<String> for AddressRange {
    type Error = NoNetwork;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Whether a browser that asks for `host` asks for an address, or for this machine: a page elsewhere can make it ask a
/// loopback address under a name of its own.
pub fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.is_empty() || name == "localhost" || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_the_addresses_that_begin_like_them() {
        let holds = |network: &str, address: &str| {
            network.parse::<AddressRange>().unwrap().holds(address.parse().unwrap())
        };
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
        assert!(holds("192.0.2.0/24", "192.0.2.200") && !holds("192.0.2.0/24", "192.0.3.1"));
        assert!(holds("192.0.2.0/24", "::ffff:192.0.2.9"), "the same address, written as the newer kind");
        assert!(holds("0.0.0.0/0", "198.51.100.1") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1") && !holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("::/0", "2001:db8::1"));
        for text in ["", "localhost", "192.0.2.0/33", "192.0.2.0/", "192.0.2/24", "::1/129", "1.2.3.4/-1"] {
            let refused = text.parse::<AddressRange>().unwrap_err().to_string();
            assert!(refused.contains("expected an address in numbers"), "{refused}");
        }
    }

    #[test]
    fn other_names_than_this_machine_s_are_known() {
        for host in ["127.0.0.1:9464", "[::1]:9464", "localhost:9464", "localhost", "192.0.2.7", ""] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in ["example.org", "example.org:9464", "127.0.0.1.example.org:80", "localhost.example.org"] {
            assert!(!names_this_machine(host), "{host}");
        }
    }
}
