//! Why a peer's certificate does not count here.

use rustls::CertificateError;

use crate::dates::date;
use crate::fingerprint::Fingerprint;
use crate::names::Nameless;
use crate::role::Identity;

/// Why a peer is refused, for this side's own log. Each says who, what was expected, in which file, and which command mends
/// it, where FILE is the config of the side that runs the command. Names are safe to print, and nothing else of a stranger's
/// certificate is shown. The peer hears [`Self::alert`] alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has shown no certificate.
    #[error(
        "it showed no certificate: expected one of {expected}; it needs an [identity] of its own (`party identity request --config FILE`)"
    )]
    NoCertificate {
        /// Who may come.
        expected: String,
    },
    /// What it has shown is no certificate, or one that nothing here can check.
    #[error(
        "its certificate cannot be used: {0}; `identity show CERTIFICATE` prints what one says, and `coordinator identity sign REQUEST \
         --config FILE` makes a usable one from a request"
    )]
    Unusable(String),
    /// Somebody else has signed it.
    #[error(
        "its certificate was not signed by an authority in {authority}: a stranger, one of another federation, or a proxy that ends TLS in between; `coordinator identity sign REQUEST --config FILE` signs its request"
    )]
    Stranger {
        /// The file of authorities.
        authority: String,
    },
    /// It was valid once.
    #[error(
        "the certificate of {who} was valid until {}: `coordinator identity renew {who} --config FILE` makes another, which it installs with \
         `identity accept CERTIFICATE --config FILE`",
        date(*.not_after_s)
    )]
    Expired {
        /// Whose.
        who: Identity,
        /// Until when, in seconds since 1970.
        not_after_s: i64,
    },
    /// It will be valid one day.
    #[error(
        "the certificate of {who} is valid from {} on: is a clock wrong, here or where it was signed? If none is, `coordinator identity renew \
         {who} --config FILE` makes one that is valid today",
        date(*.not_before_s)
    )]
    NotYetValid {
        /// Whose.
        who: Identity,
        /// From when, in seconds since 1970.
        not_before_s: i64,
    },
    /// Its authority has taken it back.
    #[error(
        "the certificate {serial} of {who} is revoked, by the list {list}: `coordinator identity list --config FILE` says when and why; a new key \
         (`identity request --new-key --config FILE`) and `coordinator identity sign REQUEST --config FILE` bring it back"
    )]
    Revoked {
        /// Whose.
        who: Identity,
        /// Its serial number in hex.
        serial: String,
        /// The file of the list.
        list: String,
    },
    /// The list that says what is revoked is too old to be believed.
    #[error(
        "the revocation list {list} was valid until {}, so nobody can be let in: `coordinator identity renew --list --config FILE` writes a new one",
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
        "the revocation list {list} says nothing of the authority that signed the certificate of {who}: it must hold a list of each authority in the chain. `coordinator identity renew --list --config \
         FILE` writes that of a private authority"
    )]
    ListOfOther {
        /// The file.
        list: String,
        /// Whose.
        who: Identity,
    },
    /// It names nobody.
    #[error(
        "its certificate names nobody here: {0}. `coordinator identity sign REQUEST --config FILE` makes one that names a party, a coordinator \
         or a client; for one of another PKI, [identity.names] in this side's config says whom a name means, and `identity show CERTIFICATE` \
         which names it has"
    )]
    Nameless(#[from] Nameless),
    /// It names one who may not come.
    #[error(
        "it is {who}, but {expected} was expected: this side's config says who may come (run.parties, alignment.settings.holders, \
         identity.coordinator); a certificate of another name takes `identity request --name NAME --config FILE` and `coordinator identity sign \
         REQUEST --config FILE`"
    )]
    NotExpected {
        /// Who it is.
        who: Identity,
        /// Who may come.
        expected: String,
    },
    /// It has another key than it told.
    #[error(
        "{who} has the key {found}, but {pinned} is pinned in {file}: ask it for its fingerprint over another channel, such as the phone; \
         `identity pin {who}=FINGERPRINT --config FILE` pins another"
    )]
    OtherKey {
        /// Whose.
        who: Identity,
        /// The key that it has shown.
        found: Fingerprint,
        /// The keys that are pinned.
        pinned: Box<str>,
        /// The file of pins.
        file: Box<str>,
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

    /// Whom its certificate names; `None` unless one of the authorities has signed that.
    pub fn who(&self) -> Option<&Identity> {
        match self {
            Self::Expired { who, .. }
            | Self::NotYetValid { who, .. }
            | Self::Revoked { who, .. }
            | Self::ListOfOther { who, .. }
            | Self::NotExpected { who, .. }
            | Self::OtherKey { who, .. } => Some(who),
            Self::NoCertificate { .. }
            | Self::Unusable(_)
            | Self::Stranger { .. }
            | Self::ListExpired { .. }
            | Self::Nameless(_) => None,
        }
    }

    /// What other sides may hear of it: nothing of this side's files.
    pub fn for_others(&self) -> String {
        match self {
            Self::Revoked { who, .. } => format!("the certificate of {who} is revoked"),
            Self::OtherKey { who, .. } => format!("{who} has another key than the one that is pinned"),
            other => match other.who() {
                Some(who) => format!("the certificate of {who} is no longer valid"),
                None => "its certificate is no longer valid".to_string(),
            },
        }
    }

    /// One word for counts, logs and the audit trail.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoCertificate { .. } => "no-certificate",
            Self::Unusable(_) => "unusable",
            Self::Stranger { .. } => "stranger",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::Revoked { .. } => "revoked",
            Self::ListExpired { .. } => "list-expired",
            Self::ListOfOther { .. } => "list-of-other",
            Self::Nameless(_) => "nameless",
            Self::NotExpected { .. } => "not-expected",
            Self::OtherKey { .. } => "other-key",
        }
    }
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
