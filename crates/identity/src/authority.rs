//! A private authority: signs certificates of parties, clients and coordinators, takes them back, and keeps the list.

use std::fs::File;
use std::path::{Path, PathBuf};

use hashvfl_core::PartyName;
use hashvfl_core::hex::{bytes_of_hex, hex};
use hashvfl_files::{WriteError, owner_only, owner_only_folder, write_whole};
use rand::TryRng;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData,
    RevocationReason, RevokedCertParams, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::certificate::{Facts, hex_of_serial};
use crate::dates::{DAY_S, date, date_time, now_s};
use crate::fingerprint::Fingerprint;
use crate::folder::option_of;
use crate::issued::{Issued, IssuedFile, Revoked};
use crate::pem::{self, AUTHORITY, AUTHORITY_KEY, FileError, REQUEST};
use crate::role::{Identity, Role};

/// Days for which an authority's own certificate counts.
const AUTHORITY_DAYS: i64 = 3650;
/// Days for which a revocation list counts; each command that signs anything writes a new one.
const LIST_DAYS: i64 = 90;
/// Certificates count from so long before they are signed, for clocks that are behind.
const SKEW_S: i64 = 3600;
/// Bytes of a serial number: too many to guess the next.
const SERIAL_BYTES: usize = 16;
/// Characters of the reason of a revocation.
const REASON: usize = 200;

/// What an authority does not do.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// One of its files.
    #[error(transparent)]
    File(#[from] FileError),
    /// One of its files cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// There is an authority already.
    #[error(
        "{} already exists: a folder holds one authority, and nothing was overwritten; choose another folder with \
         --folder", .0.display()
    )]
    Exists(PathBuf),
    /// Another command is at it.
    #[error("another command works with the authority in {}: try again when it is done", .0.display())]
    Busy(PathBuf),
    /// A request that is none, or that its key has not signed.
    #[error(
        "{} is not a signing request signed by its own key: ask for the file that `identity request` wrote", .0.display()
    )]
    Request(PathBuf),
    /// A request that names nobody.
    #[error(
        "{} does not request a name ROLE/NAME: `party identity request --config FILE` writes a request that does", .0.display()
    )]
    Nameless(PathBuf),
    /// A request of another key than was told.
    #[error(
        "{} is for the key {found}, but you passed {told}: the file was changed, or it is another request", request.display()
    )]
    OtherKey {
        /// The request.
        request: PathBuf,
        /// Its key.
        found: Fingerprint,
        /// The key that was told.
        told: Fingerprint,
    },
    /// A request of a role that has to be confirmed, or another role than was confirmed.
    #[error("{} requests the name {asks}: to sign that, pass `--role {}`", request.display(), .asks.role)]
    Role {
        /// The request.
        request: PathBuf,
        /// What it asks for.
        asks: Identity,
    },
    /// The name has another key.
    #[error(
        "{who} has a valid certificate of another key, {key}: if that key is lost or replaced, `coordinator identity revoke {who} --reason \
         TEXT{}` first",
        option_of(folder)
    )]
    Taken {
        /// The name.
        who: Identity,
        /// Its key.
        key: Fingerprint,
        /// The authority's folder.
        folder: PathBuf,
    },
    /// The key was taken back, and whoever has stolen it could be the one who asks.
    #[error(
        "{asks} gets no certificate of the key {key}: one of that key, of {whose}, was revoked on {on}; its owner makes \
         a new key with `{program} identity request --new-key --config FILE`, and sends that request",
        program = program_of(.asks.role)
    )]
    TakenBack {
        /// Who would have it.
        asks: Identity,
        /// The key.
        key: Fingerprint,
        /// Who had the certificate that was revoked.
        whose: Identity,
        /// A date.
        on: String,
    },
    /// No certificate of that name is valid.
    #[error(
        "{who} has no valid certificate here: `coordinator identity list{}` shows all",
        option_of(folder)
    )]
    Unknown {
        /// The name.
        who: Identity,
        /// The authority's folder.
        folder: PathBuf,
    },
    /// The days are none.
    #[error("--days must be 1 to {AUTHORITY_DAYS}")]
    Days,
    /// The reason is none.
    #[error("--reason must be one line of 1 to {REASON} characters")]
    Reason,
    /// The operating system gives no random numbers, or the library fails.
    #[error("cannot sign: {0}")]
    Signing(String),
}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Signing(error.to_string())
    }
}

