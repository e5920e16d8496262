//! Valid certificates and lists for the fuzzer to begin with, as their authority signs them: without the signature, so that
//! they are the same on every machine.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SanType,
    SerialNumber, SubjectPublicKeyInfo, date_time_ymd,
};

use super::AUTHORITY;
use crate::pieces::piece;

/// A public key whose secret key everybody knows: the base point of P-256.
const PUBLIC_KEY: &str = "3059301306072a8648ce3d020106082a8648ce3d03010703420004\
    6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
    4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

/// Inputs with which a fuzzer begins: valid ones, and some that nearly are.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for content in certificates() {
        seeds.push([&[0][..], &piece(&[&[1][..], &content].concat())].concat());
        // Between the certificate and the authority stands another one.
        let chain = [piece(&[2]), piece(&[&[1][..], &content].concat())].concat();
        seeds.push([&[0][..], &chain].concat());
    }
    // The bank's own, as it is, and with one bit changed in its name, its dates and its signature.
    for changes in [&[2][..], &[2, 60, 0, 1], &[2, 120, 0, 1], &[2, 0x90, 1, 1]] {
        seeds.push([&[0][..], &piece(changes)].concat());
    }
    for content in lists() {
        seeds.push([&[1][..], &content].concat());
        seeds.push([&[2][..], &content].concat());
    }
    for (kind, text) in [
        (2, "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n"),
        (3, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        (3, ""),
        (4, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        (4, "-----BEGIN CERTIFICATE-----\n"),
    ] {
        seeds.push([&[kind][..], text.as_bytes()].concat());
    }
    seeds
}

/// What the authority signs of certificates: one of each role, with other names, without any, and one that may sign others.
fn certificates() -> Vec<Vec<u8>> {
    let uri = |text: &str| SanType::URI(text.try_into().expect("ASCII"));
    let dns = |text: &str| SanType::DnsName(text.try_into().expect("ASCII"));
    let (dials, listens) = (ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth);
    let all = [
        ("bank", vec![uri("hashvfl://party/bank")], dials.clone()),
        ("app", vec![uri("hashvfl://client/app")], dials.clone()),
        ("shop", vec![uri("hashvfl://coordinator/shop")], listens),
        ("bank", vec![dns("bank.example"), dns("other.example")], dials.clone()),
        (
            "bank",
            vec![uri("https://bank"), uri("hashvfl://party/a"), uri("hashvfl://party/b")],
            dials.clone(),
        ),
        ("Bank AG", Vec::new(), dials),
    ];
    let mut contents = Vec::new();
    for (name, names, usage) in all {
        let mut params = dated(name);
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        contents.push(signed_part(&params));
    }
    let mut authority = dated("another authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    contents.push(signed_part(&authority));
    contents
}

/// Of each of them what stands before its key, and what behind it.
pub(crate) fn around_keys() -> Vec<[Vec<u8>; 2]> {
    let key = public_key();
    let mut around = Vec::new();
    for content in certificates() {
        let at = content.windows(key.len()).position(|window| window == key).expect("its key");
        around.push([content[header_bytes(&content)..at].to_vec(), content[at + key.len()..].to_vec()]);
    }
    around
}

/// What the authority signs of lists: an empty one, one that takes others back, and one that has ended.
fn lists() -> Vec<Vec<u8>> {
    let mut contents = Vec::new();
    for (serials, until) in [(0, 2040), (3, 2040), (1, 2021)] {
        let revoked = |serial: u64| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2020, 2, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(7_u64),
            issuing_distribution_point: None,
            revoked_certs: (1..=serials).map(revoked).collect(),
            key_identifier_method: KeyIdMethod::PreSpecified(vec![1; 20]),
        };
        let list = params.signed_by(&issuer()).expect("a list");
        contents.push(first_element(list.der()).to_vec());
    }
    contents
}

fn dated(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(9_u64));
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
    params
}

/// An issuer with the name of the target's authority. Its key does not matter: its signatures are left out.
fn issuer() -> Issuer<'static, KeyPair> {
    let mut params = dated(&format!("HashVFL authority of {AUTHORITY}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Issuer::new(params, KeyPair::generate().expect("a key"))
}

/// That key.
pub(crate) fn public_key() -> Vec<u8> {
    let mut key = Vec::new();
    for at in (0..PUBLIC_KEY.len()).step_by(2) {
        key.push(u8::from_str_radix(&PUBLIC_KEY[at..at + 2], 16).expect("hex"));
    }
    key
}

/// A certificate without its signature.
fn signed_part(params: &CertificateParams) -> Vec<u8> {
    let key = SubjectPublicKeyInfo::from_der(&public_key()).expect("a public key");
    let certificate = params.signed_by(&key, &issuer()).expect("a certificate");
    first_element(certificate.der()).to_vec()
}

/// The first element of those that a sequence in DER holds.
fn first_element(sequence: &[u8]) -> &[u8] {
    let content = &sequence[header_bytes(sequence)..];
    let (start, length) = (header_bytes(content), content_bytes(content));
    &content[..start + length]
}

/// Bytes of the tag and the length of an element.
fn header_bytes(element: &[u8]) -> usize {
    if element[1] < 0x80 { 2 } else { 2 + usize::from(element[1] & 0x7f) }
}

/// Bytes of the content of an element.
fn content_bytes(element: &[u8]) -> usize {
    if element[1] < 0x80 {
        return usize::from(element[1]);
    }
    element[2..header_bytes(element)].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::Home;

    #[test]
    fn the_seeds_are_valid_once_the_authority_has_signed_them() {
        let home = Home::new();
        let certificates = certificates();
        let who = |content: &[u8]| -> Vec<Option<String>> {
            let chain = home.chain(&piece(&[&[1][..], content].concat()));
            let verdicts = home.verdicts(&chain).into_iter();
            verdicts.map(|verdict| verdict.ok().map(|peer| peer.identity.to_string())).collect()
        };
        let named = |name: &str| Some(name.to_string());
        // By the certificate's own name, and by a table; whoever dials, and whoever listens.
        assert_eq!(who(&certificates[0]), [named("party/bank"), None, named("party/bank"), None]);
        assert_eq!(who(&certificates[1]), [named("client/app"), None, None, None]);
        assert_eq!(who(&certificates[2]), [None, named("coordinator/shop"), None, None]);
        assert_eq!(
            home.verdicts(&home.chain(&piece(&[2])))[0].as_ref().unwrap().identity.to_string(),
            "party/bank"
        );
        assert!(home.verdicts(&home.chain(&piece(&[2, 60, 0, 1]))).iter().all(Result::is_err));
    }

    #[test]
    fn a_list_counts_once_the_authority_has_signed_it() {
        let (home, lists) = (Home::new(), lists());
        let judged = |list: &[u8]| home.with_list(list).map(|verdict| verdict.is_ok());
        assert_eq!(judged(&home.signed(&lists[0])), Some(true));
        assert_eq!(judged(&home.signed(&lists[1])), Some(true), "others are taken back");
        assert_eq!(judged(&home.signed(&lists[2])), Some(false), "it has ended");
        assert_eq!(judged(&lists[0]), None, "it is not signed");
    }
}
