//! How a party gets its certificate: a request that an authority signs, and what comes back.
//!
//! A request counts only with the signature of its key, and a certificate only with that of the authority. So the target signs
//! what it is given, too.

use std::fs;
use std::path::{Path, PathBuf};

use hashvfl_core::PartyName;
use hashvfl_identity::{Authority, Identity, IdentityPaths, Role, SigningOptions, accept, request};
use rcgen::{KeyPair, PublicKeyData};
use tempfile::TempDir;

use crate::certificates::{around_keys, public_key};
use crate::der::{ECDSA_SHA256, SEQUENCE, der, signed};
use crate::pieces::{piece, pieces};

/// What blocks of PEM are called.
const REQUEST: &str = "CERTIFICATE REQUEST";
const CERTIFICATE: &str = "CERTIFICATE";
/// The version of a request, in DER.
const VERSION: [u8; 3] = [2, 1, 0];

/// A folder with an authority and a party whose request is open: made once a thread, and anew when something was signed.
pub(super) struct Home {
    folder: TempDir,
    authority: Authority,
    authority_key: KeyPair,
    places: IdentityPaths,
    key: KeyPair,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (name, keep) = (PartyName::new("shop").expect("a name"), folder.path().join("authority"));
        let authority = Authority::create(&keep, &name).expect("an authority");
        let places = IdentityPaths::in_folder(&folder.path().join("bank"));
        request(&places, &bank(), false).expect("a request");
        let (authority_key, key) = (key_in(&keep.join("authority-key.pem")), key_in(&places.key));
        Self { folder, authority, authority_key, places, key }
    }

    /// The request for what pieces say, a subject and attributes, of the party's key.
    fn requested(&self, bytes: &[u8]) -> Vec<u8> {
        let [subject, attributes] = two(bytes);
        let key = self.key.subject_public_key_info();
        signed(&self.key, &der(SEQUENCE, &[&VERSION[..], subject, &key, attributes].concat()))
    }

    /// The certificate of the party's key that has what pieces say before that key and behind it, and the authority's own.
    fn answered(&self, bytes: &[u8]) -> Vec<u8> {
        let [before, behind] = two(bytes);
        let key = self.key.subject_public_key_info();
        let certificate = signed(&self.authority_key, &der(SEQUENCE, &[before, &key, behind].concat()));
        [armored(CERTIFICATE, &certificate), armored(CERTIFICATE, self.authority.certificate())].concat()
    }
}

/// Who has asked.
fn bank() -> Identity {
    Identity::new(Role::Party, PartyName::new("bank").expect("a name"))
}

fn key_in(path: &Path) -> KeyPair {
    KeyPair::from_pem(&fs::read_to_string(path).expect("a file")).expect("a key")
}

/// The first two pieces; empty where there are fewer.
fn two(bytes: &[u8]) -> [&[u8]; 2] {
    let pieces = pieces(bytes);
    [0, 1].map(|at| pieces.get(at).copied().unwrap_or_default())
}

/// DER as PEM.
fn armored(tag: &str, der: &[u8]) -> Vec<u8> {
    pem::encode(&pem::Pem::new(tag, der)).into_bytes()
}

pub(super) fn in_folder(work: impl FnOnce(&mut Home)) {
    thread_local!(static HOME: std::cell::RefCell<Home> = std::cell::RefCell::new(Home::new()));
    HOME.with_borrow_mut(work);
}

/// The bytes as a file.
pub(super) fn written(home: &Home, bytes: &[u8]) -> PathBuf {
    let path = home.folder.path().join("file");
    fs::write(&path, bytes).expect("a file");
    path
}

/// A request as it comes.
pub(super) fn sign(home: &mut Home, bytes: &[u8]) {
    let path = written(home, bytes);
    let signed = home.authority.sign(&path, &SigningOptions { days: 30, fingerprint: None, role: None });
    if let Ok((issued, _)) = signed {
        assert!(issued.identity.role != Role::Coordinator, "nobody has allowed {}", issued.identity);
        // An authority keeps what it has signed, which would become more and more.
        *home = Home::new();
    }
}