/// How a request is to be signed.
#[derive(Debug, Clone)]
pub struct SigningOptions {
    /// Days for which the certificate counts.
    pub days: i64,
    /// The fingerprint that the other side has told; absent: whoever signs compares it with what is printed.
    pub fingerprint: Option<Fingerprint>,
    /// The role that the request may ask for; absent: party or client.
    pub role: Option<Role>,
}

/// A private authority in a folder. While it is open no other command works with it.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    issued: IssuedFile,
    /// Locked as long as it is open.
    _lock: File,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority in {} ({} certificates)", self.folder.display(), self.issued.certificates.len())
    }
}

impl Authority {
    /// Begins an authority in `folder`, with an empty revocation list. `name` is the coordinator's, whose authority it is.
    ///
    /// # Errors
    /// If there is one already, or files cannot be written.
    pub fn create(folder: &Path, name: &PartyName) -> Result<Self, AuthorityError> {
        let key_path = folder.join("authority-key.pem");
        for path in [&key_path, &folder.join("authority.pem"), &folder.join("issued.json")] {
            if path.exists() {
                return Err(AuthorityError::Exists(path.clone()));
            }
        }
        let made = owner_only_folder().recursive(true).create(folder);
        made.map_err(|reason| WriteError { path: folder.to_path_buf(), reason })?;
        let lock = lock(folder)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("HashVFL authority of {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial()?);
        (params.not_before, params.not_after) = dates(AUTHORITY_DAYS);
        let signed = params.self_signed(&key)?;
        // The key first: without it the rest is of no use, and a second try says what is there.
        write_whole(&key_path, Zeroizing::new(key.serialize_pem()).as_bytes())?;
        write_whole(&folder.join("authority.pem"), signed.pem().as_bytes())?;
        let mut authority = Self {
            folder: folder.to_path_buf(),
            certificate: signed.der().clone(),
            certificate_pem: signed.pem(),
            issuer: Issuer::new(params, key),
            issued: IssuedFile::default(),
            _lock: lock,
        };
        authority.write_list()?;
        Ok(authority)
    }

    /// Opens the authority in `folder`.
    ///
    /// # Errors
    /// If there is none, another command works with it, or its files are damaged.
    pub fn open(folder: &Path) -> Result<Self, AuthorityError> {
        let (key_path, certificate_path) = (folder.join("authority-key.pem"), folder.join("authority.pem"));
        let key = pem::bytes(&key_path, AUTHORITY_KEY)?;
        let lock = lock(folder)?;
        let text = std::str::from_utf8(&key).map_err(|_| AUTHORITY_KEY.wrong(&key_path, "not PEM"))?;
        let key = KeyPair::from_pem(text).map_err(|_| AUTHORITY_KEY.wrong(&key_path, "not PEM"))?;
        let bytes = pem::bytes(&certificate_path, AUTHORITY)?;
        let certificate = pem::certificates(&bytes, &certificate_path, AUTHORITY)?.swap_remove(0);
        let facts = Facts::of_file(&certificate, &certificate_path, AUTHORITY)?;
        if facts.fingerprint != Fingerprint::of_public_key(&key.subject_public_key_info()) {
            return Err(AUTHORITY_KEY
                .wrong(&key_path, "the key of another certificate than authority.pem")
                .into());
        }
        let certificate_pem = String::from_utf8_lossy(&bytes).into_owned();
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        let issued = IssuedFile::read(&folder.join("issued.json"))?;
        Ok(Self { folder: folder.to_path_buf(), issuer, certificate, certificate_pem, issued, _lock: lock })
    }

    /// Everything that it has signed.
    pub fn issued(&self) -> &IssuedFile {
        &self.issued
    }

    /// The fingerprint of its own key, for those who accept its first certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_public_key(&self.issuer.key().subject_public_key_info())
    }

