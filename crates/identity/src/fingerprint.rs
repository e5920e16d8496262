//! A public key, short enough to be read over the phone.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Digits of base32 (RFC 4648): no 0, 1 or 8, which could be heard or read as O, I or B.
const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Bytes of the digest that are shown: 120 bits, so that nobody finds another key with the same.
const BYTES: usize = 15;
/// Digits between two dashes.
const GROUP: usize = 4;

/// The first 120 bits of the SHA-256 of a public key (its SubjectPublicKeyInfo): six groups of four letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; BYTES]);

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a fingerprint: six groups of four of A-Z and 2-7, such as ABCD-EFGH-IJKL-MNOP-QRST-UV23")]
pub struct FingerprintError;

impl Fingerprint {
    /// Of a SubjectPublicKeyInfo in DER.
    pub fn of_public_key(spki: &[u8]) -> Self {
        let digest = Sha256::digest(spki);
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&digest[..BYTES]);
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0;
        for chunk in self.0.chunks(5) {
            let mut bits = 0_u64;
            for byte in chunk {
                bits = bits << 8 | u64::from(*byte);
            }
            for place in (0..8).rev() {
                if shown > 0 && shown % GROUP == 0 {
                    f.write_str("-")?;
                }
                let digit = DIGITS[(bits >> (5 * place) & 31) as usize];
                write!(f, "{}", char::from(digit))?;
                shown += 1;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Case, dashes and blanks make no difference.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut values = Vec::with_capacity(BYTES * 8 / 5);
        for letter in text.bytes().filter(|letter| !matches!(letter, b'-' | b' ')) {
            let digit = letter.to_ascii_uppercase();
            let value = DIGITS.iter().position(|known| *known == digit).ok_or(FingerprintError)?;
            values.push(value as u64);
        }
        if values.len() != BYTES * 8 / 5 {
            return Err(FingerprintError);
        }
        let mut bytes = [0; BYTES];
        for (chunk, digits) in bytes.chunks_mut(5).zip(values.chunks(8)) {
            let mut bits = 0_u64;
            for value in digits {
                bits = bits << 5 | value;
            }
            chunk.copy_from_slice(&bits.to_be_bytes()[3..]);
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_spoken() {
        // SHA-256 of nothing begins with e3b0c44298fc1c149afbf4c8996fb9.
        let empty = Fingerprint::of_public_key(b"");
        assert_eq!(empty.to_string(), "4OYM-IQUY-7QOB-JGX3-6TEJ-S35Z");
        for spoken in ["4oym iquy 7qob jgx3 6tej s35z", "4OYMIQUY7QOBJGX36TEJS35Z"] {
            assert_eq!(spoken.parse(), Ok(empty), "{spoken}");
        }
        for bad in ["", "4OYM", "4OYM-IQUY-7QOB-JGX3-6TEJ-S35Z-A", "0OYM-IQUY-7QOB-JGX3-6TEJ-S35Z"] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError), "{bad}");
        }
    }
}
