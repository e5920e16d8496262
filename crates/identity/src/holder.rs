//! A holder's own side: it makes a key and a signing request, and checks the certificate that comes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hashvfl_files::{WriteError, owner_only_folder, rename_durably, write_whole};
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData, SanType};
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use zeroize::Zeroizing;

use crate::certificate::Facts;
use crate::dates::{date, now_s};
use crate::fingerprint::Fingerprint;
use crate::folder::option_of;
use crate::pem::{self, AUTHORITY, CERTIFICATE, FileError, KEY};
use crate::role::{Identity, Role};

/// What a holder is not given.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// One of its files.
    #[error(transparent)]
    File(#[from] FileError),
    /// One of its files cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A certificate of a key that is not here.
    #[error(
        "{} is for the key {found}, but {} is the key {own}: the certificate answers another request; send {} to be \
         signed",
        certificate.display(), key.display(), request.display()
    )]
    OtherKey {
        /// The certificate.
        certificate: PathBuf,
        /// The key that is here.
        key: PathBuf,
        /// The request of that key.
        request: PathBuf,
        /// The certificate's key.
        found: Fingerprint,
        /// The key that is here.
        own: Fingerprint,
    },
    /// A certificate of another name than was asked for.
    #[error(
        "{} names {found}, but {expected} was requested: send the request again, or ask the person who signed it", certificate.display()
    )]
    OtherName {
        /// The certificate.
        certificate: PathBuf,
        /// Whom it names.
        found: String,
        /// Who was asked for.
        expected: Identity,
    },
    /// A certificate that does not count today.
    #[error(
        "{} is valid from {from} to {until}: ask for another (`coordinator identity renew NAME --config FILE` there), or check the clocks",
        certificate.display()
    )]
    Dates {
        /// The certificate.
        certificate: PathBuf,
        /// A date.
        from: String,
        /// A date.
        until: String,
    },
    /// No authority to check it with.
    #[error(
        "{} does not exist yet: name the authority to trust with `identity accept {}{} --authority FINGERPRINT`; the \
         coordinator's operator reads the fingerprint out from `coordinator identity show --config FILE`",
        authority.display(), certificate.display(), option_of(folder)
    )]
    NoAuthority {
        /// Where the authority's certificate will be.
        authority: PathBuf,
        /// The certificate to accept.
        certificate: PathBuf,
        /// The folder of the identity.
        folder: PathBuf,
    },
    /// Another authority than was told.
    #[error(
        "{} was signed by the authority {found}, but you passed {told}: ask the coordinator's operator for the \
         authority's fingerprint again", certificate.display()
    )]
    OtherAuthority {
        /// The certificate.
        certificate: PathBuf,
        /// The authority's key, or that there is none in the file.
        found: String,
        /// The key that was told.
        told: Fingerprint,
    },
    /// A certificate that the authority has not signed.
    #[error(
        "{} was not signed by the authority in {}: `coordinator identity sign REQUEST --config FILE` signs the request; a new authority \
         is accepted with `--authority FINGERPRINT`",
        certificate.display(), authority.display()
    )]
    NotSigned {
        /// The certificate.
        certificate: PathBuf,
        /// The authority.
        authority: PathBuf,
    },
    /// The library fails, or the operating system gives no random numbers.
    #[error("cannot create a signing request: {0}")]
    Making(String),
}

impl From<rcgen::Error> for HolderError {
    fn from(error: rcgen::Error) -> Self {
        Self::Making(error.to_string())
    }
}

/// The files of a holder in one folder.
#[derive(Debug, Clone)]
pub struct IdentityPaths {
    /// The secret key.
    pub key: PathBuf,
    /// A secret key whose certificate has not come yet.
    pub next_key: PathBuf,
    /// Its certificate.
    pub certificate: PathBuf,
    /// The authority's certificate.
    pub authority: PathBuf,
    /// Keys of peers.
    pub pins: PathBuf,
    /// The folder.
    pub folder: PathBuf,
}

impl IdentityPaths {
    /// In `folder`, by the names that the config has as defaults.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            key: folder.join("key.pem"),
            next_key: folder.join("next-key.pem"),
            certificate: folder.join("certificate.pem"),
            authority: folder.join("authority.pem"),
            pins: folder.join("pins.toml"),
            folder: folder.to_path_buf(),
        }
    }

    /// The signing request of `identity`.
    pub fn request(&self, identity: &Identity) -> PathBuf {
        self.folder.join(format!("{}-{}.request.pem", identity.role, identity.name))
    }
}

