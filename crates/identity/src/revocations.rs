//! What revocation lists say: which certificates they take back, and until when they count.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hashvfl_core::hex::hex;
use rustls::pki_types::TrustAnchor;
use webpki::{CertRevocationList, OwnedCertRevocationList, RawPublicKeyEntity};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::certificate::hex_of_serial;
use crate::dates::DAY_S;
use crate::issued::IssuedFile;
use crate::pem::{self, FileError, LIST};

/// Days before the end of a revocation list from which its owner is warned, at most: a quarter of the time for which it
/// counts, where that is shorter.
const WARN_DAYS: i64 = 7;
/// Bytes of a list's number, at most (RFC 5280).
const MOST_NUMBER_BYTES: usize = 20;
/// Names of new revocations that are told at once, at most.
const MOST_NAMES: usize = 50;

/// One issuer's revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListFacts {
    /// Who has signed it, by its own word, in DER.
    pub issuer: Vec<u8>,
    /// Whether that is known: an authority that is trusted here has. One below it may have all the same.
    pub is_signed: bool,
    /// Its number, which rises: big-endian bytes without leading zeros.
    pub number: Vec<u8>,
    /// From when it counts, in seconds since 1970.
    pub from_s: i64,
    /// Until when.
    pub until_s: i64,
}

impl ListFacts {
    /// From how long before its end on its owner is warned, in seconds.
    pub fn lead_s(&self) -> i64 {
        (WARN_DAYS * DAY_S).min(self.until_s.saturating_sub(self.from_s) / 4)
    }
}

/// The revocation lists of a file.
#[derive(Default)]
pub(crate) struct Lists {
    /// To look a certificate up in.
    pub lists: Vec<CertRevocationList<'static>>,
    /// What each says of itself.
    pub facts: Vec<ListFacts>,
    /// Serial numbers of what they take back, in hex.
    pub serials: BTreeSet<String>,
}

impl Lists {
    /// Reads `bytes`, which come from the file `path`, where `anchors` are trusted.
    ///
    /// # Errors
    /// If there is no list, or one that is damaged, has no number or no end, or names one of `anchors` that has not signed it.
    pub fn parse(bytes: &[u8], path: &Path, anchors: &[TrustAnchor<'_>]) -> Result<Self, FileError> {
        let mut read = Self::default();
        for der in pem::lists(bytes, path)? {
            let (_, parsed) = CertificateRevocationList::from_der(&der)
                .map_err(|_| LIST.wrong(path, "a list in it is damaged"))?;
            let until_s = parsed.next_update().map(|next| next.timestamp());
            let number = parsed.crl_number().map(|number| number.to_bytes_be());
            let (Some(until_s), Some(number)) = (until_s, number) else {
                return Err(LIST.wrong(path, "a list in it has no number or no end"));
            };
            if number.len() > MOST_NUMBER_BYTES {
                return Err(LIST.wrong(path, "a list in it has a number of more than 20 bytes"));
            }
            let list = OwnedCertRevocationList::from_der(&der)
                .map_err(|error| LIST.wrong(path, format!("{error:?}")))?;
            let list = CertRevocationList::from(list);
            let is_signed = is_signed(&parsed, list.issuer(), anchors).ok_or_else(|| {
                LIST.wrong(
                    path,
                    "a list in it was not signed by the authority that it names: it is damaged, or a forgery",
                )
            })?;
            let (issuer, from_s) = (parsed.issuer().as_raw().to_vec(), parsed.last_update().timestamp());
            read.facts.push(ListFacts { issuer, is_signed, number, from_s, until_s });
            let serials = parsed.iter_revoked_certificates().map(|one| hex_of_serial(one.raw_serial()));
            read.serials.extend(serials);
            read.lists.push(list);
        }
        Ok(read)
    }
}

/// Whether one of `anchors` has signed `list`, which names `issuer`; `None` if one has that name, and none of that name has.
fn is_signed(
    list: &CertificateRevocationList<'_>,
    issuer: &[u8],
    anchors: &[TrustAnchor<'_>],
) -> Option<bool> {
    let mut is_named = false;
    for anchor in anchors {
        if *anchor.subject != *issuer {
            continue;
        }
        is_named = true;
        if has_signed(anchor, list) {
            return Some(true);
        }
    }
    (!is_named).then_some(false)
}

fn has_signed(anchor: &TrustAnchor<'_>, list: &CertificateRevocationList<'_>) -> bool {
    let key = webpki::spki_for_anchor(anchor);
    let Ok(key) = RawPublicKeyEntity::try_from(&key) else { return false };
    let (text, signature): (&[u8], &[u8]) = (list.tbs_cert_list.as_ref(), &list.signature_value.data);
    // Those for other kinds of keys fail at once.
    webpki::ALL_VERIFICATION_ALGS
        .iter()
        .any(|algorithm| key.verify_signature(*algorithm, text, signature).is_ok())
}

/// A list's number as a person reads it: decimal, or hex where it has more than 16 bytes.
pub(crate) fn number_text(number: &[u8]) -> String {
    if number.len() > 16 {
        return format!("0x{}", hex(number));
    }
    number.iter().fold(0_u128, |value, byte| (value << 8) | u128::from(*byte)).to_string()
}

/// What all revocation lists of a side take back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Numbers of the lists, in the order of the file; empty without a list.
    numbers: Vec<String>,
    /// Serial numbers of certificates, in hex.
    serials: BTreeSet<String>,
    /// The file of the lists.
    list: PathBuf,
}

impl Revocations {
    pub(crate) fn new(list: &Path, lists: &[ListFacts], serials: BTreeSet<String>) -> Self {
        let numbers = lists.iter().map(|list| number_text(&list.number)).collect();
        Self { numbers, serials, list: list.to_path_buf() }
    }

