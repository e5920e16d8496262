//! What the files of an identity say at one moment: who this side is, and whose certificates count.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    KeyUsage, RevocationOptionsBuilder,
};

use crate::certificate::Facts;
use crate::chain;
use crate::config::IdentityConfig;
use crate::dates::{DAY_S, date};
use crate::files::{Contents, LoadError};
use crate::names::Naming;
use crate::pem::{self, AUTHORITY, CERTIFICATE, FileError};
use crate::permitted::Permitted;
use crate::pins::Pins;
use crate::refusal::PeerRefusal;
use crate::revocations::{ListFacts, Lists, Revocations};
use crate::role::{Identity, PeerIdentity};

/// Days before the end of a certificate, this side's or an authority's, from which its owner is warned.
const WARN_DAYS: i64 = 30;

/// On which side of a connection a certificate is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// By whoever has dialled.
    Dialling,
    /// By whoever listens.
    Listening,
}

impl Usage {
    /// What the other side of a connection does.
    pub fn of_peer(self) -> Self {
        match self {
            Self::Dialling => Self::Listening,
            Self::Listening => Self::Dialling,
        }
    }
}

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, uses: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        match self {
            Self::Dialling => KeyUsage::client_auth().validate(uses),
            Self::Listening => KeyUsage::server_auth().validate(uses),
        }
    }
}

/// Takes a certificate for whatever it may be used.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// A moment of the files of an identity.
pub struct Trust {
    pub(crate) own: Arc<CertifiedKey>,
    pub(crate) own_facts: Facts,
    own_identity: Identity,
    certificate_path: PathBuf,
    anchors: Vec<TrustAnchor<'static>>,
    /// Until when the first of the authorities to end counts, in seconds since 1970.
    authority_until_s: i64,
    authority_path: PathBuf,
    lists: Vec<CertRevocationList<'static>>,
    pub(crate) list_facts: Vec<ListFacts>,
    revocations: Arc<Revocations>,
    list_path: PathBuf,
    pins: Pins,
    pins_path: PathBuf,
    naming: Naming,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Trust of {} ({} authorities, {} lists)",
            self.own_identity,
            self.anchors.len(),
            self.lists.len()
        )
    }
}

impl Trust {
    /// What `contents`, read from the files that `config` names, say.
    pub(crate) fn new(
        config: &IdentityConfig,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<Self, LoadError> {
        let chain = pem::certificates(&contents.certificate, &config.certificate, CERTIFICATE)?;
        let own_facts = Facts::of_file(&chain[0], &config.certificate, CERTIFICATE)?;
        // Nobody would follow it.
        chain::check(&chain).map_err(|error| CERTIFICATE.wrong(&config.certificate, error.to_string()))?;
        let own_identity = config.names.identity(&own_facts).map_err(|nameless| {
            CERTIFICATE.wrong(&config.certificate, format!("its first certificate names nobody: {nameless}"))
        })?;
        let key = pem::key(&contents.key, &config.key)?;
        // Checks that the key belongs to the certificate.
        let own = CertifiedKey::from_der(chain, key, provider).map_err(|_| LoadError::OtherKey {
            certificate: config.certificate.clone(),
            key: config.key.clone(),
            name: own_identity.clone(),
        })?;
        let Anchors { anchors, until_s: authority_until_s } =
            anchors(&contents.authority, &config.authority)?;
        let list_path = config.revoked.clone().unwrap_or_default();
        let Lists { lists, facts: list_facts, serials } = match &contents.revoked {
            Some(bytes) => Lists::parse(bytes, &list_path, &anchors)?,
            None => Lists::default(),
        };
        let revocations = Arc::new(Revocations::new(&list_path, &list_facts, serials));
        let pins = match &contents.pins {
            Some(text) => Pins::parse(text, &config.pins)?,
            None => Pins::default(),
        };
        Ok(Self {
            own: Arc::new(own),
            own_facts,
            own_identity,
            certificate_path: config.certificate.clone(),
            anchors,
            authority_until_s,
            authority_path: config.authority.clone(),
            lists,
            list_facts,
            revocations,
            list_path,
            pins,
            pins_path: config.pins.clone(),
            naming: config.names.clone(),
        })
    }

    /// Keys that peers were told to have.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Who this side is.
    pub fn own_identity(&self) -> &Identity {
        &self.own_identity
    }

    /// This side's key, as peers hear it over the phone.
    pub fn own_fingerprint(&self) -> crate::Fingerprint {
        self.own_facts.fingerprint
    }

    /// Until when this side's certificate counts, in seconds since 1970.
    pub fn own_not_after_s(&self) -> i64 {
        self.own_facts.not_after_s
    }

    /// What the revocation lists take back.
    pub fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(&self.revocations)
    }

