//! Why a peer's certificate does not count here.

use rustls::CertificateError;

use crate::dates::date;
use crate::fingerprint::Fingerprint;
use crate::names::Nameless;
use crate::role::Identity;

/// Why a peer is refused. Each says who, what was expected and what mends it; names are safe to print, and nothing else of
/// a stranger's certificate is shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has shown no certificate.
    #[error(
        "it showed no certificate: expected one of {expected}; it needs an [identity] of its own (`party identity request`)"
    )]
    NoCertificate {
        /// Who may come.
        expected: String,
    },
    /// What it has shown is no certificate, or one that nothing here can check.
    #[error("its certificate cannot be used: {0}")]
    Unusable(String),
    /// Somebody else has signed it.
    #[error(
        "its certificate was not signed by an authority in {authority}: a stranger, one of another federation, or a proxy that ends TLS in between; `coordinator identity sign` signs what it asks for"
    )]
    Stranger {
        /// The file of authorities.
        authority: String,
    },
    /// It counted once.
    #[error(
        "the certificate of {who} was valid until {}: `coordinator identity renew {who}` makes another, which it puts in place with `identity accept`",
        date(*.not_after_s)
    )]
    Expired {
        /// Whose.
        who: Identity,
        /// Until when, in seconds since 1970.
        not_after_s: i64,
    },
    /// It will count one day.
    #[error("the certificate of {who} is valid from {} on: is a clock wrong, here or where it was signed?", date(*.not_before_s))]
    NotYetValid {
        /// Whose.
        who: Identity,
        /// From when, in seconds since 1970.
        not_before_s: i64,
    },
    /// Its authority has taken it back.
    #[error(
        "the certificate {serial} of {who} is revoked: `coordinator identity list` says when and why; a new key (`identity request --new-key`) and `coordinator identity sign` bring it back"
    )]
    Revoked {
        /// Whose.
        who: Identity,
        /// Its serial number in hex.
        serial: String,
    },
    /// The list that says what is revoked is too old to be believed.
    #[error(
        "the revocation list {list} was valid until {}, so nobody can be let in: `coordinator identity renew --list` writes a new one",
        date(*.until_s)
    )]
    ListExpired {
        /// The file.
        list: String,
        /// Until when, in seconds since 1970.
        until_s: i64,
    },
    /// No list says anything of its issuer, or the list is not signed by it.
    #[error(
        "the revocation list {list} says nothing of the authority that signed the certificate of {who}: it must hold a list of each authority in the chain"
    )]
    ListOfOther {
        /// The file.
        list: String,
        /// Whose.
        who: Identity,
    },
    /// It names nobody.
    #[error("its certificate names nobody here: {0}")]
    Nameless(#[from] Nameless),
    /// It names one who may not come.
    #[error("it is {who}, and expected was {expected}")]
    NotExpected {
        /// Who it is.
        who: Identity,
        /// Who may come.
        expected: String,
    },
    /// It has another key than it told.
    #[error(
        "{who} has the key {found}, and pinned is {pinned}: ask it for its fingerprint on another way than this network; `identity pin {who}=FINGERPRINT` pins another"
    )]
    OtherKey {
        /// Whose.
        who: Identity,
        /// The key that it has shown.
        found: Fingerprint,
        /// The keys that are pinned.
        pinned: String,
    },
}

impl Refusal {
    /// What the other side is told: a TLS alert, and no text.
    pub fn alert(&self) -> CertificateError {
        match self {
            Self::NoCertificate { .. } | Self::Unusable(_) => CertificateError::BadEncoding,
            Self::Stranger { .. } => CertificateError::UnknownIssuer,
            Self::Expired { .. } | Self::NotYetValid { .. } => CertificateError::Expired,
            Self::Revoked { .. } => CertificateError::Revoked,
            Self::ListExpired { .. } | Self::ListOfOther { .. } => CertificateError::UnknownRevocationStatus,
            Self::Nameless(_) | Self::NotExpected { .. } | Self::OtherKey { .. } => {
                CertificateError::ApplicationVerificationFailure
            }
        }
    }

    /// One word for counts and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoCertificate { .. } => "no_certificate",
            Self::Unusable(_) => "unusable",
            Self::Stranger { .. } => "stranger",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Revoked { .. } => "revoked",
            Self::ListExpired { .. } => "list_expired",
            Self::ListOfOther { .. } => "list_of_other",
            Self::Nameless(_) => "nameless",
            Self::NotExpected { .. } => "not_expected",
            Self::OtherKey { .. } => "other_key",
        }
    }
}