/// A request in DER.
pub(super) fn sign_der(home: &mut Home, bytes: &[u8]) {
    sign(home, &armored(REQUEST, bytes));
}

/// A request with the signature of its key.
pub(super) fn sign_requested(home: &mut Home, bytes: &[u8]) {
    let requested = home.requested(bytes);
    sign_der(home, &requested);
}

/// A certificate as it comes back.
pub(super) fn take_certificate(home: &Home, bytes: &[u8]) {
    let path = written(home, bytes);
    if let Ok(accepted) = accept(&home.places, &path, Some(home.authority.fingerprint()), None) {
        assert_eq!(accepted.identity, bank(), "nobody else has asked");
    }
}

/// A certificate with the signature of the authority.
pub(super) fn take_answered(home: &Home, bytes: &[u8]) {
    take_certificate(home, &home.answered(bytes));
}

/// Inputs with which a fuzzer begins: each behind what says how it is fed.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for uri in
        ["hashvfl://party/bank", "hashvfl://client/app", "hashvfl://coordinator/shop", "https://bank.example"]
    {
        let (subject, attributes) = (subject("bank"), attributes(uri));
        let content = [&VERSION[..], &subject, &public_key(), &attributes].concat();
        let no_signature = der(3, &[&[0][..], &der(SEQUENCE, &[2, 1, 1, 2, 1, 1])].concat());
        let request = [&der(SEQUENCE, &content)[..], &ECDSA_SHA256, &no_signature].concat();
        seeds.push([&[10][..], &der(SEQUENCE, &request)].concat());
        seeds.push([&[11][..], &piece(&subject), &piece(&attributes)].concat());
    }
    for [before, behind] in around_keys() {
        seeds.push([&[12][..], &piece(&before), &piece(&behind)].concat());
    }
    seeds
}

/// A common name, as the subject of a request.
fn subject(name: &str) -> Vec<u8> {
    const COMMON_NAME: [u8; 5] = [6, 3, 0x55, 4, 3];
    let name = [&COMMON_NAME[..], &der(12, name.as_bytes())].concat();
    der(SEQUENCE, &der(0x31, &der(SEQUENCE, &name)))
}

/// The attributes of a request for a certificate with this URI.
fn attributes(uri: &str) -> Vec<u8> {
    const EXTENSION_REQUEST: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
    const ALTERNATIVE_NAMES: [u8; 5] = [6, 3, 0x55, 0x1d, 17];
    let names = der(SEQUENCE, &der(0x86, uri.as_bytes()));
    let extension = der(SEQUENCE, &[&ALTERNATIVE_NAMES[..], &der(4, &names)].concat());
    let extensions = der(0x31, &der(SEQUENCE, &extension));
    der(0xa0, &der(SEQUENCE, &[&EXTENSION_REQUEST[..], &extensions].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_with_their_signatures_are_signed_and_accepted() {
        let mut home = Home::new();
        let options = SigningOptions { days: 30, fingerprint: None, role: None };
        let (mut signed, mut accepted) = (Vec::new(), Vec::new());
        for seed in seeds() {
            let (kind, bytes) = (seed[0], &seed[1..]);
            if kind == 12 {
                let path = written(&home, &home.answered(bytes));
                let answer = accept(&home.places, &path, Some(home.authority.fingerprint()), None);
                accepted.extend(answer.map(|accepted| accepted.identity.to_string()));
                continue;
            }
            let request = if kind == 11 { home.requested(bytes) } else { bytes.to_vec() };
            let path = written(&home, &armored(REQUEST, &request));
            let issued = home.authority.sign(&path, &options).map(|(issued, _)| issued.identity.to_string());
            assert!(kind == 11 || issued.is_err(), "it has no signature");
            signed.extend(issued);
        }
        assert_eq!(signed, ["party/bank", "client/app"]);
        assert_eq!(accepted, ["party/bank"]);
    }
}