/// What was requested.
#[derive(Debug)]
pub struct Requested {
    /// The file to send to whoever signs.
    pub request: PathBuf,
    /// The public key, to be read out over another channel than the file.
    pub fingerprint: Fingerprint,
    /// Whether the key was drawn now.
    pub new_key: bool,
}

/// Writes a request for a certificate of `identity`. The key is the one that is there; a missing one is drawn, and with
/// `new_key` another, which takes its place when its certificate is accepted.
///
/// # Errors
/// If files cannot be read or written.
pub fn request(places: &IdentityPaths, identity: &Identity, new_key: bool) -> Result<Requested, HolderError> {
    owner_only_folder()
        .recursive(true)
        .create(&places.folder)
        .map_err(|reason| WriteError { path: places.folder.clone(), reason })?;
    let path = if new_key && places.key.exists() { &places.next_key } else { &places.key };
    let drawn = !path.exists();
    let key = if drawn { KeyPair::generate()? } else { read_key(path)? };
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, identity.name.as_str());
    let uri =
        identity.uri().try_into().map_err(|_| HolderError::Making("a name is not ASCII".to_string()))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    let text = params.serialize_request(&key)?.pem()?;
    if drawn {
        write_whole(path, Zeroizing::new(key.serialize_pem()).as_bytes())?;
    }
    let request = places.request(identity);
    write_whole(&request, text.as_bytes())?;
    Ok(Requested { request, fingerprint: fingerprint(&key), new_key: drawn })
}

/// What was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Who this side is now.
    pub identity: Identity,
    /// Its key.
    pub fingerprint: Fingerprint,
    /// Until when the certificate counts: a date.
    pub until: String,
    /// Whether a new key took the place of the one before.
    pub new_key: bool,
}

/// Checks the certificate in the file `answer`, and puts it in place: it must be of the key that is here, signed by the
/// authority that is here or that has the fingerprint `told`, name `expected` if there is one, and count today.
///
/// # Errors
/// What does not fit, and what mends it; nothing has changed then.
pub fn accept(
    places: &IdentityPaths,
    answer: &Path,
    told: Option<Fingerprint>,
    expected: Option<&Identity>,
) -> Result<Accepted, HolderError> {
    let bytes = pem::bytes(answer, CERTIFICATE)?;
    let mut certificates = pem::certificates(&bytes, answer, CERTIFICATE)?;
    let certificate = certificates.remove(0);
    let facts = Facts::of_file(&certificate, answer, CERTIFICATE)?;
    let key_path = key_of(places, answer, &facts, expected)?;
    let identity = named(answer, &facts, places, expected)?;
    let now = now_s();
    if !(facts.not_before_s..facts.not_after_s).contains(&now) {
        let (from, until) = (date(facts.not_before_s), date(facts.not_after_s));
        return Err(HolderError::Dates { certificate: answer.to_path_buf(), from, until });
    }
    let authority = authority(places, answer, &certificates, told)?;
    if !is_signed(&certificate, &authority, identity.role) {
        return Err(HolderError::NotSigned {
            certificate: answer.to_path_buf(),
            authority: places.authority.clone(),
        });
    }
    let new_key = key_path == places.next_key;
    write_whole(&places.authority, pem::to_pem(&authority).as_bytes())?;
    if new_key {
        // Whoever reads the files meanwhile finds a key and a certificate that do not fit, and goes on with the old ones.
        rename_durably(&places.next_key, &places.key)
            .map_err(|reason| WriteError { path: places.key.clone(), reason })?;
    }
    write_whole(&places.certificate, pem::to_pem(&certificate).as_bytes())?;
    Ok(Accepted { identity, fingerprint: facts.fingerprint, until: date(facts.not_after_s), new_key })
}