    /// Its own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Signs the request in the file `request`. What was signed, and the text to send back: the certificate and the
    /// authority's own.
    ///
    /// # Errors
    /// If the request is damaged, asks for another role or is of another key than `options` say, or its name has another
    /// key already.
    pub fn sign(
        &mut self,
        request: &Path,
        options: &SigningOptions,
    ) -> Result<(Issued, String), AuthorityError> {
        let text = pem::bytes(request, REQUEST)?;
        let text = std::str::from_utf8(&text).map_err(|_| AuthorityError::Request(request.to_path_buf()))?;
        let parsed = CertificateSigningRequestParams::from_pem(text)
            .map_err(|_| AuthorityError::Request(request.to_path_buf()))?;
        let asks = asked(&parsed.params).ok_or_else(|| AuthorityError::Nameless(request.to_path_buf()))?;
        let public_key = parsed.public_key.subject_public_key_info();
        let found = Fingerprint::of_public_key(&public_key);
        if let Some(told) = options.fingerprint
            && told != found
        {
            return Err(AuthorityError::OtherKey { request: request.to_path_buf(), found, told });
        }
        let may = match options.role {
            Some(role) => role == asks.role,
            None => asks.role != Role::Coordinator,
        };
        if !may {
            return Err(AuthorityError::Role { request: request.to_path_buf(), asks });
        }
        if let Some(other) = self.issued.newest(&asks, now_s())
            && other.fingerprint != found
        {
            return Err(AuthorityError::Taken {
                who: asks,
                key: other.fingerprint,
                folder: self.folder.clone(),
            });
        }
        self.issue(asks, &public_key, options.days)
    }

    /// Signs a certificate of the same key as the newest of `who` that was not revoked, with new dates. The old one counts
    /// until its end.
    ///
    /// # Errors
    /// If there is none.
    pub fn renew(&mut self, who: &Identity, days: i64) -> Result<(Issued, String), AuthorityError> {
        let ours = self.issued.certificates.iter().rev();
        let newest = ours.clone().find(|issued| issued.identity == *who && issued.revoked.is_none());
        let newest = newest.ok_or_else(|| self.unknown(who))?;
        let public_key = bytes_of_hex(&newest.public_key).ok_or_else(|| {
            AuthorityError::Signing("issued.json is damaged: a public_key is not hexadecimal".to_string())
        })?;
        self.issue(who.clone(), &public_key, days)
    }

    fn issue(
        &mut self,
        who: Identity,
        public_key: &[u8],
        days: i64,
    ) -> Result<(Issued, String), AuthorityError> {
        if !(1..=AUTHORITY_DAYS).contains(&days) {
            return Err(AuthorityError::Days);
        }
        let fingerprint = Fingerprint::of_public_key(public_key);
        if let Some((whose, at_s)) = self.issued.taken_back(&fingerprint) {
            let (whose, on) = (whose.clone(), date(at_s));
            return Err(AuthorityError::TakenBack { asks: who, key: fingerprint, whose, on });
        }
        let key = SubjectPublicKeyInfo::from_der(public_key)?;
        let serial = serial()?;
        let params = params_of(&who, &serial, days)?;
        let issued = Issued {
            identity: who,
            serial: hex_of_serial(&serial.to_bytes()),
            fingerprint,
            public_key: hex(public_key),
            not_before_s: params.not_before.unix_timestamp(),
            not_after_s: params.not_after.unix_timestamp(),
            revoked: None,
        };
        let signed = params.signed_by(&key, &self.issuer)?;
        // Written down before anybody can have it: what is not in the file cannot be revoked.
        self.issued.certificates.push(issued.clone());
        self.write_list()?;
        Ok((issued, format!("{}{}", signed.pem(), self.certificate_pem)))
    }

