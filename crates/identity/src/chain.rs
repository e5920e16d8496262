//! How long a chain of certificates may be that a peer shows, before anybody looks for a path from it to an authority.
//!
//! Anybody can make certificates of one name that could all have signed each other. A search for a path tries them in every
//! order: ten of them take as long as two million. Of names that differ, only one order fits.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// Certificates that come with the peer's own, at most: authorities below the one that is trusted, and that one.
const MOST_BETWEEN: usize = 3;
/// Bytes of all certificates of a chain, at most.
const MOST_BYTES: usize = 16 << 10;

/// A chain that nobody follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChainError {
    /// It has too many certificates.
    #[error(
        "{0} certificates follow it, but at most {MOST_BETWEEN} may: only those of the authorities between it and \
         one that the other side trusts"
    )]
    TooMany(usize),
    /// They are too large.
    #[error("it and the certificates after it have {0} bytes, but at most {MOST_BYTES} are allowed")]
    TooLarge(usize),
    /// More than one way may lead from one to the next.
    #[error("two certificates after it have the same subject: send one certificate per authority")]
    SameSubject,
}

/// Checks that a search for a path from `chain`, a peer's own certificate first, tries each certificate once at most.
///
/// # Errors
/// If it could take longer.
pub(crate) fn check(chain: &[CertificateDer<'_>]) -> Result<(), ChainError> {
    let between = chain.get(1..).unwrap_or_default();
    if between.len() > MOST_BETWEEN {
        return Err(ChainError::TooMany(between.len()));
    }
    let bytes: usize = chain.iter().map(|certificate| certificate.len()).sum();
    if bytes > MOST_BYTES {
        return Err(ChainError::TooLarge(bytes));
    }
    let mut subjects: Vec<Vec<u8>> = Vec::new();
    for certificate in between {
        // By the parser of the search, which passes over what it cannot read.
        let Ok(parsed) = EndEntityCert::try_from(certificate) else { continue };
        if subjects.iter().any(|subject| subject == parsed.subject()) {
            return Err(ChainError::SameSubject);
        }
        subjects.push(parsed.subject().to_vec());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::pki_types::UnixTime;
    use webpki::{ExtendedKeyUsageValidator, KeyPurposeIdIter};

    use super::*;

    fn named(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// A certificate of `name`, with a key of its own, that says that `issuer` has signed it.
    fn certificate(name: &str, issuer: &str, is_ca: IsCa) -> CertificateDer<'static> {
        let issuer = Issuer::new(named(issuer), KeyPair::generate().unwrap());
        let mut params = named(name);
        params.is_ca = is_ca;
        params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone()
    }

    /// A certificate that the first of `authorities` has signed, and those; the next of each signs it.
    fn chain(authorities: &[&str]) -> Vec<CertificateDer<'static>> {
        let mut chain = vec![certificate("bank", authorities[0], IsCa::ExplicitNoCa)];
        for (at, name) in authorities.iter().enumerate() {
            let issuer = authorities[(at + 1) % authorities.len()];
            chain.push(certificate(name, issuer, IsCa::Ca(BasicConstraints::Unconstrained)));
        }
        chain
    }

    /// Counts the certificates that a search looks at: each is asked for its uses once.
    #[derive(Default)]
    struct Looks(Cell<usize>);

    impl ExtendedKeyUsageValidator for Looks {
        fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
            self.0.set(self.0.get() + 1);
            Ok(())
        }
    }

    /// How many certificates a search for a path looks at where nobody is trusted.
    fn looks(chain: &[CertificateDer<'_>]) -> usize {
        let (looks, algorithms) = (Looks::default(), webpki::ALL_VERIFICATION_ALGS);
        let end = EndEntityCert::try_from(&chain[0]).unwrap();
        let found = end.verify_for_usage(algorithms, &[], &chain[1..], UnixTime::now(), &looks, None, None);
        assert!(found.is_err());
        looks.0.get()
    }

    #[test]
    fn a_chain_that_is_let_through_takes_one_look_at_each_certificate() {
        // Five of one name: one look, then five, twenty, sixty, and so on.
        let many = chain(&["x"; 5]);
        assert!(looks(&many) > 300, "{}", looks(&many));
        assert_eq!(check(&many), Err(ChainError::TooMany(5)));
        assert_eq!(check(&chain(&["x", "y", "x"])), Err(ChainError::SameSubject));
        // The last has signed the first: a circle.
        for names in [&["x"][..], &["x", "y"], &["x", "y", "z"]] {
            let chain = chain(names);
            assert_eq!(check(&chain), Ok(()), "{names:?}");
            assert_eq!(looks(&chain), chain.len(), "{names:?}");
        }
        assert_eq!(check(&chain(&["x", "y", "z"])[..1]), Ok(()));
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn a_chain_has_a_bounded_size() {
        let mut chain = chain(&["x"]);
        let most = MOST_BYTES - chain[0].len();
        chain[1] = CertificateDer::from(vec![0x30; most]);
        assert_eq!(check(&chain), Ok(()), "what cannot be read leads nowhere");
        chain[1] = CertificateDer::from(vec![0x30; most + 1]);
        assert_eq!(check(&chain), Err(ChainError::TooLarge(MOST_BYTES + 1)));
    }
}