/// Which of the keys here the certificate is of.
fn key_of(
    places: &IdentityPaths,
    answer: &Path,
    facts: &Facts,
    expected: Option<&Identity>,
) -> Result<PathBuf, HolderError> {
    let own = fingerprint(&read_key(&places.key)?);
    if own == facts.fingerprint {
        return Ok(places.key.clone());
    }
    if places.next_key.exists() && fingerprint(&read_key(&places.next_key)?) == facts.fingerprint {
        return Ok(places.next_key.clone());
    }
    let asked = expected.cloned().or_else(|| requested(places));
    let request = asked.map_or_else(|| places.folder.clone(), |identity| places.request(&identity));
    Err(HolderError::OtherKey {
        certificate: answer.to_path_buf(),
        key: places.key.clone(),
        request,
        found: facts.fingerprint,
        own,
    })
}

/// Whom the certificate names: one whose request lies here, or `expected`.
fn named(
    answer: &Path,
    facts: &Facts,
    places: &IdentityPaths,
    expected: Option<&Identity>,
) -> Result<Identity, HolderError> {
    let found = match crate::Naming::default().identity(facts) {
        Ok(identity) => identity,
        Err(nameless) => return Err(CERTIFICATE.wrong(answer, nameless.to_string()).into()),
    };
    let asked = match expected {
        Some(expected) => found == *expected,
        None => places.request(&found).exists(),
    };
    if asked {
        return Ok(found);
    }
    let requested = requested(places);
    match expected.cloned().or(requested) {
        Some(expected) => Err(HolderError::OtherName {
            certificate: answer.to_path_buf(),
            found: found.to_string(),
            expected,
        }),
        None => Ok(found),
    }
}

/// Whose request lies in the folder, if one does.
fn requested(places: &IdentityPaths) -> Option<Identity> {
    for entry in fs::read_dir(&places.folder).ok()?.flatten() {
        let name = entry.file_name();
        let text = name.to_str().and_then(|name| name.strip_suffix(".request.pem"));
        if let Some(identity) = text.and_then(|text| text.replacen('-', "/", 1).parse().ok()) {
            return Some(identity);
        }
    }
    None
}

/// The authority that is trusted here: the one that is there already, or the one in the answer whose key was told.
fn authority(
    places: &IdentityPaths,
    answer: &Path,
    others: &[CertificateDer<'static>],
    told: Option<Fingerprint>,
) -> Result<CertificateDer<'static>, HolderError> {
    let Some(told) = told else {
        if !places.authority.exists() {
            return Err(HolderError::NoAuthority {
                authority: places.authority.clone(),
                certificate: answer.to_path_buf(),
                folder: places.folder.clone(),
            });
        }
        let bytes = pem::bytes(&places.authority, AUTHORITY)?;
        return Ok(pem::certificates(&bytes, &places.authority, AUTHORITY)?.swap_remove(0));
    };
    let mut found = "that is not in the file".to_string();
    for certificate in others {
        let facts = Facts::of_file(certificate, answer, CERTIFICATE)?;
        if facts.is_authority && facts.fingerprint == told {
            return Ok(certificate.clone());
        }
        found = facts.fingerprint.to_string();
    }
    Err(HolderError::OtherAuthority { certificate: answer.to_path_buf(), found, told })
}

fn is_signed(certificate: &CertificateDer<'_>, authority: &CertificateDer<'_>, role: Role) -> bool {
    let usage = match role {
        Role::Coordinator => KeyUsage::server_auth(),
        Role::Party | Role::Client => KeyUsage::client_auth(),
    };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now_s().max(0) as u64));
    let (Ok(anchor), Ok(end)) =
        (webpki::anchor_from_trusted_cert(authority), EndEntityCert::try_from(certificate))
    else {
        return false;
    };
    end.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[anchor], &[], now, usage, None, None).is_ok()
}

fn read_key(path: &Path) -> Result<KeyPair, FileError> {
    let bytes = pem::bytes(path, KEY)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| KEY.wrong(path, "not PEM"))?;
    KeyPair::from_pem(text).map_err(|_| KEY.wrong(path, "no signing key in PEM (PKCS#8)"))
}

/// The fingerprint of the key in the file `path`.
///
/// # Errors
/// If it holds none.
pub fn key_fingerprint(path: &Path) -> Result<Fingerprint, FileError> {
    read_key(path).map(|key| fingerprint(&key))
}

fn fingerprint(key: &KeyPair) -> Fingerprint {
    Fingerprint::of_public_key(&key.subject_public_key_info())
}
