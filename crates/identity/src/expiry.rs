//! Expiry dates of a side's certificate, authorities and revocation lists.

use std::path::Path;

use crate::certificate::Facts;
use crate::config::IdentityConfig;
use crate::pem::{self, AUTHORITY, CERTIFICATE, LIST};
use crate::revocations::Lists;

/// Ends in seconds since 1970, as the files say now; `None` where there is no such file, or it cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpiryTimes {
    /// Of this side's certificate.
    pub certificate_s: Option<i64>,
    /// Of the first of the authorities to end.
    pub authority_s: Option<i64>,
    /// Of the first of the revocation lists to end.
    pub list_s: Option<i64>,
}

impl IdentityConfig {
    /// Reads until when the certificate, the authorities and the revocation lists count.
    pub fn ends(&self) -> ExpiryTimes {
        ExpiryTimes {
            certificate_s: certificate_end(&self.certificate),
            authority_s: authorities_end(&self.authority),
            list_s: self.revoked.as_deref().and_then(lists_end),
        }
    }
}

/// The end of this side's certificate, the first in its file.
fn certificate_end(path: &Path) -> Option<i64> {
    Some(Facts::of_first_in(path, CERTIFICATE).ok()?.not_after_s)
}

/// The first end among the certificates of authorities in a file.
fn authorities_end(path: &Path) -> Option<i64> {
    let bytes = pem::bytes(path, AUTHORITY).ok()?;
    let mut end_s = i64::MAX;
    for certificate in pem::certificates(&bytes, path, AUTHORITY).ok()? {
        end_s = end_s.min(Facts::of(&certificate).ok()?.not_after_s);
    }
    Some(end_s)
}

/// The first end among the revocation lists in a file.
fn lists_end(path: &Path) -> Option<i64> {
    let bytes = pem::bytes(path, LIST).ok()?;
    Lists::parse(&bytes, path, &[]).ok()?.facts.iter().map(|list| list.until_s).min()
}
