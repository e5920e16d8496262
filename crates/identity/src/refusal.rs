//! Why a peer's certificate does not count here.

use rustls::CertificateError;

use crate::dates::date;
use crate::fingerprint::Fingerprint;
use crate::names::Nameless;
use crate::role::Identity;

/// Why a peer is refused, for this side's own log. Each says who, what was expected, in which file, and which command mends
/// it, where FILE is the config of the side that runs the command. Names are safe to print, and nothing else of a stranger's
/// certificate is shown. The peer hears only [`Self::alert`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
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
        "the certificate of {who} expired on {}: `coordinator identity renew {who} --config FILE` creates another, \
         which it installs with `identity accept CERTIFICATE --config FILE`",
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
        "the certificate of {who} is valid only from {}: is a clock wrong, here or where it was signed? If not, \
         `coordinator identity renew {who} --config FILE` creates one that is valid today",
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
        "the certificate {serial} of {who} is revoked by the list {list}: `coordinator identity list --config FILE` \
         says when and why. To readmit it, let it create a new key (`identity request --new-key --config FILE`) and \
         sign its request (`coordinator identity sign REQUEST --config FILE`)"
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
        "the revocation list {list} expired on {}, so no peer is accepted: `coordinator identity renew --list \
         --config FILE` writes a new one",
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
        "{list} has no revocation list of the authority that signed the certificate of {who}: it must contain one \
         for each authority in the chain. `coordinator identity renew --list --config FILE` writes the list of a \
         private authority"
    )]
    ListOfOther {
        /// The file.
        list: String,
        /// Whose.
        who: Identity,
    },
    /// It names nobody.
    #[error(
        "its certificate does not name a party, coordinator or client: {0}. `coordinator identity sign REQUEST \
         --config FILE` creates one that does; for certificates of your own PKI, map their names in \
         [identity.names] of this side's config (`identity show CERTIFICATE` lists a certificate's names)"
    )]
    Nameless(#[from] Nameless),
    /// It names one who may not come.
    #[error(
        "it is {who}, but {expected} was expected: this side's config says who is accepted (run.parties, \
         alignment.settings.holders, identity.coordinator). For a certificate with another name, run `identity \
         request --name NAME --config FILE` there and `coordinator identity sign REQUEST --config FILE`"
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

impl PeerRefusal {
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
            Self::OtherKey { who, .. } => format!("{who} has a different key than the pinned one"),
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
