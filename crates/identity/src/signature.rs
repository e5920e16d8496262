//! Signatures of texts, such as heads of audit logs, by the key of an identity.
//!
//! A signature is the number of its scheme (two bytes, as in TLS 1.3), the length of the public key (two bytes), the public
//! key (SubjectPublicKeyInfo, DER), and what the scheme gives. It says itself which key it is of; whether that is the key of
//! whom it should be, pins and [`Fingerprint`]s tell. What is signed must begin with words of its own purpose.

use hashvfl_core::PartyName;
use rustls::SignatureScheme;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use webpki::RawPublicKeyEntity;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::files::IdentityFiles;
use crate::fingerprint::Fingerprint;
use crate::role::Role;

/// Schemes in which this crate signs, best first.
const SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
];
/// Bytes of scheme and length.
const START: usize = 4;

/// Bytes that are no signature of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not of the form that [`IdentityFiles::sign`] gives.
    #[error("it is not a signature, or uses a scheme that this program does not know")]
    Unreadable,
    /// Of another text, or by another key.
    #[error("the signature does not match")]
    DoesNotFit,
    /// By a key that is not the one that is pinned.
    #[error("it is signed with the key {found}, and another is pinned")]
    OtherKey {
        /// The key.
        found: Fingerprint,
    },
    /// This side's key cannot sign in any scheme that is known here.
    #[error(
        "this side's key does not support a known signature scheme (Ed25519, ECDSA with P-256 or P-384, RSA-PSS)"
    )]
    CannotSign,
}

impl IdentityFiles {
    /// Signs `text` with this side's key.
    ///
    /// # Errors
    /// If the key cannot.
    pub fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let trust = self.current();
        let own = &trust.own;
        let (_, certificate) =
            X509Certificate::from_der(&own.cert[0]).map_err(|_| SignatureError::CannotSign)?;
        let key = certificate.public_key().raw;
        let length = u16::try_from(key.len()).map_err(|_| SignatureError::CannotSign)?;
        let signer = own.key.choose_scheme(&SCHEMES).ok_or(SignatureError::CannotSign)?;
        let mut signature = Vec::with_capacity(START + key.len());
        signature.extend(u16::from(signer.scheme()).to_be_bytes());
        signature.extend(length.to_be_bytes());
        signature.extend(key);
        signature.extend(signer.sign(text).map_err(|_| SignatureError::CannotSign)?);
        Ok(signature)
    }

    /// Checks that `signature` is one of `text`, and by a key that `name` may have in this role (whoever has the role, if
    /// no name is given): where keys are pinned, by one of those. Returns the key.
    ///
    /// # Errors
    /// If it is not.
    pub fn verify_of(
        &self,
        role: Role,
        name: Option<&PartyName>,
        text: &[u8],
        signature: &[u8],
    ) -> Result<Fingerprint, SignatureError> {
        let found = verify(text, signature)?;
        let pinned = self.current().pins().keys_of(role, name);
        if pinned.is_empty() || pinned.contains(&found) {
            return Ok(found);
        }
        Err(SignatureError::OtherKey { found })
    }
}

/// Checks that `signature` is one of `text`; the key that it is by.
///
/// # Errors
/// If it is not.
pub fn verify(text: &[u8], signature: &[u8]) -> Result<Fingerprint, SignatureError> {
    let (start, rest) = signature.split_at_checked(START).ok_or(SignatureError::Unreadable)?;
    let scheme = SignatureScheme::from(u16::from_be_bytes([start[0], start[1]]));
    let length = usize::from(u16::from_be_bytes([start[2], start[3]]));
    let (key, signature) = rest.split_at_checked(length).ok_or(SignatureError::Unreadable)?;
    let spki = SubjectPublicKeyInfoDer::from(key);
    let entity = RawPublicKeyEntity::try_from(&spki).map_err(|_| SignatureError::Unreadable)?;
    let provider = rustls::crypto::ring::default_provider();
    let known = provider.signature_verification_algorithms.mapping.iter().find(|(known, _)| *known == scheme);
    let Some((_, algorithms)) = known.filter(|_| SCHEMES.contains(&scheme)) else {
        return Err(SignatureError::Unreadable);
    };
    let fits =
        algorithms.iter().any(|algorithm| entity.verify_signature(*algorithm, text, signature).is_ok());
    match fits {
        true => Ok(Fingerprint::of_public_key(key)),
        false => Err(SignatureError::DoesNotFit),
    }
}
