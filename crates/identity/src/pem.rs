//! Files of certificates, keys and revocation lists: PEM, or DER for a single one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hashvfl_files::WriteError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// Bytes of a file of another organisation that are looked at.
const MAX_BYTES: u64 = 4 << 20;

/// A file of an identity that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the {what} {}: {reason}; {mend}", path.display())]
    Read {
        /// What it is to hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
        /// What to do.
        mend: &'static str,
    },
    /// It holds something else.
    #[error("{} holds no {what} ({found}); {mend}", path.display())]
    Content {
        /// What it was to hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
        /// What to do.
        mend: &'static str,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a file is to hold, and how one comes by it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    what: &'static str,
    mend: &'static str,
}

/// A certificate of this side.
pub const CERTIFICATE: Wanted = Wanted {
    what: "certificate",
    mend: "`party identity accept CERTIFICATE --config FILE` installs what `coordinator identity sign REQUEST --config FILE` wrote",
};
/// Certificates of authorities.
pub const AUTHORITY: Wanted = Wanted {
    what: "certificate of the authority",
    mend: "`party identity accept CERTIFICATE --config FILE` writes it, and `coordinator identity init --name NAME --config FILE` where \
           the authority is",
};
/// A secret key.
pub const KEY: Wanted = Wanted {
    what: "secret key",
    mend: "`party identity request --config FILE` creates one for a party, `coordinator identity init --name NAME \
           --config FILE` for a coordinator, `coordinator identity issue client/NAME --config FILE --into FOLDER` for a \
           client (docs/how-to/identities.md); processes on one machine need none with insecure_plaintext = true",
};
/// A signing request.
pub const REQUEST: Wanted =
    Wanted { what: "signing request", mend: "`party identity request --config FILE` writes one" };
/// A revocation list.
pub const LIST: Wanted = Wanted {
    what: "revocation list",
    mend: "`coordinator identity renew --list --config FILE` writes one where the authority is",
};
/// A file of pins.
pub const PINS: Wanted = Wanted {
    what: "table of pins",
    mend: "`party identity pin ROLE/NAME=FINGERPRINT --config FILE` writes one",
};

impl Wanted {
    /// An error about what `path` holds.
    pub fn wrong(self, path: &Path, found: impl Into<String>) -> FileError {
        FileError::Content { what: self.what, path: path.to_path_buf(), found: found.into(), mend: self.mend }
    }
}

/// The bytes of a file.
///
/// # Errors
/// If it cannot be read, or is far too large.
pub fn bytes(path: &Path, wanted: Wanted) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let read = fs::metadata(path).and_then(|metadata| {
        if metadata.len() > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 4 MiB"));
        }
        fs::read(path)
    });
    read.map(Zeroizing::new).map_err(|reason| FileError::Read {
        what: wanted.what,
        path: path.to_path_buf(),
        reason,
        mend: wanted.mend,
    })
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

/// The certificates in `bytes`, read from `path`: at least one.
///
/// # Errors
/// If there is none, or one that is damaged.
pub fn certificates(
    bytes: &[u8],
    path: &Path,
    wanted: Wanted,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    if !is_pem(bytes) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        found.push(certificate.map_err(|_| wanted.wrong(path, "damaged PEM"))?);
    }
    if found.is_empty() {
        return Err(wanted.wrong(path, "no block BEGIN CERTIFICATE"));
    }
    Ok(found)
}

/// The revocation lists in `bytes`, read from `path`.
///
/// # Errors
/// If there is none, or one that is damaged.
pub fn lists(bytes: &[u8], path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    if !is_pem(bytes) {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let mut found = Vec::new();
    for list in CertificateRevocationListDer::pem_slice_iter(bytes) {
        found.push(list.map_err(|_| LIST.wrong(path, "damaged PEM"))?);
    }
    if found.is_empty() {
        return Err(LIST.wrong(path, "no block BEGIN X509 CRL"));
    }
    Ok(found)
}

/// The secret key in `bytes`, read from `path`.
///
/// # Errors
/// If there is none; nothing of the file is shown.
pub fn key(bytes: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| KEY.wrong(path, "no block BEGIN PRIVATE KEY"))
}

/// The issuance file.
pub const ISSUED: Wanted = Wanted {
    what: "list of issued certificates",
    mend: "`coordinator identity init --name NAME --config FILE` begins one",
};
/// An authority's secret key.
pub const AUTHORITY_KEY: Wanted = Wanted {
    what: "secret key of the authority",
    mend: "`coordinator identity init --name NAME --config FILE` creates one; is the folder correct that --config or \
           --folder names?",
};

/// A certificate as PEM.
pub fn to_pem(certificate: &CertificateDer<'_>) -> String {
    ::pem::encode(&::pem::Pem::new("CERTIFICATE", certificate.to_vec()))
}
