//! What a certificate says, as far as anybody here asks.

use std::path::Path;

use hashvfl_core::hex::hex;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::fingerprint::Fingerprint;
use crate::pem::{self, FileError, Wanted};

/// The facts of a certificate. Nothing of it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its public key.
    pub fingerprint: Fingerprint,
    /// Its serial number: hex digits, without leading zeros.
    pub serial: String,
    /// From when it counts, in seconds since 1970.
    pub not_before_s: i64,
    /// Until when.
    pub not_after_s: i64,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// Its URIs.
    pub uris: Vec<String>,
    /// Its names of machines.
    pub dns: Vec<String>,
    /// The common names of its subject.
    pub common_names: Vec<String>,
}

/// A certificate that is none, or says the same thing twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no X.509 certificate, or a damaged one")]
pub struct Unreadable;

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// If it is none.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, Unreadable> {
        let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|_| Unreadable)?;
        if !rest.is_empty() {
            return Err(Unreadable);
        }
        let mut facts = Self {
            fingerprint: Fingerprint::of_public_key(parsed.public_key().raw),
            serial: hex_of_serial(parsed.raw_serial()),
            not_before_s: parsed.validity().not_before.timestamp(),
            not_after_s: parsed.validity().not_after.timestamp(),
            is_authority: parsed.is_ca(),
            uris: Vec::new(),
            dns: Vec::new(),
            common_names: Vec::new(),
        };
        let names = parsed.subject_alternative_name().map_err(|_| Unreadable)?;
        for name in names.map(|names| names.value.general_names.as_slice()).unwrap_or_default() {
            match name {
                GeneralName::URI(uri) => facts.uris.push((*uri).to_string()),
                GeneralName::DNSName(dns) => facts.dns.push(dns.to_ascii_lowercase()),
                _ => {}
            }
        }
        for name in parsed.subject().iter_common_name() {
            facts.common_names.push(name.as_str().map_err(|_| Unreadable)?.to_string());
        }
        Ok(facts)
    }

    /// Reads a certificate that lies in the file `path`.
    ///
    /// # Errors
    /// If it is none.
    pub fn of_file(certificate: &CertificateDer<'_>, path: &Path, wanted: Wanted) -> Result<Self, FileError> {
        Self::of(certificate).map_err(|error| wanted.wrong(path, error.to_string()))
    }

    /// Reads the first certificate in the file `path`.
    ///
    /// # Errors
    /// If the file cannot be read, or there is none.
    pub fn of_first_in(path: &Path, wanted: Wanted) -> Result<Self, FileError> {
        let bytes = pem::bytes(path, wanted)?;
        Self::of_file(&pem::certificates(&bytes, path, wanted)?[0], path, wanted)
    }
}

/// A serial number as everything here writes it.
pub fn hex_of_serial(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    hex(&bytes[zeros..])
}