    /// Numbers of the lists, such as `7`, or `7, 12` of two authorities; `None` where no list is asked.
    pub fn numbers(&self) -> Option<String> {
        (!self.numbers.is_empty()).then(|| self.numbers.join(", "))
    }

    /// Certificates that are taken back.
    pub fn count(&self) -> usize {
        self.serials.len()
    }

    /// Whose certificates are taken back here and were not `before`: names, each once, where the issuance file lies beside the
    /// list, and serial numbers otherwise. 50 at most.
    pub fn since(&self, before: &Self) -> Vec<String> {
        let issued = IssuedFile::read(&self.list.with_file_name("issued.json")).unwrap_or_default();
        let mut names = BTreeSet::new();
        for serial in self.serials.difference(&before.serials) {
            let known = issued.certificates.iter().find(|issued| issued.serial == *serial);
            names.insert(match known {
                Some(issued) => issued.identity.to_string(),
                None => format!("certificate {serial}"),
            });
        }
        names.into_iter().take(MOST_NAMES).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let long = format!("0x{}", "01".repeat(17));
        let cases: [(&[u8], &str); 4] = [(&[0], "0"), (&[7], "7"), (&[1, 0], "256"), (&[1; 17], &long)];
        for (bytes, text) in cases {
            assert_eq!(number_text(bytes), text);
        }
    }

    #[test]
    fn a_list_that_is_short_lived_is_warned_of_late() {
        let list = |days: i64| ListFacts {
            issuer: Vec::new(),
            is_signed: true,
            number: vec![1],
            from_s: 0,
            until_s: days * DAY_S,
        };
        assert_eq!(list(90).lead_s(), 7 * DAY_S);
        assert_eq!(list(4).lead_s(), DAY_S);
    }

    #[test]
    fn what_is_new_is_named_once_and_by_its_serial_number_where_nobody_knows_it() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("revoked.pem");
        let of = |serials: &[&str]| {
            let serials = serials.iter().map(ToString::to_string).collect();
            Revocations::new(&list, &[], serials)
        };
        let (before, now) = (of(&["41"]), of(&["41", "42", "43"]));
        assert_eq!(now.since(&before), ["certificate 42", "certificate 43"]);
        assert_eq!((before.since(&now), now.count(), now.numbers()), (Vec::new(), 3, None));
        let many: Vec<String> = (0..99).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(of(&many).since(&of(&[])).len(), MOST_NAMES);
    }
}