    /// Takes back all certificates of `who`, those that have expired too: none of them is renewed. How many there were.
    ///
    /// # Errors
    /// If there is none, or the reason is no line.
    pub fn revoke(&mut self, who: &Identity, reason: &str) -> Result<usize, AuthorityError> {
        if reason.is_empty() || reason.chars().count() > REASON || reason.chars().any(char::is_control) {
            return Err(AuthorityError::Reason);
        }
        let (now, mut count) = (now_s(), 0);
        for issued in &mut self.issued.certificates {
            if issued.identity == *who && issued.revoked.is_none() {
                issued.revoked = Some(Revoked { at_s: now, reason: reason.to_string() });
                count += 1;
            }
        }
        if count == 0 {
            return Err(self.unknown(who));
        }
        self.write_list()?;
        Ok(count)
    }

    fn unknown(&self, who: &Identity) -> AuthorityError {
        AuthorityError::Unknown { who: who.clone(), folder: self.folder.clone() }
    }

    /// Writes the issuance file and a new revocation list, with the next number and a new end.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write_list(&mut self) -> Result<(), AuthorityError> {
        let now = now_s();
        self.issued.list_number += 1;
        self.issued.list_until_s = now + LIST_DAYS * DAY_S;
        let mut revoked_certs = Vec::new();
        for issued in &self.issued.certificates {
            if let Some(revoked) = &issued.revoked {
                let serial = bytes_of_hex(&issued.serial).ok_or_else(|| {
                    AuthorityError::Signing("issued.json is damaged: a serial is not hexadecimal".to_string())
                })?;
                revoked_certs.push(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&serial),
                    revocation_time: date_time(revoked.at_s),
                    reason_code: Some(RevocationReason::Unspecified),
                    invalidity_date: None,
                });
            }
        }
        let params = CertificateRevocationListParams {
            this_update: date_time(now - SKEW_S),
            next_update: date_time(self.issued.list_until_s),
            crl_number: SerialNumber::from_slice(&self.issued.list_number.to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer)?.pem()?;
        // The numbers first: a list whose number was not written down could be followed by another of the same.
        self.issued.write(&self.folder.join("issued.json"))?;
        write_whole(&self.folder.join("revoked.pem"), list.as_bytes())?;
        Ok(())
    }
}

/// The program of somebody with this role.
fn program_of(role: Role) -> &'static str {
    if role == Role::Party { "party" } else { "coordinator" }
}

/// Who a request asks to be.
fn asked(params: &CertificateParams) -> Option<Identity> {
    let mut found = Vec::new();
    for name in &params.subject_alt_names {
        if let SanType::URI(uri) = name
            && let Some(identity) = Identity::from_uri(uri.as_str())
        {
            found.push(identity.ok()?);
        }
    }
    // More than one name is none.
    if found.len() == 1 { found.pop() } else { None }
}

/// What a certificate of `who` says.
fn params_of(who: &Identity, serial: &SerialNumber, days: i64) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, who.name.as_str());
    let uri = who.uri().try_into().map_err(|_| AuthorityError::Signing("a name is not ASCII".to_string()))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match who.role {
        Role::Coordinator => ExtendedKeyUsagePurpose::ServerAuth,
        Role::Party | Role::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial.clone());
    (params.not_before, params.not_after) = dates(days);
    Ok(params)
}

fn dates(days: i64) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let now = now_s();
    (date_time(now - SKEW_S), date_time(now + days * DAY_S))
}

fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; SERIAL_BYTES];
    let drawn = rand::rngs::SysRng.try_fill_bytes(&mut bytes);
    drawn.map_err(|error| AuthorityError::Signing(error.to_string()))?;
    // Positive, and always as long.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn lock(folder: &Path) -> Result<File, AuthorityError> {
    let path = folder.join("authority.lock");
    let opened = owner_only().write(true).create(true).truncate(false).open(&path);
    let file = opened.map_err(|reason| WriteError { path, reason })?;
    file.try_lock().map_err(|_| AuthorityError::Busy(folder.to_path_buf()))?;
    Ok(file)
}