    /// What its owner should know at the time `now_s`: what ends soon, each with the command that mends it.
    pub fn warnings(&self, now_s: i64) -> Vec<String> {
        let mut warnings = Vec::new();
        let until_s = self.own_facts.not_after_s;
        if until_s - now_s < WARN_DAYS * DAY_S {
            warnings.push(format!(
                "the certificate of {} in {} is valid only until {}: `coordinator identity renew {} --config FILE` \
                 creates another",
                self.own_identity,
                self.certificate_path.display(),
                date(until_s),
                self.own_identity
            ));
        }
        if self.authority_until_s - now_s < WARN_DAYS * DAY_S {
            warnings.push(format!(
                "an authority in {} is valid only until {}: `coordinator identity init --name NAME --folder NEW` \
                 creates another, from which every side then needs a certificate (docs/how-to/identities.md#renew)",
                self.authority_path.display(),
                date(self.authority_until_s)
            ));
        }
        for list in &self.list_facts {
            if list.until_s - now_s < list.lead_s() {
                warnings.push(format!(
                    "the revocation list {} is valid only until {}: `coordinator identity renew --list --config \
                     FILE` writes a new one",
                    self.list_path.display(),
                    date(list.until_s)
                ));
            }
        }
        warnings
    }

    /// Who shows `chain`, its own certificate first, at the time `at`.
    ///
    /// # Errors
    /// Why it is not let in.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        usage: Usage,
        permitted: &Permitted,
        at: UnixTime,
    ) -> Result<PeerIdentity, PeerRefusal> {
        // First of all: whatever comes after it takes a bounded time.
        chain::check(chain).map_err(|error| PeerRefusal::Unusable(error.to_string()))?;
        let Some((end, between)) = chain.split_first() else {
            return Err(PeerRefusal::NoCertificate { expected: permitted.to_string() });
        };
        let facts = Facts::of(end).map_err(|error| PeerRefusal::Unusable(error.to_string()))?;
        if let Err(error) = self.path(end, between, usage, at, true) {
            return Err(self.refusal(&error, &facts, chain, usage, permitted));
        }
        let who = self.naming.identity(&facts)?;
        if !permitted.lets_in(&who) {
            return Err(PeerRefusal::NotExpected { who, expected: permitted.to_string() });
        }
        if let Some(keys) = self.pins.keys(&who)
            && !keys.contains(&facts.fingerprint)
        {
            let pinned: Vec<String> = keys.iter().map(ToString::to_string).collect();
            let (pinned, file) = (pinned.join(" or ").into(), self.pins_path.display().to_string().into());
            return Err(PeerRefusal::OtherKey { who, found: facts.fingerprint, pinned, file });
        }
        Ok(PeerIdentity {
            identity: who,
            fingerprint: facts.fingerprint,
            serial: facts.serial,
            not_after_s: facts.not_after_s,
        })
    }

    /// Those lists of which nobody here could say who has signed them when they were read, and that have counted for the peer that
    /// shows `chain`: authorities on its path have signed them.
    pub(crate) fn confirmed_lists(
        &self,
        chain: &[CertificateDer<'_>],
        usage: Usage,
        at: UnixTime,
    ) -> Vec<ListFacts> {
        let mut confirmed = Vec::new();
        let Some((end, between)) = chain.split_first() else { return confirmed };
        if self.list_facts.iter().all(|list| list.is_signed) {
            return confirmed;
        }
        let Ok(issuers) = self.path(end, between, usage, at, true) else { return confirmed };
        for (list, facts) in self.lists.iter().zip(&self.list_facts) {
            // Of several lists of one issuer, one has counted.
            let is_alone = self.lists.iter().filter(|other| other.issuer() == list.issuer()).count() == 1;
            if !facts.is_signed && is_alone && issuers.iter().any(|issuer| issuer == list.issuer()) {
                confirmed.push(ListFacts { is_signed: true, ..facts.clone() });
            }
        }
        confirmed
    }

    /// Whether a path leads from a certificate to an authority; with `revocation`, and nothing on it is revoked. The names of
    /// those who have signed what is on it.
    fn path(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        usage: impl ExtendedKeyUsageValidator,
        at: UnixTime,
        revocation: bool,
    ) -> Result<Vec<Vec<u8>>, webpki::Error> {
        let lists: Vec<&CertRevocationList<'_>> = self.lists.iter().collect();
        let options = if revocation { RevocationOptionsBuilder::new(&lists).ok() } else { None };
        let options =
            options.map(|options| options.with_expiration_policy(ExpirationPolicy::Enforce).build());
        let (end, algorithms) = (EndEntityCert::try_from(end)?, webpki::ALL_VERIFICATION_ALGS);
        let path = end.verify_for_usage(algorithms, &self.anchors, between, at, usage, options, None)?;
        let mut issuers = vec![end.issuer().to_vec()];
        issuers.extend(path.intermediate_certificates().map(|authority| authority.issuer().to_vec()));
        Ok(issuers)
    }

    /// What `error` of a path means. Names are believed only if one of the authorities has signed them.
    fn refusal(
        &self,
        error: &webpki::Error,
        facts: &Facts,
        chain: &[CertificateDer<'_>],
        usage: Usage,
        permitted: &Permitted,
    ) -> PeerRefusal {
        let stranger = PeerRefusal::Stranger { authority: self.authority_path.display().to_string() };
        let valid = UnixTime::since_unix_epoch(Duration::from_secs(facts.not_after_s.max(0) as u64));
        if self.path(&chain[0], &chain[1..], AnyUsage, valid, false).is_err() {
            return match error {
                webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_) => {
                    PeerRefusal::Unusable("it is damaged".to_string())
                }
                _ => stranger,
            };
        }
        let who = match self.naming.identity(facts) {
            Ok(who) => who,
            Err(nameless) => return nameless.into(),
        };
        let list = self.list_path.display().to_string();
        match error {
            webpki::Error::CertExpired { .. } => PeerRefusal::Expired { who, not_after_s: facts.not_after_s },
            webpki::Error::CertNotValidYet { .. } => {
                PeerRefusal::NotYetValid { who, not_before_s: facts.not_before_s }
            }
            webpki::Error::CertRevoked => PeerRefusal::Revoked { who, serial: facts.serial.clone(), list },
            webpki::Error::CrlExpired { next_update, .. } => {
                PeerRefusal::ListExpired { list, until_s: next_update.as_secs() as i64 }
            }
            webpki::Error::UnknownRevocationStatus
            | webpki::Error::InvalidCrlSignatureForPublicKey
            | webpki::Error::IssuerNotCrlSigner => PeerRefusal::ListOfOther { list, who },
            webpki::Error::RequiredEkuNotFoundContext(_) if !permitted.lets_in(&who) => {
                PeerRefusal::NotExpected { who, expected: permitted.to_string() }
            }
            webpki::Error::RequiredEkuNotFoundContext(_) => PeerRefusal::Unusable(match usage {
                Usage::Dialling => {
                    format!(
                        "the certificate of {who} lacks the extended key usage clientAuth, which is needed to connect"
                    )
                }
                Usage::Listening => {
                    format!(
                        "the certificate of {who} lacks the extended key usage serverAuth, which is needed to listen"
                    )
                }
            }),
            other => PeerRefusal::Unusable(format!("{who}: {other:?}")),
        }
    }
}

/// Certificates of authorities.
struct Anchors {
    anchors: Vec<TrustAnchor<'static>>,
    /// Until when the first of them to end counts, in seconds since 1970.
    until_s: i64,
}

fn anchors(bytes: &[u8], path: &Path) -> Result<Anchors, FileError> {
    let (mut anchors, mut until_s) = (Vec::new(), i64::MAX);
    for certificate in pem::certificates(bytes, path, AUTHORITY)? {
        let facts = Facts::of_file(&certificate, path, AUTHORITY)?;
        if !facts.is_authority {
            return Err(AUTHORITY.wrong(path, "a certificate in it may not sign others"));
        }
        let anchor = webpki::anchor_from_trusted_cert(&certificate)
            .map_err(|error| AUTHORITY.wrong(path, format!("{error:?}")))?;
        anchors.push(anchor.to_owned());
        until_s = until_s.min(facts.not_after_s);
    }
    Ok(Anchors { anchors, until_s })
}
